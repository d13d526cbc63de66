"""Tables whose gradient is made row by row: the rows that a batch reads, sorted, and their update.

The dense gradient of a table (`layer.gradient`) has a row for each of its rows, almost all of them zero where the
table is much higher than a batch.  Here each row that the batch reads gets its gradient in a room of one row, in batch
order, just before the optimizer's kernel updates it; nothing reads or writes `grads`.  The rows between them, which
have g = 0, are updated from a room of zeros (the same bits as with a dense gradient) or, in a lazy table, left alone.

A *key* names a row of the item and where a part of its gradient stands: ``row << KEY_SHIFT | entry of dout``.  All
items of a table share one room for keys: an item's own begin after those of the rows before it.
"""

from functools import cache

import numpy as np

from fastbp.compiler.jit import address, call, inline, kernel
from fastbp.compiler.pointers import array_at, int64_at, int64s_at, part
from fastbp.compiler.prefetch import AHEAD, prefetch_row
from fastbp.compiler.signatures import signature
from fastbp.engine.driver import optimizer_at
from fastbp.engine.items import ITEM, add_squares, clip_each, decay_each, scale_each
from fastbp.engine.jobrecord import JOB
from fastbp.engine.lookup_plan import DIGIT_BITS, DIGITS, ROOM, ZEROS
from fastbp.layers.base import STEP

# Rows have 24 bits (embedding.py), entries of dout 39.
KEY_SHIFT = 39
# After the digits' counts: how many keys there are, and their offset in ids.
COUNT, PLACE = DIGITS, DIGITS + 1

# A row's gradient adds so many parts of it one after the other, and then such sums.
FOLD = 1024


@inline
def sort_reads(item, rows, work, ids):
    """Write the keys of what `rows` batch rows read of the item, sorted; keep their number and their place.

    Stable, least digit first: parts of one row's gradient stay in batch order.
    """
    height = item.last - item.first
    first = count_reads(item, rows, work, 0, item.first) if item.first > 0 else 0
    source, target = int64s_at(ids + 8 * (item.keys + first), 1), int64s_at(ids + 8 * (item.swap + first), 1)
    n = 0
    for row in range(rows):
        for i in range(item.reads):
            read = np.int64(work[item.x + row * item.x_stride + i]) - item.first
            if 0 <= read < height:
                source[np.uint64(n)] = read << KEY_SHIFT | (row * item.dout_stride + i * item.columns)
                n += 1
    digits = int64s_at(ids + 8 * item.digits, ROOM)
    place = item.keys + first
    shift = KEY_SHIFT
    while (height - 1) >> (shift - KEY_SHIFT) > 0 and n > 1:
        sort_digit(source, target, digits, n, shift)
        source, target = target, source
        place = item.swap + first if place == item.keys + first else item.keys + first
        shift += DIGIT_BITS
    digits[COUNT], digits[PLACE] = n, place


@inline
def count_reads(item, rows, work, first, last):
    """How many times the batch reads rows first to last of the table."""
    n = 0
    for row in range(rows):
        for i in range(item.reads):
            n += first <= np.int64(work[item.x + row * item.x_stride + i]) < last
    return n


@inline
def sort_digit(source, target, digits, n, shift):
    """target = the n keys of source in the order of the digit at bit `shift`."""
    for digit in range(DIGITS):
        digits[digit] = 0
    for i in range(n):
        digits[np.uint64(source[np.uint64(i)] >> shift & (DIGITS - 1))] += 1
    place = 0
    for digit in range(DIGITS):
        place, digits[digit] = place + digits[digit], place
    for i in range(n):
        key = source[np.uint64(i)]
        digit = np.uint64(key >> shift & (DIGITS - 1))
        target[np.uint64(digits[digit])] = key
        digits[digit] += 1


@inline
def add_row(item, work, keys, first):
    """Write the gradient of the row that key `first` names to the item's room; return the next row's first key."""
    g, some = part(work, item.row, item.columns), part(work, item.row + item.columns, item.columns)
    for j in range(g.size):
        g[j] = 0
    row = keys[np.uint64(first)] >> KEY_SHIFT
    i = first
    while i < keys.size and keys[np.uint64(i)] >> KEY_SHIFT == row:
        # The first FOLD go to g at once, the others by sums of so many.
        into = g if i == first else some
        if i > first:
            for j in range(g.size):
                some[j] = 0
        stop = min(i + FOLD, keys.size)
        while i < stop and keys[np.uint64(i)] >> KEY_SHIFT == row:
            dout = part(work, item.dout + (keys[np.uint64(i)] & ((1 << KEY_SHIFT) - 1)), item.columns)
            for j in range(g.size):
                into[j] += dout[j]
            i += 1
        if i - first > FOLD:
            for j in range(g.size):
                g[j] += some[j]
    return i


@inline
def reads_squares(item, work, ids):
    """Return the sum of squares of the item's gradient."""
    keys = int64s_at(ids + 8 * int64_at(ids, item.digits + PLACE), int64_at(ids, item.digits + COUNT))
    total = 0.0
    i = 0
    while i < keys.size:
        i = add_row(item, work, keys, i)
        total = add_squares(total, work, item.row, item.row + item.columns)
    return total


