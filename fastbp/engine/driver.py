"""The compiled driver: forward, loss, backward and update for a stretch of steps, in one call.

Read `run_steps` first.  A step has phases, which the job lists (`phases_of`).  Each phase has a number of pieces, and
threads take them one by one.  Most steps have two phases:

1. A piece is a slice of the batch, or some that are joined where threads are few: gather, forward, loss, backward
   (`run_slice`).  Parameters are only read.
2. A piece is an item, a part of one parameter: gradient, penalties, update (item_updates.py).  A large table gets the
   gradient of those rows alone that the batch reads (lookup_update.py).

Where layers sum over the whole batch, the plan has several segments, and the first phase becomes one phase for each
*turn*.  The first turns go forward through one segment each.  The turn of the last segment also computes the loss and
goes backward through this segment; the turns after it go backward through the others.  Clipping by the global norm
and max-norm constraints each add a phase.  A job may stop short: prediction ends after forward, evaluation after the
loss, `value_and_grad` before the update.  Layers, loss, optimizer and the helpers of penalties_and_clipping.py are
called through addresses; nothing here knows their kinds.
"""

from typing import Any, NamedTuple

import numpy as np

from fastbp.compiler.atomics import atomic_load, atomic_max
from fastbp.compiler.jit import call, call_float, inline, kernel
from fastbp.compiler.pointers import array_at, float64s_at, int64_at, int64s_at, record_at, records_at, span
from fastbp.engine.barrier import finish, take, wait
from fastbp.engine.helper_threads import PAUSED, finish_all, is_given_up, tail, take_or_pause
from fastbp.engine.item_updates import (
    change_item,
    changes,
    count_slices,
    layer_at,
    layer_gradient,
    limit_item,
    make_item,
    norm_scale,
)
from fastbp.engine.job_record import ITEMS, NORMS, PREPARE, UPDATE
from fastbp.engine.limits import JOINED_ALONE
from fastbp.engine.penalties_and_clipping import ITEM
from fastbp.engine.plan import LAYOUT
from fastbp.layers.base import STEP
from fastbp.losses.base import LOSS
from fastbp.optimizers.base import OPTIMIZER

items_at, steps_at, layout_at = records_at(ITEM), records_at(STEP), record_at(LAYOUT)
# These read a loss or an optimizer of any kind, but only the header that all of its family share.
loss_at, optimizer_at = record_at(LOSS), record_at(OPTIMIZER)


class Run(NamedTuple):
    """What all pieces of a call read and write: records, tables and arrays of the job, and the thread's workspace."""

    job: Any
    layout: Any
    loss: Any
    optimizer: Any
    table: Any  # addresses of the layers' records
    items: Any
    params: Any  # (P,)
    grads: Any  # (P,)
    state: Any  # (S * P,)
    shared: Any
    partials: Any  # (slices * P,)
    work: Any


class Batch(NamedTuple):
    """A step's batch: the step's record, `step` to layers, and what the pieces add up and read for this batch."""

    record: Any
    sums: Any  # (n_sums,)
    coefficients: Any  # (n_coefficients,)
    joined: Any  # slices that a thread takes together
    next_first: Any  # the first row of the next batch, and how many it has: 0 after the last one
    next_rows: Any


