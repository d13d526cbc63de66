"""What is told while kernels are compiled, to whom, how often; and the clock that leaves it out."""

import io
import logging

import numpy as np
import pytest

from fastbp.callbacks.screen import Log, Terminal, compiling_shown
from fastbp.compiler import compiling, jit

MESSAGE = "compiling kernels (once per machine)"


def double(x):
    for i in range(x.size):
        x[i] *= 2.0


@pytest.fixture(autouse=True)
def cold(monkeypatch, tmp_path, caplog):
    """A process that has compiled nothing, has no cache, and tells of a compilation at once."""
    monkeypatch.setattr(compiling, "_watch", compiling._Watch())
    monkeypatch.setattr(compiling, "TELL_AFTER", -1.0)
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO, logger="fastbp")


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_the_log_says_so_once_a_process_where_no_bar_listens(caplog):
    for dtype in ("float64", "float32"):
        jit.Kernel(double)(np.ones(3, dtype))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert MESSAGE in record.getMessage()


def test_what_the_cache_has_is_not_told_of(caplog):
    jit.Kernel(double)(np.ones(3))
    caplog.clear()
    compiling._watch.told = False
    x = np.ones(3)
    jit.Kernel(double)(x)
    assert x.tolist() == [2, 2, 2]
    assert not caplog.records


def test_a_bar_says_so_in_the_place_of_the_log(caplog):
    screen = Terminal(Tty())
    with compiling_shown(screen, True):
        jit.Kernel(double)(np.ones(3))
    assert MESSAGE in screen.stream.getvalue()
    assert not caplog.records
    screen = Log(io.StringIO())
    with compiling_shown(screen, False):
        jit.Kernel(double)(np.ones(3, "float32"))
    assert screen.stream.getvalue() == ""
    assert MESSAGE in caplog.text


def test_the_clock_stands_still_while_kernels_are_compiled(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(compiling.time, "perf_counter", lambda: float(next(now)))
    heard = []
    assert compiling.working_time() == 0
    with compiling.listening(heard.append), compiling.compiling():  # it begins at 1
        assert compiling.working_time() == 1  # at 2
        compiling.tell()  # at 3
        with compiling.compiling():
            assert compiling.working_time() == 1  # at 4
    assert compiling.working_time() == 2  # at 6, one second after the end at 5
    assert heard == [None, 4.0]
