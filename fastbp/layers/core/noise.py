"""GaussianNoise, AlphaDropout, SpatialDropout1D and SpatialDropout2D: they act in training, and not at prediction.

As with Dropout, the random numbers depend on the model's seed, the step, the layer and the entry.  So the backward pass
draws the same ones again.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastbp.compiler.intrinsics import like
from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.kernels.dropping import drop_threshold, keep_scale, rate_of
from fastbp.kernels.rng import random_bits, stream_key
from fastbp.kernels.vecmath import cospi, log
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.core.dropout import check_rate
from fastbp.settings.validation import is_number

GAUSSIAN_NOISE = layer_dtype(("stddev", "f8"))


@inline
def normal(low, high, element, x):
    """Return a standard normal number, of the type of x, for `element` of the stream with the key (low, high).

    sqrt(-2 log u) cos(2 pi v), u in (0, 1], v in [0, 1] (Box and Muller, 1958): of size 6.8 at most.
    """
    twice = np.uint32(element) * np.uint32(2)
    u = like(x, random_bits(low, high, np.uint32(twice)))
    v = like(x, random_bits(low, high, np.uint32(twice + np.uint32(1))))
    radius = np.sqrt(like(x, -2) * log((u + like(x, 0.5)) * like(x, 2.0**-32)))
    return radius * cospi(v * like(x, 2.0**-31))


@kernel
def gaussian_noise_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k) = x + stddev * normal numbers."""
    k = layer.n_out
    size = (stop - start) * k
    x, out = span(work, layer.x + start * k, size), span(work, layer.out + start * k, size)
    low, high = stream_key(step.seed, step.counter, layer.index)
    first = np.uint32((row0 + start) * k)
    stddev = work.dtype.type(layer.stddev if step.training else 0.0)
    for i in range(size):
        out[i] = x[i] + stddev * normal(low, high, np.uint32(first + np.uint32(i)), x[i])


@kernel
def gaussian_noise_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k) -> dx (n, k) = dout."""
    k = layer.n_out
    copy_entries(at(work, layer.dx + start * k), at(work, layer.dout + start * k), (stop - start) * k)


@LAYERS.register("GaussianNoise")
@dataclass
class GaussianNoise(Layer):
    """In training, add normal noise to every entry: ``out = x + stddev * noise``.

    At prediction it does nothing. The noise depends on the model's seed, the step, the layer and the entry only.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, at least 0.
    name : str, optional
        Default ``"gaussiannoise"``, ``"gaussiannoise_1"`` and so on.

    Raises
    ------
    ValueError
        Where `stddev` is not a finite number of at least 0.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.GaussianNoise(0.1).stddev
    0.1
    """

    stddev: float
    name: str | None = None

    dtype = GAUSSIAN_NOISE
    forward, backward = gaussian_noise_forward, gaussian_noise_backward
    training_only = True

    def __post_init__(self):
        if not is_number(self.stddev) or not 0 <= self.stddev < math.inf:
            raise ValueError(f"GaussianNoise(stddev={self.stddev!r}): it is a finite number of at least 0.")
        self.stddev = float(self.stddev)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape)


ALPHA_DROPOUT = layer_dtype(("rate", "f8"))
# Dropped entries become this number, the limit of selu for very negative inputs.
SELU_LOW = -1.7580993408473766


@inline
def alpha_factors(rate):
    """Return a and b such that a * (x or SELU_LOW) + b keeps mean 0 and variance 1."""
    a = 1.0 / math.sqrt((1.0 - rate) * (1.0 + rate * SELU_LOW * SELU_LOW))
    return a, -a * SELU_LOW * rate


@kernel
def alpha_dropout_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k) = a * (x, or SELU_LOW where dropped) + b."""
    k = layer.n_out
    size = (stop - start) * k
    x, out = span(work, layer.x + start * k, size), span(work, layer.out + start * k, size)
    rate = rate_of(layer.rate, step)
    low, high = stream_key(step.seed, step.counter, layer.index)
    first, threshold = np.uint32((row0 + start) * k), drop_threshold(rate)
    factor, shift = alpha_factors(rate)
    a, b, dropped = work.dtype.type(factor), work.dtype.type(shift), work.dtype.type(SELU_LOW)
    for i in range(size):
        bits = random_bits(low, high, np.uint32(first + np.uint32(i)))
        out[i] = a * (x[i] if bits >= threshold else dropped) + b


