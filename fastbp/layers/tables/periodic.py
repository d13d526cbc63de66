"""PeriodicEmbedding: x becomes [x, cos(2 pi frequency x + phase) @ kernel + bias], each feature by its own weights."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.intrinsics import like
from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, null, span, unit
from fastbp.initializers import EachOnItsOwn, FanInUniform, RandomNormal, RandomUniform
from fastbp.kernels.columnsums import sum_of_terms
from fastbp.kernels.tile import product_address
from fastbp.kernels.transpose import transpose
from fastbp.kernels.vecmath import cospi, sinpi
from fastbp.layers.base import LAYERS, Layer, check_factors, layer_dtype, whole_number
from fastbp.layers.build import Build, Param
from fastbp.settings.validation import is_number

PERIODIC = layer_dtype(
    ("features", "i8"),  # d
    ("frequencies", "i8"),  # of each feature, f
    ("width", "i8"),  # of a feature's embedding, its number included, e
    ("bias", "param"),
    ("frequency", "param"),
    ("phase", "param"),
    ("product", "i8"),  # address
)


@inline
def spread(waves, x, f):
    """waves (d * f,) = each entry of x (d,), f times."""
    for i in range(x.size):
        for j in range(np.uint64(i * f), np.uint64(i * f + f)):
            waves[j] = x[i]


@inline
def half_turns(x, frequency, phase):
    """(2 pi frequency x + phase) / pi."""
    return like(x, 2.0) * (frequency * x) + like(x, 1 / math.pi) * phase


@kernel
def periodic_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d), kernel (d, f, e - 1), bias (d, e - 1), frequency, phase (d, f) -> out (n, d, e).

    The cosines (n, d, f) and their derivatives are kept for backward, which has a third such array for its own results.
    """
    if layer.backward:
        waves_and_slopes(layer, params, work, start, stop)
    else:
        waves_by_feature(layer, params, work, start, stop)


@inline
def waves_and_slopes(layer, params, work, start, stop):
    """Compute out row by row, and keep the cosines and their derivatives, which backward reads."""
    d, f, e = layer.features, layer.frequencies, layer.width
    m, n = d * f, stop - start
    frequency, phase = span(params, layer.frequency, m), span(params, layer.phase, m)
    for row in range(start, stop):
        x, out = span(work, layer.x + row * d, d), span(work, layer.out + row * d * e, d * e)
        waves, slopes = span(work, layer.extra + row * 3 * m, m), span(work, layer.extra + row * 3 * m + m, m)
        spread(waves, x, f)
        for j in range(m):
            t = half_turns(waves[j], frequency[j], phase[j])
            waves[j] = cospi(t)
            slopes[j] = like(t, -2 * math.pi) * sinpi(t)
        for i in range(d):
            out[i * e] = x[i]
    for i in range(d):
        mix(layer, params, work, start, n, i, at(work, layer.extra + start * 3 * m + i * f), 3 * m, 1)


@inline
def waves_by_feature(layer, params, work, start, stop):
    """Compute out feature by feature, in vectors of rows; nothing is kept: 15 ns a feature in place of 27 (8 waves)."""
    d, f, e = layer.features, layer.frequencies, layer.width
    n = stop - start
    kept = layer.extra + start * 3 * d * f
    x = span(work, kept + f * n, n)
    for i in range(d):
        for row in range(n):
            x[row] = work[layer.x + (start + row) * d + i]
            work[layer.out + ((start + row) * d + i) * e] = x[row]
        for j in range(f):
            frequency, phase = params[layer.frequency + i * f + j], params[layer.phase + i * f + j]
            waves = span(work, kept + j * n, n)
            for row in range(n):
                waves[row] = cospi(half_turns(x[row], frequency, phase))
        mix(layer, params, work, start, n, i, at(work, kept), 1, n)


