"""GroupNormalization: the channels of each row, in groups, to mean 0 and variance 1 over all positions.

    xhat = (x - mean) / sqrt(mean((x - mean)^2) + epsilon)      mean: over the positions and a group's channels
    out = gamma * xhat + beta

The rows of a batch do not influence each other, so training and prediction compute the same.  For each row x (p, c)
seven vectors (c,) are kept.  A number that belongs to a group is repeated for each channel of the group.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.kernels.columnsums import sum_of_terms, sum_rows
from fastbp.kernels.rowsums import row_dot
from fastbp.kernels.tile import product_address
from fastbp.layers.base import LAYERS, Layer, layer_dtype, whole_number
from fastbp.layers.build import Build
from fastbp.layers.normalization.normalization import check_axis, gamma_and_beta, resolve_normalization

GROUPNORM = layer_dtype(
    ("positions", "i8"),  # p, product of the axes between the batch and the last one
    ("channels", "i8"),  # c
    ("width", "i8"),  # channels of a group
    ("gamma", "param"),
    ("beta", "param"),
    ("product", "i8"),  # address
    ("epsilon", "f8"),
)
# The vectors that are kept for a row.  Forward writes the mean, 1 / sqrt(variance + epsilon), and gamma (or 1).
# Backward writes the sums of dout and of dout * xhat over the positions, and the group's means of g and of g * xhat,
# where g is dout * gamma.
MEAN, INVERSE, GAMMA, DBETA, DGAMMA, MEAN_G, SLOPE = range(7)
KEPT = 7
C_NORMALIZE_GROUPS = """
/* out (rows, c) = (x - mean) / sqrt(variance + epsilon) * gamma (c,) + beta (c,), each group of columns by itself */
static void normalize_groups(const float *x, const float *gamma, const float *beta, float *out, int rows, int c,
                             int group, float epsilon)
{
    for (int first = 0; first < c; first += group) {
        const double n = (double)rows * group;
        double total = 0.0, square = 0.0;
        for (int row = 0; row < rows; row++)
            for (int j = first; j < first + group; j++) total += x[row * c + j];
        const float mean = (float)(total / n);
        for (int row = 0; row < rows; row++)
            for (int j = first; j < first + group; j++) square += (x[row * c + j] - mean) * (x[row * c + j] - mean);
        const float scale = 1.0f / sqrtf((float)(square / n) + epsilon);
        for (int row = 0; row < rows; row++)
            for (int j = first; j < first + group; j++) {
                const float z = (x[row * c + j] - mean) * scale;
                out[row * c + j] = (gamma ? gamma[j] * z : z) + (beta ? beta[j] : 0.0f);
            }
    }
}
"""


@inline
def kept(layer, row, place):
    """Return the offset in work of one of the vectors (c,) that are kept of a row."""
    return layer.extra + (row * KEPT + place) * layer.channels


@sum_of_terms
def sum_deviations(x, mean, same):
    return (x - mean) * (x - mean)


@inline
def sum_groups(layer, values, others, factor):
    """values (c,) = factor * the sum of values * others over each channel's group."""
    width = layer.width
    for first in range(0, layer.channels, width):
        total = row_dot(at(values, first), at(others, first), width) * factor
        for j in range(first, first + width):
            values[j] = total


@kernel
def groupnorm_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, p, c) -> out (n, p, c)."""
    p, c = layer.positions, layer.channels
    one, over, epsilon = work.dtype.type(1), work.dtype.type(1 / (p * layer.width)), work.dtype.type(layer.epsilon)
    for row in range(start, stop):
        mean, inverse = span(work, kept(layer, row, MEAN), c), span(work, kept(layer, row, INVERSE), c)
        weight = span(work, kept(layer, row, GAMMA), c)
        x = at(work, layer.x + row * p * c)
        for j in range(c):
            weight[j] = one
        sum_rows(layer.product, mean, False, p, x, c)
        sum_groups(layer, mean, weight, over)
        sum_deviations(inverse, False, p, x, c, at(mean, 0), 0, at(mean, 0), 0)
        sum_groups(layer, inverse, weight, over)
        for j in range(c):
            inverse[j] = one / np.sqrt(inverse[j] + epsilon)
        if layer.gamma >= 0:
            copy_entries(at(weight, 0), at(params, layer.gamma), c)
        # out = gamma * xhat + beta
        for place in range(row * p * c, (row + 1) * p * c, c):
            x_0, out = span(work, layer.x + place, c), span(work, layer.out + place, c)
            for j in range(c):
                out[j] = (x_0[j] - mean[j]) * inverse[j] * weight[j]
            if layer.beta >= 0:
                beta = span(params, layer.beta, c)
                for j in range(c):
                    out[j] += beta[j]


@sum_of_terms
def sum_centered(dout, x, mean):
    return dout * (x - mean)


@kernel
def groupnorm_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, p, c), x (n, p, c) -> dx (n, p, c), and each row's part of dgamma (c,) and dbeta (c,)."""
    p, c = layer.positions, layer.channels
    over = work.dtype.type(1 / (p * layer.width))
    for row in range(start, stop):
        mean, inverse = span(work, kept(layer, row, MEAN), c), span(work, kept(layer, row, INVERSE), c)
        weight = span(work, kept(layer, row, GAMMA), c)
        dbeta, dgamma = span(work, kept(layer, row, DBETA), c), span(work, kept(layer, row, DGAMMA), c)
        mean_g, slope = span(work, kept(layer, row, MEAN_G), c), span(work, kept(layer, row, SLOPE), c)
        x, dout = at(work, layer.x + row * p * c), at(work, layer.dout + row * p * c)
        sum_rows(layer.product, dbeta, False, p, dout, c)
        sum_centered(dgamma, False, p, dout, c, x, c, at(mean, 0), 0)
        for j in range(c):
            dgamma[j] *= inverse[j]
            mean_g[j], slope[j] = dbeta[j], dgamma[j]
        sum_groups(layer, mean_g, weight, over)
        sum_groups(layer, slope, weight, over)
        # dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + epsilon)
        for place in range(row * p * c, (row + 1) * p * c if layer.dx >= 0 else row * p * c, c):
            x_0, dout_0 = span(work, layer.x + place, c), span(work, layer.dout + place, c)
            dx = span(work, layer.dx + place, c)
            for j in range(c):
                xhat = (x_0[j] - mean[j]) * inverse[j]
                dx[j] = (dout_0[j] * weight[j] - mean_g[j] - xhat * slope[j]) * inverse[j]