@kernel
def alpha_dropout_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k) -> dx (n, k) = a * dout, 0 where dropped."""
    k = layer.n_out
    size = (stop - start) * k
    dout, dx = span(work, layer.dout + start * k, size), span(work, layer.dx + start * k, size)
    rate = rate_of(layer.rate, step)
    low, high = stream_key(step.seed, step.counter, layer.index)
    first, threshold = np.uint32((row0 + start) * k), drop_threshold(rate)
    a, zero = work.dtype.type(alpha_factors(rate)[0]), work.dtype.type(0)
    for i in range(size):
        bits = random_bits(low, high, np.uint32(first + np.uint32(i)))
        dx[i] = a * dout[i] if bits >= threshold else zero


@LAYERS.register("AlphaDropout")
@dataclass
class AlphaDropout(Layer):
    """Dropout for networks of selu (Klambauer et al., 2017): inputs of mean 0 and variance 1 keep both.

    In training, dropped entries become -1.7581 (selu's limit). Then all entries are scaled and shifted.

    Parameters
    ----------
    rate : float
        Share of entries dropped, ``0 <= rate < 1``.
    name : str, optional
        Default ``"alphadropout"``, ``"alphadropout_1"`` and so on.

    Raises
    ------
    ValueError
        Where `rate` is not in [0, 1).

    Examples
    --------
    >>> import fastbp
    >>> fastbp.AlphaDropout(0.1).rate
    0.1
    """

    rate: float
    name: str | None = None

    dtype = ALPHA_DROPOUT
    forward, backward = alpha_dropout_forward, alpha_dropout_backward
    training_only = True

    def __post_init__(self):
        check_rate(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape)


SPATIAL_DROPOUT = layer_dtype(("rate", "f8"), ("channels", "i8"))


@inline
def masked_channels(layer, step, work, to, source, start, stop, row0):
    """Write work[source] * mask / (1 - rate) to work[to], rows start to stop, with one mask (c,) for a whole row."""
    c = layer.channels
    rate = rate_of(layer.rate, step)
    low, high = stream_key(step.seed, step.counter, layer.index)
    threshold, scale, zero = drop_threshold(rate), keep_scale(rate, work), work.dtype.type(0)
    for row in range(start, stop):
        first = np.uint32((row0 + row) * c)
        for place in range(row * layer.n_out, (row + 1) * layer.n_out, c):
            target, values = span(work, to + place, c), span(work, source + place, c)
            for j in range(c):
                bits = random_bits(low, high, np.uint32(first + np.uint32(j)))
                target[j] = values[j] * scale if bits >= threshold else zero


@kernel
def spatial_dropout_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, ..., c) -> out (n, ..., c)."""
    masked_channels(layer, step, work, layer.out, layer.x, start, stop, row0)


@kernel
def spatial_dropout_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, ..., c) -> dx (n, ..., c), with the mask of the forward pass."""
    masked_channels(layer, step, work, layer.dx, layer.dout, start, stop, row0)


def build_channels(layer, input_shape, axes):
    """Return the `Build` of a layer that drops channels of rows with these axes, such as ("t", "c")."""
    if len(input_shape) != len(axes):
        raise ValueError(
            f"{type(layer).__name__} takes inputs (n, {', '.join(axes)}); it got rows of shape {input_shape} (without "
            "the batch)."
        )
    return Build(output_shape=input_shape, fields={"channels": input_shape[-1]})


@LAYERS.register("SpatialDropout1D")
@dataclass
class SpatialDropout1D(Layer):
    """Dropout of whole channels of sequences (Tompson et al., 2015): all time steps of a channel, or none.

    Parameters
    ----------
    rate : float
        Share of channels set to zero, ``0 <= rate < 1``; the others are divided by ``1 - rate``.
    name : str, optional
        Default ``"spatialdropout1d"``, ``"spatialdropout1d_1"`` and so on.

    Raises
    ------
    ValueError
        Where `rate` is not in [0, 1), or (at building) inputs are not ``(n, t, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.SpatialDropout1D(0.2)], input_shape=(10, 3)).output_shape
    (10, 3)
    """

    rate: float
    name: str | None = None

    dtype = SPATIAL_DROPOUT
    forward, backward = spatial_dropout_forward, spatial_dropout_backward
    training_only = True

    def __post_init__(self):
        check_rate(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return build_channels(self, input_shape, ("t", "c"))


@LAYERS.register("SpatialDropout2D")
@dataclass
class SpatialDropout2D(Layer):
    """Dropout of whole channels of images (Tompson et al., 2015): all pixels of a channel, or none.

    Parameters
    ----------
    rate : float
        Share of channels set to zero, ``0 <= rate < 1``; the others are divided by ``1 - rate``.
    name : str, optional
        Default ``"spatialdropout2d"``, ``"spatialdropout2d_1"`` and so on.

    Raises
    ------
    ValueError
        Where `rate` is not in [0, 1), or (at building) inputs are not ``(n, h, w, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.SpatialDropout2D(0.2)], input_shape=(8, 8, 3)).output_shape
    (8, 8, 3)
    """

    rate: float
    name: str | None = None

    dtype = SPATIAL_DROPOUT
    forward, backward = spatial_dropout_forward, spatial_dropout_backward
    training_only = True

    def __post_init__(self):
        check_rate(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return build_channels(self, input_shape, ("h", "w", "c"))
