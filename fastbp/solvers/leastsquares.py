"""The normal equations of a network's least-squares problem, and their damped solution: what Levenberg-Marquardt needs.

The matrix J = d residual / d p has a row for each output of each row of x.  A = J^T J is added up from blocks of rows
of J.

The products and the Cholesky factor are the project's own (LAPACK's factor has other bits with two threads
than with one), in float64 for float32 models too: J^T J squares the condition of J.
"""

import numpy as np

from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, copy_entries, pointer_like, shift, span
from fastbp.engine.barrier import finish, take, wait
from fastbp.engine.cut import Purpose, round_up
from fastbp.engine.driver_call import make_steps
from fastbp.engine.helper_threads import enter, leave, open_counters
from fastbp.engine.interrupts import heed_interrupt
from fastbp.engine.item_updates import layer_at, layer_gradient
from fastbp.engine.plan import Plan
from fastbp.engine.threads import get_num_threads, run_together
from fastbp.kernels.lanes import lane_dot
from fastbp.kernels.repeatable import dot
from fastbp.kernels.tile import product_address
from fastbp.layers.base import float_type_of

# Rows of J in a block: an entry of A is read and written once for so many multiply-adds.
BLOCK_ROWS = 128
# Rows of a block that a thread takes at a time.
CHUNK_ROWS = 32
# Rows of A, or of its factor, at a time.
STRIP_ROWS = 48
# Multiply-adds of one compiled call, about 0.2 s: Ctrl-C waits for its end.
CALL_MULTIPLY_ADDS = 3e9
# Below this many multiply-adds an evaluation (about 3 ms) a second thread does not pay.
THREAD_MULTIPLY_ADDS = 5e7
# A row of J costs 0.4 to 0.6 us beside its products: as many multiply-adds as this.
ROW_MULTIPLY_ADDS = 8000