@kernel
def run_steps(jobs, work, counters, thread, n_threads):
    """Run the steps of jobs[0] as one of `n_threads` threads.

    work (threads, size) if the plan is sliced, else (1, size); counters (2 * phases,) int64 zeros.  The job points to
    sums (steps * n_sums,) float64, which is written: each slice's loss, then each item's penalty and squared gradient
    where the job has columns for them.  In a run with updates, a step whose loss is not finite ends the call before
    its update.  A step whose divisor is 0 (nothing in its batch has a weight) makes no update, unless gradients are
    accumulated.  A step is counted in `made` once it is complete.
    """
    job = jobs[0]
    layout, mine = layout_at(job.layout), work[thread if layout_at(job.layout).sliced else 0]
    # Here, not in a function: Numba returns no records.
    run = Run(
        job,
        layout,
        loss_at(job.loss),
        optimizer_at(job.optimizer),
        int64s_at(job.table, job.n_layers),
        items_at(job.items, job.n_items),
        array_at(job.params, job.n_params, mine),
        array_at(job.grads, job.n_params, mine),
        array_at(job.state, job.n_state, mine),
        array_at(job.shared, job.shared_size, mine),
        array_at(job.partials, 1, mine),  # the slices' gradients, `n_params` entries each; `span` finds one
        mine,
    )
    steps, phases = steps_at(job.steps, job.n_steps), int64s_at(job.phases, job.n_phases)
    phase = 0
    for s in range(steps.size):
        sums = float64s_at(job.sums + 8 * s * job.n_sums, job.n_sums)
        coefficients = float64s_at(job.coefficients + 8 * s * job.n_coefficients, job.n_coefficients)
        following = steps[min(s + 1, steps.size - 1)]
        next_rows = following.rows if s + 1 < steps.size else 0
        batch = Batch(steps[s], sums, coefficients, joined_slices(run, steps[s], n_threads), following.first, next_rows)
        for i in range(job.prepare if s > 0 else 0, phases.size):
            kind = phases[i]
            if kind == ITEMS and job.update:
                if job.x and not is_finite(run, batch):
                    finish_all(counters, n_threads)
                    return
                # Where gradients of several batches are accumulated, a batch without weights takes part, too.
                if batch.record.divisor == 0 and not job.accumulates:
                    break
            if not run_phase(kind, phase, run, batch, counters, n_threads):
                return
            phase += 1
        if job.update and not is_given_up(counters, n_threads):
            # The largest count holds: a late thread may bring the number of an earlier step.
            atomic_max(array_at(job.made, 1, counters), 0, batch.record.counter + 1)
    finish_all(counters, n_threads)


@inline
def run_phase(kind, phase, run, batch, counters, n_threads):
    """Take pieces of a phase until there are no more, wait for those of others; return False where the call pauses."""
    pieces = count_pieces(kind, run, batch)
    # A phase may pause only if nothing of this step has been updated yet.
    pauses = kind >= 0 or (kind == ITEMS and not changes(run.job))
    scale = norm_scale(run, batch) if kind == UPDATE else 1.0
    taken = 0
    while True:
        piece = take_or_pause(counters, phase, taken, n_threads) if pauses else take(counters, phase, taken, n_threads)
        if piece >= pieces:
            break
        taken += 1
        if kind >= 0:
            run_slice(piece, kind, run, batch)
        elif kind == ITEMS:
            make_item(piece, run, batch)
        elif kind == UPDATE:
            change_item(piece, scale, run, batch)
        elif kind == NORMS:
            limit_item(run.items[piece], run)
        else:
            prepare_layer(layer_at(run.table[piece]), run)
        finish(counters, phase, n_threads)
    wait(counters, phase, pieces, n_threads, tail(counters, PAUSED) if pauses else -1)
    return not (pauses and n_threads > 1 and atomic_load(counters, 2 * phase + 1) < pieces)


@inline
def count_pieces(kind, run, batch):
    """Return how many pieces a phase has."""
    if kind >= 0:
        slices = count_slices(run, batch.record)
        # Two divisions take 2 % of a step of 10-32-1.
        return slices if batch.joined == 1 else (slices + batch.joined - 1) // batch.joined
    return run.table.size if kind == PREPARE else run.items.size


@inline
def joined_slices(run, step, n_threads):
    """Return how many slices a thread takes together: many if it is alone, or two if all threads then have some.

    A call that pauses goes on with another number of threads, perhaps, but with the same pieces.
    """
    if not run.layout.joins or run.job.apart:
        return 1
    if n_threads == 1:
        return JOINED_ALONE
    return 2 if count_slices(run, step) >= 2 * n_threads else 1


@inline
def is_finite(run, batch):
    """Are the losses of all slices finite?"""
    finite = True
    for i in range(count_slices(run, batch.record)):
        finite = finite and np.isfinite(batch.sums[i])
    return finite


@inline
def prepare_layer(layer, run):
    """Have a layer prepare what depends on its parameters: they may have changed."""
    if layer.prepare:
        call(layer.prepare, (layer, run.params, run.shared, 0, layer.prepare_rows))


