"""LayerScale: out (n, ..., d) = x (n, ..., d) * gamma (d,), a trained factor for each channel, small at first."""

import math
from dataclasses import dataclass
from typing import Any

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, span
from fastbp.initializers import Constant
from fastbp.kernels.columnsums import sum_products
from fastbp.layers.base import LAYERS, Layer, layer_dtype, whole_number
from fastbp.layers.build import Build, Param
from fastbp.settings.validation import is_number

LAYER_SCALE = layer_dtype(
    ("positions", "i8"),  # product of the axes between the batch and the last one
    ("d", "i8"),
    ("gamma", "param"),
)


@kernel
def layer_scale_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d), gamma (d,) -> out (n, d)."""
    d, gamma = layer.d, span(params, layer.gamma, layer.d)
    for row in range(start * layer.positions, stop * layer.positions):
        x, out = span(work, layer.x + row * d, d), span(work, layer.out + row * d, d)
        # out = x * gamma
        for j in range(d):
            out[j] = x[j] * gamma[j]


@kernel
def layer_scale_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, d), gamma (d,) -> dx (n, d)."""
    d, gamma = layer.d, span(params, layer.gamma, layer.d)
    for row in range(start * layer.positions, stop * layer.positions):
        dout, dx = span(work, layer.dout + row * d, d), span(work, layer.dx + row * d, d)
        # dx = dout * gamma
        for j in range(d):
            dx[j] = dout[j] * gamma[j]


@kernel
def layer_scale_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, d), dout (n, d) -> entries first to end of dgamma (d,)."""
    d, row, rows = layer.d, start * layer.positions, (stop - start) * layer.positions
    # dgamma = the sum over rows of dout * x
    dgamma = span(grads, layer.gamma + first, end - first)
    x, dout = at(work, layer.x + row * d + first), at(work, layer.dout + row * d + first)
    sum_products(dgamma, accumulate, rows, dout, d, x, d, x, d)


@LAYERS.register("LayerScale")
@dataclass
class LayerScale(Layer):
    """A trained factor for each channel at the end of a residual block (Touvron et al., 2021): ``out = x * gamma``.

    Parameters
    ----------
    init_values : float
        Where all factors start: 1e-6 in ConvNeXt, so that deep networks begin as the identity.
    projection_dim : int, optional
        The size of the inputs' last axis, which is the default.
    trainable : bool, default True
    name : str, optional
        Default ``"layerscale"``, ``"layerscale_1"`` and so on.

    Raises
    ------
    ValueError
        Where `init_values` is not a finite number, or (at building) the last axis is not of size `projection_dim`.

    Notes
    -----
    Inputs and outputs ``(n, ..., d)``, gamma ``(d,)``.

    Examples
    --------
    >>> import fastbp
    >>> block = fastbp.Residual([fastbp.Dense(4, "gelu"), fastbp.LayerScale(0.1)])
    >>> fastbp.Sequential([block], input_shape=(4,)).views["layerscale/gamma"].round(3).tolist()
    [0.10000000149011612, 0.10000000149011612, 0.10000000149011612, 0.10000000149011612]
    """

    init_values: float
    projection_dim: int | None = None
    trainable: bool = True
    name: str | None = None

    dtype = LAYER_SCALE
    forward, backward, gradient = layer_scale_forward, layer_scale_backward, layer_scale_gradient
    only_dx = True

    def __post_init__(self):
        if not is_number(self.init_values) or not math.isfinite(self.init_values):
            raise ValueError(f"LayerScale(init_values={self.init_values!r}): it is a finite number.")
        self.init_values = float(self.init_values)
        if self.projection_dim is not None:
            self.projection_dim = whole_number(self, "projection_dim")

    def build(self, input_shape: tuple[int, ...]) -> Build:
        *positions, d = input_shape
        if self.projection_dim not in (None, d):
            raise ValueError(f"LayerScale(projection_dim={self.projection_dim}): the last axis of its inputs has {d}.")
        params = [Param("gamma", (d,), Constant(self.init_values))]
        return Build(output_shape=input_shape, params=params, fields={"positions": math.prod(positions), "d": d})

    def emit_onnx(graph: Any, site: Any, x: Any) -> Any:
        """Add the layer to an ONNX graph after `x`; return its output's name."""
        return graph.add("Mul", x, site.weights["gamma"])

    def emit_c(program: Any, site: Any, x: Any) -> Any:
        """Add the layer to a C program after `x`; return what its output is called."""
        out, d = program.value(site.size), site.output_shape[-1]
        program.call("affine", x, site.array(program, "gamma"), 0, out, site.size // d, d)
        return out
