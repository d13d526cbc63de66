"""Layers of every network as ONNX nodes: (graph, site, *inputs) -> name of the output."""

import numpy as np


def identity(graph, site, x):
    """Layers that do something in training alone."""
    return x


def dense(graph, site, x):
    """activation(x @ kernel + bias)."""
    out = graph.add("MatMul", x, site.weights["kernel"])
    if "bias" in site.weights:
        out = graph.add("Add", out, site.weights["bias"])
    return graph.activate(site.spec.activation, out)


def activation(graph, site, x):
    """f(x)."""
    return graph.activate(site.spec.activation, x)


def prelu(graph, site, x):
    """max(x, 0) + alpha * min(x, 0)."""
    low = graph.add("Mul", graph.add("Min", x, 0.0), site.weights["alpha"])
    return graph.add("Add", graph.add("Relu", x), low)


def reshape(graph, site, x):
    """The same entries under another shape."""
    return graph.reshape(x, *site.output_shape)


def concatenate(graph, site, *inputs):
    """Branches side by side."""
    return graph.concat(inputs, axis=site.spec.axis)


def residual(graph, site, x, y):
    """x + y."""
    return graph.add("Add", x, y)


def softmax_blocks(graph, site, x):
    """A softmax over each block of two outputs or more."""
    return by_block(graph, x, site.spec.sizes, lambda block, size: graph.add("Softmax", block, axis=-1))


def by_block(graph, x, sizes, change):
    """Return x (n, sum of the sizes) with `change(block, size)` in place of every block of two columns or more."""
    blocks = graph.add("Split", x, np.array(sizes, np.int64), axis=1, outputs=len(sizes)) if len(sizes) > 1 else [x]
    return graph.concat([change(one, size) if size > 1 else one for one, size in zip(blocks, sizes, strict=True)])


TRAINING_ONLY = ("AlphaDropout", "Dropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D")
EMITTERS = {
    **dict.fromkeys(TRAINING_ONLY, identity),
    "Activation": activation,
    "Concatenate": concatenate,
    "Dense": dense,
    "Flatten": reshape,
    "PReLU": prelu,
    "Reshape": reshape,
    "Residual": residual,
    "SoftmaxBlocks": softmax_blocks,
}