@kernel
def groupnorm_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """What is kept of the rows -> entries first to end of dgamma (c,) or dbeta (c,)."""
    c, is_gamma = layer.channels, block == 0 and layer.gamma >= 0
    total = span(grads, (layer.gamma if is_gamma else layer.beta) + first, end - first)
    rows = at(work, kept(layer, start, DGAMMA if is_gamma else DBETA) + first)
    sum_rows(layer.product, total, accumulate, stop - start, rows, KEPT * c)


@LAYERS.register("GroupNormalization")
@dataclass
class GroupNormalization(Layer):
    """Group normalisation (Wu and He, 2018): the channels of each row in groups to mean 0 and variance 1, over all
    positions, then ``* gamma + beta``.

    Parameters
    ----------
    groups : int, default 32
        The number of groups, which have the same size: it divides the number of channels. -1: each channel is a group
        (instance normalisation).
    axis : int, default -1
        That of the channels, the last one.
    epsilon : float, default 0.001
        Added to the variance.
    center, scale : bool, default True
        Whether there is a beta, and a gamma.
    beta_initializer, gamma_initializer : str or initializer object
        Defaults ``"zeros"`` and ``"ones"``.
    beta_regularizer, gamma_regularizer : str or regularizer object, optional
    beta_constraint, gamma_constraint : MaxNorm, optional
        Bounds the norm of the whole vector.
    trainable : bool, default True
    name : str, optional
        Default ``"groupnormalization"``, ``"groupnormalization_1"`` and so on.

    Raises
    ------
    ValueError
        Where `groups` or `epsilon` is out of range, or (at building) the axis is not the last one or its size is no
        multiple of `groups`.

    Notes
    -----
    Inputs and outputs ``(n, ..., c)``, gamma and beta ``(c,)``.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.GroupNormalization(2, epsilon=1e-6)], input_shape=(4,))
    >>> model.predict(np.array([[1.0, 3.0, 10.0, 30.0]])).round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 0.001
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None
    trainable: bool = True
    name: str | None = None

    dtype = GROUPNORM
    forward, backward, gradient = groupnorm_forward, groupnorm_backward, groupnorm_gradient
    c_functions = {"normalize_groups": C_NORMALIZE_GROUPS}

    def __post_init__(self):
        resolve_normalization(self)
        if isinstance(self.groups, bool) or self.groups != -1:
            self.groups = whole_number(self, "groups")

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_axis(self, input_shape)
        *positions, c = input_shape
        groups = c if self.groups == -1 else self.groups
        if c % groups:
            raise ValueError(
                f"GroupNormalization(groups={groups}): the inputs have {c} channels, which is no multiple of it."
            )
        fields = {"positions": math.prod(positions), "channels": c, "width": c // groups}
        params = gamma_and_beta(self, (c,))
        return Build(output_shape=input_shape, params=params, fields=fields, extra=KEPT * c)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)

    def emit_onnx(graph: Any, site: Any, x: Any) -> Any:
        """Add the layer to an ONNX graph after `x`; return its output's name."""
        c, shape = site.output_shape[-1], site.output_shape
        groups = c if site.spec.groups == -1 else site.spec.groups
        x = graph.reshape(x, -1, groups, c // groups)
        centred = graph.add("Sub", x, graph.reduce("Mean", x, [1, 3], keepdims=True))
        variance = graph.reduce("Mean", graph.add("Mul", centred, centred), [1, 3], keepdims=True)
        deviation = graph.add("Sqrt", graph.add("Add", variance, site.spec.epsilon))
        out = graph.reshape(graph.add("Div", centred, deviation), *shape)
        for op, name in (("Mul", "gamma"), ("Add", "beta")):
            if name in site.weights:
                out = graph.add(op, out, site.weights[name])
        return out

    def emit_c(program: Any, site: Any, x: Any) -> Any:
        """Add the layer to a C program after `x`; return what its output is called."""
        out, c = program.value(site.size), site.output_shape[-1]
        groups = c if site.spec.groups == -1 else site.spec.groups
        arrays = site.array(program, "gamma"), site.array(program, "beta")
        sizes = site.size // c, c, c // groups
        program.call("normalize_groups", x, *arrays, out, *sizes, float(site.spec.epsilon))
        return out
