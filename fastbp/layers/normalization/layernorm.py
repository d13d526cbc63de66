"""LayerNormalization and RMSNormalization: rows of the last axis get mean 0 and variance 1, or the mean square 1.

    xhat = (x - mean) / sqrt(mean((x - mean)^2) + epsilon)      RMSNormalization: without the mean
    out = gamma * xhat + beta

The rows do not influence each other, so training and prediction compute the same.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.initializers import Ones
from fastbp.kernels.columnsums import sum_products, sum_rows
from fastbp.kernels.rowsums import row_dot, row_sum
from fastbp.kernels.tile import product_address
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build, Param
from fastbp.layers.normalization.normalization import check_axis, gamma_and_beta, resolve_normalization

LAYERNORM = layer_dtype(
    ("rows", "i8"),  # product of the axes between the batch and the last one
    ("d", "i8"),
    ("gamma", "param"),
    ("beta", "param"),
    ("subtract", "i8"),  # 0: the mean stays
    ("product", "i8"),  # address
    ("epsilon", "f8"),
)


@inline
def kept(layer, row):
    """Return the offset in work of a row's xhat (d,); the row's 1 / sqrt(variance + epsilon) follows it."""
    return layer.extra + row * (layer.d + 1)


@kernel
def layernorm_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d) -> out (n, d); xhat (n, d) and 1 / sqrt(variance + epsilon) (n,) are kept."""
    d = layer.d
    one_, over, epsilon = work.dtype.type(1), work.dtype.type(1 / d), work.dtype.type(layer.epsilon)
    for row in range(start * layer.rows, stop * layer.rows):
        x, out = span(work, layer.x + row * d, d), span(work, layer.out + row * d, d)
        xhat = span(work, kept(layer, row), d)
        mean = row_sum(at(x, 0), d) * over if layer.subtract else work.dtype.type(0)
        for j in range(d):
            xhat[j] = x[j] - mean
        inverse = one_ / np.sqrt(row_dot(at(xhat, 0), at(xhat, 0), d) * over + epsilon)
        work[kept(layer, row) + d] = inverse
        for j in range(d):
            xhat[j] *= inverse
        # out = gamma * xhat + beta
        if layer.gamma >= 0:
            gamma = span(params, layer.gamma, d)
            for j in range(d):
                out[j] = xhat[j] * gamma[j]
        else:
            copy_entries(at(out, 0), at(xhat, 0), d)
        if layer.beta >= 0:
            beta = span(params, layer.beta, d)
            for j in range(d):
                out[j] += beta[j]


@kernel
def layernorm_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, d), xhat (n, d) -> dx (n, d)."""
    d = layer.d
    over = work.dtype.type(1 / d)
    for row in range(start * layer.rows, stop * layer.rows):
        dout, dx = span(work, layer.dout + row * d, d), span(work, layer.dx + row * d, d)
        xhat, inverse = span(work, kept(layer, row), d), work[kept(layer, row) + d]
        # dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + epsilon), g = dout * gamma
        if layer.gamma >= 0:
            gamma = span(params, layer.gamma, d)
            for j in range(d):
                dx[j] = dout[j] * gamma[j]
        else:
            copy_entries(at(dx, 0), at(dout, 0), d)
        mean = row_sum(at(dx, 0), d) * over if layer.subtract else work.dtype.type(0)
        slope = row_dot(at(dx, 0), at(xhat, 0), d) * over
        for j in range(d):
            dx[j] = inverse * (dx[j] - mean - xhat[j] * slope)


@kernel
def layernorm_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """dout (n, d), xhat (n, d) -> entries first to end of dgamma (d,) or dbeta (d,)."""
    d, start, stop = layer.d, start * layer.rows, stop * layer.rows
    if block == 1 or layer.gamma < 0:
        # dbeta = the sum over rows of dout
        dbeta = span(grads, layer.beta + first, end - first)
        sum_rows(layer.product, dbeta, accumulate, stop - start, at(work, layer.dout + start * d + first), d)
        return
    dgamma = span(grads, layer.gamma + first, end - first)
    dout, xhat = at(work, layer.dout + start * d + first), at(work, kept(layer, start) + first)
    # dgamma = the sum over rows of dout * xhat
    sum_products(dgamma, accumulate, stop - start, dout, d, xhat, d + 1, xhat, d + 1)


def build_rows(input_shape, params, subtract):
    """Return the `Build` of a layer that normalises the last axis."""
    *rows, d = input_shape
    n_rows = math.prod(rows)
    fields = {"rows": n_rows, "d": d, "subtract": subtract}
    return Build(output_shape=input_shape, params=params, fields=fields, extra=n_rows * (d + 1))


@LAYERS.register("LayerNormalization")
@dataclass
class LayerNormalization(Layer):
    """Layer normalisation (Ba, Kiros and Hinton, 2016): each row to mean 0 and variance 1, then ``* gamma + beta``.

    Parameters
    ----------
    axis : int, default -1
        The last one.
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
        Default ``"layernormalization"``, ``"layernormalization_1"`` and so on.

    Raises
    ------
    ValueError
        Where `epsilon` is out of range, or (at building) the axis is not the last one.

    Notes
    -----
    Inputs and outputs ``(n, ..., d)``, gamma and beta ``(d,)``. Every position of a row is normalised for itself.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.LayerNormalization(epsilon=1e-6)], input_shape=(4,))
    >>> model.predict(np.array([[1.0, 2.0, 3.0, 4.0]])).round(2).tolist()[0][:2]
    [-1.340000033378601, -0.44999998807907104]
    """

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

    dtype = LAYERNORM
    keras_neutral = {"rms_scaling": False}
    forward, backward, gradient = layernorm_forward, layernorm_backward, layernorm_gradient
    only_dx = True

    def __post_init__(self):
        resolve_normalization(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_axis(self, input_shape)
        return build_rows(input_shape, gamma_and_beta(self, input_shape[-1:]), True)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)


@LAYERS.register("RMSNormalization")
@dataclass
class RMSNormalization(Layer):
    """Root-mean-square normalisation (Zhang and Sennrich, 2019): ``out = x / sqrt(mean(x**2) + epsilon) * scale``.

    Parameters
    ----------
    axis : int, default -1
        The last one.
    epsilon : float, default 1e-6
        Added to the mean square.
    trainable : bool, default True
    name : str, optional
        Default ``"rmsnormalization"``, ``"rmsnormalization_1"`` and so on.

    Raises
    ------
    ValueError
        Where `epsilon` is out of range, or (at building) the axis is not the last one.

    Notes
    -----
    Inputs and outputs ``(n, ..., d)``, scale ``(d,)``, which starts from ones.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.RMSNormalization()], input_shape=(2,))
    >>> model.predict(np.array([[3.0, -3.0]])).round(4).tolist()
    [[1.0, -1.0]]
    """

    axis: int = -1
    epsilon: float = 1e-6
    trainable: bool = True
    name: str | None = None

    dtype = LAYERNORM
    forward, backward, gradient = layernorm_forward, layernorm_backward, layernorm_gradient
    only_dx = True

    def __post_init__(self):
        resolve_normalization(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_axis(self, input_shape)
        return build_rows(input_shape, [Param("scale", input_shape[-1:], Ones())], False)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["gamma"], record["product"] = record["params"], product_address(float_type)
