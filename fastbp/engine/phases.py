"""Phases: how the threads of one compiled call share out the pieces of its work.

A phase is over when all its pieces are done, not when all threads have come by: a thread that the machine keeps
waiting holds nobody up unless it has a piece in hand, and walks through the phases it missed when it wakes.

Whoever waits polls for some 10 us, as long as two phases of a small step take, then offers its core to others, then
sleeps, longer and longer: a thread that holds a piece may have to wait for the very core that the poller has, or for
the time that a container's CPU quota leaves them both.
"""

import os
import platform

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types

# About 10 us of polling: a `pause` of x86 takes 20 to 45 ns, a `yield` of AArch64 hardly longer than the look.
SPINS = 4000 if platform.machine().lower() in ("aarch64", "arm64") else 300
# Then the core is offered to whoever else wants it, so many times (1 us each where nobody does).
OFFERS = 100
# Then sleep, 1, 2, 4 ... and at last so many microseconds (Linux adds 50 to each).
LONGEST_SLEEP = 512
# More pieces than a phase can have.
ALL_PIECES = 2**40
# Counters of a call behind those of its phases (helper_threads.py).
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
    """Emit an addition to memory: who sees it sees what this thread wrote before; this one sees what the last did."""
    return builder.atomic_rmw("add", place, value, "acq_rel")


def load_in_order(builder, place):
    """Emit a load: what is read after it is what the writer of the value had written before."""
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
def wait(counters, phase, pieces, n_threads, ends=-1):
    """Wait until all pieces of a phase are done; with `ends`, a place in the counters, or until that is not zero."""
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
