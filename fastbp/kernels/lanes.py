"""Sums and dot products of a part of an array, in lanes whose order is ours; sums in float64."""

import numpy as np

from fastbp.compiler.jit import inline


@inline
def lane_sum(x, start, stop):
    """The sum of x[start:stop] in float64: every fourth entry in a lane of its own, then the rest."""
    a = b = c = d = 0.0
    whole = start + (stop - start) // 4 * 4
    for i in range(np.uint64(start), np.uint64(whole), np.uint64(4)):
        a += np.float64(x[i])
        b += np.float64(x[i + np.uint64(1)])
        c += np.float64(x[i + np.uint64(2)])
        d += np.float64(x[i + np.uint64(3)])
    total = (a + b) + (c + d)
    for i in range(np.uint64(whole), np.uint64(stop)):
        total += np.float64(x[i])
    return total


@inline
def lane_dot(x, y, start, stop):
    """The sum of x * y over start to stop in float64, in the order of `lane_sum`."""
    a = b = c = d = 0.0
    whole = start + (stop - start) // 4 * 4
    for i in range(np.uint64(start), np.uint64(whole), np.uint64(4)):
        a += np.float64(x[i]) * np.float64(y[i])
        b += np.float64(x[i + np.uint64(1)]) * np.float64(y[i + np.uint64(1)])
        c += np.float64(x[i + np.uint64(2)]) * np.float64(y[i + np.uint64(2)])
        d += np.float64(x[i + np.uint64(3)]) * np.float64(y[i + np.uint64(3)])
    total = (a + b) + (c + d)
    for i in range(np.uint64(whole), np.uint64(stop)):
        total += np.float64(x[i]) * np.float64(y[i])
    return total


@inline
def lane_dot_below(x, top, y, start, stop):
    """The sum of (x - top) * y over start to stop in float64, in eight lanes; x - top is of x's type."""
    a = b = c = d = e = f = g = h = 0.0
    whole = start + (stop - start) // 8 * 8
    for i in range(np.uint64(start), np.uint64(whole), np.uint64(8)):
        a += np.float64(x[i] - top) * np.float64(y[i])
        b += np.float64(x[i + np.uint64(1)] - top) * np.float64(y[i + np.uint64(1)])
        c += np.float64(x[i + np.uint64(2)] - top) * np.float64(y[i + np.uint64(2)])
        d += np.float64(x[i + np.uint64(3)] - top) * np.float64(y[i + np.uint64(3)])
        e += np.float64(x[i + np.uint64(4)] - top) * np.float64(y[i + np.uint64(4)])
        f += np.float64(x[i + np.uint64(5)] - top) * np.float64(y[i + np.uint64(5)])
        g += np.float64(x[i + np.uint64(6)] - top) * np.float64(y[i + np.uint64(6)])
        h += np.float64(x[i + np.uint64(7)] - top) * np.float64(y[i + np.uint64(7)])
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(np.uint64(whole), np.uint64(stop)):
        total += np.float64(x[i] - top) * np.float64(y[i])
    return total


@inline
def lane_sum_below(x, top, start, stop):
    """The sum of x - top over start to stop in float64, added one after the other; x - top is of x's type."""
    total = 0.0
    for i in range(np.uint64(start), np.uint64(stop)):
        total += np.float64(x[i] - top)
    return total
