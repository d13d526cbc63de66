"""The compiled driver: forward, loss, backward and update for a stretch of steps, in one call.

Read `run_steps` first.  A step has two phases, each a number of pieces that threads take by ticket:

1. slices of rows: gather, forward, loss, backward (`run_slice`); the weights are only read;
2. items, pieces of parameters: gradient, penalties, update (`run_item`).

Clipping by the global norm and max-norm constraints each add a phase.  A job may stop short: prediction
ends after forward, evaluation after the loss, `value_and_grad` before the update.  Layers, loss and
optimizer are called through the addresses in their rows; nothing here knows their kinds.
"""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from fastbp._jit import call, call_float, inline, kernel
from fastbp._rows import row_dtype
from fastbp.threads import barrier, next_ticket

JOB = row_dtype(
    192,
    [
        ("x", "i8"),  # addresses of rows of numbers in the model's dtype
        ("y", "i8"),  # 0: no loss
        ("weight", "i8"),  # 0: every row weighs 1
        ("order", "i8"),  # of int64 row numbers; 0: rows in order
        ("outputs", "i8"),  # raw outputs are written here, each to its row; 0: nowhere
        ("dx", "i8"),  # the gradient with respect to x is written here; 0: nowhere
        ("backward", "i8"),  # how far a step goes
        ("update", "i8"),
        ("mean", "i8"),  # divide the loss by the rows of the batch
        ("prepare", "i8"),  # prepare every layer first: its parameters may have changed
        ("has_max_norm", "i8"),
        ("coefficients", "i8"),  # a step, for the optimizer
        ("weight_decay", "f8"),  # decoupled
        ("clipvalue", "f8"),  # 0: off
        ("global_clipnorm", "f8"),  # 0: off
    ],
)

# Columns of `sums`: loss of a slice, then penalty and squared gradient of an item.
LOSS, PENALTY, SQUARES = 0, 1, 2


@kernel
def run_steps(
    job_, layout_, table, items, loss_, optimizer_, steps, coefficients,
    params, grads, state, shared, work, partials, sums, losses, sync, thread, n_threads,
):  # fmt: skip
    """Run the steps of `steps` as one of `n_threads` threads; losses (steps,) is overwritten.

    params, grads (P,), state (S * P,), shared, work (threads or 1, size), partials (slices, P),
    sums (pieces, 3) float64, sync (SYNC_SIZE,) int64, zero at the start.  A step whose loss is not finite ends the
    run before its update; the losses from there on keep what they held.
    """
    job, layout, loss, optimizer = job_[0], layout_[0], loss_[0], optimizer_[0]
    mine = work[thread if layout.sliced else 0]
    ticket = 0
    if job.prepare:
        for i in range(thread, table.size, n_threads):
            if table[i].prepare:
                call(table[i].prepare, (table[i], params, shared, 0, table[i].prepare_rows))
        barrier(sync, n_threads)
    for s in range(steps.size):
        step = steps[s]
        n_slices = (step.rows + layout.slice_rows - 1) // layout.slice_rows
        while True:
            piece = next_ticket(sync, ticket)
            if piece >= n_slices:
                break
            run_slice(piece, job, layout, table, items, loss, step, params, shared, mine, partials, sums)
        ticket += n_slices + n_threads
        barrier(sync, n_threads)
        total = 0.0
        for i in range(n_slices):
            total += sums[i, LOSS]
        if job.mean:
            total /= step.rows
        if not np.isfinite(total):
            if thread == 0:
                losses[s] = total
            return
        if job.backward:
            ticket = run_items(
                ticket, n_slices, job, layout, table, items, optimizer, step, coefficients[s * job.coefficients :],
                params, grads, state, shared, mine, partials, sums, sync, n_threads,
            )  # fmt: skip
            for i in range(items.size):
                total += sums[i, PENALTY]
        if thread == 0:
            losses[s] = total
        # Nobody may overwrite the sums before all have read them.
        barrier(sync, n_threads)


