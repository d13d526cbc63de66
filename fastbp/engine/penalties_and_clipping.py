"""Optional work of the driver: copies of batch rows, sums of partial gradients, penalties, clipping, decay, max-norm.

Each is a kernel of its own.  The job has its address only if the run needs it, so that penalties and clipping are not
compiled for a run without them.
"""

from functools import cache

import numpy as np

from fastbp.compiler.jit import compiled_address, inline, kernel
from fastbp.compiler.pointers import at, copy_entries, int64_at, pointer_like, shift, span
from fastbp.compiler.records import record_dtype
from fastbp.compiler.signatures import signature
from fastbp.engine.accumulation_and_average import add_gradient, move_average
from fastbp.kernels.lanes import lane_dot

# An item is a piece of one parameter: the rows from `first` to before `end` of its leading axis, which are the entries
# from `start` to before `stop` of params.
ITEM = record_dtype(
    [
        ("layer", "i8"),
        ("block", "i8"),
        ("first", "i8"),
        ("end", "i8"),
        ("start", "i8"),
        ("stop", "i8"),
        ("columns", "i8"),
        ("head", "i8"),  # the first item of its parameter
        ("tail", "i8"),  # the next item of its parameter, or -1
        ("learning_rate", "f8"),  # factors
        ("decay", "f8"),
        ("l1", "f8"),
        ("l2", "f8"),
        ("max_norm", "f8"),
        # What the tiles of its gradient fetch (kernels/ahead.py): the address of its queue, or 0; the queue's entries;
        # and rows of the next batch, from first to before stop.
        ("ahead", "i8"),
        ("ahead_size", "i8"),
        ("ahead_first", "i8"),
        ("ahead_stop", "i8"),
        # The rest is for tables that get their gradient row by row (lookup_update.py).
        ("reads", "i8"),  # table rows that one batch row reads; 0: the gradient is made as any other
        ("lazy", "i8"),
        # Offsets in work, and strides in entries from one batch row to the next.
        ("x", "i8"),  # numbers of the table rows that the first batch row reads
        ("x_stride", "i8"),
        ("dout", "i8"),  # gradient of the first batch row's output
        ("dout_stride", "i8"),
        ("row", "i8"),  # room for a table row's gradient, and for one partial sum of it
        ("unread", "i8"),  # gradient of the table rows that the batch does not read
        # Offsets in `ids`.
        ("keys", "i8"),  # the sorted keys
        ("swap", "i8"),  # room to sort them
        ("digits", "i8"),  # the digits' counts
    ],
)


@kernel
def gather(work, offset, source, order, first, n, width):
    """work[offset:] = rows order[first : first + n] of source (., width); order 0: rows first to first + n."""
    rows = pointer_like(source, work)
    if order == 0:
        copy_entries(at(work, offset), shift(rows, first * width), n * width)
        return
    if width == 1:  # a target: copying 8 bytes by memcpy takes three times as long
        for i in range(n):
            work[np.uint64(offset + i)] = rows[int64_at(order, first + i)]
        return
    for i in range(n):
        row = int64_at(order, first + i)
        copy_entries(at(work, offset + i * width), shift(rows, row * width), width)


@kernel
def scatter(work, offset, target, order, first, n, width):
    """Rows order[first : first + n] of target (., width) = work[offset:]; order 0: rows first to first + n."""
    rows = pointer_like(target, work)
    if order == 0:
        copy_entries(shift(rows, first * width), at(work, offset), n * width)
        return
    for i in range(n):
        row = int64_at(order, first + i)
        copy_entries(shift(rows, row * width), at(work, offset + i * width), width)


@kernel
def add_partials(partials, grads, n_slices, start, stop):
    """grads[start:stop] = the sum over slices, in their order, of partials (slices * P,)."""
    n = stop - start
    total = span(grads, start, n)
    copy_entries(at(grads, start), at(partials, start), n)
    for s in range(1, n_slices):
        add = span(partials, s * grads.size + start, n)
        for i in range(n):
            total[i] += add[i]


