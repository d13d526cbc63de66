"""Recurrent layers: ONNX's LSTM, GRU and RNN where they mean the same, else a Scan over steps that are written out.

ONNX's operators take the usual activations, float32 (in onnxruntime) and no masks: a sequence may end early, but no
step in its middle can be left out.
"""

import numpy as np

from fastbp.interop.onnx.graph import value_info

# {fastbp's name of an activation: ONNX's name}.
FUNCTIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
# {layer: (ONNX's operator, the places of fastbp's gates in ONNX's order)}.
OPERATORS = {"SimpleRNN": ("RNN", [0]), "GRU": ("GRU", [0, 1, 2]), "LSTM": ("LSTM", [0, 3, 1, 2])}


def recurrent(graph, site, x):
    """SimpleRNN, LSTM and GRU on x (n, t, d)."""
    if site.spec.stateful:
        raise ValueError(
            "it is stateful: its states stay from call to call, which an ONNX graph cannot. Export a model of the same "
            "layers with stateful=False and these weights (model.set_weights)."
        )
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    mask = site.mask
    if mask is not None:
        mask = graph.add("Unsqueeze", graph.add("Transpose", mask, perm=[1, 0]), np.array([2]))
    if site.spec.go_backwards:
        x, mask = graph.reverse(x, 0), None if mask is None else graph.reverse(mask, 0)
    own = mask is None and graph.dtype == np.float32 and set(activations(site)) <= FUNCTIONS.keys()
    last, steps = (by_operator if own else by_scan)(graph, site, x, mask)
    return graph.add("Transpose", steps, perm=[1, 0, 2]) if site.spec.return_sequences else last


def activations(site):
    """Return the names of a layer's activations: of the gates, where there are some, and of the state."""
    spec = site.spec
    found = [spec.recurrent_activation] if hasattr(spec, "recurrent_activation") else []
    return [one.registered[1] for one in (*found, spec.activation)]


def by_operator(graph, site, x, mask):
    """Return the last output (n, u) and all of them (t, n, u), by ONNX's own operator."""
    kind = site.spec.registered[1]
    op, order = OPERATORS[kind]
    u, names = site.spec.units, [FUNCTIONS[name] for name in activations(site)]
    kernel, recurrent_kernel = (gates_first(site.weights[name], order, u) for name in ("kernel", "recurrent_kernel"))
    bias = biases(site, len(order)).reshape(2, len(order), u)[:, order].reshape(1, -1).astype(graph.dtype)
    more = {"linear_before_reset": int(site.spec.reset_after)} if kind == "GRU" else {}
    if kind == "LSTM":
        names.append(names[-1])  # of the candidate, and of the cell on its way out
    steps, last = graph.add(op, x, kernel, recurrent_kernel, bias, outputs=2, hidden_size=u, activations=names, **more)
    return graph.add("Squeeze", last, np.array([0])), graph.add("Squeeze", steps, np.array([1]))


def gates_first(kernel, order, u):
    """Return a kernel (d, gates * u) as ONNX wants it, (1, gates * u, d), the gates in its order."""
    gates = kernel.reshape(len(kernel), len(order), u)[:, order]
    return np.ascontiguousarray(gates.reshape(len(kernel), -1).T[None])


def biases(site, gates):
    """Return the biases of the inputs and of the state (2, gates * u)."""
    bias = site.weights.get("bias", np.zeros((2, gates * site.spec.units)))
    return bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])


def by_scan(graph, site, x, mask):
    """Return the last output (n, u) and all of them (t, n, u), step by step."""
    from onnx import helper

    kind, u, dtype = site.spec.registered[1], site.spec.units, graph.dtype
    _, order = OPERATORS[kind]
    bias = biases(site, len(order)).astype(dtype)
    z = graph.add("Add", graph.add("MatMul", x, site.weights["kernel"]), bias[0])
    n_states = 2 if kind == "LSTM" else 1
    body = graph.body()
    before = [body.name("state") for _ in range(n_states)]
    step_z, step_mask = body.name("z"), body.name("mask")
    after = STEPS[kind](body, site, step_z, before, bias[1])
    out = after[0]
    if mask is not None:
        after = [body.add("Where", step_mask, new, old) for new, old in zip(after, before, strict=True)]
        out = after[0]
        if site.spec.zero_output_for_mask:
            out = body.add("Where", step_mask, out, 0.0)
    inputs = [value_info(name, dtype, (u,)) for name in before]
    inputs.append(value_info(step_z, dtype, (len(order) * u,)))
    if mask is not None:
        inputs.append(value_info(step_mask, bool, (1,)))
    ends = [value_info(body.rename(name, "after"), dtype, (u,)) for name in (*after, out)]
    loop = helper.make_graph(body.nodes, f"step of {kind}", inputs, ends)
    start = zeros(graph, x, u)
    found = graph.add(
        "Scan",
        *[start] * n_states,
        *[one for one in (z, mask) if one is not None],
        outputs=n_states + 1,
        body=loop,
        num_scan_inputs=1 if mask is None else 2,
    )
    # Not the last state: where masked steps give zeros, the last output may be such a zero.
    return graph.gather(found[-1], -1, axis=0), found[-1]