@inline
def update_reads(job, item, step, factor, c, work):
    """Update the item's rows: those that the batch reads, and where it is not lazy those between, of g = 0.

    A gradient is limited as the job has it, and multiplied by `factor`.
    """
    params, state = array_at(job.params, job.n_params, work), array_at(job.state, job.n_state, work)
    optimizer, rate = optimizer_at(job.optimizer), decay_rate(job, item, step, c)
    keys = int64s_at(job.ids + 8 * int64_at(job.ids, item.digits + PLACE), int64_at(job.ids, item.digits + COUNT))
    zeros = part(work, item.zeros, ZEROS)
    if not item.lazy:
        # Not 0 where the gradient's norm is NaN: then every gradient is.
        for j in range(ZEROS):
            zeros[j] = work.dtype.type(0.0 * factor)
    done, i = item.start, 0
    while i < keys.size:
        start = item.start + (keys[np.uint64(i)] >> KEY_SHIFT) * item.columns
        if item.lazy:
            fetch_row(item, keys, i + AHEAD, params, state)
        else:
            update_between(job, item, rate, optimizer, c, params, state, zeros, done, start)
        done = start + item.columns
        i = add_row(item, work, keys, i)
        g = part(work, item.row - start, done)
        if job.clipvalue > 0:
            clip_each(g, job.clipvalue, start, done)
        if factor != 1.0:
            scale_each(g, factor, start, done)
        update_row(job, item, rate, optimizer, c, params, state, g, start, done)
    if not item.lazy:
        update_between(job, item, rate, optimizer, c, params, state, zeros, done, item.stop)


@inline
def fetch_row(item, keys, i, params, state):
    """Have what the update of the row of key i overwrites brought into the cache."""
    if i < keys.size:
        start = item.start + (keys[np.uint64(i)] >> KEY_SHIFT) * item.columns
        prefetch_row(params, start, item.columns)
        for slot in range(0, state.size, params.size):
            prefetch_row(state, slot + start, item.columns)


@inline
def decay_rate(job, item, step, c):
    """Return the share of themselves that the item's parameters lose."""
    return c[0] * item.learning_rate * job.weight_decay * item.decay * step.decay


@inline
def update_between(job, item, rate, optimizer, c, params, state, zeros, first, last):
    """Update entries first to last with g = 0."""
    for start in range(first, last, ZEROS):
        stop = min(start + ZEROS, last)
        update_row(job, item, rate, optimizer, c, params, state, part(zeros, -start, stop), start, stop)


@inline
def update_row(job, item, rate, optimizer, c, params, state, g, start, stop):
    """Decay and update entries start to stop with the gradient g[start:stop]."""
    if rate != 0.0:
        decay_each(params, rate, start, stop)
    call(optimizer.kernel, (optimizer, c, item.learning_rate, params, g, state, start, stop))
    if job.averages:
        call(job.move_average, (params, state, c, start, stop))


@kernel
def sort_and_update(job, item, step, factor, c, work):
    """Make the item's update with a batch of `rows` rows."""
    sort_reads(item, step.rows, work, job.ids)
    update_reads(job, item, step, factor, c, work)
    return 0.0


@kernel
def sort_and_measure(job, item, step, factor, c, work):
    """Return the sum of squares of the item's gradient, and leave the keys for `update_sorted`."""
    sort_reads(item, step.rows, work, job.ids)
    return reads_squares(item, work, job.ids)


@kernel
def update_sorted(job, item, step, factor, c, work):
    """Make the item's update."""
    update_reads(job, item, step, factor, c, work)
    return 0.0


@kernel
def measure_given(job, item, step, factor, c, work):
    """Return the sum of squares of the item's part of a dense gradient."""
    return add_squares(0.0, array_at(job.grads, job.n_params, work), item.start, item.stop)


@kernel
def update_given(job, item, step, factor, c, work):
    """Make a lazy item's update with a dense gradient: rows where it is not all zero count as read."""
    params, state = array_at(job.params, job.n_params, work), array_at(job.state, job.n_state, work)
    grads, optimizer = array_at(job.grads, job.n_params, work), optimizer_at(job.optimizer)
    rate = decay_rate(job, item, step, c)
    for start in range(item.start, item.stop, item.columns):
        stop = start + item.columns
        nonzero = 0
        for i in range(np.uint64(start), np.uint64(stop)):
            nonzero += grads[i] != 0
        if nonzero > 0:
            if job.clipvalue > 0:
                clip_each(grads, job.clipvalue, start, stop)
            if factor != 1.0:
                scale_each(grads, factor, start, stop)
            update_row(job, item, rate, optimizer, c, params, state, grads, start, stop)
    return 0.0


def visits(backward, clips_norm):
    """Return {a job's field: kernel} of what an update does to tables, with the batch's gradient or a given one."""
    if clips_norm:
        return (
            {"visit": "sort_and_measure", "revisit": "update_sorted"}
            if backward
            else {"visit": "measure_given", "revisit": "update_given"}
        )
    return {"visit": "sort_and_update" if backward else "update_given"}


@cache
def touched_address(name, float_type):
    """Return the address of one of these kernels for a float type."""
    kernels = (sort_and_update, sort_and_measure, update_sorted, measure_given, update_given)
    function = next(kernel for kernel in kernels if kernel.__name__ == name)
    return address(
        function, signature("job item step f8 f8[:] f[:] -> f8", f=float_type, job=JOB, item=ITEM, step=STEP)
    )
