"""The work around the loop over a pack's steps (packed_sequences.py), which the kernels of recurrent layers share.

The input projections of all steps are one product for each gate.  The gradients of the kernels are one product for
each gate, too.  Between these, the layer's own kernel loops over the pack's steps.
"""

from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, copy_entries, null, span, unit
from fastbp.kernels.transpose import transpose
from fastbp.layers.recurrent.packed_sequences import (
    BEGINS,
    PACK,
    ROWS,
    is_zero,
    keep_states,
    last_place,
    lay_out,
    load_states,
    pack_of,
    source_step,
    step_of,
    whole,
    zero,
)
from fastbp.layers.recurrent.recurrentdropout import drop_inputs, drop_states, drops


@inline
def enter(layer, step, params, work, pack, first, rows, row0):
    """Lay the pack out, copy x and the states before the first step, and project x; return the number of steps.

    x (n, t, d), kernel (d, g u), recurrent kernel (u, g u) -> packed_x (packed rows, d), z (g, packed rows, u),
    weights (g, u, u).
    """
    t, d, u, g = layer.t, layer.n_in // layer.t, layer.units, layer.gates
    steps = lay_out(layer, work, pack, first, rows)
    if drops(layer, step):
        call(layer.draw_masks, (layer, step, work, pack, row0 + first, rows))
    inputs = pack + layer.packed_x
    for i in range(rows):
        for k in range(t):
            r = whole(work, pack + layer.places + i * t + k)
            if r >= 0:
                x = layer.x + ((first + i) * t + source_step(layer, k)) * d
                copy_entries(at(work, inputs + r * d), at(work, x), d)
                drop_inputs(layer, step, work, pack, i, inputs + r * d)
    load_states(layer, step, work, pack, layer.h, 0, row0 + first, rows)
    copy_before(layer, step, work, pack, 0, -PACK)
    add_biases(layer, params, work, pack)
    n = whole(work, pack + BEGINS + t)
    for gate in range(g):
        # z[gate] = x @ kernel[:, gate] + bias[gate]
        z, weight = pack + layer.z + gate * PACK * layer.t * u, at(params, layer.params + gate * u)
        bias = at(work, pack + layer.biases + gate * u)
        call(layer.product, (at(work, z), u, bias, 0, at(work, inputs), d, 1, weight, g * u, n, u, d))
        # The gate's weights are copied.  Read in place (64 x 256), the rows that a tile reads fall out of the L1 cache:
        # 35 GFLOP/s instead of 45.
        for j in range(u):
            to = at(work, pack + layer.weights + (gate * u + j) * u)
            copy_entries(to, at(params, layer.recurrent_kernel + (j * g + gate) * u), u)
    return steps


@inline
def copy_before(layer, step, work, pack, p, source):
    """Write before (m, u) of step p: h of the m packed rows from `source` on, times the dropout mask."""
    begin, m = step_of(layer, work, pack, p)
    before, size = pack + layer.before + begin * layer.units, m * layer.units
    copy_entries(at(work, before), at(work, pack + layer.h + source * layer.units), size)
    drop_states(layer, step, work, pack, before, size)


@inline
def add_biases(layer, params, work, pack):
    """biases (g u,) = the bias, or 0.

    The bias of a GRU with reset_after has two rows, which are added up for all gates but the last.  The last gate gets
    the first row only, because the reset gate multiplies the second one.
    """
    u, columns = layer.units, layer.gates * layer.units
    biases = span(work, pack + layer.biases, columns)
    zero(biases)
    if layer.bias >= 0:
        add(biases, span(params, layer.bias, columns))
        if layer.reset_after:
            add(span(biases, 0, columns - u), span(params, layer.bias + columns, columns - u))


@inline
def multiply_before(layer, work, pack, gate, before, init, init_stride, out, m):
    """out (m, u) = init + before (m, u) @ the recurrent kernel's gate (u, u); init is a pointer."""
    u = layer.units
    a, weight = at(work, before), at(work, pack + layer.weights + gate * u * u)
    call(layer.product, (at(work, out), u, init, init_stride, a, u, 1, weight, u, m, u, u))


