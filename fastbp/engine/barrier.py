"""Phases: how the threads of one compiled call share out the pieces of its work.

A phase is over when all its pieces are done.  It does not matter whether all threads have come by.  So a thread that
the machine does not run holds nobody up unless it has a piece in hand; when it runs again, it passes through the phases
that it missed.

A waiting thread polls for some 10 us, which is as long as two phases of a small step take.  Then it offers its core to
other threads.  Then it sleeps, longer and longer: the thread that holds a piece may need the very core of the waiting
one, or the time that a container's CPU quota leaves them both.
"""

import os
import platform
import sys

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types

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


@intrinsic
def atomic_add(typingctx, array, index, value):
    """Add `value` to an int64 entry; return what it held before."""

    def codegen(context, builder, signature, args):
        return add_in_order(builder, _entry(context, builder, signature, args), args[2])

    return types.int64(array, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, array, index):
    """Read an int64 entry that another thread may be writing."""

    def codegen(context, builder, signature, args):
        return load_in_order(builder, _entry(context, builder, signature, args))

    return types.int64(array, types.int64), codegen


def _entry(context, builder, signature, args):
    data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
    return builder.gep(data, [args[1]])


def add_in_order(builder, place, value):
    """Emit an addition to memory.  A thread that sees the sum also sees all that this thread wrote before."""
    return builder.atomic_rmw("add", place, value, "acq_rel")


def load_in_order(builder, place):
    """Emit a load.  Later reads of this thread see all that the value's writer wrote before the value."""
    return builder.load_atomic(place, "acquire", 8)


@intrinsic
def pause(typingctx):
    """Tell the CPU that this thread polls: the other thread of the core gets its units, and less power is used."""

    def codegen(context, builder, signature, args):
        emit_pause(builder, context.codegen().magic_tuple()[0])
        return context.get_dummy_value()

    return types.void(), codegen


def emit_pause(builder, triple):
    """Emit x86's `pause` or AArch64's `yield`; nothing for other CPUs."""
    cpu, number = triple.split("-")[0].lower(), ir.IntType(32)
    if cpu in ("x86_64", "amd64"):
        name, arguments = "llvm.x86.sse2.pause", []
    elif cpu in ("aarch64", "arm64"):
        name, arguments = "llvm.aarch64.hint", [number(1)]
    else:
        return
    function_type = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


@intrinsic
def atomic_max(typingctx, array, index, value):
    """Raise an int64 entry to `value` where it is less."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        builder.atomic_rmw("max", builder.gep(data, [args[1]]), args[2], "acq_rel")
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@intrinsic
def compare_exchange(typingctx, array, index, expected, value):
    """Write `value` to an int64 entry that holds `expected`; return what it held before."""

    def codegen(context, builder, signature, args):
        place = _entry(context, builder, signature, args)
        return builder.extract_value(builder.cmpxchg(place, args[2], args[3], "acq_rel", "acquire"), 0)

    return types.int64(array, types.int64, types.int64, types.int64), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have the core."""
    symbol = "SwitchToThread" if os.name == "nt" else "sched_yield"

    def codegen(context, builder, signature, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, symbol), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def sleep(typingctx, microseconds):
    """Do nothing for a while, a millisecond on Windows."""

    def codegen(context, builder, signature, args):
        number = ir.IntType(32)
        time = number(1) if os.name == "nt" else builder.trunc(args[0], number)
        function_type = ir.FunctionType(number, [number])
        symbol = "Sleep" if os.name == "nt" else "usleep"
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, symbol), [time])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def now(typingctx):
    """Return the nanoseconds of a clock that only goes forward."""

    def codegen(context, builder, signature, args):
        long, word = ir.IntType(64), ir.IntType(32)
        if os.name == "nt":
            ticks = cgutils.get_or_insert_function(builder.module, ir.FunctionType(long, []), "GetTickCount64")
            return builder.mul(builder.call(ticks, []), long(1_000_000))
        time = cgutils.alloca_once(builder, ir.ArrayType(long, 2))
        first = cgutils.gep_inbounds(builder, time, 0, 0)
        function_type = ir.FunctionType(word, [word, long.as_pointer()])
        clock = cgutils.get_or_insert_function(builder.module, function_type, "clock_gettime")
        # CLOCK_MONOTONIC
        builder.call(clock, [word(6 if sys.platform == "darwin" else 1), first])
        seconds, rest = builder.load(first), builder.load(cgutils.gep_inbounds(builder, time, 0, 1))
        return builder.add(builder.mul(seconds, long(1_000_000_000)), rest)

    return types.int64(), codegen


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
