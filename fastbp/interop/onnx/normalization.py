"""Normalization layers as ONNX nodes."""

import numpy as np


def batch_normalization(graph, site, x):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the moving statistics, as x * scale + shift."""
    weights = {name: array.astype(np.float64) for name, array in site.weights.items()}
    scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + site.spec.epsilon)
    shift = weights.get("beta", 0.0) - weights["moving_mean"] * scale
    return graph.add("Add", graph.add("Mul", x, scale.astype(graph.dtype)), shift.astype(graph.dtype))


def layer_normalization(graph, site, x):
    """Every row of the last axis to mean 0 and variance 1, then * gamma + beta."""
    centred = graph.add("Sub", x, graph.reduce("Mean", x, [-1], keepdims=True))
    out = over_root_mean_square(graph, centred, site.spec.epsilon)
    for op, name in (("Mul", "gamma"), ("Add", "beta")):
        if name in site.weights:
            out = graph.add(op, out, site.weights[name])
    return out


def rms_normalization(graph, site, x):
    """x / sqrt(mean(x^2) + epsilon) * scale."""
    return graph.add("Mul", over_root_mean_square(graph, x, site.spec.epsilon), site.weights["scale"])


def over_root_mean_square(graph, x, epsilon):
    """Return x / sqrt(mean(x^2) + epsilon) over the last axis."""
    mean = graph.reduce("Mean", graph.add("Mul", x, x), [-1], keepdims=True)
    return graph.add("Div", x, graph.add("Sqrt", graph.add("Add", mean, epsilon)))


EMITTERS = {
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
}
