"""Phases: how the threads of one compiled call share out the pieces of its work.

A phase is over when all its pieces are done, not when all threads have come by: a thread that the machine keeps
waiting holds nobody up unless it has a piece in hand, and walks through the phases it missed when it wakes.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import inline

# About 10 us of polling; then the core is offered to whoever else wants it.
SPINS = 4000
# More pieces than a phase can have.
ALL_PIECES = 2**40
# Counters of a call behind those of its phases (crew.py).
TAIL = 8


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
    spins = 0
    while atomic_load(counters, 2 * phase + 1) < pieces and (ends < 0 or atomic_load(counters, ends) == 0):
        spins += 1
        if spins > SPINS:
            give_way()
