"""Plain NumPy float64 recurrent layers, step by step, as pairs for reference/network.py; and Masking.

A step takes (layer, weights, x (n, d), states, drop) to (states, tape); its backward takes (layer, weights, tape,
dstates, drop) to (dx (n, d), dstates before, [gradients]).  The first state is the output; drop (n, u) are the factors
of dropout on what the recurrent kernel reads of it.
"""

import numpy as np

from tests.reference.activations import BACKWARD, FORWARD


def act(activation, z):
    """out = activation(z)."""
    return z if activation.name == "linear" else FORWARD[activation.name](z, activation.alpha)


def dact(activation, dout, z):
    """dz = dout * activation'(z)."""
    return dout if activation.name == "linear" else BACKWARD[activation.name](dout, z, activation.alpha)


def products(weights, x, h, dz):
    """dz (n, k) -> dx, dh, [dkernel, drecurrent, dbias] of z = x @ kernel + h @ recurrent + bias."""
    return dz @ weights[0].T, dz @ weights[1].T, [x.T @ dz, h.T @ dz, dz.sum(0)]


def rnn_step(layer, weights, x, states, drop):
    """h = activation(x @ kernel + h before @ recurrent + bias)."""
    h = states[0] * drop
    z = x @ weights[0] + h @ weights[1] + (weights[2] if layer.use_bias else 0)
    return [act(layer.activation, z)], (x, h, z)


def rnn_step_backward(layer, weights, tape, dstates, drop):
    """dh -> dx, [dh before], gradients."""
    x, h, z = tape
    dx, dh, grads = products(weights, x, h, dact(layer.activation, dstates[0], z))
    return dx, [dh * drop], grads


def lstm_step(layer, weights, x, states, drop):
    """c = f * c before + i * g, h = o * activation(c)."""
    h, c = states[0] * drop, states[1]
    z = x @ weights[0] + h @ weights[1] + (weights[2] if layer.use_bias else 0)
    zi, zf, zg, zo = np.split(z, 4, 1)
    i, f, o = (act(layer.recurrent_activation, part) for part in (zi, zf, zo))
    g = act(layer.activation, zg)
    cell = f * c + i * g
    return [o * act(layer.activation, cell), cell], (x, h, c, zi, zf, zg, zo, i, f, g, o, cell)


def lstm_step_backward(layer, weights, tape, dstates, drop):
    """dh, dc -> dx, [dh before, dc before], gradients."""
    x, h, c, zi, zf, zg, zo, i, f, g, o, cell = tape
    dh, dcell = dstates
    gate = layer.recurrent_activation
    dcell = dcell + dact(layer.activation, dh * o, cell)
    dz = [
        dact(gate, dcell * g, zi),
        dact(gate, dcell * c, zf),
        dact(layer.activation, dcell * i, zg),
        dact(gate, dh * act(layer.activation, cell), zo),
    ]
    dx, dh, grads = products(weights, x, h, np.hstack(dz))
    return dx, [dh * drop, dcell * f], grads


def gru_biases(layer, weights):
    """Return the bias of the inputs and that of the state."""
    if not layer.use_bias:
        return 0.0, 0.0
    return weights[2] if layer.reset_after else (weights[2], 0.0)


def gru_step(layer, weights, x, states, drop):
    """h = z * h before + (1 - z) * state."""
    before, h = states[0], states[0] * drop
    u, (b, c) = layer.units, gru_biases(layer, weights)
    of_x, of_h = x @ weights[0] + b, h @ weights[1] + c
    zz, zr = of_x[:, :u] + of_h[:, :u], of_x[:, u : 2 * u] + of_h[:, u : 2 * u]
    update, r = act(layer.recurrent_activation, zz), act(layer.recurrent_activation, zr)
    past = r * of_h[:, 2 * u :] if layer.reset_after else (r * h) @ weights[1][:, 2 * u :]
    zs = of_x[:, 2 * u :] + past
    state = act(layer.activation, zs)
    return [update * before + (1 - update) * state], (x, before, h, of_h, zz, zr, zs, update, r, state)


