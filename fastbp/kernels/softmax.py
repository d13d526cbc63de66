"""The softmax of rows, times a factor of each row, d (rows, k) = factor * exp(z - top) / mass, and its derivative.

A loop over the few entries of a narrow row costs more than its arithmetic.  So ROWS narrow rows are transposed, and
each lane of a vector computes one row.  With rows of 4 an entry takes 0.44 ns instead of 4.0; with rows of 10 it takes
0.48 instead of 1.8, and with rows of 33 0.45 instead of 0.92 (Zen 5, float32).  Wide rows are not transposed.
A row's bits do not depend on the rows beside it.
"""

import numpy as np

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import shift, stack_room
from fastbp.kernels.interleave import columns_to_rows, rows_to_columns
from fastbp.kernels.lanes import lane_dot, lane_sum
from fastbp.kernels.rowsums import row_maximum
from fastbp.kernels.vecmath import exp_below

# Rows at a time, and the entries of a row up to which it is narrow: 16 KiB of float32.
ROWS = 64
NARROW = 64
# The derivative has two such rooms.  In float64 it takes 0.34 ns an entry; with rooms for rows of 64 it takes 0.47.
NARROW_BACKWARD = 32
# Room for one number of each row, and for narrow rows.
row_room, _narrow_room, _half_room = stack_room(ROWS), stack_room(ROWS * NARROW), stack_room(ROWS * NARROW_BACKWARD)


@inline
def softmax_rows(d, z, rows, k, factor, top, mass):
    """Overwrite d (rows, k) with the softmax of z (rows, k), times factor (rows,): pointers to the first entries.

    `factor` and `mass` are float64. `top` (rows,) is overwritten with each row's largest entry, and `mass` (rows,) with
    its sum of exp(z - top). There are ROWS rows at most.
    """
    if k <= NARROW:
        _softmax_columns(d, z, np.uint64(rows), k, factor, top, mass)
        return
    for r in range(rows):
        to, row = shift(d, r * k), shift(z, r * k)
        top[r] = row_maximum(row, k)
        for j in range(np.uint64(k)):
            to[j] = exp_below(row[j] - top[r])
        mass[r] = lane_sum(to, 0, k)
        by = like(top[r], factor[r] / mass[r])
        for j in range(np.uint64(k)):
            to[j] *= by


@inline
def _softmax_columns(d, z, rows, k, factor, top, mass):
    by, columns = row_room(z[0]), _narrow_room(z[0])
    rows_to_columns(columns, ROWS, z, rows, k)
    for r in range(rows):
        top[r] = columns[r]
        mass[r] = 0.0
    for j in range(1, k):
        column = shift(columns, j * ROWS)
        for r in range(rows):
            top[r] = select(column[r] > top[r], column[r], top[r])
    for j in range(k):
        column = shift(columns, j * ROWS)
        for r in range(rows):
            column[r] = exp_below(column[r] - top[r])
        for r in range(rows):
            mass[r] += np.float64(column[r])
    for r in range(rows):
        by[r] = like(z[0], factor[r] / mass[r])
    for j in range(k):
        column = shift(columns, j * ROWS)
        for r in range(rows):
            column[r] *= by[r]
    columns_to_rows(d, columns, ROWS, rows, k)


@inline
def softmax_rows_backward(d, out, rows, k):
    """Overwrite d (rows, k) with out * (d - sum(d * out)) of each row: pointers; ROWS rows at most."""
    if k <= NARROW_BACKWARD:
        _backward_columns(d, out, np.uint64(rows), k)
        return
    for r in range(rows):
        to, row = shift(d, r * k), shift(out, r * k)
        total = like(d[0], lane_dot(to, row, 0, k))
        for j in range(np.uint64(k)):
            to[j] = row[j] * (to[j] - total)


@inline
def _backward_columns(d, out, rows, k):
    total, columns, outs = row_room(1.0), _half_room(d[0]), _half_room(d[0])
    rows_to_columns(columns, ROWS, d, rows, k)
    rows_to_columns(outs, ROWS, out, rows, k)
    for r in range(rows):
        total[r] = 0.0
    for j in range(k):
        column, row = shift(columns, j * ROWS), shift(outs, j * ROWS)
        for r in range(rows):
            total[r] += np.float64(column[r]) * np.float64(row[r])
    for j in range(k):
        column, row = shift(columns, j * ROWS), shift(outs, j * ROWS)
        for r in range(rows):
            column[r] = row[r] * (column[r] - like(column[r], total[r]))
    columns_to_rows(d, columns, ROWS, rows, k)
