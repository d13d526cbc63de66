"""The multiply-add peak of one core: vector multiply-adds on accumulators that never leave the registers."""

import time
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.compiler.jit import kernel
from fastbp.compiler.vectors import Shape, multiply_add, splat

ACCUMULATORS = 10


@intrinsic
def spin(typingctx, x, times):
    """Do `times` rounds of multiply-adds on ACCUMULATORS vectors; return one entry of their sum."""

    def codegen(context, builder, signature, args):
        shape = Shape(context, signature.args[0])
        factor = splat(builder, args[0], shape.lanes)
        sums = [builder.alloca(factor.type) for _ in range(ACCUMULATORS)]
        for place in sums:
            builder.store(factor, place)
        with cgutils.for_range(builder, args[1]):
            for place in sums:
                builder.store(multiply_add(builder, shape, factor, factor, builder.load(place)), place)
        total = builder.load(sums[0])
        for place in sums[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return x(x, types.int64), codegen


@intrinsic
def lanes(typingctx, x):
    """Return the entries of a vector."""

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.IntType(64), Shape(context, signature.args[0]).lanes)

    return types.int64(x), codegen


@kernel
def spin_kernel(x, times):
    """Return something that depends on `times` rounds of multiply-adds."""
    return spin(x, times)


@kernel
def lanes_kernel(x):
    """Return the entries of a vector."""
    return lanes(x)


@cache
def _warm():
    """Compile the kernels; return the multiply-adds of a round."""
    spin_kernel(np.float32(0.5), 10)
    return ACCUMULATORS * lanes_kernel(np.float32(0.5))


def peak_multiply_adds():
    """Return float32 multiply-adds a second of one core, now: the best of five bursts of 4 ms."""
    count, best = 1_000_000 * _warm(), 0.0
    for _ in range(5):
        started = time.perf_counter()
        spin_kernel(np.float32(0.5), 1_000_000)
        best = max(best, count / (time.perf_counter() - started))
    return best