@inline
def leave(layer, step, work, pack, first, rows, row0):
    """h (packed rows, u) -> out (n, t, u), or (n, u): masked steps repeat the output before, or are zero."""
    t, u = layer.t, layer.units
    for i in range(rows):
        out = layer.out + (first + i) * layer.n_out
        for k in range(t - layer.n_out // u, t):
            r = last_place(layer, work, pack, i, k)
            if is_zero(layer, work, pack, i, k):
                zero(span(work, out, u))
            else:
                copy_entries(at(work, out), at(work, pack + layer.h + r * u), u)
            out += u
    keep_states(layer, step, work, pack, layer.h, 0, row0 + first, rows)


@inline
def enter_backward(layer, params, work, pack, first, rows):
    """dout (n, t, u) or (n, u) -> dh (packed rows, u); kernels transposed; return the number of steps."""
    t, d, u, g = layer.t, layer.n_in // layer.t, layer.units, layer.gates
    n = whole(work, pack + BEGINS + t)
    zero(span(work, pack + layer.dh, n * u))
    for i in range(rows):
        dout = layer.dout + (first + i) * layer.n_out
        for k in range(t - layer.n_out // u, t):
            r = last_place(layer, work, pack, i, k)
            if r >= 0 and not is_zero(layer, work, pack, i, k):
                add(span(work, pack + layer.dh + r * u, u), span(work, dout, u))
            dout += u
    for gate in range(g):
        recurrent = at(params, layer.recurrent_kernel + gate * u)
        transpose(at(work, pack + layer.weights + gate * u * u), u, recurrent, g * u, u, u)
        if layer.dx >= 0:
            to = at(work, pack + layer.weights + g * u * u + gate * u * d)
            transpose(to, d, at(params, layer.params + gate * u), g * u, d, u)
    steps = 0
    for p in range(t):
        steps += step_of(layer, work, pack, p)[1] > 0
    return steps


@inline
def multiply_dz(layer, work, pack, gate, dz, init, out, m):
    """out (m, u) = init + dz (m, u) @ the recurrent kernel's gate (u, u)^T; init is a pointer."""
    u = layer.units
    a, weight = at(work, dz), at(work, pack + layer.weights + gate * u * u)
    call(layer.product, (at(work, out), u, init, u, a, u, 1, weight, u, m, u, u))


@inline
def leave_backward(layer, step, work, pack, first, rows):
    """dz (g, packed rows, u) -> dx (n, t, d), zero where a step is masked."""
    if layer.dx < 0:
        return
    t, d, u, g = layer.t, layer.n_in // layer.t, layer.units, layer.gates
    n, dinputs = whole(work, pack + BEGINS + t), at(work, pack + layer.packed_dx)
    for gate in range(g):
        # dx = the sum over gates of dz[gate] @ kernel[:, gate]^T
        weight = at(work, pack + layer.weights + g * u * u + gate * u * d)
        dz = at(work, pack + layer.dz + gate * PACK * layer.t * u)
        call(layer.product, (dinputs, d, dinputs if gate else null(work), d, dz, u, 1, weight, d, n, d, u))
    for i in range(rows):
        for k in range(t):
            dx = layer.dx + ((first + i) * t + source_step(layer, k)) * d
            r = whole(work, pack + layer.places + i * t + k)
            if r >= 0:
                copy_entries(at(work, dx), at(work, pack + layer.packed_dx + r * d), d)
                drop_inputs(layer, step, work, pack, i, dx)
            else:
                zero(span(work, dx, d))


@kernel
def recurrent_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """packed_x, before, dz (g, packed rows, u) -> rows first to end of a kernel's gradient, or of the bias's."""
    row = start
    while row < stop:
        pack = pack_of(layer, row)
        rows = whole(work, pack + ROWS)
        if row % PACK == 0 and row + rows <= stop:
            n = whole(work, pack + BEGINS + layer.t)
            add_gradient(layer, grads, work, pack, 0, n, block, first, end, accumulate)
            row += rows
        else:
            # Levenberg-Marquardt's Jacobian asks for a row alone, which has its steps apart from each other.
            add_gradient(layer, grads, work, pack, 0, 0, block, first, end, accumulate)
            for k in range(layer.t):
                r = whole(work, pack + layer.places + row % PACK * layer.t + k)
                if r >= 0:
                    add_gradient(layer, grads, work, pack, r, 1, block, first, end, True)
            row += 1
        accumulate = True


@inline
def add_gradient(layer, grads, work, pack, r, n, block, first, end, accumulate):
    """Add what `n` packed rows from r on give: dkernel = x^T @ dz, drecurrent = before^T @ dz, dbias = 1^T @ dz."""
    d, u, g = layer.n_in // layer.t, layer.units, layer.gates
    if block == 2:
        columns = g * u if layer.reset_after else 1
        for gate in range(2 * g):
            low, high = max(first * columns, gate * u), min(end * columns, (gate + 1) * u)
            if low < high:
                dz = at(work, pack + dz_of(layer, gate) + r * u + low - gate * u)
                dbias = at(grads, layer.bias + low)
                init = dbias if accumulate else null(grads)
                call(layer.product, (dbias, u, init, u, unit(grads), 0, 0, dz, u, 1, high - low, n))
        return
    for gate in range(g):
        x, width, param, dz = layer.packed_x, d, layer.params, layer.dz + gate * PACK * layer.t * u
        if block == 1:
            x = layer.before if gate < g - 1 else layer.last_before
            width, param, dz = u, layer.recurrent_kernel, dz_of(layer, g + gate)
        dkernel = at(grads, param + first * g * u + gate * u)
        init = dkernel if accumulate else null(grads)
        a, b = at(work, pack + x + r * width + first), at(work, pack + dz + r * u)
        call(layer.product, (dkernel, g * u, init, g * u, a, 1, width, b, u, end - first, u, n))


@inline
def dz_of(layer, gate):
    """Return where the gradient of a projection begins: of x for a `gate` below g, of h for g + gate.

    They are one array, but for the last gate of a GRU with reset_after.
    """
    g = layer.gates
    if gate == 2 * g - 1:
        return layer.last_dz
    return layer.dz + gate % g * PACK * layer.t * layer.units


@inline
def activate(address, alpha, work, out, z, size, width):
    """out (size,) = activation(z), both offsets in work."""
    if address:
        call(address, (span(work, out, size), span(work, z, size), width, alpha))
    else:
        copy_entries(at(work, out), at(work, z), size)


@inline
def differentiate(address, alpha, work, d, z, out, size, width):
    """Overwrite d (size,), which holds dout, with dz; all are offsets in work."""
    if address:
        call(address, (span(work, d, size), span(work, z, size), span(work, out, size), width, alpha))


@inline
def add(out, x):
    """out (n,) += x (n,)."""
    for i in range(out.size):
        out[i] += x[i]


@inline
def multiply(out, x, y):
    """out (n,) = x * y."""
    for i in range(out.size):
        out[i] = x[i] * y[i]
