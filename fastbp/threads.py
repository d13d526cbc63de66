"""Threads: Python threads that run one compiled call together, sharing out the pieces of each phase.

A phase is over when all its pieces are done, not when all threads have come by: a thread that the machine keeps
waiting holds nobody up unless it has a piece in hand, and walks through the phases it missed when it wakes.

No threading layer of Numba's is used: a `parallel=True` function loads slowly from a cache, its OpenMP layer kills
a forked child and its workqueue layer a process whose Python threads run kernels at once.  A thread that lives for
one compiled call (about 0.2 s of work) costs 0.1 ms.
"""

import os
import signal
import threading

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import inline

# About 10 us of polling; then the core is offered to whoever else wants it.
SPINS = 4000
# More pieces than a phase can have.
ALL_PIECES = 2**40


@intrinsic
def atomic_add(typingctx, array, index, value):
    """Add `value` to an int64 entry; return what it held before."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), args[2], "acq_rel")

    return types.int64(array, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, array, index):
    """Read an int64 entry that another thread may be writing."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "acquire", 8)

    return types.int64(array, types.int64), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have the core."""
    symbol = "SwitchToThread" if os.name == "nt" else "sched_yield"

    def codegen(context, builder, signature, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, symbol), [])
        return context.get_dummy_value()

    return types.void(), codegen


def new_counters(phases):
    """Return the counters of a call with so many phases: two a phase, pieces taken and pieces done."""
    return np.zeros(2 * phases, np.int64)


def give_up(counters):
    """Let every piece count as taken and as done, so that no other thread goes on or waits for this one's."""
    counters += ALL_PIECES


@inline
def take(counters, phase, taken, n_threads):
    """Return the number of the next piece of a phase that nobody has; `taken` counts this thread's own so far."""
    return taken if n_threads == 1 else atomic_add(counters, 2 * phase, 1)


@inline
def finish(counters, phase, n_threads):
    """Say that a piece is done: what it wrote is there for whoever sees the count."""
    if n_threads > 1:
        atomic_add(counters, 2 * phase + 1, 1)


@inline
def wait(counters, phase, pieces, n_threads):
    """Wait until all pieces of a phase are done."""
    if n_threads == 1:
        return
    spins = 0
    while atomic_load(counters, 2 * phase + 1) < pieces:
        spins += 1
        if spins > SPINS:
            give_way()


_limit = None
_busy = 0
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
    if _limit is not None:
        return min(_limit, available_cores())
    limits = [os.environ.get(name, "") for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")]
    return min([available_cores(), *(int(limit) for limit in limits if limit.isdigit() and int(limit) > 0)])


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
        others = []
        for i in range(1, n_threads):
            thread = threading.Thread(target=function, args=(i, n_threads), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system allows no more: those that run do all the pieces
                break
            others.append(thread)
        function(0, n_threads)
        for thread in others:
            thread.join()
    if guard.requested:
        signal.raise_signal(signal.SIGINT)


def _forget_other_threads():
    """In a forked child none of the parent's threads goes on."""
    global _busy, _lock
    _busy, _lock = 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
