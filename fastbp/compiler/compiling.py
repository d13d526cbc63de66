"""Messages while kernels compile, and a clock that does not count this time.

Kernels of the library need no compiling.  Others (a user's formula, another CPU, an edited source) are compiled once
on a machine and kept.  That may take seconds in which nothing else happens.  A progress bar says so (`listening`);
without one, a line on the log says so after TELL_AFTER seconds.
"""

import logging
import os
import time
from contextlib import contextmanager
from threading import RLock

MESSAGE = "compiling kernels (once per machine)"
TELL_AFTER = 2.0
_log = logging.getLogger("fastbp")


class _Watch:
    """How long this process has compiled, or loaded what it has compiled earlier, in whichever threads."""

    def __init__(self):
        self.lock, self.listeners = RLock(), []
        self.depth, self.since, self.spent, self.compiles, self.told = 0, 0.0, 0.0, False, False


_watch = _Watch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.__init__)


def working_time():
    """Return the seconds of `time.perf_counter`, less those in which kernels were compiled."""
    with _watch.lock:
        now = time.perf_counter()
        return now - _watch.spent - (now - _watch.since if _watch.depth else 0.0)


@contextmanager
def compiling():
    """Context: its time does not count in `working_time`; listeners are told at its end."""
    with _watch.lock:
        if _watch.depth == 0:
            _watch.since, _watch.compiles = time.perf_counter(), False
        _watch.depth += 1
    try:
        yield
    finally:
        with _watch.lock:
            _watch.depth -= 1
            if _watch.depth == 0:
                seconds = time.perf_counter() - _watch.since
                _watch.spent += seconds
                listeners = list(_watch.listeners)
                if _watch.compiles:
                    for listener in listeners:
                        listener(seconds)


def tell():
    """Say, within `compiling`, that a kernel is in no cache: it is being compiled."""
    with _watch.lock:
        _watch.compiles = True
        for listener in list(_watch.listeners):
            listener(None)
        spent = _watch.spent + time.perf_counter() - _watch.since
        if not _watch.listeners and not _watch.told and spent > TELL_AFTER:
            _watch.told = True
            _log.warning("fastbp is %s: %.0f seconds so far.", MESSAGE, spent)


@contextmanager
def listening(listener):
    """Have `listener` called with None when a kernel is being compiled, and with the seconds when that is over."""
    with _watch.lock:
        _watch.listeners.append(listener)
    try:
        yield
    finally:
        with _watch.lock:
            _watch.listeners.remove(listener)
