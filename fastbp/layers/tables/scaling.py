"""Scaling: out (n, k) = x (n, k) * scale (k,) + bias (k,), a trained factor for each entry of a row."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, span
from fastbp.kernels.columnsums import sum_products, sum_rows
from fastbp.kernels.tile import product_address
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings
from fastbp.layers.build import Build, Param

SCALING = layer_dtype(
    ("columns", "i8"),  # entries of a parameter for each index of its first axis
    ("bias", "param"),
    ("product", "i8"),  # address
)


@kernel
def scaling_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k), scale (k,), bias (k,) -> out (n, k)."""
    k = layer.n_out
    scale = span(params, layer.params, k)
    for row in range(start, stop):
        x, out = span(work, layer.x + row * k, k), span(work, layer.out + row * k, k)
        # out = x * scale + bias
        if layer.bias >= 0:
            bias = span(params, layer.bias, k)
            for j in range(k):
                out[j] = x[j] * scale[j] + bias[j]
        else:
            for j in range(k):
                out[j] = x[j] * scale[j]


@kernel
def scaling_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), scale (k,) -> dx (n, k)."""
    k = layer.n_out
    scale = span(params, layer.params, k)
    for row in range(start, stop):
        dout, dx = span(work, layer.dout + row * k, k), span(work, layer.dx + row * k, k)
        # dx = dout * scale
        for j in range(k):
            dx[j] = dout[j] * scale[j]


@kernel
def scaling_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, k), dout (n, k) -> rows first to end (of `columns` entries) of dscale (k,) or dbias (k,)."""
    k = layer.n_out
    first, end = first * layer.columns, end * layer.columns
    if block == 1:
        # dbias = the sum over rows of dout
        dbias = span(grads, layer.bias + first, end - first)
        sum_rows(layer.product, dbias, accumulate, stop - start, at(work, layer.dout + start * k + first), k)
        return
    dscale = span(grads, layer.params + first, end - first)
    x, dout = at(work, layer.x + start * k + first), at(work, layer.dout + start * k + first)
    # dscale = the sum over rows of dout * x
    sum_products(dscale, accumulate, stop - start, dout, k, x, k, x, k)


@LAYERS.register("Scaling")
@dataclass
class Scaling(Layer):
    """One trained factor for every entry of a row: ``out = x * scale``, or ``x * scale + bias``.

    In front of a network it weighs the features (the scaling layer of RealMLP, Holzmueller et al., 2024). On the
    activations ``(n, members, d)`` of an ensemble with shared weights it holds the members' own adapters
    (BatchEnsemble, Wen et al., 2020; TabM, Gorishniy et al., 2025).

    Parameters
    ----------
    scale_initializer : str or initializer object, default "ones"
        ``"random_signs"`` for the first adapter of an ensemble.
    use_bias : bool, default False
    bias_initializer : str or initializer object, default "zeros"
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"scaling"``, ``"scaling_1"`` and so on.

    Raises
    ------
    ValueError
        Where a name is unknown, or a factor is not a finite number of at least 0.
    TypeError
        Where another setting is neither a name nor an object of its kind.

    Notes
    -----
    Inputs and outputs ``(n, ...)``, scale and bias ``(...)``.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Scaling(), fastbp.Dense(3)], input_shape=(2,))
    >>> model.views["scaling/scale"].tolist()
    [1.0, 1.0]
    """

    scale_initializer: Any = "ones"
    use_bias: bool = False
    bias_initializer: Any = "zeros"
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = SCALING
    forward, backward, gradient = scaling_forward, scaling_backward, scaling_gradient
    only_dx = True

    def __post_init__(self):
        resolve_settings(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        factors: dict[str, Any] = {"learning_rate_factor": self.learning_rate_factor, "decay_factor": self.decay_factor}
        params = [Param("scale", input_shape, self.scale_initializer, **factors)]
        if self.use_bias:
            params.append(Param("bias", input_shape, self.bias_initializer, **factors))
        return Build(output_shape=input_shape, params=params, fields={"columns": math.prod(input_shape[1:])})

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)
