"""What threads inside a compiled call need: counters that several of them change, pauses, sleep, a clock."""

import os
import sys

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types


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
        builder.atomic_rmw("max", _entry(context, builder, signature, args), args[2], "acq_rel")
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
        return _read_clock(builder, 6 if sys.platform == "darwin" else 1)  # CLOCK_MONOTONIC

    return types.int64(), codegen


@intrinsic
def thread_time(typingctx):
    """Return the nanoseconds for which this thread has had a core; on Windows those of `now`."""

    def codegen(context, builder, signature, args):
        return _read_clock(builder, 16 if sys.platform == "darwin" else 3)  # CLOCK_THREAD_CPUTIME_ID

    return types.int64(), codegen


def _read_clock(builder, number):
    """Emit the call that reads a clock of POSIX, or the one that Windows has."""
    long, word = ir.IntType(64), ir.IntType(32)
    if os.name == "nt":
        ticks = cgutils.get_or_insert_function(builder.module, ir.FunctionType(long, []), "GetTickCount64")
        return builder.mul(builder.call(ticks, []), long(1_000_000))
    time = cgutils.alloca_once(builder, ir.ArrayType(long, 2))
    first = cgutils.gep_inbounds(builder, time, 0, 0)
    function_type = ir.FunctionType(word, [word, long.as_pointer()])
    clock = cgutils.get_or_insert_function(builder.module, function_type, "clock_gettime")
    builder.call(clock, [word(number), first])
    seconds, rest = builder.load(first), builder.load(cgutils.gep_inbounds(builder, time, 0, 1))
    return builder.add(builder.mul(seconds, long(1_000_000_000)), rest)
