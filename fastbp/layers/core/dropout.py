"""Dropout: out (n, k) = x (n, k) * mask / (1 - rate) in training, x at prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at
from fastbp.kernels.dropping import drop_entries, drop_threshold, keep_scale, rate_of
from fastbp.kernels.rng import stream_key
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.settings.validation import is_number

DROPOUT = layer_dtype(
    ("rate", "f8"),
    ("joins_product", "i8"),  # 1: a product may apply the mask backward (kernels/epilogue.py)
    ("marks_dropped", "i8"),  # 1: a product does; so dropped entries are -0.0, and no others are
)


@inline
def masked_copy(layer, step, work, to, source, start, stop, row0, dropped):
    """Write work[source] * mask / (1 - rate) to work[to], rows start to stop; dropped entries become `dropped`.

    The mask is drawn from the counter, never stored: forward and backward draw the same one.
    """
    k, rate = layer.n_out, rate_of(layer.rate, step)
    low, high = stream_key(step.seed, step.counter, layer.index)
    target, values, size = at(work, to + start * k), at(work, source + start * k), (stop - start) * k
    first, scale = np.uint32(np.uint32((row0 + start) * k) + low), keep_scale(rate, work)
    drop_entries(target, values, size, first, high, drop_threshold(rate), scale, dropped)


@kernel
def dropout_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k)."""
    dropped = work.dtype.type(-0.0 if layer.marks_dropped else 0.0)
    masked_copy(layer, step, work, layer.out, layer.x, start, stop, row0, dropped)


@kernel
def dropout_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k) -> dx (n, k), with the mask of the forward pass."""
    masked_copy(layer, step, work, layer.dx, layer.dout, start, stop, row0, work.dtype.type(0))


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

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        # A class that has other kernels may drop otherwise.
        if (self.forward, self.backward) == (dropout_forward, dropout_backward):
            record["joins_product"] = 1