@inline
def mix(layer, params, work, start, n, i, waves, row_stride, wave_stride):
    """out[i, 1:] = waves[i] @ kernel[i] + bias[i]."""
    d, f, e = layer.features, layer.frequencies, layer.width
    out, bias = at(work, layer.out + (start * d + i) * e + 1), at(params, layer.bias + i * (e - 1))
    weight = at(params, layer.params + i * f * (e - 1))
    call(layer.product, (out, d * e, bias, 0, waves, row_stride, wave_stride, weight, e - 1, n, e - 1, f))


@kernel
def periodic_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, d, e) -> dx (n, d), and dt (n, d, f), the gradient with respect to frequency * x, in the third array."""
    d, f, e = layer.features, layer.frequencies, layer.width
    m, n = d * f, stop - start
    for i in range(d):
        # dwaves[i] = dout[i, 1:] @ kernel[i]^T
        dwaves, dout = (
            at(work, layer.extra + (start * 3 + 2) * m + i * f),
            at(work, layer.dout + (start * d + i) * e + 1),
        )
        transposed = at(shared, layer.shared + i * f * (e - 1))
        call(layer.product, (dwaves, 3 * m, null(work), 0, dout, d * e, 1, transposed, f, n, f, e - 1))
    frequency = span(params, layer.frequency, m)
    for row in range(start, stop):
        slopes, dt = span(work, layer.extra + (row * 3 + 1) * m, m), span(work, layer.extra + (row * 3 + 2) * m, m)
        for j in range(m):
            dt[j] *= slopes[j]
        if layer.dx >= 0:
            # dx = dout[0] + the sum over frequencies of frequency * dt
            dx, dout = span(work, layer.dx + row * d, d), span(work, layer.dout + row * d * e, d * e)
            for i in range(d):
                total = dout[i * e]
                for j in range(np.uint64(i * f), np.uint64(i * f + f)):
                    total += frequency[j] * dt[j]
                dx[i] = total


@sum_of_terms
def sum_turns(dt, _, __):
    return like(dt, 0.5 / math.pi) * dt


@kernel
def periodic_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, d), cosines, dt (n, d, f), dout (n, d, e) -> features first to end of a parameter's gradient."""
    d, f, e = layer.features, layer.frequencies, layer.width
    m, n = d * f, stop - start
    if block == 3:
        dphase = span(grads, layer.phase + first * f, (end - first) * f)
        # dphase = the sum over rows of dt / (2 pi)
        dt = at(work, layer.extra + (start * 3 + 2) * m + first * f)
        sum_turns(dphase, accumulate, n, dt, 3 * m, dt, 3 * m, dt, 3 * m)
        return
    for i in range(first, end):
        dout = at(work, layer.dout + (start * d + i) * e + 1)
        if block == 0:
            # dkernel[i] = waves[i]^T @ dout[i, 1:]
            dkernel, waves = at(grads, layer.params + i * f * (e - 1)), at(work, layer.extra + start * 3 * m + i * f)
            init = dkernel if accumulate else null(grads)
            call(layer.product, (dkernel, e - 1, init, e - 1, waves, 1, 3 * m, dout, d * e, f, e - 1, n))
        elif block == 1:
            # dbias[i] = ones^T @ dout[i, 1:]
            dbias = at(grads, layer.bias + i * (e - 1))
            init = dbias if accumulate else null(grads)
            call(layer.product, (dbias, e - 1, init, e - 1, unit(grads), 0, 0, dout, d * e, 1, e - 1, n))
        else:
            # dfrequency[i] = x[i]^T @ dt[i]
            dfrequency, dt = at(grads, layer.frequency + i * f), at(work, layer.extra + (start * 3 + 2) * m + i * f)
            init, x = dfrequency if accumulate else null(grads), at(work, layer.x + start * d + i)
            call(layer.product, (dfrequency, f, init, f, x, 0, d, dt, 3 * m, 1, f, n))