@inline
def run_slice(piece, job, layout, table, items, loss, step, params, shared, work, partials, sums):
    """Phase 1: take one slice of the batch, chunk by chunk, as far as the job goes."""
    first = piece * layout.slice_rows
    last = min(first + layout.slice_rows, step.rows)
    value = 0.0
    for chunk in range(first, last, layout.chunk_rows):
        n = min(layout.chunk_rows, last - chunk)
        # Region row of the chunk's first row: a sliced workspace holds one chunk, else the whole batch.
        start = 0 if layout.sliced else chunk
        stop = start + n
        batch_row = step.first + chunk
        gather(job.x, job.order, batch_row, n, layout.n_in, work, layout.x + start * layout.n_in)
        for i in range(table.size):
            call(table[i].forward, (table[i], step, params, shared, work, start, stop, chunk - start))
        if job.outputs:
            scatter(job.outputs, job.order, batch_row, n, layout.n_out, work, layout.out + start * layout.n_out)
        if job.y:
            value += chunk_loss(job, layout, loss, step, batch_row, start, stop, work)
        if job.backward:
            for i in range(table.size - 1, -1, -1):
                if table[i].backward:
                    call(table[i].backward, (table[i], step, params, shared, work, start, stop, chunk - start))
            if job.dx:
                scatter(job.dx, job.order, batch_row, n, layout.n_in, work, layout.dx + start * layout.n_in)
            if layout.sliced:
                for i in range(items.size):
                    layer_gradient(items[i], table, params, partials[piece], work, start, stop, chunk > first)
    sums[piece, LOSS] = value


@inline
def chunk_loss(job, layout, loss, step, batch_row, start, stop, work):
    """Fetch the chunk's targets and weights; return its summed loss and write dout."""
    n, t, k = stop - start, layout.n_targets, layout.n_out
    y0, w0 = layout.y + start * t, layout.weight + start
    gather(job.y, job.order, batch_row, n, t, work, y0)
    if job.weight:
        gather(job.weight, job.order, batch_row, n, 1, work, w0)
    else:
        work[w0 : w0 + n] = 1
    dout = work[layout.dout + start * k : layout.dout + stop * k]
    out = work[layout.out + start * k : layout.out + stop * k]
    scale = 1.0 / step.rows if job.mean else 1.0
    return call_float(loss.kernel, (loss, dout, out, work[y0 : y0 + n * t], work[w0 : w0 + n], scale))


@inline
def run_items(
    ticket, n_slices, job, layout, table, items, optimizer, step, coefficients,
    params, grads, state, shared, work, partials, sums, sync, n_threads,
):  # fmt: skip
    """Phase 2 and the phases that clipping and max-norm add; return the next phase's first ticket."""
    update_at_once = job.update and job.global_clipnorm == 0
    while True:
        piece = next_ticket(sync, ticket)
        if piece >= items.size:
            break
        item = items[piece]
        item_gradient(piece, item, n_slices, job, layout, table, step, params, grads, work, partials, sums)
        if update_at_once:
            update_item(item, 1.0, job, table, optimizer, step, coefficients, params, grads, state, shared)
    ticket += items.size + n_threads
    barrier(sync, n_threads)
    if job.update and job.global_clipnorm > 0:
        squares = 0.0
        for i in range(items.size):
            squares += sums[i, SQUARES]
        # As Keras and PyTorch: scale so that the norm is at most the limit.
        scale = min(1.0, job.global_clipnorm / np.sqrt(squares)) if squares > 0 else 1.0
        while True:
            piece = next_ticket(sync, ticket)
            if piece >= items.size:
                break
            update_item(items[piece], scale, job, table, optimizer, step, coefficients, params, grads, state, shared)
        ticket += items.size + n_threads
        barrier(sync, n_threads)
    if job.update and job.has_max_norm:
        while True:
            piece = next_ticket(sync, ticket)
            if piece >= items.size:
                break
            if items[piece].max_norm > 0:
                limit_norms(items[piece], params)
                prepare_item(items[piece], table, params, shared)
        ticket += items.size + n_threads
        barrier(sync, n_threads)
    return ticket


@inline
def item_gradient(piece, item, n_slices, job, layout, table, step, params, grads, work, partials, sums):
    """Write the item's gradient, penalties included, to `grads`; note its penalty and squares."""
    if not layout.sliced:
        layer_gradient(item, table, params, grads, work, 0, step.rows, False)
    elif partials.shape[0] > 1:
        total, part = grads[item.start : item.stop], partials[0, item.start : item.stop]
        total[:] = part
        for s in range(1, n_slices):
            part = partials[s, item.start : item.stop]
            for i in range(total.size):
                total[i] += part[i]
    penalty = 0.0
    if item.l1 > 0 or item.l2 > 0:
        penalty = add_penalty(item, params, grads)
    sums[piece, PENALTY] = penalty
    if job.update and job.clipvalue > 0:
        limit = params.dtype.type(job.clipvalue)
        for i in range(item.start, item.stop):
            # Both comparisons are false for NaN, which survives.
            g = limit if grads[i] > limit else grads[i]
            grads[i] = -limit if g < -limit else g
    if job.update and job.global_clipnorm > 0:
        squares = 0.0
        for i in range(item.start, item.stop):
            squares += np.float64(grads[i]) * np.float64(grads[i])
        sums[piece, SQUARES] = squares


