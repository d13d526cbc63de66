"""The compiled driver: forward, loss, backward and update for a stretch of steps, in one call.

Read `run_steps` first.  A step has two phases, each a number of pieces that threads take by ticket:

1. slices of rows: gather, forward, loss, backward (`run_slice`); parameters are only read;
2. items, pieces of parameters: gradient, penalties, update (`run_items`); of tables of which a batch reads a few
   rows, the gradient of those alone (lookup_update.py).

Where layers sum over the whole batch, the first is a phase for each *turn*: forward through the segments of the plan
up to the last, which goes on to the loss and backward, and backward through the others.  Clipping by the global norm
and max-norm constraints each add a phase.  A job may stop short: prediction ends after forward, evaluation after the
loss, `value_and_grad` before the update.  Layers, loss, optimizer and the helpers of items.py are called through
addresses; nothing here knows their kinds.
"""

import numpy as np

from fastbp.compiler.jit import call, call_float, inline, kernel
from fastbp.compiler.pointers import array_at, float64s_at, int64_at, int64s_at, part, record_at, rows_at
from fastbp.compiler.records import record_dtype
from fastbp.engine.crew import PAUSED, finish_all, is_given_up, tail, take_or_pause
from fastbp.engine.items import ITEM
from fastbp.engine.phases import atomic_load, atomic_max, finish, take, wait
from fastbp.engine.plan import LAYOUT
from fastbp.layers.base import LAYER, STEP
from fastbp.losses.base import LOSS
from fastbp.optimizers.base import OPTIMIZER

# Addresses of a run's arrays, in the model's dtype but for `order`; 0: none.
ARRAYS = [
    ("x", "i8"),
    ("y", "i8"),  # without it there is no loss
    ("weight", "i8"),  # without it every row weighs 1
    ("order", "i8"),  # int64 row numbers; without it rows come in order
    ("outputs", "i8"),  # raw outputs are written here, each to its row
    ("dx", "i8"),  # so is the gradient with respect to x
]
# What the driver must know of an update; 0: no decay, no limit of the gradient's entries, none of its norm.
UPDATE_SETTINGS = {
    "n_coefficients": "i8",
    "weight_decay": "f8",
    "clipvalue": "f8",
    "clipnorm": "f8",
    "global_clipnorm": "f8",
    "accumulates": "i8",  # has a slot for the gradient of a round (kept.py)
    "averages": "i8",  # and for the parameters' average
}
JOB = record_dtype(
    [
        *ARRAYS,
        # Addresses of what else a run reads and writes.
        ("steps", "i8"),  # STEP records
        ("params", "i8"),
        ("grads", "i8"),
        ("state", "i8"),
        ("partials", "i8"),  # a gradient for each slice
        ("shared", "i8"),
        ("sums", "i8"),  # float64, n_sums a step
        ("coefficients", "i8"),  # float64, n_coefficients a step
        ("optimizer", "i8"),  # its record
        ("loss", "i8"),  # its record
        ("layout", "i8"),
        ("table", "i8"),  # int64: addresses of the layers' records
        ("segments", "i8"),  # int64: their first places in the table, and the table's end
        ("items", "i8"),
        ("ids", "i8"),  # int64, room of lookup_update.py
        ("made", "i8"),  # int64: how many steps the model has made
        # Their sizes.
        ("n_steps", "i8"),
        ("n_params", "i8"),
        ("n_state", "i8"),
        ("shared_size", "i8"),
        ("n_sums", "i8"),
        ("n_layers", "i8"),
        ("n_segments", "i8"),
        ("n_items", "i8"),
        # How far a step goes.
        ("backward", "i8"),
        ("update", "i8"),
        ("mean", "i8"),  # divide the loss by the step's divisor
        ("prepare", "i8"),  # prepare every layer first: its parameters may have changed
        ("apart", "i8"),  # update in a phase of its own, after all gradients: the phases before may pause
        *UPDATE_SETTINGS.items(),
        # Addresses of helpers; 0: this run does not need it.
        ("gather", "i8"),
        ("scatter", "i8"),
        ("add_partials", "i8"),
        ("add_penalty", "i8"),
        ("clip_values", "i8"),
        ("sum_squares", "i8"),
        ("scale_entries", "i8"),
        ("decay_entries", "i8"),
        ("limit_norms", "i8"),
        ("visit", "i8"),  # of lookup_update.py, for tables; the second where the gradient's norm is clipped
        ("revisit", "i8"),
        ("add_gradient", "i8"),  # of kept.py
        ("move_average", "i8"),
        # First columns of `sums`, after the slices' losses.
        ("penalties", "i8"),
        ("squares", "i8"),
    ],
)