def gru_step_backward(layer, weights, tape, dstates, drop):
    """dh -> dx, [dh before], gradients."""
    x, before, h, of_h, zz, zr, zs, update, r, state = tape
    u, dh, gate = layer.units, dstates[0], layer.recurrent_activation
    recurrent = weights[1]
    dzs = dact(layer.activation, dh * (1 - update), zs)
    dzz = dact(gate, dh * (before - state), zz)
    dbefore, dh = dh * update, np.zeros_like(dh)
    drecurrent = np.zeros_like(recurrent)
    if layer.reset_after:
        dr, dpast = dzs * of_h[:, 2 * u :], dzs * r
        drecurrent[:, 2 * u :] = h.T @ dpast
        dh = dh + dpast @ recurrent[:, 2 * u :].T
    else:
        dpast = dzs
        dreset = dzs @ recurrent[:, 2 * u :].T
        drecurrent[:, 2 * u :] = (r * h).T @ dzs
        dr, dh = dreset * h, dh + dreset * r
    dgates = np.hstack([dzz, dact(gate, dr, zr)])
    drecurrent[:, : 2 * u] = h.T @ dgates
    dh = dh + dgates @ recurrent[:, : 2 * u].T
    dz = np.hstack([dgates, dzs])
    db = dz.sum(0)
    if layer.reset_after:
        db = np.stack([db, np.hstack([dgates, dpast]).sum(0)])
    return dz @ weights[0].T, [dbefore + dh * drop], [x.T @ dz, drecurrent, db]


# Steps, and how many states.
STEPS = {
    "SimpleRNN": (rnn_step, rnn_step_backward, 1),
    "LSTM": (lstm_step, lstm_step_backward, 2),
    "GRU": (gru_step, gru_step_backward, 1),
}


def masks_of(mask):
    """Return the factors of dropout on the inputs and on the states; without a mask 1."""
    return (1.0, 1.0) if mask is None else mask


def recurrent_forward(layer, weights, x, mask):
    """x (n, t, d) -> out (n, t, u) or (n, u), the steps' tapes."""
    step, _, n_states = STEPS[layer.registered[1]]
    of_inputs, drop = masks_of(mask)
    states, outs, tapes = [np.zeros((len(x), layer.units))] * n_states, [], []
    for s in range(x.shape[1])[:: -1 if layer.go_backwards else 1]:
        states, tape = step(layer, weights, x[:, s] * of_inputs, states, drop)
        outs.append(states[0])
        tapes.append((s, tape))
    return np.stack(outs, 1) if layer.return_sequences else outs[-1], tapes


def recurrent_backward(layer, weights, x, tapes, dout, mask):
    """dout -> dx (n, t, d), [dkernel, drecurrent, dbias]."""
    _, step_backward, n_states = STEPS[layer.registered[1]]
    dx, dstates = np.zeros_like(x), [np.zeros((len(x), layer.units))] * n_states
    total, (of_inputs, drop) = [np.zeros_like(w) for w in weights], masks_of(mask)
    for k, (s, tape) in reversed(list(enumerate(tapes))):
        if layer.return_sequences or k == len(tapes) - 1:
            dstates = [dstates[0] + (dout[:, k] if layer.return_sequences else dout), *dstates[1:]]
        dx[:, s], dstates, grads = step_backward(layer, weights, tape, dstates, drop)
        dx[:, s] *= of_inputs
        for whole, part in zip(total, grads, strict=False):
            whole += part
    return dx, total


def bidirectional_forward(layer, weights, x, mask):
    """x, a list of two (n, t, u) or (n, u) -> out, nothing."""
    there, back = in_step(layer, x)
    if layer.merge_mode == "concat":
        return np.concatenate([there, back], -1), None
    return {"sum": there + back, "mul": there * back, "ave": (there + back) / 2}[layer.merge_mode], None


def bidirectional_backward(layer, weights, x, z, dout, mask):
    """dout -> dx, a list of two, []."""
    there, back = in_step(layer, x)
    douts = {
        "concat": np.split(dout, 2, -1) if layer.merge_mode == "concat" else None,
        "sum": [dout, dout],
        "mul": [dout * back, dout * there] if layer.merge_mode == "mul" else None,
        "ave": [dout / 2, dout / 2],
    }
    return in_step(layer, douts[layer.merge_mode]), []


def in_step(layer, pair):
    """Return both branches' outputs, the second one's turned round where they are sequences."""
    return [pair[0], pair[1][:, ::-1] if layer.layer.return_sequences else pair[1]]


def masking_forward(layer, weights, x, mask):
    """x (n, t, d) -> out (n, t, d) = x, 0 where a step is skipped; which are not."""
    steps = (x != layer.mask_value).any(-1, keepdims=True)
    return x * steps, steps


def masking_backward(layer, weights, x, steps, dout, mask):
    """dout (n, t, d) -> dx (n, t, d), []."""
    return dout * steps, []


# For reference/network.py, which knows of no masks: with Masking in front, see reference/recurrent_jax.py.
LAYERS = dict.fromkeys(STEPS, (recurrent_forward, recurrent_backward)) | {
    "Bidirectional": (bidirectional_forward, bidirectional_backward),
    "Masking": (masking_forward, masking_backward),
}
REGULARIZERS = dict.fromkeys(STEPS, ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer"))
