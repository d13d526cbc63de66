"""Masking: time steps with certain entries are skipped; a mask tells the later layers which."""

from dataclasses import dataclass

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build

MASKING = layer_dtype(("d", "i8"), ("mask_value", "f8"))


@kernel
def masking_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t, d) -> mask (n, t): 1, or 0 where all entries of a step are mask_value; out (n, t, d) = x * mask."""
    d = layer.d
    value = work.dtype.type(layer.mask_value)
    for i in range(start * layer.n_in // d, stop * layer.n_in // d):
        x = span(work, layer.x + i * d, d)
        equal = 0
        for j in range(d):
            equal += x[j] == value
        work[layer.own_mask + i] = equal < d
        copy_step(layer, work, layer.out, layer.x, i)


@kernel
def masking_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, t, d) -> dx (n, t, d) = dout * mask."""
    for i in range(start * layer.n_in // layer.d, stop * layer.n_in // layer.d):
        copy_step(layer, work, layer.dx, layer.dout, i)


@inline
def copy_step(layer, work, to, source, i):
    """Copy the entries of step i, or write zeros where it is masked."""
    d = layer.d
    if work[layer.own_mask + i] != 0:
        copy_entries(at(work, to + i * d), at(work, source + i * d), d)
        return
    target = span(work, to + i * d, d)
    for j in range(d):
        target[j] = 0


@LAYERS.register("Masking")
@dataclass
class Masking(Layer):
    """Skip padding: a time step counts neither in recurrent layers nor in the loss if all its entries are `mask_value`.

    At a skipped step a recurrent layer keeps its state, and its output repeats the one before.

    Parameters
    ----------
    mask_value : float, default 0.0
    name : str, optional
        Default ``"masking"``, ``"masking_1"`` and so on.

    Raises
    ------
    ValueError
        Where `mask_value` is not a finite number, or (at building) the inputs are not sequences.

    Notes
    -----
    Inputs and outputs ``(n, t, d)``; skipped steps become zero, as in Keras. The mask goes on through all layers
    whose outputs have ``t`` as the first of several axes (dropout, dense layers, recurrent layers with
    ``return_sequences=True``) and ends where another shape begins. Where it reaches the outputs, skipped steps weigh
    nothing in the loss and the metrics, and the loss of a batch is divided by the number of those that count, as in
    Keras; the layer must read the model's input then (`Columns`, `Flatten` and `Reshape` may stand before it).

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.Masking(), fastbp.LSTM(8), fastbp.Dense(3, activation="softmax")]
    >>> fastbp.Sequential(layers, input_shape=(29, 12)).output_shape
    (3,)
    """

    mask_value: float = 0.0
    name: str | None = None

    dtype = MASKING
    forward, backward = masking_forward, masking_backward

    def __post_init__(self):
        value = self.mask_value
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ValueError(f"Masking(mask_value={value!r}): it is a finite number.")
        self.mask_value = float(value)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if len(input_shape) != 2:
            raise ValueError(
                f"Masking takes sequences, inputs of shape (t, d) without the batch; they have shape {input_shape}."
            )
        t, d = input_shape
        return Build(output_shape=input_shape, mask=t, fields={"d": d})

    def mask_of(self, x: np.ndarray) -> np.ndarray | None:
        return (x != x.dtype.type(self.mask_value)).any(axis=2)
