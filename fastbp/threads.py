"""Threads: how many a compiled call may have, and the parked Python threads that help with it.

No threading layer of Numba's is used: a `parallel=True` function loads slowly from a cache, its OpenMP layer kills
a forked child and its workqueue layer a process whose Python threads run kernels at once.  Starting and joining a
Python thread takes 0.1 ms, waking a parked one 0.02 ms, and nobody waits for one that has not woken yet.
"""

import os
import signal
import threading
from contextlib import contextmanager

_limit = None
_of_thread = threading.local()
_busy = 0
_idle = []
_lock = threading.Lock()


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int | None) -> None:
    """Set the largest number of threads a model uses.

    Results have the same bits at any number of threads.

    Parameters
    ----------
    n : int or None
        At least 1; None restores the default (see `get_num_threads`). No more threads than cores are
        ever started, and none where a step has too little work for them.

    Raises
    ------
    ValueError
        Where `n` is neither None nor a whole number of at least 1.
    """
    global _limit
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"set_num_threads({n!r}): the number of threads is a whole number of at least 1, or None.")
    _limit = n


def get_num_threads() -> int:
    """Return the largest number of threads a model uses.

    By default the number of cores this process may use, or less if ``NUMBA_NUM_THREADS`` or
    ``OMP_NUM_THREADS`` says so (joblib sets them in its workers).

    Examples
    --------
    >>> import fastbp
    >>> fastbp.set_num_threads(1)
    >>> fastbp.get_num_threads()
    1
    >>> fastbp.set_num_threads(None)
    """
    own = getattr(_of_thread, "limits", ())
    if _limit is not None:
        return min(_limit, available_cores(), *own)
    limits = [os.environ.get(name, "") for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")]
    return min([available_cores(), *own, *(int(limit) for limit in limits if limit.isdigit() and int(limit) > 0)])


@contextmanager
def limit_threads(n: int):
    """Context in which compiled calls made by this Python thread have at most `n` threads; others are not touched."""
    outer = getattr(_of_thread, "limits", ())
    _of_thread.limits = (*outer, n)
    try:
        yield
    finally:
        _of_thread.limits = outer


class InterruptGuard:
    """Context in which Ctrl-C is noted in `requested`, not raised: compiled work is never cut in two.

    Guards nest where the inner one's user raises the signal again for the outer one, as `run_together` does.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self):
        self.requested = False

    def __enter__(self):
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        self.requested = True

    def __exit__(self, *exception):
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)


def run_together(function, wanted):
    """Call function(thread, n_threads) in up to `wanted` threads at once, this one included.

    Fits that other Python threads run at the same time count: no more threads than cores.
    """
    global _busy
    with _lock:
        n_threads = 1 if wanted == 1 else max(1, min(wanted, available_cores() - _busy))
        _busy += n_threads
    try:
        if n_threads == 1:
            function(0, 1)
        else:
            _run_in_threads(function, n_threads)
    finally:
        with _lock:
            _busy -= n_threads


def _run_in_threads(function, n_threads):
    # An interrupt between two of these lines would leave threads at work on arrays that the caller has back.
    with InterruptGuard() as guard:
        shares = []
        for i in range(1, n_threads):
            try:
                shares.append(_idle_helper().start(function, i, n_threads))
            except RuntimeError:  # the system allows no more threads: those that run do all the pieces
                break
        try:
            function(0, n_threads)
        finally:
            for share in shares:
                share.wait()
    if guard.requested:
        signal.raise_signal(signal.SIGINT)


class Share:
    """A helper's part in one call: whoever claims it first, the helper to run it or the caller to drop it."""

    def __init__(self, function, thread, n_threads):
        self._function, self._arguments = function, (thread, n_threads)
        self._claim, self._done = threading.Lock(), threading.Lock()
        self._done.acquire()

    def run(self):
        """Call the function, unless the caller needs it no more."""
        if self._claim.acquire(blocking=False):
            try:
                self._function(*self._arguments)
            finally:
                self._done.release()

    def wait(self):
        """Return when the function has returned, at once if it was not begun: it never will be then."""
        if not self._claim.acquire(blocking=False):
            self._done.acquire()


class Helper:
    """A thread that sleeps until it is given a share, and then goes back to the idle ones."""

    def __init__(self):
        self._wake, self._share = threading.Lock(), None
        self._wake.acquire()
        threading.Thread(target=self._work, name="fastbp-helper", daemon=True).start()

    def start(self, function, thread, n_threads):
        """Wake the thread to call function(thread, n_threads); return the `Share`."""
        self._share = share = Share(function, thread, n_threads)
        self._wake.release()
        return share

    def _work(self):
        while True:
            self._wake.acquire()
            # Without a name for the share here, nothing keeps its arrays alive while the thread sleeps.
            self._share.run()
            self._share = None
            _idle.append(self)


def _idle_helper():
    """Return a helper that sleeps, a new one if there is none."""
    try:
        return _idle.pop()
    except IndexError:
        return Helper()


def _forget_other_threads():
    """In a forked child none of the parent's threads goes on."""
    global _busy, _lock
    _busy, _lock = 0, threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
