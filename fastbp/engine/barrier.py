"""The barrier at the end of each phase, where threads wait; and how they share out a phase's pieces before it.

A phase is over when all its pieces are done.  It does not matter whether all threads have come by.  So a thread that
the machine does not run holds nobody up unless it has a piece in hand; when it runs again, it passes through the phases
that it missed.

A waiting thread polls for some 10 us, which is as long as two phases of a small step take.  Then it offers its core to
other threads.  Then it sleeps, longer and longer: the thread that holds a piece may need the very core of the waiting
one, or the time that a container's CPU quota leaves them both.
"""

import platform

from fastbp.compiler.atomics import atomic_add, atomic_load, give_way, pause, sleep
from fastbp.compiler.jit import inline

# About 10 us of polling: a `pause` of x86 takes 20 to 45 ns, a `yield` of AArch64 hardly longer than the
# load of the counter.
SPINS = 4000 if platform.machine().lower() in ("aarch64", "arm64") else 300
# Then the core is offered to other threads, so many times (1 us each where nobody wants it).
OFFERS = 100
# Then the thread sleeps for 1, 2, 4 ... microseconds, and for so many at most (Linux adds 50 to each).
LONGEST_SLEEP = 512
# More pieces than a phase can have.
ALL_PIECES = 2**40
# A call has so many counters after those of its phases (helper_threads.py).
TAIL = 8


@inline
def take(counters, phase, taken, n_threads):
    """Return the number of the next free piece of a phase; `taken` is the number of pieces that this thread has had."""
    return taken if n_threads == 1 else atomic_add(counters, 2 * phase, 1)


@inline
def finish(counters, phase, n_threads):
    """Count a piece as done: a thread that sees the count sees what the piece wrote."""
    if n_threads > 1:
        atomic_add(counters, 2 * phase + 1, 1)


@inline
def wait(counters, phase, pieces, n_threads, ends=-1):
    """Wait until all pieces of a phase are done, or until the counter at `ends` (if that is not -1) is not zero."""
    if n_threads == 1:
        return
    looks, microseconds = 0, 1
    while atomic_load(counters, 2 * phase + 1) < pieces and (ends < 0 or atomic_load(counters, ends) == 0):
        looks += 1
        if looks <= SPINS:
            pause()
        elif looks <= SPINS + OFFERS:
            give_way()
        else:
            sleep(microseconds)
            microseconds = min(2 * microseconds, LONGEST_SLEEP)