@inline
def layer_gradient(item, table, params, grads, work, start, stop, accumulate):
    """Have the item's layer write (or add to) its rows of the gradient."""
    layer = table[item.layer]
    call(
        layer.gradient,
        (layer, params, grads, work, start, stop, item.block, item.first, item.last, accumulate),
    )


@inline
def add_penalty(item, params, grads):
    """grads += l1 * sign(w) + 2 * l2 * w; return l1 * sum |w| + l2 * sum w**2."""
    l1, l2 = params.dtype.type(item.l1), params.dtype.type(2 * item.l2)
    absolute = squares = 0.0
    for i in range(item.start, item.stop):
        w = params[i]
        grads[i] += l1 * np.sign(w) + l2 * w
        absolute += abs(np.float64(w))
        squares += np.float64(w) * np.float64(w)
    return item.l1 * absolute + item.l2 * squares


@inline
def update_item(item, scale, job, table, optimizer, step, coefficients, params, grads, state, shared):
    """Decay the item's parameters, let the optimizer update them, prepare what depends on them."""
    if scale < 1.0:
        factor = params.dtype.type(scale)
        for i in range(item.start, item.stop):
            grads[i] *= factor
    decay = coefficients[0] * item.learning_rate * job.weight_decay * item.decay * step.decay
    if decay != 0:
        keep = params.dtype.type(1.0 - decay)
        for i in range(item.start, item.stop):
            params[i] *= keep
    call(
        optimizer.kernel,
        (optimizer, coefficients, item.learning_rate, params, grads, state, item.start, item.stop),
    )
    if item.max_norm == 0:
        prepare_item(item, table, params, shared)


@inline
def prepare_item(item, table, params, shared):
    """Have the layer prepare the item's rows (its first parameter's only)."""
    layer = table[item.layer]
    if layer.prepare and item.block == 0:
        call(layer.prepare, (layer, params, shared, item.first, item.last))


@inline
def limit_norms(item, params):
    """Scale each column of the item (whole columns: items with a limit are not cut) to norm max_norm at most."""
    k = item.columns
    for j in range(item.start, item.start + k):
        squares = 0.0
        for i in range(j, item.stop, k):
            squares += np.float64(params[i]) * np.float64(params[i])
        if squares > item.max_norm * item.max_norm:
            factor = params.dtype.type(item.max_norm / np.sqrt(squares))
            for i in range(j, item.stop, k):
                params[i] *= factor


@inline
def gather(source, order, first, n, width, work, offset):
    """work[offset:] = source rows order[first : first + n] (n, width)."""
    numbers = carray(pointer_to_int64(order), first + n)
    rows = as_pointer(source, work)
    for i in range(n):
        row = numbers[first + i] if order else first + i
        to = work[offset + i * width : offset + (i + 1) * width]
        values = carray(shift_pointer(rows, row * width), width)
        for j in range(width):
            to[j] = values[j]


@inline
def scatter(target, order, first, n, width, work, offset):
    """Target rows order[first : first + n] (n, width) = work[offset:]."""
    numbers = carray(pointer_to_int64(order), first + n)
    rows = as_pointer(target, work)
    for i in range(n):
        row = numbers[first + i] if order else first + i
        values = work[offset + i * width : offset + (i + 1) * width]
        to = carray(shift_pointer(rows, row * width), width)
        for j in range(width):
            to[j] = values[j]


@intrinsic
def as_pointer(typingctx, address, like):
    """Return the address (int64) as a pointer to entries of the type that the array `like` holds."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), codegen


@intrinsic
def pointer_to_int64(typingctx, address):
    """Return the address (int64) as a pointer to int64."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(types.int64), codegen


@intrinsic
def shift_pointer(typingctx, pointer, count):
    """Return `pointer` moved by `count` entries."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen
