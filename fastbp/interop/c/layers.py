"""The table of all layers' C emitters: (program, site, *values) -> value of the output."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.interop.c import recurrent, windows
from fastbp.interop.c.activations import function_of
from fastbp.interop.emitters import emitter_of, weights_of
from fastbp.layers.core.branches import Fork


class Site(NamedTuple):
    """A layer where it stands: its name, settings, shapes of a row, names of its weights' arrays, and its mask."""

    name: str
    spec: Any
    input_shapes: tuple
    output_shape: tuple
    weights: dict
    mask: Any = 0

    @property
    def size(self):
        """Entries of its output."""
        return math.prod(self.output_shape)

    def array(self, program, weight):
        """Return the name of a weight's array in C, 0 where there is none."""
        return program.array(f"{self.name}_{weight}", self.weights[weight]) if weight in self.weights else 0


def identity(program, site, x):
    """Layers that act in training alone, and layers that only change the shape."""
    return x


def dense(program, site, x):
    """activation(x @ kernel + bias)."""
    d, k = site.weights["kernel"].shape
    out = program.value(site.size)
    kernel, bias = site.array(program, "kernel"), site.array(program, "bias")
    program.call("dense", x, kernel, bias, out, site.size // k, d, k)
    program.activate(site.spec.activation, out, k)
    return out


def activation(program, site, x):
    """f(x), computed in a copy of x."""
    out = program.value(site.size)
    program.call("copy", x, out, site.size)
    program.activate(site.spec.activation, out, site.output_shape[-1])
    return out


def prelu(program, site, x):
    """max(x, 0) + alpha * min(x, 0)."""
    out = program.value(site.size)
    program.call("prelu", x, site.array(program, "alpha"), out, site.size)
    return out


def concatenate(program, site, *inputs):
    """Branches side by side."""
    axis = site.spec.axis - 1 if site.spec.axis > 0 else site.spec.axis + len(site.output_shape)
    out, first = program.value(site.size), 0
    blocks, total = math.prod(site.output_shape[:axis]), math.prod(site.output_shape[axis:])
    for x, shape in zip(inputs, site.input_shapes, strict=True):
        size = math.prod(shape[axis:])
        program.call("beside", x, out, blocks, size, total, first)
        first += size
    return out


def residual(program, site, x, y):
    """x + y."""
    out = program.value(site.size)
    program.call("add", x, y, out, site.size)
    return out


def softmax_blocks(program, site, x):
    """A softmax over each block of two outputs or more, computed in a copy of x."""
    out, first = program.value(site.size), 0
    program.call("copy", x, out, site.size)
    for size in site.spec.sizes:
        if size > 1:
            function = function_of(program, ACTIVATIONS.resolve("softmax"), size)
            program.line(f"{function}({{}} + {first}, {size});", out)
        first += size
    return out


def batch_normalization(program, site, x):
    """x * scale + shift, two vectors made of the moving statistics, gamma and beta."""
    weights = {name: array.astype(np.float64) for name, array in site.weights.items()}
    scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + site.spec.epsilon)
    shift = weights.get("beta", 0.0) - weights["moving_mean"] * scale
    out = program.value(site.size)
    arrays = [program.array(f"{site.name}_{name}", array) for name, array in (("scale", scale), ("shift", shift))]
    program.call("affine", x, *arrays, out, site.size // len(scale), len(scale))
    return out


def normalization(gamma, centred):
    """Return the emitter of a normalization of rows; `gamma` names its factor, `centred`: is the mean subtracted?"""

    def emit(program, site, x):
        out, d = program.value(site.size), site.output_shape[-1]
        arrays = site.array(program, gamma), site.array(program, "beta")
        program.call("normalize", x, *arrays, out, site.size // d, d, float(site.spec.epsilon), centred)
        return out

    return emit


def scaling(program, site, x):
    """x * scale + bias."""
    out = program.value(site.size)
    program.call("affine", x, site.array(program, "scale"), site.array(program, "bias"), out, 1, site.size)
    return out


def parametric_activation(program, site, x):
    """x + alpha * (f(x) - x)."""
    out = activation(program, site, x)
    program.call("mix", x, site.array(program, "alpha"), out, site.size)
    return out


def columns(program, site, x):
    """Some columns of a row."""
    out = program.value(site.size)
    program.call("columns", x, program.array(f"{site.name}_chosen", site.spec.columns, "int"), out, site.size)
    return out


def embedding(program, site, x):
    """Rows of a table; 0 is a step to skip where the layer masks."""
    out, k = program.value(site.size), site.output_shape[-1]
    program.call("embed", x, site.array(program, "embeddings"), out, site.size // k, k)
    return (out, x) if site.spec.mask_zero else out


def category_embedding(program, site, x):
    """A row of each column's own table, side by side."""
    out, first = program.value(site.size), 0
    for i, k in enumerate(site.spec.output_dims):
        table = site.array(program, f"column_{i}")
        program.need("embed")
        program.line(f"embed({{}} + {i}, {table}, {{}} + {first}, 1, {k});", x, out)
        first += k
    return out


def one_hot(program, site, x):
    """A one among zeros for each column."""
    out = program.value(site.size)
    sizes = program.array(f"{site.name}_categories", site.spec.cardinalities, "int")
    program.call("one_hot", x, sizes, out, len(site.spec.cardinalities))
    return out


def periodic_embedding(program, site, x):
    """[x, cos(2 pi frequency x + phase) @ kernel + bias]."""
    out, (d, f) = program.value(site.size), site.weights["phase"].shape
    arrays = [site.array(program, name) for name in ("frequency", "phase", "kernel", "bias")]
    program.call("waves", x, *arrays, out, d, f, site.output_shape[-1])
    return out


def piecewise_linear_embedding(program, site, x):
    """x * slope + bias + shares @ kernel."""
    out, (d, k) = program.value(site.size), site.output_shape
    starts = np.cumsum([0, *(len(edges) - 1 for edges in site.spec.bins)])
    low, over, _, _ = site.spec.tables(program.dtype)
    tables = [program.array(f"{site.name}_{name}", array) for name, array in (("low", low), ("over", over))]
    arrays = [site.array(program, name) for name in ("kernel", "slope", "bias")]
    program.call("pieces", x, program.array(f"{site.name}_starts", starts, "int"), *tables, *arrays, out, d, k)
    return out


def repeat_members(program, site, x):
    """Every row once for each member."""
    out = program.value(site.size)
    program.call("repeat", x, out, site.spec.members, x.size)
    return out


def member_dense(program, site, x):
    """A dense layer for each member."""
    m, d, k = site.weights["kernel"].shape
    out, kernel, bias = program.value(site.size), site.array(program, "kernel"), site.array(program, "bias")
    program.need("dense")
    for i in range(m):
        own = f"{bias} + {i * k}" if bias else 0
        program.line(f"dense({{}} + {i * d}, {kernel} + {i * d * k}, {own}, {{}} + {i * k}, 1, {d}, {k});", x, out)
    program.activate(site.spec.activation, out, k)
    return out


def member_mean(program, site, x):
    """The mean of the members."""
    out = program.value(site.size)
    program.call("mean_rows", x, out, site.input_shapes[0][0], site.size)
    return out


ALIKE = (*("AlphaDropout", "Dropout", "Flatten", "GaussianNoise", "Reshape", "SpatialDropout1D", "SpatialDropout2D"),)
EMITTERS = {
    **dict.fromkeys(ALIKE, identity),
    **windows.EMITTERS,
    **recurrent.EMITTERS,
    "Activation": activation,
    "BatchNormalization": batch_normalization,
    "CategoryEmbedding": category_embedding,
    "Columns": columns,
    "Concatenate": concatenate,
    "Dense": dense,
    "Embedding": embedding,
    "LayerNormalization": normalization("gamma", True),
    "MemberDense": member_dense,
    "MemberMean": member_mean,
    "OneHot": one_hot,
    "PReLU": prelu,
    "ParametricActivation": parametric_activation,
    "PeriodicEmbedding": periodic_embedding,
    "PiecewiseLinearEmbedding": piecewise_linear_embedding,
    "RMSNormalization": normalization("scale", False),
    "RepeatMembers": repeat_members,
    "Residual": residual,
    "Scaling": scaling,
    "SoftmaxBlocks": softmax_blocks,
}
# Name of the layer: why it has none.
REFUSED: dict = {}


def emit_network(program, model, x, prefix=""):
    """Append the calls that apply a `Sequential` to the value x (a row); return the value of its predictions.

    Raises
    ------
    ValueError
        For a layer or activation that has no C, by name.
    """
    network, views = model.engine.network, model.views
    values, masks = {-1: x}, {}
    for number, placed in enumerate(network.layers):
        inputs = [values[source.layer] for source in placed.sources]
        if isinstance(placed.spec, Fork):
            values[number] = inputs[0]
            continue
        masking = network.masking_layer(number)
        mask = 0 if masking is None else masks[masking]
        site = Site(
            f"{prefix}{placed.name}",
            placed.spec,
            placed.input_shapes,
            placed.output_shape,
            weights_of(placed, views),
            mask,
        )
        program.comment(f"{placed.name}: {' and '.join(map(str, placed.input_shapes))} -> {placed.output_shape}")
        try:
            program.define(type(placed.spec).c_functions)
            emitter = emitter_of(placed.spec, "emit_c", EMITTERS, REFUSED)
            found = emitter(program, site, *inputs)
        except ValueError as error:
            raise ValueError(f"layer {placed.name!r} ({type(placed.spec).__name__}) has no C: {error}") from None
        values[number], masks[number] = found if isinstance(found, tuple) else (found, 0)
    return values[network.output.layer]
