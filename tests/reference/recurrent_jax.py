"""JAX float64 recurrent layers, as scans over all time steps, masked ones included."""

import jax
import jax.numpy as jnp


def activate(activation):
    """Return the activation as a function of its input."""
    from tests.reference.autodiff import ACTIVATIONS  # which imports this file

    return lambda z: ACTIVATIONS[activation.name](z, activation.alpha)


def step_of(layer, weights, drop=1.0):
    """Return f(states, x (n, d)) -> states of a layer kind; the first state is the output.

    drop (n, u) are the factors of dropout on what the recurrent kernel reads of it.
    """
    kernel, recurrent, *bias = weights
    bias = bias[0] if bias else jnp.zeros(kernel.shape[1])
    act = activate(layer.activation)
    gate = activate(getattr(layer, "recurrent_activation", layer.activation))

    def rnn(states, x):
        return (act(x @ kernel + (drop * states[0]) @ recurrent + bias),)

    def lstm(states, x):
        i, f, g, o = jnp.split(x @ kernel + (drop * states[0]) @ recurrent + bias, 4, 1)
        c = gate(f) * states[1] + gate(i) * act(g)
        return gate(o) * act(c), c

    def gru(states, x):
        h = drop * states[0]
        b, c = bias if bias.ndim == 2 else (bias, jnp.zeros_like(bias))
        xz, xr, xh = jnp.split(x @ kernel + b, 3, 1)
        hz, hr, hh = jnp.split(h @ recurrent + c, 3, 1)
        z, r = gate(xz + hz), gate(xr + hr)
        past = r * hh if layer.reset_after else (r * h) @ jnp.split(recurrent, 3, 1)[2]
        return (z * states[0] + (1 - z) * act(xh + past),)

    return {"SimpleRNN": rnn, "LSTM": lstm, "GRU": gru}[layer.registered[1]]


def recurrent(layer, weights, x, steps=None, states=None, masks=None):
    """x (n, t, d), steps (n, t) of bool or None, states before -> out (n, t, u) or (n, u), states after.

    masks are the factors of dropout on the inputs (n, d) and on the states (n, u).
    """
    of_inputs, drop = (jnp.ones((1, 1)), 1.0) if masks is None else masks
    x, step = x * of_inputs[:, None], step_of(layer, weights, drop)
    steps = jnp.ones(x.shape[:2], bool) if steps is None else steps
    if states is None:
        states = [jnp.zeros((len(x), layer.units))] * (2 if layer.registered[1] == "LSTM" else 1)

    def masked_step(states, now):
        x, counts = now[0], now[1][:, None]
        states = tuple(jnp.where(counts, new, old) for new, old in zip(step(states, x), states, strict=True))
        return states, jnp.where(counts, states[0], 0.0) if layer.zero_output_for_mask else states[0]

    order = slice(None, None, -1 if layer.go_backwards else 1)
    states, out = jax.lax.scan(masked_step, tuple(states), (x.swapaxes(0, 1)[order], steps.T[order]))
    return out.swapaxes(0, 1) if layer.return_sequences else out[-1], states


def merge(layer, x):
    """x, a list of two (n, t, u) or (n, u) -> the output of Bidirectional."""
    there, back = x[0], x[1][:, ::-1] if layer.layer.return_sequences else x[1]
    if layer.merge_mode == "concat":
        return jnp.concatenate([there, back], -1)
    return {"sum": there + back, "mul": there * back, "ave": (there + back) / 2}[layer.merge_mode]


def _recurrent(layer, weights, x, masks):
    return recurrent(layer, weights, x, masks=masks)[0]


LAYERS = {
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), _recurrent),
    "Bidirectional": lambda layer, weights, x, mask: merge(layer, x),
    "Masking": lambda layer, weights, x, mask: x * (x != layer.mask_value).any(-1, keepdims=True),
}
