"""Items, compiled: the gradient of a part of one parameter over all slices, its penalties, clipping and update.

They are the second phase of a step (driver.py).  One thread makes an item, from its gradient to what the layer prepares
of its parameters, while all of it is in the cache.  Where norms are clipped, updates have a phase of their own.
"""

import numpy as np

from fastbp.compiler.jit import call, call_float, inline
from fastbp.compiler.pointers import int64s_at, record_at
from fastbp.kernels.ahead import STATE_BYTES, add, add_rows, clear
from fastbp.layers.base import LAYER

# Reads a layer of any kind, but only the header that all share.
layer_at = record_at(LAYER)


@inline
def count_slices(run, step):
    """Return how many slices the batch of a step has."""
    return (step.rows + run.layout.slice_rows - 1) // run.layout.slice_rows


@inline
def changes(job):
    """Does the phase of the items' gradients also update them?"""
    return job.update and not job.sum_squares and not job.apart


@inline
def waits(run, batch):
    """Is the gradient of the batch only added up, for an update at the end of its round?"""
    return run.job.accumulates and batch.coefficients[np.uint64(run.job.n_coefficients - 3)] == 0


@inline
def make_item(piece, run, batch):
    """Make an item's gradient, sum its squares where a norm is clipped, else update the item."""
    job, item, grads = run.job, run.items[piece], run.grads
    if job.backward and (item.reads == 0 or job.accumulates):
        if item.ahead:
            queue_ahead(item, run, batch)
        penalty = item_gradient(item, run, batch.record)
        if job.add_penalty:
            batch.sums[job.penalties + piece] = penalty
    if job.accumulates:
        slot = run.state.size - (1 + job.averages) * run.params.size
        call(job.add_gradient, (grads, run.state, batch.coefficients, slot, item.start, item.stop))
    if item.reads:
        if (job.sum_squares or not job.apart) and not waits(run, batch):
            squares = call_float(job.visit, (job, item, batch.record, 1.0, batch.coefficients, run.work))
            if job.sum_squares:
                batch.sums[job.squares + piece] = squares
    elif job.sum_squares:
        batch.sums[job.squares + piece] = call_float(job.sum_squares, (grads, item.start, item.stop))
    elif changes(job):
        update_item(item, 1.0, run, batch)


@inline
def change_item(piece, scale, run, batch):
    """Update an item whose gradient is made, scaled down where its norm is clipped."""
    job, item = run.job, run.items[piece]
    if job.clipnorm > 0:
        scale = parameter_scale(item, run, batch)
    if item.reads == 0:
        update_item(item, scale, run, batch)
    elif not waits(run, batch):
        update = job.revisit if job.sum_squares else job.visit
        call_float(update, (job, item, batch.record, scale, batch.coefficients, run.work))


@inline
def limit_item(item, run):
    """Limit the norms of a parameter that has a limit, and prepare what depends on it."""
    if item.max_norm > 0:
        call(run.job.limit_norms, (item, run.params))
        prepare_item(item, run)


@inline
def norm_scale(run, batch):
    """Return the factor that brings the whole gradient to the norm `global_clipnorm` at most, as Keras."""
    limit = run.job.global_clipnorm
    if limit <= 0:
        return 1.0
    squares = 0.0
    for i in range(run.items.size):
        squares += batch.sums[run.job.squares + i]
    # A NaN norm makes every gradient NaN.
    return 1.0 if squares <= limit**2 else limit / np.sqrt(squares)


@inline
def parameter_scale(item, run, batch):
    """Return the factor that brings the gradient of the item's parameter to the norm `clipnorm` at most, as Keras."""
    squares, limit = 0.0, run.job.clipnorm
    piece = item.head
    while piece >= 0:
        squares += batch.sums[run.job.squares + piece]
        piece = run.items[piece].tail
    return 1.0 if squares <= limit**2 else limit / np.sqrt(squares)


@inline
def item_gradient(item, run, step):
    """Write the item's gradient, penalties included, to `grads`; return its penalty."""
    job, params, grads = run.job, run.params, run.grads
    if not run.layout.sliced:
        layer_gradient(item, run.table, params, grads, run.work, 0, step.rows, False)
    elif job.add_partials:
        call(job.add_partials, (run.partials, grads, count_slices(run, step), item.start, item.stop))
    if job.add_penalty and (item.l1 > 0 or item.l2 > 0):
        return call_float(job.add_penalty, (item, step.penalty, params, grads))
    return 0.0


@inline
def queue_ahead(item, run, batch):
    """Let the item's gradient fetch what its update reads, and its share of the next batch's rows."""
    job, params, size = run.job, run.params, run.params.itemsize
    queue, turns = int64s_at(item.ahead, item.ahead_size), batch.record.rows
    clear(queue)
    if changes(job) and (params.size + run.state.size) * size > STATE_BYTES:
        n_bytes = (item.stop - item.start) * size
        add(queue, job.params + item.start * size, n_bytes, turns)
        for first in range(item.start, run.state.size, params.size):
            add(queue, job.state + first * size, n_bytes, turns)
    # In order, rows are fetched anyway.
    if job.x and job.order:
        first, stop = batch.next_first, batch.next_first + min(item.ahead_stop, batch.next_rows)
        add_rows(queue, job.x, job.order, first + item.ahead_first, stop, run.layout.n_in * size, turns)


@inline
def layer_gradient(item, table, params, grads, work, start, stop, accumulate):
    """Have the item's layer write (or add to) its rows of the gradient."""
    layer = layer_at(table[item.layer])
    call(
        layer.gradient,
        (layer, params, grads, work, start, stop, item.block, item.first, item.end, accumulate),
    )


@inline
def update_item(item, scale, run, batch):
    """Clip the item's gradient, decay its parameters, update them, prepare what depends on them.

    Where the batch `waits` (its gradient is only accumulated), only the moving average changes.
    """
    job, optimizer, coefficients = run.job, run.optimizer, batch.coefficients
    params, grads, state = run.params, run.grads, run.state
    if not waits(run, batch):
        if job.clip_values:
            call(job.clip_values, (grads, job.clipvalue, item.start, item.stop))
        if scale != 1.0:
            call(job.scale_entries, (grads, scale, item.start, item.stop))
        if job.weight_decay > 0:
            decay = coefficients[0] * item.learning_rate * job.weight_decay * item.decay * batch.record.decay
            call(job.decay_entries, (params, decay, item.start, item.stop))
        call(
            optimizer.kernel,
            (optimizer, coefficients, item.learning_rate, params, grads, state, item.start, item.stop),
        )
    if job.averages:
        call(job.move_average, (params, state, coefficients, item.start, item.stop))
    if item.max_norm == 0:
        prepare_item(item, run)


@inline
def prepare_item(item, run):
    """Have the layer prepare the item's rows; only a layer's first parameter (block 0) has anything to prepare."""
    layer = layer_at(run.table[item.layer])
    if layer.prepare and item.block == 0:
        call(layer.prepare, (layer, run.params, run.shared, item.first, item.end))
