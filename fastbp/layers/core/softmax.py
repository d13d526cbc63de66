"""Softmax along any neighbouring axes: x (n, m, k, c) -> out (n, m, k, c), each sum over k entries that are c apart.

    out = exp(x - largest) / sum(exp(x - largest));    dx = out * (dout - sum(dout * out))

Over the last axis (c = 1) it is the activation "softmax".  There a crossentropy may compute it in its own kernel.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.compiler.intrinsics import select
from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.kernels.columnsums import sum_products, sum_rows
from fastbp.kernels.tile import product_address
from fastbp.kernels.vecmath import exp_below
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation

SOFTMAX = layer_dtype(
    ("width", "i8"),  # k
    ("columns", "i8"),  # c
    ("product", "i8"),  # address
    *ACTIVATION_FIELDS,
)

C_SOFTMAX = """
/* softmax over the middle axis of x (blocks, n, apart), in place */
static void softmax_along(float *x, int blocks, int n, int apart)
{
    for (int block = 0; block < blocks; block++, x += n * apart)
        for (int j = 0; j < apart; j++) {
            float top = x[j], total = 0.0f;
            for (int i = 1; i < n; i++) top = fmaxf(top, x[i * apart + j]);
            for (int i = 0; i < n; i++) total += x[i * apart + j] = expf(x[i * apart + j] - top);
            for (int i = 0; i < n; i++) x[i * apart + j] /= total;
        }
}
"""


@kernel
def softmax_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, m, k, c) -> out (n, m, k, c)."""
    k, c = layer.width, layer.columns
    if c == 1:
        size = (stop - start) * layer.n_out
        x, out = span(work, layer.x + start * layer.n_out, size), span(work, layer.out + start * layer.n_out, size)
        if layer.activate:
            call(layer.activate, (out, x, k, layer.alpha))
        else:
            copy_entries(at(out, 0), at(x, 0), size)
        return
    total = span(work, layer.extra + start * c, c)
    for place in range(start * layer.n_out, stop * layer.n_out, k * c):
        x, out = span(work, layer.x + place, k * c), span(work, layer.out + place, k * c)
        copy_entries(at(total, 0), at(x, 0), c)
        for row in range(c, k * c, c):
            for j in range(c):
                total[j] = select(x[row + j] > total[j], x[row + j], total[j])
        for row in range(0, k * c, c):
            for j in range(c):
                out[row + j] = x[row + j] - total[j]
        for i in range(k * c):
            out[i] = exp_below(out[i])
        sum_rows(layer.product, total, False, k, at(out, 0), c)
        for row in range(0, k * c, c):
            for j in range(c):
                out[row + j] /= total[j]


@kernel
def softmax_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, m, k, c), out (n, m, k, c) -> dx (n, m, k, c)."""
    k, c = layer.width, layer.columns
    if c == 1:
        size = (stop - start) * layer.n_out
        out, dx = span(work, layer.out + start * layer.n_out, size), span(work, layer.dx + start * layer.n_out, size)
        copy_entries(at(dx, 0), at(work, layer.dout + start * layer.n_out), size)
        if layer.differentiate:
            call(layer.differentiate, (dx, out, out, k, layer.alpha))
        return
    total = span(work, layer.extra + start * c, c)
    for place in range(start * layer.n_out, stop * layer.n_out, k * c):
        out, dout = span(work, layer.out + place, k * c), span(work, layer.dout + place, k * c)
        dx = span(work, layer.dx + place, k * c)
        sum_products(total, False, k, at(dout, 0), c, at(out, 0), c, at(out, 0), c)
        for row in range(0, k * c, c):
            for j in range(c):
                dx[row + j] = out[row + j] * (dout[row + j] - total[j])


@LAYERS.register("Softmax")
@dataclass
class Softmax(Layer):
    """Numbers along an axis as shares that sum to 1: ``out = exp(x) / sum(exp(x))``, safe at any size.

    Parameters
    ----------
    axis : int or list of int, default -1
        The axes that share a sum; axis 0 is the batch. Several axes must be neighbours.
    name : str, optional
        Default ``"softmax"``, ``"softmax_1"`` and so on.

    Raises
    ------
    ValueError
        Where `axis` is no whole number or no list of these; at building, where the inputs have no such axis, it is the
        batch's, or several axes do not stand beside each other.

    Notes
    -----
    Inputs and outputs ``(n, ...)``. At the end of a model, in front of a crossentropy, the axis is -1.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Softmax(axis=1)], input_shape=(2, 2))
    >>> model.predict(np.array([[[0.0, 5.0], [0.0, 5.0]]])).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """

    axis: Any = -1
    name: str | None = None

    dtype = SOFTMAX
    forward, backward = softmax_forward, softmax_backward
    c_functions = {"softmax_along": C_SOFTMAX}
    keras_mask = 'would read the mask as one of classes; write Activation("softmax")'

    def __post_init__(self):
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if not axes or any(isinstance(axis, bool) or not isinstance(axis, int | np.integer) for axis in axes):
            raise ValueError(f"Softmax(axis={self.axis!r}): it is a whole number, or a list of these.")
        axes = tuple(int(axis) for axis in axes)
        self.axis = axes[0] if len(axes) == 1 else axes

    def build(self, input_shape: tuple[int, ...]) -> Build:
        first, stop = self.axes_of(len(input_shape))
        width, columns = math.prod(input_shape[first:stop]), math.prod(input_shape[stop:])
        fields = {"width": width, "columns": columns}
        return Build(output_shape=input_shape, fields=fields, extra=columns if columns > 1 else 0)

    def axes_of(self, dimensions: int) -> tuple[int, ...]:
        """Return the first of the axes (of a row, counted from 0), and one past the last."""
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        axes = sorted({axis + dimensions if axis < 0 else axis - 1 for axis in given})
        if axes[0] < 0 or axes[-1] >= dimensions or len(axes) < len(given):
            raise ValueError(
                f"Softmax(axis={self.axis!r}): inputs of {dimensions + 1} axes have the axes 1 to {dimensions}, "
                f"or -{dimensions} to -1, each but once."
            )
        if axes[-1] - axes[0] >= len(axes):
            raise ValueError(f"Softmax(axis={self.axis!r}): several axes must stand beside each other.")
        return axes[0], axes[-1] + 1

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_activation(record, ACTIVATIONS.resolve("softmax"), float_type)
        record["product"] = product_address(float_type)

    @property
    def output_activation(self) -> Any:
        return ACTIVATIONS.resolve("softmax") if self.axis == -1 else None

    def emit_onnx(graph: Any, site: Any, x: Any) -> Any:
        """Add the layer to an ONNX graph after `x`; return its output's name."""
        first, stop = site.spec.axes_of(len(site.output_shape))
        shape = site.output_shape
        flat = graph.reshape(x, *shape[:first], -1, *shape[stop:])
        return graph.reshape(graph.add("Softmax", flat, axis=first + 1), *shape)

    def emit_c(program: Any, site: Any, x: Any) -> Any:
        """Add the layer to a C program after `x`; return what its output is called."""
        first, stop = site.spec.axes_of(len(site.output_shape))
        blocks, n, apart = (
            math.prod(site.output_shape[axes]) for axes in (slice(first), slice(first, stop), slice(stop, None))
        )
        out = program.value(site.size)
        program.call("copy", x, out, site.size)
        program.call("softmax_along", out, blocks, n, apart)
        return out
