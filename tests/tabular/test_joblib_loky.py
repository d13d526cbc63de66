"""A worker of loky that dies while it writes its result is lost as any other, and nothing else is touched."""

import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor
from types import SimpleNamespace

import pytest
from joblib._parallel_backends import LokyBackend, MultiprocessingBackend, ThreadingBackend

from fastbp.tabular import joblib_loky

# Two tasks kill their worker when they run for the first time, with the lock of the pipe of results: one has written
# the size of a message of 1 MB, and 4 bytes of it, the other nothing.
DYING = """
import os, signal, struct, sys, threading
from fastbp.tabular import joblib_loky, joblib_tasks

def die_once(path, content):
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    frame = sys._getframe()
    while frame.f_code.co_name != "_process_worker":
        frame = frame.f_back
    results = frame.f_locals["result_queue"]
    results._wlock.acquire()
    os.write(results._writer.fileno(), content)
    os.kill(os.getpid(), signal.SIGKILL)

def square(number, folder):
    if number == 1:
        die_once(folder + "/message", struct.pack("!i", 10**6) + b"part")
    if number == 3:
        die_once(folder + "/lock", b"")
    return number, number**2

if __name__ == "__main__":
    joblib_loky.SECONDS, joblib_tasks._numbered = 0.1, square
    found = {}
    joblib_tasks.run_tasks(joblib_tasks.Workers(2, 2, 1), range(6), lambda number: sys.argv[1:], found.__setitem__)
    print(sorted(found.items()), *(thread.name for thread in threading.enumerate() if "fastbp" in thread.name))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="writes to a pipe are whole there")
def test_workers_that_die_with_the_pipe_of_results(tmp_path):
    """Without the watch, the first one has the call wait for ever."""
    command = [sys.executable, "-W", "error", "-c", DYING, tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == f"{[(number, number**2) for number in range(6)]}\n", run.stderr
    assert run.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "message"]


def watches():
    return [thread for thread in threading.enumerate() if thread.name == "fastbp-watch"]


def test_the_watch_ends_with_the_call():
    def interrupted():
        with joblib_loky.deaths_noticed(LokyBackend()):
            assert len(watches()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert watches() == []


@pytest.mark.parametrize("backend", [ThreadingBackend, MultiprocessingBackend, SimpleNamespace])
def test_other_backends_are_not_watched(backend):
    with joblib_loky.deaths_noticed(backend()):
        assert watches() == []


class Worker:
    """A stand-in for a process: its sentinel can be read once the process has ended."""

    def __init__(self, exitcode):
        self.exitcode = exitcode
        self.sentinel, self._held = multiprocessing.Pipe(duplex=False)
        if exitcode is not None:
            self._held.close()


@pytest.mark.parametrize(("exitcodes", "broken"), [([None, -9], True), ([1], True), ([None, 0], False), ([], False)])
def test_only_a_death_that_stays_unnoticed_breaks(monkeypatch, exitcodes, broken):
    over, looks, breaks = threading.Event(), [], []
    executor = SimpleNamespace(_processes=dict(enumerate(map(Worker, exitcodes))))

    def look():
        looks.append(executor)
        if len(looks) == 3:
            over.set()
        return executor

    monkeypatch.setattr(joblib_loky, "SECONDS", 1e-3)
    monkeypatch.setattr(joblib_loky, "_executor", look)
    monkeypatch.setattr(joblib_loky, "_break", breaks.append)
    joblib_loky._look(over)
    # At the first look the death is new: loky may be about to notice it.
    assert breaks == [executor] * 2 * broken


def an_executor(broken):
    flags = SimpleNamespace(shutdown_lock=threading.Lock(), broken=broken, shutdown=False)
    writer = multiprocessing.Pipe(duplex=False)[1]
    return SimpleNamespace(_flags=flags, _processes={1: Worker(-9)}, _result_queue=SimpleNamespace(_writer=writer))


def test_what_loky_has_noticed_meanwhile_is_left_to_it():
    noticed, unnoticed = an_executor(ValueError("noticed")), an_executor(None)
    for executor in (noticed, unnoticed):
        joblib_loky._break(executor)
    assert not noticed._result_queue._writer.closed
    assert isinstance(noticed._flags.broken, ValueError)
    assert unnoticed._result_queue._writer.closed
    assert isinstance(unnoticed._flags.broken, BrokenExecutor)


def test_a_loky_with_other_parts_is_left_alone(monkeypatch):
    for stranger in (None, SimpleNamespace(), SimpleNamespace(_processes=None, _flags=None)):
        assert joblib_loky._dead_workers(stranger) == set()
        joblib_loky._break(stranger)
    monkeypatch.setitem(sys.modules, "joblib.externals.loky", None)
    assert joblib_loky._executor() is None
