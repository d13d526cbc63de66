"""Ctrl-C while training: noted, and heeded between compiled calls."""

import signal
import threading

# In C, where signal.signal is a Python function: a handler could raise as that begins, and the old one would be lost.
from _signal import signal as set_handler

_current = None


class InterruptGuard:
    """Has Ctrl-C noted in `requested`, not raised, while a function runs: training ends with everything whole.

    Only Python's own handler gives way.  A user's handler is called as ever, and where SIGINT is ignored (background
    jobs, workers of a pool) it stays ignored.  In an inner guard (a callback that trains) Ctrl-C ends both.  Outside
    the main thread, where Python delivers no signals, it does nothing.

    Examples
    --------
    >>> from fastbp.engine.interrupts import InterruptGuard
    >>> guard = InterruptGuard()
    >>> guard.run(len, "abc"), guard.requested
    (3, False)
    """

    def __init__(self):
        self.requested = False

    def run(self, function, *arguments):
        """Call function(*arguments); return what it returns."""
        global _current
        outer, previous = _current, self._handler()
        if previous is None:
            return function(*arguments)
        try:
            set_handler(signal.SIGINT, self._note)
            _current = self
            return function(*arguments)
        finally:
            # The only call here puts the handler back: nothing can be raised before it (threads.py).
            _current = outer
            if outer is not None and self.requested:
                outer.requested = True
            set_handler(signal.SIGINT, previous)

    def _handler(self):
        """Return the handler to stand in for, or None: there is none."""
        if threading.current_thread() is not threading.main_thread():
            return None
        handler = signal.getsignal(signal.SIGINT)
        if handler is signal.default_int_handler or (_current is not None and handler == _current._note):
            return handler
        return None

    def _note(self, number, frame):
        self.requested = True


def heed_interrupt():
    """Raise KeyboardInterrupt in the main thread, if it has a guard that has noted Ctrl-C."""
    if _current is not None and _current.requested and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