class LeastSquares:
    """F, its normal equations and their solution, for checked arrays.

    `matrix` (P, stride) holds the upper triangle of A, and its column P holds the gradient.
    """

    def __init__(self, engine, x, targets, weight, alpha):
        n = len(x)
        self.arrays = (x, targets, weight)
        self.steps = make_steps(engine.seed, engine.step, [0], [n], training=False)
        self.n_outputs = engine.n_outputs
        purpose = Purpose(training=True, keep_batch=True)
        self.plan = Plan(engine.network, min(n, BLOCK_ROWS), engine.n_outputs, engine.dtype, purpose)
        trained = [p for p in engine.network.params if engine.network.layers[p.layer].spec.trainable]
        self.trained = np.concatenate([np.arange(p.start, p.stop) for p in trained])
        self.divisor = float(n if weight is None else weight.sum(dtype=np.float64))
        # The penalty's second derivative, for each trained parameter.
        penalties = [np.full(p.param.size, alpha if p.param.name == "kernel" else 0.0) for p in trained]
        self.penalty = np.concatenate(penalties) / self.divisor
        self._make_buffers(engine)

    def _make_buffers(self, engine):
        plan, p = self.plan, len(self.trained)
        # An odd number of cache lines a row: rows a large power of two apart would share few sets of the cache.
        self.stride = round_up(p + 1, 8) | 8
        self.columns = np.searchsorted(self.trained, plan.items["start"])
        self.shared, self.work = np.zeros(plan.shared_size, plan.dtype), np.zeros(plan.work_size, plan.dtype)
        self.jacobian = np.zeros((plan.rows, self.stride))
        self.matrix, self.factor = np.zeros((2, p, self.stride))
        self.step, self.negative = np.zeros(p), np.zeros((p, STRIP_ROWS))
        self.grads = np.zeros((get_num_threads(), engine.params.size), plan.dtype)
        self.product = product_address(float_type_of(np.float64))

    def objective(self, params):
        """Return F."""
        return self._evaluate(params, False)

    def linearize(self, params):
        """Make `matrix`, `gradient`, `diagonal` and `scale` at `params`."""
        p = len(self.trained)
        self.matrix[:] = 0
        self._evaluate(params, True)
        self.diagonal, self.gradient = self.matrix.ravel()[: p * self.stride : self.stride + 1], self.matrix[:, p]
        self.diagonal += self.penalty
        self.gradient += self.penalty * params[self.trained]
        self.scale = self.diagonal.max()

    def is_stationary(self, objective, tol):
        """Is the cosine between the residual and each column of J at most `tol`?"""
        limits = tol * np.sqrt(2 * objective) * np.sqrt(self.diagonal)
        return bool(np.isfinite(self.scale) and (np.abs(self.gradient) <= limits).all())

    def solve(self, damping):
        """Return the step of the damped normal equations, or None where they are not positive definite."""
        matrices = (self.matrix.ravel(), self.factor.ravel(), self.stride, self.negative.ravel())
        return self.step if solve_damped(*matrices, self.product, damping, self.step) else None

    @np.errstate(over="ignore", invalid="ignore")
    def _evaluate(self, params, differentiate):
        """Return F; with `differentiate`, also add J^T J and J^T residual to `matrix`."""
        plan, (x, _, _), p = self.plan, self.arrays, len(self.trained)
        prepare_layers(plan.addresses, params, self.shared)
        addresses = [0 if array is None else array.__array_interface__["data"][0] for array in self.arrays]
        sums = np.zeros(-(-len(x) // CHUNK_ROWS))
        k = self.n_outputs
        row_multiply_adds = k * (p * p // 2 + ROW_MULTIPLY_ADDS) if differentiate else plan.row_multiply_adds
        rows = max(int(CALL_MULTIPLY_ADDS / row_multiply_adds) // BLOCK_ROWS, 1) * BLOCK_ROWS
        wanted = len(self.grads) if len(x) * row_multiply_adds >= THREAD_MULTIPLY_ADDS else 1
        for first in range(0, len(x), rows):
            end = min(first + rows, len(x))
            counters = open_counters(2 * k * -(-rows // BLOCK_ROWS) if wanted > 1 else 0)

            def work(thread, n_threads, first=first, end=end, counters=counters):
                add_rows(
                    plan.layout, plan.addresses, plan.items, self.columns, self.steps, *addresses, first, end,
                    self.divisor, params, self.shared, self.work, self.grads[thread], self.product,
                    self.jacobian.ravel(), self.matrix.ravel(), p, self.stride, differentiate, sums,
                    counters, thread, n_threads,
                )  # fmt: skip

            run_together(work, wanted)
            heed_interrupt()
        place = params[self.trained].astype(np.float64)
        return 0.5 * float(sums.sum() + dot(self.penalty, place * place))


@kernel
def prepare_layers(table, params, shared):
    """Have every layer prepare what depends on its parameters."""
    for i in range(table.size):
        layer = layer_at(table[i])
        if layer.prepare:
            call(layer.prepare, (layer, params, shared, 0, layer.prepare_rows))


@kernel
def add_rows(
    layouts, table, items, columns, steps, x, y, weight, first, end, divisor, params, shared, work, grads,
    product, jacobian, matrix, p, stride, differentiate, sums, counters, thread, n_threads,
):  # fmt: skip
    """Take rows first to end, by blocks: write the sum of squares of each chunk to `sums`, add to `matrix`.

    x (n, d), y (n, k), weight (n,) are addresses (weight 0: all 1); jacobian (BLOCK_ROWS, stride) has the residual in
    column p; matrix (p, stride) += J^T [J, residual], on and above the diagonal.  Each entry adds rows in their
    order, whatever the number of threads.
    """
    if n_threads > 1 and not enter(counters, thread):
        return
    layout, step = layouts[0], steps[0]
    phase = 0
    for block in range(first, end, BLOCK_ROWS):
        n = min(BLOCK_ROWS, end - block)
        chunks = (n + CHUNK_ROWS - 1) // CHUNK_ROWS
        # J has a row for each row and output; one output at a time, so that its size does not depend on their number.
        for output in range(layout.n_out if differentiate else 1):
            taken = 0
            while True:
                piece = take(counters, phase, taken, n_threads)
                if piece >= chunks:
                    break
                taken += 1
                start = piece * CHUNK_ROWS
                stop = min(start + CHUNK_ROWS, n)
                if output == 0:
                    forward_rows(layout, table, step, x, y, weight, block, start, stop, params, shared, work)
                    chunk = (block + start) // CHUNK_ROWS
                    sums[chunk] = sum_squares(layout, divisor, start, stop, work)
                if differentiate:
                    jacobian_rows(
                        layout, table, items, columns, step, output, start, stop, divisor, params, shared, work, grads,
                        jacobian, p, stride,
                    )  # fmt: skip
                finish(counters, phase, n_threads)
            wait(counters, phase, chunks, n_threads)
            phase += 1
            if not differentiate:
                continue
            strips = (p + STRIP_ROWS - 1) // STRIP_ROWS
            taken = 0
            while True:
                piece = take(counters, phase, taken, n_threads)
                if piece >= strips:
                    break
                taken += 1
                # A[i:, i:] += J[:, i:]^T @ [J, residual][:, i:], the first rows of it
                i = piece * STRIP_ROWS
                m = min(STRIP_ROWS, p - i)
                a, left, right = at(matrix, i * stride + i), at(jacobian, i), at(jacobian, i)
                call(product, (a, stride, a, stride, left, 1, stride, right, stride, m, p + 1 - i, n))
                finish(counters, phase, n_threads)
            wait(counters, phase, strips, n_threads)
            phase += 1
    if n_threads > 1:
        leave(counters, thread)


@inline
def forward_rows(layout, table, step, x, y, weight, block, start, stop, params, shared, work):
    """Fetch rows start to stop of a block, with targets and weights, and run them through the layers."""
    n, d, k = stop - start, layout.n_in, layout.n_out
    row = block + start
    copy_entries(at(work, layout.x + start * d), shift(pointer_like(x, work), row * d), n * d)
    copy_entries(at(work, layout.y + start * k), shift(pointer_like(y, work), row * k), n * k)
    if weight:
        copy_entries(at(work, layout.weight + start), shift(pointer_like(weight, work), row), n)
    else:
        span(work, layout.weight + start, n)[:] = 1
    for i in range(table.size):
        layer = layer_at(table[i])
        if layer.forward:
            call(layer.forward, (layer, step, params, shared, work, start, stop, block))


@inline
def residual(layout, divisor, row, output, work):
    """Return the root of the row's share of the total weight, and the residual of one output times that root."""
    share = np.sqrt(np.float64(work[layout.weight + row]) / divisor)
    at_output = row * layout.n_out + output
    return share, share * (np.float64(work[layout.out + at_output]) - np.float64(work[layout.y + at_output]))


@inline
def sum_squares(layout, divisor, start, stop, work):
    """Return the sum of squares of the residuals of rows start to stop."""
    total = 0.0
    for row in range(start, stop):
        for output in range(layout.n_out):
            value = residual(layout, divisor, row, output, work)[1]
            total += value * value
    return total


@inline
def jacobian_rows(
    layout, table, items, columns, step, output, start, stop, divisor, params, shared, work, grads, jacobian, p, stride
):
    """Write rows start to stop of J for one output, and their residuals in column p.

    All rows share one backward pass, because no row reads the dout of another.  The pass changes dout alone; x, out and
    extra of every layer stay as the forward pass made them.  So the next output needs no forward pass of its own.
    """
    k = layout.n_out
    dout = span(work, layout.dout + start * k, (stop - start) * k)
    dout[:] = 0
    dout[output::k] = 1
    for i in range(table.size - 1, -1, -1):
        layer = layer_at(table[i])
        if layer.backward:
            call(layer.backward, (layer, step, params, shared, work, start, stop, 0))
    for row in range(start, stop):
        share, jacobian[row * stride + p] = residual(layout, divisor, row, output, work)
        for i in range(items.size):
            item = items[i]
            layer_gradient(item, table, params, grads, work, row, row + 1, False)
            entries = span(jacobian, row * stride + columns[i], item.stop - item.start)
            gradient = span(grads, item.start, entries.size)
            for j in range(entries.size):
                entries[j] = share * np.float64(gradient[j])


@kernel
def solve_damped(matrix, factor, stride, negative, product, damping, step):
    """Solve (A + damping * I) step = -gradient, step (P,); return False where that is not positive definite.

    matrix (P, stride) holds A on and above its diagonal, and the gradient in column P.  factor (P, stride) is
    overwritten with U, U^T U = A + damping * I, and U^-T gradient in column P; negative (P * STRIP_ROWS,) too.
    """
    p = step.size
    for i in range(0, p, STRIP_ROWS):
        m = min(STRIP_ROWS, p - i)
        # U^T U = A, so rows i to i + m, from column i: U[i:]^T U[i:] = A[i:] - U[:i, i:]^T @ U[:i, i:]
        for row in range(i):
            for j in range(m):
                negative[row * m + j] = -factor[row * stride + i + j]
        rest, left, above = at(factor, i * stride + i), at(negative, 0), at(factor, i)
        initial = at(matrix, i * stride + i)
        call(product, (rest, stride, initial, stride, left, 1, m, above, stride, m, p + 1 - i, i))
        for row in range(i, i + m):
            factor[row * stride + row] += damping
        if not factor_rows(factor, stride, i, i + m, p + 1):
            return False
    # U step = -U^-T gradient, from below
    for i in range(p - 1, -1, -1):
        row = span(factor, i * stride, p)
        step[i] = -(factor[i * stride + p] + lane_dot(row, step, i + 1, p)) / row[i]
    return True


@inline
def factor_rows(factor, stride, first, end, columns):
    """Make rows first to end of U, from which the rows above are subtracted; return False for a pivot of 0 or less."""
    for i in range(first, end):
        row = span(factor, i * stride, columns)
        if not 0 < row[i] < np.inf:
            return False
        by = 1 / np.sqrt(row[i])
        for j in range(np.uint64(i), np.uint64(columns)):
            row[j] *= by
        for k in range(i + 1, end):
            lower = span(factor, k * stride, columns)
            times = row[k]
            for j in range(np.uint64(k), np.uint64(columns)):
                lower[j] -= times * row[j]
    return True