# Phases of a step's second part at most, for the counters of phases.py.
UPDATE_PHASES = 3

items_at, steps_at, layout_at = rows_at(ITEM), rows_at(STEP), record_at(LAYOUT)
# Of any kind: what all have.
layer_at, loss_at, optimizer_at = record_at(LAYER), record_at(LOSS), record_at(OPTIMIZER)


@kernel
def run_steps(jobs, work, counters, thread, n_threads):
    """Run the steps of jobs[0] as one of `n_threads` threads.

    work (threads or 1, size), counters (2 * phases,) int64 zeros.  The job points to params, grads (P,),
    state (S * P,), shared and partials (slices * P,).  It also points to sums (steps * n_sums,) float64, which is
    written: each slice's loss, then each item's penalty and squared gradient where the job has columns for them.
    A step whose loss is not finite ends a run with updates, before its own; one whose divisor is 0, because nothing
    in its batch has a weight, makes none.  Each step is counted when it is whole.
    """
    job = jobs[0]
    layout, loss, optimizer = layout_at(job.layout), loss_at(job.loss), optimizer_at(job.optimizer)
    table, items = int64s_at(job.table, job.n_layers), items_at(job.items, job.n_items)
    steps = steps_at(job.steps, job.n_steps)
    mine = work[thread if layout.sliced else 0]
    params, grads = array_at(job.params, job.n_params, mine), array_at(job.grads, job.n_params, mine)
    state, shared = array_at(job.state, job.n_state, mine), array_at(job.shared, job.shared_size, mine)
    # Many slices' gradients, of which each is `n_params` long.
    partials = array_at(job.partials, 1, mine)
    phase = 0
    if job.prepare:
        taken = 0
        while True:
            piece = take(counters, phase, taken, n_threads)
            if piece >= table.size:
                break
            taken += 1
            layer = layer_at(table[piece])
            if layer.prepare:
                call(layer.prepare, (layer, params, shared, 0, layer.prepare_rows))
            finish(counters, phase, n_threads)
        wait(counters, phase, table.size, n_threads)
        phase += 1
    for s in range(steps.size):
        step = steps[s]
        sums = float64s_at(job.sums + 8 * s * job.n_sums, job.n_sums)
        if job.x:
            n_slices = (step.rows + layout.slice_rows - 1) // layout.slice_rows
            for turn in range(2 * job.n_segments - 1 if job.backward else job.n_segments):
                taken = 0
                while True:
                    piece = take_or_pause(counters, phase, taken, n_threads)
                    if piece >= n_slices:
                        break
                    taken += 1
                    value = run_slice(
                        piece, turn, job, layout, table, items, loss, step, params, shared, mine, partials
                    )
                    if job.y and turn == job.n_segments - 1:
                        sums[piece] = value
                    finish(counters, phase, n_threads)
                wait_or_pause(counters, phase, n_slices, n_threads)
                if is_unfinished(counters, phase, n_slices, n_threads):
                    return
                phase += 1
            if job.update:
                for i in range(n_slices):
                    if not np.isfinite(sums[i]):
                        finish_all(counters, n_threads)
                        return
        # Of a round of batches even one without weights is added up.
        if (job.backward or job.update) and not (job.update and step.divisor == 0 and job.accumulates == 0):
            coefficients = float64s_at(job.coefficients + 8 * s * job.n_coefficients, job.n_coefficients)
            phase = run_items(
                phase, job, layout, table, items, optimizer, step, coefficients,
                params, grads, state, shared, mine, partials, sums, counters, n_threads,
            )  # fmt: skip
            if phase < 0:
                return
        if job.update and not is_given_up(counters, n_threads):
            # By the largest: a thread that comes late was told of an earlier step.
            atomic_max(array_at(job.made, 1, counters), 0, step.counter + 1)
    finish_all(counters, n_threads)


@inline
def wait_or_pause(counters, phase, pieces, n_threads):
    """Wait until all pieces of a phase are done, or the call pauses."""
    wait(counters, phase, pieces, n_threads, tail(counters, PAUSED))


