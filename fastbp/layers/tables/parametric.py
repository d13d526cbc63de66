"""ParametricActivation: out (n, k) = x + alpha (k,) * (f(x) - x), alpha trained."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.kernels.columnsums import sum_of_terms
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings
from fastbp.layers.build import Build, Param
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation

PARAMETRIC = layer_dtype(
    ("columns", "i8"),  # entries of alpha for each index of its first axis
    ("width", "i8"),  # size of the last axis, over which softmax sums
    *ACTIVATION_FIELDS,
)


@kernel
def parametric_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k), alpha (k,) -> out (n, k); f(x) (n, k) is kept."""
    k = layer.n_out
    size = (stop - start) * k
    x, f = span(work, layer.x + start * k, size), span(work, layer.extra + start * k, size)
    if layer.activate:
        call(layer.activate, (f, x, layer.width, layer.alpha))
    else:
        copy_entries(at(work, layer.extra + start * k), at(work, layer.x + start * k), size)
    alpha = span(params, layer.params, k)
    for row in range(start, stop):
        x, f = span(work, layer.x + row * k, k), span(work, layer.extra + row * k, k)
        out = span(work, layer.out + row * k, k)
        # out = x + alpha * (f(x) - x)
        for j in range(k):
            out[j] = x[j] + alpha[j] * (f[j] - x[j])


@kernel
def parametric_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), x (n, k), f(x) (n, k), alpha (k,) -> dx (n, k)."""
    k = layer.n_out
    alpha = span(params, layer.params, k)
    for row in range(start, stop):
        dout, dx = span(work, layer.dout + row * k, k), span(work, layer.dx + row * k, k)
        for j in range(k):
            dx[j] = alpha[j] * dout[j]
    # dx = alpha * dout * f'(x) + (1 - alpha) * dout
    if layer.differentiate:
        size = (stop - start) * k
        x, f = span(work, layer.x + start * k, size), span(work, layer.extra + start * k, size)
        call(layer.differentiate, (span(work, layer.dx + start * k, size), x, f, layer.width, layer.alpha))
    unit = work.dtype.type(1)
    for row in range(start, stop):
        dout, dx = span(work, layer.dout + row * k, k), span(work, layer.dx + row * k, k)
        for j in range(k):
            dx[j] += (unit - alpha[j]) * dout[j]


@sum_of_terms
def sum_differences(dout, f, x):
    return dout * (f - x)


@kernel
def parametric_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, k), f(x) (n, k), dout (n, k) -> rows first to end (of `columns` entries) of dalpha (k,)."""
    k = layer.n_out
    first, end = first * layer.columns, end * layer.columns
    dalpha = span(grads, layer.params + first, end - first)
    x, f = at(work, layer.x + start * k + first), at(work, layer.extra + start * k + first)
    # dalpha = the sum over rows of dout * (f(x) - x)
    sum_differences(dalpha, accumulate, stop - start, at(work, layer.dout + start * k + first), k, f, k, x, k)


@LAYERS.register("ParametricActivation")
@dataclass
class ParametricActivation(Layer):
    """An activation mixed with its input: ``out = x + alpha * (f(x) - x)``, one trained alpha an entry of a row.

    alpha 1 is the activation, 0 the identity (RealMLP, Holzmueller et al., 2024).

    Parameters
    ----------
    activation : str or activation object
    alpha_initializer : str or initializer object, default "ones"
    learning_rate_factor : float, default 1.0
        alpha's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        alpha's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"parametricactivation"``, ``"parametricactivation_1"`` and so on.

    Raises
    ------
    ValueError
        Where a name is unknown, or a factor is not a finite number of at least 0.
    TypeError
        Where another setting is neither a name nor an object of its kind.

    Notes
    -----
    Inputs and outputs ``(n, ...)``, alpha ``(...)``.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.Dense(3), fastbp.ParametricActivation("mish", learning_rate_factor=0.1)]
    >>> model = fastbp.Sequential(layers, input_shape=(2,))
    >>> model.views["parametricactivation/alpha"].tolist()
    [1.0, 1.0, 1.0]
    """

    activation: Any
    alpha_initializer: Any = "ones"
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = PARAMETRIC
    forward, backward, gradient = parametric_forward, parametric_backward, parametric_gradient
    only_dx = True

    def __post_init__(self):
        resolve_settings(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        alpha = Param(
            "alpha",
            input_shape,
            self.alpha_initializer,
            learning_rate_factor=self.learning_rate_factor,
            decay_factor=self.decay_factor,
        )
        fields = {"columns": math.prod(input_shape[1:]), "width": input_shape[-1]}
        return Build(output_shape=input_shape, params=[alpha], fields=fields, extra=math.prod(input_shape))

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_activation(record, self.activation, float_type)
