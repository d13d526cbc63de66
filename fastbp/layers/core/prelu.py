"""PReLU: out (n, k) = max(x, 0) + alpha (k,) * min(x, 0), alpha trained."""

import math
from dataclasses import dataclass
from typing import Any

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, span
from fastbp.kernels.columnsums import sum_of_terms
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings
from fastbp.layers.build import Build, Param

PRELU = layer_dtype(("columns", "i8"))  # entries of alpha for each index of its first axis


@kernel
def prelu_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k), alpha (k,) -> out (n, k)."""
    k = layer.n_out
    alpha = span(params, layer.params, k)
    for row in range(start, stop):
        x = span(work, layer.x + row * k, k)
        out = span(work, layer.out + row * k, k)
        # out = x where x > 0, else alpha * x (the comparison sends NaN to the product, where it survives)
        for j in range(k):
            out[j] = x[j] if x[j] > 0 else alpha[j] * x[j]


@kernel
def prelu_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), x (n, k), alpha (k,) -> dx (n, k)."""
    k = layer.n_out
    alpha = span(params, layer.params, k)
    for row in range(start, stop):
        x = span(work, layer.x + row * k, k)
        dout = span(work, layer.dout + row * k, k)
        dx = span(work, layer.dx + row * k, k)
        # dx = dout where x > 0, else alpha * dout
        for j in range(k):
            dx[j] = dout[j] if x[j] > 0 else alpha[j] * dout[j]


@sum_of_terms
def sum_slopes(dout, x, _):
    return select(x > 0, like(x, 0), dout * x)


@kernel
def prelu_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, k), dout (n, k) -> rows first to end (of `columns` entries) of dalpha (k,)."""
    k = layer.n_out
    first, end = first * layer.columns, end * layer.columns
    dalpha = span(grads, layer.params + first, end - first)
    x, dout = at(work, layer.x + start * k + first), at(work, layer.dout + start * k + first)
    # dalpha = the sum over rows of dout * min(x, 0)
    sum_slopes(dalpha, accumulate, stop - start, dout, k, x, k, x, k)


@LAYERS.register("PReLU")
@dataclass
class PReLU(Layer):
    """Parametric ReLU (He et al., 2015): ``out = max(x, 0) + alpha * min(x, 0)`` with a trained slope for each input.

    Parameters
    ----------
    alpha_initializer : str or initializer object, default "zeros"
    alpha_regularizer : str or regularizer object, optional
    trainable : bool, default True
    name : str, optional
        Default ``"prelu"``, ``"prelu_1"`` and so on.

    Raises
    ------
    ValueError
        Where a name is unknown, or `trainable` is neither True nor False.
    TypeError
        Where another setting is neither a name nor an object of its kind.

    Notes
    -----
    Inputs and outputs ``(n, k)``, alpha ``(k,)``; of inputs with more axes, alpha has the shape of one row.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(3), fastbp.PReLU()], input_shape=(2,))
    >>> model.views["prelu/alpha"].shape
    (3,)
    """

    alpha_initializer: Any = "zeros"
    alpha_regularizer: Any = None
    trainable: bool = True
    name: str | None = None

    dtype = PRELU
    forward, backward, gradient = prelu_forward, prelu_backward, prelu_gradient
    only_dx = True

    def __post_init__(self):
        resolve_settings(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        penalties = self.alpha_regularizer.factors if self.alpha_regularizer else (0.0, 0.0)
        params = [Param("alpha", input_shape, self.alpha_initializer, *penalties)]
        return Build(output_shape=input_shape, params=params, fields={"columns": math.prod(input_shape[1:])})