@inline
def is_unfinished(counters, phase, pieces, n_threads):
    """Are there pieces of a phase that are not done, because the call pauses?"""
    return n_threads > 1 and atomic_load(counters, 2 * phase + 1) < pieces


@inline
def run_slice(piece, turn, job, layout, table, items, loss, step, params, shared, work, partials):
    """Phase 1: take one slice of the batch, chunk by chunk, through one segment; return its summed loss in the last."""
    n_segments = job.n_segments
    # Turns 0, 1, 2 go forward through segments 0, 1, 2 (the last), backward through 2, and through 1 and 0 in turns
    # 3 and 4.
    segment = min(turn, 2 * (n_segments - 1) - turn)
    low, high = int64_at(job.segments, segment), int64_at(job.segments, segment + 1)
    forward, backward = turn < n_segments, job.backward and turn >= n_segments - 1
    first = piece * layout.slice_rows
    last = min(first + layout.slice_rows, step.rows)
    value = 0.0
    for chunk in range(first, last, layout.chunk_rows):
        n = min(layout.chunk_rows, last - chunk)
        # Region row of the chunk's first row: a sliced workspace holds one chunk, else the whole batch.
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
                value += chunk_loss(job, layout, loss, step, row, start, stop, work)
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
                    gradient = part(partials, piece * job.n_params, job.n_params)
                    layer_gradient(items[i], table, params, gradient, work, start, stop, chunk > first)
    # The loss of a mean: what the step adds up.
    return value / step.divisor if job.mean and step.divisor != 0 else value


@inline
def chunk_loss(job, layout, loss, step, row, start, stop, work):
    """Fetch the chunk's targets and weights; return its summed loss and write dout."""
    n, t, k, w = stop - start, layout.n_targets, layout.n_out, layout.n_weights
    y, weight = layout.y + start * t, layout.weight + start * w
    call(job.gather, (work, y, job.y, job.order, row, n, t))
    if job.weight:
        call(job.gather, (work, weight, job.weight, job.order, row, n, w))
    else:
        for i in range(weight, weight + n * w):
            work[i] = 1
    dout, out = part(work, layout.dout + start * k, n * k), part(work, layout.out + start * k, n * k)
    targets, weights = part(work, y, n * t), part(work, weight, n * w)
    return call_float(loss.kernel, (loss, dout, out, targets, weights, loss_scale(job, step)))


@inline
def loss_scale(job, step):
    """Return the factor on a step's losses: 0 where nothing in the batch has a weight."""
    if not job.mean:
        return 1.0
    return 1.0 / step.divisor if step.divisor != 0 else 0.0