@kernel
def periodic_prepare(layer, params, shared, first, end):
    """Write the transposes (e - 1, f) of the kernels of features first to end, which backward reads."""
    f, k = layer.frequencies, layer.width - 1
    for i in range(first, end):
        transpose(at(shared, layer.shared + i * f * k), f, at(params, layer.params + i * f * k), k, f, k)


@LAYERS.register("PeriodicEmbedding")
@dataclass
class PeriodicEmbedding(Layer):
    """Numbers as waves: every feature becomes itself and a linear map of its own cosines.

    Feature i becomes ``[x, cos(2 pi frequency[i] x + phase[i]) @ kernel[i] + bias[i]]``. This is the PBLD embedding of
    RealMLP (Holzmueller et al., 2024), after the periodic embeddings of Gorishniy et al. (2022).

    Parameters
    ----------
    n_frequencies : int, default 16
        Cosines of each feature, ``f``.
    embedding_dim : int, default 4
        Numbers that each feature becomes, ``e``, itself included; at least 2.
    frequency_stddev : float, default 0.1
        Frequencies start normal with this standard deviation, phases uniform in +-pi, kernel and bias uniform in
        ``+-1 / sqrt(f)``.
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"periodicembedding"``, ``"periodicembedding_1"`` and so on.

    Raises
    ------
    ValueError
        Where a size or `frequency_stddev` is out of range, or (at building) inputs do not have the shape ``(d,)``.

    Notes
    -----
    Inputs ``(n, d)``, kernel ``(d, f, e - 1)``, bias ``(d, e - 1)``, frequency and phase ``(d, f)``, outputs
    ``(n, d, e)``: `Flatten` makes one row of them.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.PeriodicEmbedding(learning_rate_factor=0.1), fastbp.Flatten(), fastbp.Dense(1)]
    >>> fastbp.Sequential(layers, input_shape=(5,)).views["dense/kernel"].shape
    (20, 1)
    """

    n_frequencies: int = 16
    embedding_dim: int = 4
    frequency_stddev: float = 0.1
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = PERIODIC
    forward, backward, gradient, prepare = periodic_forward, periodic_backward, periodic_gradient, periodic_prepare
    always_prepare = True

    def __post_init__(self):
        self.n_frequencies = whole_number(self, "n_frequencies")
        self.embedding_dim = whole_number(self, "embedding_dim")
        if self.embedding_dim < 2:
            raise ValueError(
                f"PeriodicEmbedding(embedding_dim={self.embedding_dim}): the number itself is one of 2 or more."
            )
        if not is_number(self.frequency_stddev) or not 0 < self.frequency_stddev < math.inf:
            raise ValueError(f"PeriodicEmbedding(frequency_stddev={self.frequency_stddev!r}): it is a number above 0.")
        self.frequency_stddev = float(self.frequency_stddev)
        check_factors(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if len(input_shape) != 1:
            raise ValueError(f"PeriodicEmbedding takes rows of numbers, shape (d,); it got shape {input_shape}.")
        d, f, e = input_shape[0], self.n_frequencies, self.embedding_dim
        limit = 1 / math.sqrt(f)
        shapes: dict[str, Any] = {
            "kernel": ((d, f, e - 1), EachOnItsOwn(FanInUniform())),
            "bias": ((d, e - 1), RandomUniform(-limit, limit)),
            "frequency": ((d, f), RandomNormal(0.0, self.frequency_stddev)),
            "phase": ((d, f), RandomUniform(-math.pi, math.pi)),
        }
        factors: dict[str, Any] = {"learning_rate_factor": self.learning_rate_factor, "decay_factor": self.decay_factor}
        return Build(
            output_shape=(d, e),
            params=[Param(name, *rest, **factors) for name, rest in shapes.items()],
            fields={"features": d, "frequencies": f, "width": e},
            extra=3 * d * f,
            shared=d * f * (e - 1),
            multiply_adds=d * f * (e + 10),  # a cosine and a sine cost about ten
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)