@kernel
def add_penalty(item, factor, params, grads):
    """grads += factor * (l1 * sign(w) + 2 * l2 * w); return factor * (l1 * sum |w| + l2 * sum w**2)."""
    # Each loop does one thing, and sums go in lanes: in float32 they take 0.45 ns an entry.  One loop took 1.4.
    total = 0.0
    if item.l1 > 0:
        l1 = params.dtype.type(factor * item.l1)
        absolute = 0.0
        for i in range(np.uint64(item.start), np.uint64(item.stop)):
            grads[i] += l1 * np.sign(params[i])
            absolute += abs(np.float64(params[i]))
        total += item.l1 * absolute
    if item.l2 > 0:
        l2 = params.dtype.type(factor * 2 * item.l2)
        for i in range(np.uint64(item.start), np.uint64(item.stop)):
            grads[i] += l2 * params[i]
        total += item.l2 * lane_dot(params, params, item.start, item.stop)
    return factor * total


@inline
def clip_each(grads, limit, start, stop):
    """Limit grads[start:stop] to +-limit."""
    high = grads.dtype.type(limit)
    for i in range(np.uint64(start), np.uint64(stop)):
        # Both comparisons are false for NaN, which survives.
        g = high if grads[i] > high else grads[i]
        grads[i] = -high if g < -high else g


@kernel
def clip_values(grads, limit, start, stop):
    """Limit grads[start:stop] to +-limit."""
    clip_each(grads, limit, start, stop)


@inline
def add_squares(total, grads, start, stop):
    """Return total + the sum of squares of grads[start:stop], added one after the other."""
    for i in range(np.uint64(start), np.uint64(stop)):
        total += np.float64(grads[i]) * np.float64(grads[i])
    return total


@kernel
def sum_squares(grads, start, stop):
    """Return the sum of squares of grads[start:stop]."""
    return add_squares(0.0, grads, start, stop)


@inline
def scale_each(values, factor, start, stop):
    """values[start:stop] *= factor."""
    by = values.dtype.type(factor)
    for i in range(np.uint64(start), np.uint64(stop)):
        values[i] *= by


@kernel
def scale_entries(values, factor, start, stop):
    """values[start:stop] *= factor."""
    scale_each(values, factor, start, stop)


@inline
def decay_each(values, rate, start, stop):
    """values[start:stop] -= rate * values[start:stop] (1 - rate would lose most digits of a small rate)."""
    by = values.dtype.type(rate)
    for i in range(np.uint64(start), np.uint64(stop)):
        values[i] -= by * values[i]


@kernel
def decay_entries(values, rate, start, stop):
    """values[start:stop] -= rate * values[start:stop]."""
    decay_each(values, rate, start, stop)


@kernel
def limit_norms(item, params):
    """Scale each column of the item (a whole parameter) to a Euclidean norm of max_norm at most."""
    k = item.columns
    for j in range(item.start, item.start + k):
        squares = 0.0
        for i in range(j, item.stop, k):
            squares += np.float64(params[i]) * np.float64(params[i])
        if squares > item.max_norm * item.max_norm:
            factor = params.dtype.type(item.max_norm / np.sqrt(squares))
            for i in range(j, item.stop, k):
                params[i] *= factor


@cache
def block_address(name, float_type):
    """Return the address of one of these kernels for a float type."""
    kernels = {
        "gather": (gather, "f[:] i8 i8 i8 i8 i8 i8"),
        "scatter": (scatter, "f[:] i8 i8 i8 i8 i8 i8"),
        "add_partials": (add_partials, "f[:] f[:] i8 i8 i8"),
        "add_penalty": (add_penalty, "item f8 f[:] f[:] -> f8"),
        "clip_values": (clip_values, "f[:] f8 i8 i8"),
        "sum_squares": (sum_squares, "f[:] i8 i8 -> f8"),
        "scale_entries": (scale_entries, "f[:] f8 i8 i8"),
        "decay_entries": (decay_entries, "f[:] f8 i8 i8"),
        "limit_norms": (limit_norms, "item f[:]"),
        "add_gradient": (add_gradient, "f[:] f[:] f8[:] i8 i8 i8"),
        "move_average": (move_average, "f[:] f[:] f8[:] i8 i8"),
    }
    function, takes = kernels[name]
    return compiled_address(function, signature(takes, f=float_type, item=ITEM))
