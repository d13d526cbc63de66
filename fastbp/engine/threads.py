"""Threads: how many a compiled call may have, and the parked Python threads that help with it.

Within a call, threads wait for each other between the phases of a step: barrier.py.

Numba's own threading layers are not used.  A `parallel=True` function loads slowly from a cache.  Its OpenMP layer
kills forked children.  Its workqueue layer ends a process in which two Python threads run kernels at once.  Starting
and joining a Python thread takes 0.1 ms; waking a parked one takes 0.02 ms, and no call waits for a thread that has not
woken yet.  One that has just worked is not parked yet, and takes its next share without Python: handover.py.

A signal's handler may raise in the main thread.  CPython calls handlers at the beginning of a Python function, after a
call, at the end of a loop's turn, and while a lock is waited for.  It does not call them between other lines.  So
nothing can be raised between an assignment and the `try` after it, nor in a `finally` before its first call.
"""

import ctypes
import os
import threading
from _thread import start_new_thread
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager

from fastbp.engine.cores import available_cores
from fastbp.engine.handover import Box
from fastbp.settings.numpy_numbers import plain

_limit = None
_of_thread = threading.local()
# Threads of all calls that are being made.
_busy = 0
_idle: list = []
# A parked helper that nobody wakes for so many seconds ends.
IDLE_SECONDS = 10.0


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

    Examples
    --------
    >>> import fastbp
    >>> fastbp.set_num_threads(1)  # beside other programs, or in many processes
    >>> fastbp.get_num_threads()
    1
    >>> fastbp.set_num_threads(None)
    """
    global _limit
    n = plain(n)
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"set_num_threads({n!r}): the number of threads is a whole number of at least 1, or None.")
    _limit = n


def limits():
    """Return what `set_num_threads` was given last, and the `limit_threads` of this Python thread."""
    return _limit, getattr(_of_thread, "limits", ())


def get_num_threads() -> int:
    """Return the largest number of threads a model uses.

    By default the number of cores this process may use (by its affinity, and by its container's quota of CPU time),
    or less if ``NUMBA_NUM_THREADS`` or ``OMP_NUM_THREADS`` says so (joblib sets them in its workers).

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.set_num_threads(1)
    >>> fastbp.get_num_threads()
    1
    >>> fastbp.set_num_threads(None)
    """
    if _limit == 1:
        return 1
    own = getattr(_of_thread, "limits", ())
    if _limit is not None:
        return min(_limit, available_cores(), *own)
    return min([available_cores(), *own, *limits_of_environment()])


def limits_of_environment() -> list[int]:
    """Return the numbers of threads that environment variables ask for.

    ``OMP_NUM_THREADS=4,2`` is a number for each level of nested threads, as OpenMP reads it.  fastbp has one level.
    """
    given = [os.environ.get(name, "") for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")]
    first = [words.partition(",")[0].strip() for words in given]
    return [int(number) for number in first if number.isdecimal() and int(number) > 0]


@contextmanager
def limit_threads(n: int):
    """Context: compiled calls of this Python thread have at most `n` threads; other Python threads are not limited."""
    outer = getattr(_of_thread, "limits", ())
    _of_thread.limits = (*outer, n)
    try:
        yield
    finally:
        _of_thread.limits = outer


def run_together(function, wanted):
    """Call function(thread, n_threads) in up to `wanted` threads at once, this one included.

    Threads of fits that run at the same time in other Python threads count: there are no more threads than cores.
    An exception, of the function or of a signal's handler, is raised after the function has returned in all threads.
    """
    global _busy
    cores = available_cores()
    # No lock is needed: between here and `try`, and in `finally`, there is no call, so nothing is raised (see above).
    free = cores - _busy
    n_threads = 1 if wanted == 1 or free <= 1 else wanted if wanted < free else free
    _busy += n_threads
    try:
        if n_threads == 1:
            function(0, 1)
        else:
            _run_in_threads(function, n_threads)
    finally:
        _busy -= n_threads


def run_alone(function):
    """Call function() in this thread; meanwhile calls of other Python threads have one core less."""
    global _busy
    _busy += 1
    try:
        function()
    finally:
        _busy -= 1


def _run_in_threads(function, n_threads):
    shares = []
    try:
        for i in range(1, n_threads):
            # It is made before its helper is taken: what a signal's handler raises in between would lose the helper.
            share = Share(function, i, n_threads)
            helper = _idle_helper()
            if helper is None:  # the system allows no more threads: those that there are do all pieces
                break
            shares.append(share)
            helper.help(share)
        function(0, n_threads)
    finally:
        _wait_for(shares)


def _wait_for(shares):
    """Wait until all shares are done, even if something is raised meanwhile; then raise the first exception."""
    raised = None
    for share in shares:
        done = False
        while not done:
            try:
                share.wait()
                done = True
            except BaseException as error:
                raised = raised or error
    if raised is not None:
        raise raised


class Share:
    """A helper's part in one call.  Either the helper claims it first and runs it, or the caller does and drops it.

    If the function has a method `call`, which returns the compiled call of a part, the helper makes that call.  One
    that polls its box does so without Python, and does not claim the share.
    """

    def __init__(self, function, thread, n_threads):
        self._function, self._arguments = function, (thread, n_threads)
        self._claimed, self._done = {}, threading.Lock()
        self._done.acquire()
        self.call = function.call(thread, n_threads) if hasattr(function, "call") else None
        self.helper, self.handed, self._raised = None, ctypes.c_int64(), None

    def run(self):
        """Call the function, unless the caller has dropped the share."""
        if self._claimed.setdefault("by", "helper") == "helper":
            try:
                if self.call is None:
                    self._function(*self._arguments)
                else:
                    self.call()
            except BaseException as error:  # a user's loss that raises: the caller's matter, and the helper lives on
                self._raised = error
            finally:
                self._done.release()

    def wait(self):
        """Return when the function has returned, or raise what it raised, once.

        If it was not begun, drop the share and return at once.  If an exception ends `wait`, it may be called again.
        """
        if self.handed.value:
            status = self.helper.box.take_back()
            # No call stands between these lines: the helper is given back once.
            self.handed.value, self.helper.given = 0, None
            self.helper.home.append(self.helper)
            self.call.check(status)
        if self._claimed.setdefault("by", "caller") == "helper":
            with self._done:
                error, self._raised = self._raised, None
            if error is not None:
                raise error


def start_thread(thread, then=None):
    """Start a `threading.Thread`, and call then() when it runs; return False where the system allows no more threads.

    A thread of its own calls ``Thread.start``.  In the main thread a signal's handler could raise within it; then a
    KeyError would come out, or a thread that never ran would stay among the running ones.
    """
    started, over = [], threading.Lock()
    over.acquire()

    def start():
        try:
            thread.start()
            if then is not None:
                then()
            started.append(thread)
        except RuntimeError:
            pass
        finally:
            over.release()

    try:
        start_new_thread(start, ())
    except RuntimeError:
        return False
    with over:
        return bool(started)


class Helper(threading.Thread):
    """A thread that sleeps until it is given a share, and then goes back to the idle ones."""

    def __init__(self):
        super().__init__(name="fastbp-helper", daemon=True)
        self._wake, self._share, self.home, self.box = threading.Lock(), None, _idle, Box()
        self.given = None
        self._wake.acquire()

    def help(self, share):
        """Hand the share over, or wake the thread to run it."""
        share.helper = self
        # The helper reads the call's slots even if a signal's handler has raised before the caller waits for it.
        self.given = share
        self.box.hand_over(share.call, share.handed)
        if share.handed.value:
            return
        self.given = None
        self._share = share
        self._wake.release()

    def begin(self):
        """Be idle.  If a signal's handler raised while another helper started, there are too many: then end."""
        if _n_helpers() < available_cores():
            self.home.append(self)
        else:
            self._wake.release()

    def run(self):
        """Run shares until there has been none for a while."""
        # A caller may take the helper from the idle ones just before it ends.  Then the helper does nothing, and the
        # caller does all pieces.
        while self._wake.acquire(timeout=IDLE_SECONDS) and self._share is not None:
            # No local variable holds the share, so that its arrays are freed while the thread sleeps.
            self._share.run()
            self._share = None
            self.box.leave()
            self.home.append(self)
            self.box.linger()
        if self in self.home:
            self.home.remove(self)


def _idle_helper():
    """Return an idle helper, or a new one; None where there are enough, or the system allows no more threads."""
    helper = _take_idle()
    if helper is None and _n_helpers() < available_cores() - 1:
        new = Helper()
        start_thread(new, new.begin)
        helper = _take_idle()
    return helper


def _take_idle():
    try:
        return _idle.pop()
    except IndexError:
        return None


def _n_helpers():
    return sum(getattr(thread, "home", None) is _idle for thread in threading.enumerate())


class Tasks:
    """Calls of a function that threads of their own make, several at a time.

    Parameters
    ----------
    function : callable
    arguments : list of tuples
        Of each call.

    Attributes
    ----------
    futures : list of Future
        Of each call.
    """

    def __init__(self, function, arguments):
        self._function, self.futures = function, [Future() for _ in arguments]
        self._waiting = deque(zip(self.futures, arguments, strict=True))

    def start(self, n_threads):
        """Start up to so many threads. Where none can be started, all calls are made when this returns."""
        started = 0
        for _ in range(min(n_threads, len(self.futures))):
            if not start_thread(threading.Thread(target=self._take_all, name="fastbp-worker")):
                break
            started += 1
        if not started:
            self._take_all()

    def _take_all(self):
        while self._waiting:
            try:
                future, arguments = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                future.set_result(self._function(*arguments))
            except BaseException as error:
                future.set_exception(error)

    def drop(self):
        """Make no more calls, and wait for those that are being made."""
        while self._waiting:
            self._waiting.popleft()[0].set_exception(RuntimeError("not done: something else has failed"))
        for future in self.futures:
            future.exception()


def map_in_threads(function, arguments, n_threads):
    """Return [function(*some) for some in arguments], made in up to `n_threads` threads."""
    tasks = Tasks(function, arguments)
    try:
        tasks.start(n_threads)
        return [future.result() for future in tasks.futures]
    except BaseException:
        tasks.drop()
        raise


def _forget_other_threads():
    """Reset the counts in a forked child, which has none of its parent's other threads."""
    global _busy
    _busy = 0
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