@inline
def run_items(
    phase, job, layout, table, items, optimizer, step, coefficients,
    params, grads, state, shared, work, partials, sums, counters, n_threads,
):  # fmt: skip
    """Phase 2, and the phases that clipping, long calls and max-norm add.

    Return the number of the next phase, or -1 where the call pauses: before anything is updated.
    """
    changes = job.update and not job.sum_squares and not job.apart
    # A batch whose gradient is only added up.
    waits = job.accumulates and coefficients[np.uint64(job.n_coefficients - 3)] == 0
    taken = 0
    while True:
        piece = take(counters, phase, taken, n_threads) if changes else take_or_pause(counters, phase, taken, n_threads)
        if piece >= items.size:
            break
        taken += 1
        item = items[piece]
        if job.backward and (item.reads == 0 or job.accumulates):
            penalty = item_gradient(item, job, layout, table, step, params, grads, work, partials)
            if job.add_penalty:
                sums[job.penalties + piece] = penalty
        if job.accumulates:
            slot = state.size - (1 + job.averages) * params.size
            call(job.add_gradient, (grads, state, coefficients, slot, item.start, item.stop))
        if item.reads:
            if (job.sum_squares or not job.apart) and not waits:
                squares = call_float(job.visit, (job, item, step, 1.0, coefficients, work))
                if job.sum_squares:
                    sums[job.squares + piece] = squares
        else:
            if job.sum_squares:
                sums[job.squares + piece] = call_float(job.sum_squares, (grads, item.start, item.stop))
            elif changes:
                update_item(item, 1.0, job, table, optimizer, step, coefficients, params, grads, state, shared, waits)
        finish(counters, phase, n_threads)
    if changes:
        wait(counters, phase, items.size, n_threads)
    else:
        wait_or_pause(counters, phase, items.size, n_threads)
        if is_unfinished(counters, phase, items.size, n_threads):
            return -1
    phase += 1
    if job.update and not changes:
        scale = 1.0
        if job.global_clipnorm > 0:
            squares = 0.0
            for i in range(items.size):
                squares += sums[job.squares + i]
            # As Keras: scale so that the norm is at most the limit.  A NaN norm makes every gradient NaN.
            scale = 1.0 if squares <= job.global_clipnorm**2 else job.global_clipnorm / np.sqrt(squares)
        taken = 0
        while True:
            piece = take(counters, phase, taken, n_threads)
            if piece >= items.size:
                break
            taken += 1
            item = items[piece]
            if job.clipnorm > 0:
                scale = norm_scale(item, items, job, sums)
            if item.reads == 0:
                update_item(item, scale, job, table, optimizer, step, coefficients, params, grads, state, shared, waits)
            elif not waits:
                call_float(job.revisit if job.sum_squares else job.visit, (job, item, step, scale, coefficients, work))
            finish(counters, phase, n_threads)
        wait(counters, phase, items.size, n_threads)
        phase += 1
    if job.limit_norms:
        taken = 0
        while True:
            piece = take(counters, phase, taken, n_threads)
            if piece >= items.size:
                break
            taken += 1
            if items[piece].max_norm > 0:
                call(job.limit_norms, (items[piece], params))
                prepare_item(items[piece], table, params, shared)
            finish(counters, phase, n_threads)
        wait(counters, phase, items.size, n_threads)
        phase += 1
    return phase


@inline
def norm_scale(item, items, job, sums):
    """Return the factor that brings the gradient of the item's parameter to the norm `clipnorm` at most, as Keras."""
    squares = 0.0
    piece = item.head
    while piece >= 0:
        squares += sums[job.squares + piece]
        piece = items[piece].tail
    return 1.0 if squares <= job.clipnorm**2 else job.clipnorm / np.sqrt(squares)


@inline
def item_gradient(item, job, layout, table, step, params, grads, work, partials):
    """Write the item's gradient, penalties included, to `grads`; return its penalty."""
    if not layout.sliced:
        layer_gradient(item, table, params, grads, work, 0, step.rows, False)
    elif job.add_partials:
        n_slices = (step.rows + layout.slice_rows - 1) // layout.slice_rows
        call(job.add_partials, (partials, grads, n_slices, item.start, item.stop))
    if job.add_penalty and (item.l1 > 0 or item.l2 > 0):
        return call_float(job.add_penalty, (item, step.penalty, params, grads))
    return 0.0


@inline
def layer_gradient(item, table, params, grads, work, start, stop, accumulate):
    """Have the item's layer write (or add to) its rows of the gradient."""
    layer = layer_at(table[item.layer])
    call(
        layer.gradient,
        (layer, params, grads, work, start, stop, item.block, item.first, item.last, accumulate),
    )


@inline
def update_item(item, scale, job, table, optimizer, step, coefficients, params, grads, state, shared, waits):
    """Clip the item's gradient, decay its parameters, update them, prepare what depends on them.

    Where the step `waits` for the end of its round, only the average moves.
    """
    if not waits:
        if job.clip_values:
            call(job.clip_values, (grads, job.clipvalue, item.start, item.stop))
        if scale != 1.0:
            call(job.scale_entries, (grads, scale, item.start, item.stop))
        if job.weight_decay > 0:
            decay = coefficients[0] * item.learning_rate * job.weight_decay * item.decay * step.decay
            call(job.decay_entries, (params, decay, item.start, item.stop))
        call(
            optimizer.kernel,
            (optimizer, coefficients, item.learning_rate, params, grads, state, item.start, item.stop),
        )
    if job.averages:
        call(job.move_average, (params, state, coefficients, item.start, item.stop))
    if item.max_norm == 0:
        prepare_item(item, table, params, shared)


@inline
def prepare_item(item, table, params, shared):
    """Have the layer prepare the item's rows (its first parameter's only)."""
    layer = layer_at(table[item.layer])
    if layer.prepare and item.block == 0:
        call(layer.prepare, (layer, params, shared, item.first, item.last))
