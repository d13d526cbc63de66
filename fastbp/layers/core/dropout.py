"""Dropout: out (n, k) = x (n, k) * mask / (1 - rate) in training, x at prediction."""

from dataclasses import dataclass

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import span
from fastbp.kernels.rng import random_bits, stream_key
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.settings.validation import is_number

DROPOUT = layer_dtype(("rate", "f8"))


@inline
def rate_of(rate, step):
    """Return the share of entries that a layer of this rate drops in this step."""
    return rate * step.dropout if step.training else 0.0


@inline
def drop_threshold(rate):
    """Return the number below which 32 random bits drop an entry: rate * 2**32."""
    return np.uint32(min(rate * 4294967296.0, 4294967295.0))


@inline
def masked_copy(layer, step, work, to, source, start, stop, row0):
    """Write work[source] * mask / (1 - rate) to work[to], rows start to stop.

    The mask is drawn from the counter, never stored: forward and backward draw the same one.
    """
    k = layer.n_out
    rate = rate_of(layer.rate, step)
    target = span(work, to + start * k, (stop - start) * k)
    values = span(work, source + start * k, (stop - start) * k)
    low, high = stream_key(step.seed, step.counter, layer.index)
    threshold = drop_threshold(rate)
    scale = work.dtype.type(1.0 / (1.0 - rate))
    zero = work.dtype.type(0)
    first = np.uint32((row0 + start) * k)
    for i in range(target.size):
        bits = random_bits(low, high, np.uint32(first + np.uint32(i)))
        target[i] = values[i] * scale if bits >= threshold else zero


@kernel
def dropout_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k)."""
    masked_copy(layer, step, work, layer.out, layer.x, start, stop, row0)


@kernel
def dropout_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k) -> dx (n, k), with the mask of the forward pass."""
    masked_copy(layer, step, work, layer.dx, layer.dout, start, stop, row0)


def check_rate(layer, setting="rate"):
    """Raise ValueError where a rate of the layer is not a share below 1."""
    rate = getattr(layer, setting)
    if not is_number(rate) or not 0 <= rate < 1:
        raise ValueError(f"{type(layer).__name__}({setting}={rate!r}): the rate is a share of at least 0 and below 1.")
    setattr(layer, setting, float(rate))


@LAYERS.register("Dropout")
@dataclass
class Dropout(Layer):
    """Inverted dropout (Srivastava et al., 2014): in training, ``out = x * mask / (1 - rate)``.

    At prediction it does nothing. The masks depend on the model's seed, the step, the layer and the
    entry only: they are the same at any number of threads and after a resumed training.

    Parameters
    ----------
    rate : float
        Share of entries set to zero, ``0 <= rate < 1``.
    name : str, optional
        Default ``"dropout"``, ``"dropout_1"`` and so on.

    Raises
    ------
    ValueError
        Where `rate` is not in [0, 1).

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Dropout(0.2).rate
    0.2
    """

    rate: float
    name: str | None = None

    dtype = DROPOUT
    forward, backward = dropout_forward, dropout_backward
    training_only = True

    def __post_init__(self):
        check_rate(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape)