@inline
def run_slice(piece, turn, run, batch):
    """Take slices of the batch, chunk by chunk, through one segment; write their summed losses in the last."""
    job, layout, table, items, work, step = run.job, run.layout, run.table, run.items, run.work, batch.record
    params, shared, n_segments = run.params, run.shared, job.n_segments
    # With three segments: turns 0, 1 and 2 go forward through segments 0, 1 and 2; turn 2 goes backward through segment
    # 2 as well, turn 3 through segment 1, turn 4 through segment 0.
    segment = min(turn, 2 * (n_segments - 1) - turn)
    low, high = int64_at(job.segments, segment), int64_at(job.segments, segment + 1)
    forward, backward = turn < n_segments, job.backward and turn >= n_segments - 1
    first = piece * batch.joined * layout.slice_rows
    end = min(first + batch.joined * layout.slice_rows, step.rows)
    for chunk in range(first, end, batch.joined * layout.chunk_rows):
        n = min(batch.joined * layout.chunk_rows, end - chunk)
        # The chunk's first row in the regions: a sliced workspace holds one chunk, another one holds the whole batch.
        start = 0 if layout.sliced else chunk
        stop = start + n
        row, row0 = step.first + chunk, step.before + chunk - start
        if turn == 0:
            call(job.gather, (work, layout.x + start * layout.n_in, job.x, job.order, row, n, layout.n_in))
        for i in range(low, high if forward else low):
            layer = layer_at(table[np.uint64(i)])
            if layer.forward:
                call(layer.forward, (layer, step, params, shared, work, start, stop, row0))
        if turn == n_segments - 1:
            if job.outputs:
                out = layout.out + start * layout.n_out
                call(job.scatter, (work, out, job.outputs, job.order, row, n, layout.n_out))
            if job.y:
                add_losses(piece, run, batch, row, start, stop)
        for i in range(high - 1, low - 1 if backward else high - 1, -1):
            layer = layer_at(table[np.uint64(i)])
            if layer.backward:
                call(layer.backward, (layer, step, params, shared, work, start, stop, row0))
        if backward and low == 0:
            if job.dx:
                dx = layout.dx + start * layout.n_in
                call(job.scatter, (work, dx, job.dx, job.order, row, n, layout.n_in))
            if layout.sliced:
                for i in range(items.size):
                    gradient = span(run.partials, piece * job.n_params, job.n_params)
                    layer_gradient(items[i], table, params, gradient, work, start, stop, chunk > first)
    if job.y and turn == n_segments - 1 and job.mean and step.divisor != 0:
        # Divided here, so that the sum over all slices is the step's mean loss.
        for i in range(batch.joined):
            if first + i * layout.slice_rows < step.rows:
                batch.sums[piece * batch.joined + i] /= step.divisor


@inline
def add_losses(piece, run, batch, row, start, stop):
    """Add the chunk's loss to that of its slice.  Of joined slices each has a loss, as if it came alone."""
    for i in range(batch.joined):
        first = start + i * run.layout.slice_rows
        if first < stop:
            last = min(first + run.layout.slice_rows, stop)
            batch.sums[piece * batch.joined + i] += chunk_loss(run, batch.record, row + first - start, first, last)


@inline
def chunk_loss(run, step, row, start, stop):
    """Fetch the chunk's targets and weights; return its summed loss and write dout."""
    job, layout, loss, work = run.job, run.layout, run.loss, run.work
    n, t, k, w = stop - start, layout.n_targets, layout.n_out, layout.n_weights
    y, weight = layout.y + start * t, layout.weight + start * w
    call(job.gather, (work, y, job.y, job.order, row, n, t))
    if job.weight:
        call(job.gather, (work, weight, job.weight, job.order, row, n, w))
    else:
        for i in range(weight, weight + n * w):
            work[i] = 1
    dout, out = span(work, layout.dout + start * k, n * k), span(work, layout.out + start * k, n * k)
    targets, weights = span(work, y, n * t), span(work, weight, n * w)
    return call_float(loss.kernel, (loss, dout, out, targets, weights, loss_scale(job, step)))


@inline
def loss_scale(job, step):
    """Return the factor of a step's losses: 1 / divisor, or 0 where all weights of the batch are 0."""
    if not job.mean:
        return 1.0
    return 1.0 / step.divisor if step.divisor != 0 else 0.0
