"""The threads of one compiled call: the calling thread, and helpers that work only while the call runs.

A signal's handler may raise in the main thread before and after any compiled call; a debugger or a time limit may raise
in any thread.  So everything that must not be left half done happens in compiled code.  The calling thread opens a
door, works, shuts the door, and waits until all helpers are out.  A helper that arrives before or after that touches
nothing but the counters, and it holds a reference to these.  So no thread works on anybody's arrays while Python runs.

A long call *pauses* when its time is over: the threads finish their pieces and go out.  Python looks for signals, and
calls again with the same counters; finished pieces stay finished.  So the results are those of one call, whatever the
clock says.  Phases that change parameters do not pause: a step is made whole, or not at all.
"""

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.lazy import cgutils, intrinsic, types
from fastbp.engine.barrier import ALL_PIECES, SPINS, TAIL, atomic_add, atomic_load, give_way, now

# Places in the counters, counted from their end: the helpers inside, whether a thread raised, whether the call pauses,
# the time at which it pauses, the nanoseconds until then (0: it never pauses), and whether all is done.
DOOR, GIVEN_UP, PAUSED, DEADLINE, LASTS, FINISHED = 1, 2, 3, 4, 5, 6
# The door's counter is the number of helpers inside, plus one of these while they cannot enter.
SHUT, NOT_OPEN = 2**40, 2**41
# A helper that finds the door not yet open looks so many times (some milliseconds).  Then it leaves: the calling thread
# was stopped before its call.
LOOKS = 20_000


def open_counters(phases, seconds=0.0):
    """Return the counters of a call with so many phases, which pauses after so many seconds (0: never)."""
    counters = np.zeros(2 * phases + TAIL, np.int64)
    counters[-DOOR], counters[-LASTS] = NOT_OPEN, int(1e9 * seconds)
    return counters


def paused_counters(counters):
    """Return the counters for the rest of a paused call, with a new door that no helper of the first part can enter."""
    again = counters.copy()
    again[-DOOR], again[-PAUSED] = NOT_OPEN, 0
    return again


@inline
def tail(counters, place):
    """Return the index of one of the counters' last places."""
    return counters.size - place


@inline
def enter(counters, thread):
    """Open the door as thread 0, or pass it; return False where it is not open."""
    door = tail(counters, DOOR)
    if thread == 0:
        lasts = counters[tail(counters, LASTS)]
        if lasts > 0:
            counters[tail(counters, DEADLINE)] = now() + lasts
        atomic_add(counters, door, -NOT_OPEN)
        return True
    atomic_add(counters, door, 1)
    looks = 0
    while atomic_load(counters, door) >= NOT_OPEN and looks < LOOKS:
        looks += 1
        give_way()
    if atomic_load(counters, door) < SHUT:
        return True
    atomic_add(counters, door, -1)
    return False


@inline
def leave(counters, thread):
    """Go out; thread 0 shuts the door and waits until all are out."""
    door = tail(counters, DOOR)
    if thread != 0:
        atomic_add(counters, door, -1)
        return
    atomic_add(counters, door, SHUT)
    looks = 0
    while atomic_load(counters, door) > SHUT:
        looks += 1
        if looks > SPINS:
            give_way()


@inline
def give_up(counters):
    """Count every piece as taken and as done, so that no thread goes on, and none waits for this one."""
    atomic_add(counters, tail(counters, GIVEN_UP), 1)
    for i in range(counters.size - TAIL):
        atomic_add(counters, i, ALL_PIECES)


@inline
def finish_all(counters, n_threads):
    """Say that all work is done: the call is not repeated, even if a thread has paused."""
    if n_threads > 1:
        atomic_add(counters, tail(counters, FINISHED), 1)


@inline
def is_given_up(counters, n_threads):
    """Has a thread raised?"""
    return n_threads > 1 and atomic_load(counters, tail(counters, GIVEN_UP)) > 0


@inline
def take_or_pause(counters, phase, taken, n_threads):
    """As `barrier.take`, but a call that pauses has no more pieces.

    A thread makes the call pause if the time is over and it has had a piece of this phase.
    """
    if n_threads == 1:
        return taken
    deadline = counters[tail(counters, DEADLINE)]
    if deadline > 0:
        paused = tail(counters, PAUSED)
        if atomic_load(counters, paused) > 0:
            return ALL_PIECES
        if taken > 0 and now() > deadline:
            atomic_add(counters, paused, 1)
            return ALL_PIECES
    return atomic_add(counters, 2 * phase, 1)


@intrinsic
def _call_and_leave(typingctx, address, arguments, counters, thread):
    """Call the kernel at `address`, which returns nothing.  If it raises: give up, leave, and only then raise."""

    def codegen(context, builder, signature, args):
        where, packed, counters, thread = args
        kinds = signature.args[1].types
        values = [builder.extract_value(packed, i) for i in range(len(kinds))]
        function_type = context.call_conv.get_function_type(types.void, kinds)
        function = builder.inttoptr(where, function_type.as_pointer())
        status, _ = context.call_conv.call_function(builder, function, types.void, kinds, values)
        array, number = signature.args[2:]
        with cgutils.if_unlikely(builder, status.is_error):
            context.compile_internal(builder, lambda counters: give_up(counters), types.none(array), [counters])
        both = types.none(array, number)
        context.compile_internal(builder, lambda counters, thread: leave(counters, thread), both, [counters, thread])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(address, arguments, counters, thread), codegen


@kernel
def run_share(entry, jobs, work, counters, thread, n_threads):
    """Call the driver at the address `entry` as one of the threads of its call."""
    if enter(counters, thread):
        _call_and_leave(entry, (jobs, work, counters, thread, n_threads), counters, thread)
