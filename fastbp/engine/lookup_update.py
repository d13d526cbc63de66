"""The update of tables (embeddings) row by row: the table rows that a batch reads are sorted, then updated in order.

The dense gradient of a table (`layer.gradient`) has as many rows as the table.  A batch reads few of them, and the
others are zero.  Here no dense gradient is made.  For each table row that the batch reads, its gradient is added up in
a room of one row, in batch order; then the optimizer's kernel updates the row at once.  `grads` is neither read nor
written.  The table rows that the batch does not read have the gradient 0.  They are updated, too, with the same bits as
by a dense gradient; in a lazy table they are not.

A *key* stands for one read of the batch: ``table row of the item << KEY_SHIFT | place in dout``.  All items of a table
share one room for keys, in the order of their table rows.
"""

from functools import cache

import numpy as np

from fastbp.compiler.jit import call, compiled_address, inline, kernel
from fastbp.compiler.pointers import array_at, int64_at, int64s_at, span
from fastbp.compiler.prefetch import AHEAD, prefetch_row
from fastbp.compiler.signatures import signature
from fastbp.engine.driver import optimizer_at
from fastbp.engine.job_record import JOB
from fastbp.engine.lookup_plan import DIGIT_BITS, DIGITS, ROOM, UNREAD_ENTRIES
from fastbp.engine.penalties_and_clipping import ITEM, add_squares, clip_each, decay_each, scale_each
from fastbp.layers.base import STEP

# A table row's number has 24 bits (embedding.py), a place in dout has 39.
KEY_SHIFT = 39
# After the digits' counts: how many keys there are, and their offset in ids.
COUNT, PLACE = DIGITS, DIGITS + 1

# The gradient of a table row is added up in sums of so many reads, and these sums are added up in turn.
FOLD = 1024


@inline
def sort_reads(item, rows, work, ids):
    """Write the sorted keys of the item's reads by `rows` batch rows; note their number and their place.

    The sort goes from the least digit to the highest and is stable: reads of one table row stay in batch order.
    """
    height = item.end - item.first
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
def count_reads(item, rows, work, first, end):
    """Return how many times the batch reads table rows from `first` to before `end`."""
    n = 0
    for row in range(rows):
        for i in range(item.reads):
            n += first <= np.int64(work[item.x + row * item.x_stride + i]) < end
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
    """Write the gradient of the table row of key number `first` to the item's room; return the next row's first key."""
    g, some = span(work, item.row, item.columns), span(work, item.row + item.columns, item.columns)
    for j in range(g.size):
        g[j] = 0
    row = keys[np.uint64(first)] >> KEY_SHIFT
    i = first
    while i < keys.size and keys[np.uint64(i)] >> KEY_SHIFT == row:
        # The first FOLD reads are added to g directly, the others by way of sums of FOLD reads.
        into = g if i == first else some
        if i > first:
            for j in range(g.size):
                some[j] = 0
        stop = min(i + FOLD, keys.size)
        while i < stop and keys[np.uint64(i)] >> KEY_SHIFT == row:
            dout = span(work, item.dout + (keys[np.uint64(i)] & ((1 << KEY_SHIFT) - 1)), item.columns)
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
    """Update the item's table rows that the batch reads; in a table that is not lazy also the others, with g = 0.

    Gradients are clipped by the job's `clipvalue`, then multiplied by `factor`.
    """
    params, state = array_at(job.params, job.n_params, work), array_at(job.state, job.n_state, work)
    optimizer, rate = optimizer_at(job.optimizer), decay_rate(job, item, step, c)
    keys = int64s_at(job.ids + 8 * int64_at(job.ids, item.digits + PLACE), int64_at(job.ids, item.digits + COUNT))
    unread_g = span(work, item.unread, UNREAD_ENTRIES)
    if not item.lazy:
        # NaN, and not 0, where `factor` is NaN: if the norm of the whole gradient is NaN, every gradient becomes so.
        for j in range(UNREAD_ENTRIES):
            unread_g[j] = work.dtype.type(0.0 * factor)
    done, i = item.start, 0
    while i < keys.size:
        start = item.start + (keys[np.uint64(i)] >> KEY_SHIFT) * item.columns
        if item.lazy:
            fetch_row(item, keys, i + AHEAD, params, state)
        else:
            update_between(job, item, rate, optimizer, c, params, state, unread_g, done, start)
        done = start + item.columns
        i = add_row(item, work, keys, i)
        g = span(work, item.row - start, done)
        if job.clipvalue > 0:
            clip_each(g, job.clipvalue, start, done)
        if factor != 1.0:
            scale_each(g, factor, start, done)
        update_row(job, item, rate, optimizer, c, params, state, g, start, done)
    if not item.lazy:
        update_between(job, item, rate, optimizer, c, params, state, unread_g, done, item.stop)


@inline
def fetch_row(item, keys, i, params, state):
    """Begin to load into the cache what the update of key i's table row will overwrite."""
    if i < keys.size:
        start = item.start + (keys[np.uint64(i)] >> KEY_SHIFT) * item.columns
        prefetch_row(params, start, item.columns)
        for slot in range(0, state.size, params.size):
            prefetch_row(state, slot + start, item.columns)


@inline
def decay_rate(job, item, step, c):
    """Return the share by which weight decay shrinks the item's parameters."""
    return c[0] * item.learning_rate * job.weight_decay * item.decay * step.decay


@inline
def update_between(job, item, rate, optimizer, c, params, state, unread_g, first, end):
    """Update the entries from `first` to before `end`, with g = 0."""
    for start in range(first, end, UNREAD_ENTRIES):
        stop = min(start + UNREAD_ENTRIES, end)
        update_row(job, item, rate, optimizer, c, params, state, span(unread_g, -start, stop), start, stop)


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
    """Return {field of the job: name of the kernel} for an update of tables, by the batch or by a given gradient."""
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
    function = next(function for function in kernels if function.__name__ == name)
    return compiled_address(
        function, signature("job item step f8 f8[:] f[:] -> f8", f=float_type, job=JOB, item=ITEM, step=STEP)
    )