def zeros(graph, x, u):
    """Return zeros (n, u) for x (t, n, d)."""
    n = graph.add("Slice", graph.add("Shape", x), np.array([1]), np.array([2]))
    return graph.add("Expand", 0.0, graph.concat([n, np_constant(graph, u)], axis=0))


def np_constant(graph, number):
    """Return the name of a whole number (1,)."""
    return graph.constant(np.array([number], np.int64))


def split(graph, z, gates, u):
    """Return the parts (n, u) of z (n, gates * u)."""
    if gates == 1:
        return [z]
    return graph.add("Split", z, np.full(gates, u, np.int64), axis=1, outputs=gates)


def rnn_step(graph, site, z, states, bias):
    """h = activation(z + h before @ recurrent kernel)."""
    total = graph.add("Add", z, graph.add("MatMul", states[0], site.weights["recurrent_kernel"]))
    return [graph.activate(site.spec.activation, total)]


def lstm_step(graph, site, z, states, bias):
    """cell = f * cell before + i * g, h = o * activation(cell)."""
    spec, (h, cell) = site.spec, states
    z = graph.add("Add", z, graph.add("MatMul", h, site.weights["recurrent_kernel"]))
    i, f, g, o = split(graph, z, 4, spec.units)
    i, f, o = (graph.activate(spec.recurrent_activation, gate) for gate in (i, f, o))
    new = graph.add("Mul", i, graph.activate(spec.activation, g))
    cell = graph.add("Add", graph.add("Mul", f, cell), new)
    return [graph.add("Mul", o, graph.activate(spec.activation, cell)), cell]


def gru_step(graph, site, z, states, bias):
    """h = update * h before + (1 - update) * activation(z of h)."""
    spec, (h,), u = site.spec, states, site.spec.units
    recurrent_kernel = np.ascontiguousarray(site.weights["recurrent_kernel"])
    z_update, z_reset, z_state = split(graph, z, 3, u)
    gates = graph.add("MatMul", h, np.ascontiguousarray(recurrent_kernel[:, : 2 * u]))
    gates = graph.add("Add", gates, np.ascontiguousarray(bias[: 2 * u]))
    more_update, more_reset = split(graph, gates, 2, u)
    update = graph.activate(spec.recurrent_activation, graph.add("Add", z_update, more_update))
    reset = graph.activate(spec.recurrent_activation, graph.add("Add", z_reset, more_reset))
    kernel = np.ascontiguousarray(recurrent_kernel[:, 2 * u :])
    if spec.reset_after:
        passed = graph.add("Add", graph.add("MatMul", h, kernel), np.ascontiguousarray(bias[2 * u :]))
        passed = graph.add("Mul", reset, passed)
    else:
        passed = graph.add("MatMul", graph.add("Mul", reset, h), kernel)
    state = graph.activate(spec.activation, graph.add("Add", z_state, passed))
    kept = graph.add("Mul", update, h)
    return [graph.add("Add", kept, graph.add("Mul", graph.add("Sub", 1.0, update), state))]


STEPS = {"SimpleRNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}


def bidirectional(graph, site, there, back):
    """The outputs of both directions side by side, or their sum, product or mean."""
    if site.spec.layer.return_sequences:
        back = graph.reverse(back, 1)
    mode = site.spec.merge_mode
    if mode == "concat":
        return graph.concat([there, back], axis=-1)
    out = graph.add("Mul" if mode == "mul" else "Add", there, back)
    return graph.add("Mul", out, 0.5) if mode == "ave" else out


def masking(graph, site, x):
    """Skipped steps of x (n, t, d) become zero; a step counts if it holds something beside the mask's value."""
    equal = graph.cast(graph.add("Equal", x, float(site.spec.mask_value)))
    # 1 where all entries are equal.
    all_equal = graph.reduce("Min", equal, [2])
    mask = graph.add("Less", all_equal, 0.5)
    return graph.add("Where", graph.add("Unsqueeze", mask, np.array([2])), x, 0.0), mask


EMITTERS = {
    **dict.fromkeys(OPERATORS, recurrent),
    "Bidirectional": bidirectional,
    "Masking": masking,
}
