"""A helper that has just worked polls a *box* for its next share for a while, in compiled code and without Python.

A parked thread takes 20 to 100 us to wake and to get Python's lock, and its end keeps the caller waiting for 10 to
30 us more: a prediction of 10,000 rows of 30-64-64-3 takes 300 us in two threads.  A helper that polls has its share
after less than a microsecond.  It polls for `LINGER_SECONDS`, and then it is parked.  It does not offer its core to
other threads: a process of the least priority would have that for 3 ms at once.

Where another process wants the core, a helper that polls uses up its share of it, and then has none for its work.  So
it polls no more for `REST_SECONDS` when it notices that it was driven off: a look came late, it had no core for a part
of its call, or had not begun when its caller had ended.
"""

import ctypes

import numpy as np

from fastbp.compiler.atomics import atomic_load, compare_exchange, give_way, now, pause, thread_time
from fastbp.compiler.jit import kernel
from fastbp.compiler.lazy import intrinsic, ir, types
from fastbp.compiler.pointers import int64s_at
from fastbp.compiler.signatures import signature
from fastbp.engine.barrier import SPINS

# How long a helper polls after a share.  Between two epochs of one step 60 us pass, between two predictions 15.
LINGER_SECONDS = 100e-6
# It looks so many times (1 to 2 us) before it reads the clock.  Where these take longer than LATE_SECONDS, another
# thread had the core.
LOOKS, LATE_SECONDS, REST_SECONDS = 32, 100e-6, 1.0
_LINGER, _LATE, _REST = (int(1e9 * seconds) for seconds in (LINGER_SECONDS, LATE_SECONDS, REST_SECONDS))
# Entries of a box: its state, a call (what `Call.place` returns), the status that it returned, the address of the
# number that becomes 1 when the call is handed over, the nanoseconds of a rest, and the time until which one lasts.
STATE, FUNCTION, SLOTS, STATUS, HANDED, REST, RESTS_UNTIL = range(7)
# The helper polls only an OPEN box.  The caller makes it FULL, the helper makes it BUSY during the call.  An AWAY one
# becomes CALLED where the helper is to look for a share at its lock instead.
AWAY, OPEN, FULL, BUSY, CALLED = range(5)


@intrinsic
def call_entry(typingctx, function, slots):
    """Make the call of a kernel's entry (entrycode.py); return its status."""

    def codegen(context, builder, signature, args):
        long, word = ir.IntType(64), ir.IntType(32)
        kind = ir.FunctionType(word, [long.as_pointer()])
        entry = builder.inttoptr(args[0], kind.as_pointer())
        return builder.sext(builder.call(entry, [builder.inttoptr(args[1], long.as_pointer())]), long)

    return types.int64(types.int64, types.int64), codegen


@kernel
def linger(box, nanoseconds):
    """Make the calls that are handed over, until there has been none for so long or the helper is called away."""
    looked, looks = now(), 0
    if looked < box[RESTS_UNTIL] or compare_exchange(box, STATE, AWAY, OPEN) != AWAY:
        return
    until = looked + nanoseconds
    while True:
        state = atomic_load(box, STATE)
        if state == FULL:
            if compare_exchange(box, STATE, FULL, BUSY) == FULL:
                looked, ran = now(), thread_time()
                box[STATUS] = call_entry(box[FUNCTION], box[SLOTS])
                before, looked, ran = looked, now(), thread_time() - ran
                until = looked + nanoseconds
                if looked > before + ran + _LATE:
                    box[RESTS_UNTIL] = looked + box[REST]
                compare_exchange(box, STATE, BUSY, OPEN)
        elif state == OPEN:
            pause()
            looks += 1
            if looks % LOOKS == 0:
                before, looked = looked, now()
                if looked > before + _LATE:
                    box[RESTS_UNTIL] = looked + box[REST]
                if (looked > until or looked < box[RESTS_UNTIL]) and compare_exchange(box, STATE, OPEN, AWAY) == OPEN:
                    return
        else:
            return


@kernel
def hand_over(box):
    """Hand the call over if the box is open; else, or without a call, send the helper to its lock."""
    if box[FUNCTION] != 0 and compare_exchange(box, STATE, OPEN, FULL) == OPEN:
        int64s_at(box[HANDED], 1)[0] = 1
        return
    compare_exchange(box, STATE, OPEN, CALLED)
    compare_exchange(box, STATE, AWAY, CALLED)


@kernel
def take_back(box):
    """Take back a call that was handed over, or wait until the helper has made it."""
    if compare_exchange(box, STATE, FULL, OPEN) == FULL:
        box[RESTS_UNTIL] = now() + box[REST]
        return
    looks = 0
    while atomic_load(box, STATE) == BUSY:
        looks += 1
        if looks <= SPINS:
            pause()
        else:
            give_way()


class Box:
    """A helper's box.  Whoever has taken the helper from the idle ones, and nobody else, hands calls over."""

    def __init__(self):
        self._numbers = np.zeros(8, np.int64)
        self._numbers[REST] = _REST
        alone = signature("i8[:]")
        self._linger = linger.entry(signature("i8[:] i8")).bind(self._numbers, _LINGER)
        self._hand_over, self._take_back = (one.entry(alone).bind(self._numbers) for one in (hand_over, take_back))

    def linger(self):
        """As the helper: make calls until there has been none for a while."""
        self._linger()

    def leave(self):
        """As the helper, before it is idle again: the box is its own."""
        self._numbers[STATE] = AWAY

    def hand_over(self, call, handed):
        """Hand a call over where the helper polls: `handed` becomes 1.  Else the helper looks at its lock soon.

        The caller keeps both until `take_back` has returned.
        """
        numbers = self._numbers
        numbers[FUNCTION], numbers[SLOTS] = (0, 0) if call is None else call.place
        numbers[STATUS], numbers[HANDED] = 0, ctypes.addressof(handed)
        self._hand_over()

    def take_back(self):
        """Return when the helper has made the call that was handed over, or will not make it; return its status."""
        self._take_back()
        return int(self._numbers[STATUS])
