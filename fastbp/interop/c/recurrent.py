"""Recurrent layers and masks as C calls."""

from typing import Any

from fastbp.interop.c.activations import function_of
from fastbp.layers.recurrent.bidirectional import MERGES

# For each layer the C function, and how many vectors (u,) it needs as memory.
FUNCTIONS = {"SimpleRNN": ("simple_rnn", 2), "LSTM": ("lstm", 7), "GRU": ("gru", 5)}


def recurrent(program, site, x):
    """SimpleRNN, LSTM and GRU."""
    spec, kind = site.spec, site.spec.registered[1]
    if spec.stateful:
        raise ValueError(
            "it is stateful: its states stay from call to call, which the function does not. Export a model of the "
            "same layers with stateful=False and these weights (model.set_weights)."
        )
    function, vectors = FUNCTIONS[kind]
    (t, d), u = site.input_shapes[0], spec.units
    out, memory = program.value(site.size), program.value(vectors * u)
    weights = [site.array(program, name) for name in ("kernel", "recurrent_kernel")] + biases(program, site, kind)
    after = (spec.reset_after,) if kind == "GRU" else ()
    settings = t, d, u, spec.go_backwards, spec.return_sequences, spec.zero_output_for_mask, *after
    functions = [spec.activation] + ([] if kind == "SimpleRNN" else [spec.recurrent_activation])
    names = [function_of(program, one, u) for one in functions]
    program.call(function, x, *weights, site.mask, memory, out, *settings, *names)
    return out


def biases(program, site, kind):
    """Return the names of the arrays of biases, 0 where there is none; a GRU has one for inputs and one for states."""
    bias = site.weights.get("bias")
    if kind != "GRU":
        return [site.array(program, "bias")]
    if bias is None:
        return [0, 0]
    if bias.ndim == 1:
        return [site.array(program, "bias"), 0]
    return [program.array(f"{site.name}_{name}", part) for name, part in zip(("bias", "state_bias"), bias, strict=True)]


def bidirectional(program, site, there, back):
    """Both directions side by side, or their sum, product or mean."""
    t, u = site.input_shapes[0] if site.spec.layer.return_sequences else (1, *site.input_shapes[0])
    out = program.value(site.size)
    program.call("merge", there, back, out, t, u, MERGES.index(site.spec.merge_mode))
    return out


def masking(program, site, x):
    """Return the values of x, zero at steps to skip, and of the mask (t,)."""
    t, d = site.output_shape
    out, mask = program.value(site.size), program.value(t)
    program.call("mask_steps", x, float(site.spec.mask_value), mask, out, t, d)
    return out, mask


EMITTERS: dict[str, Any] = {**dict.fromkeys(FUNCTIONS, recurrent), "Bidirectional": bidirectional, "Masking": masking}
