"""Bidirectional (Schuster and Paliwal, 1997): a recurrent layer on the sequence, and a twin of it from its end."""

from dataclasses import dataclass, replace
from typing import Any

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import span
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.core.branches import input_of
from fastbp.layers.recurrent.packed_sequences import RECURRENT

MERGES = ["concat", "sum", "mul", "ave"]
CONCAT, MUL, AVE = (MERGES.index(mode) for mode in ("concat", "mul", "ave"))

BIDIRECTIONAL = layer_dtype(("t", "i8"), ("u", "i8"), ("merge", "i8"))


@inline
def pair(layer, work, i, offset):
    """Return where the two branches' outputs (`offset` 0) or their gradients (1) of one time step begin.

    i counts all rows' time steps.  The backward branch's outputs come from the last step to the first.
    """
    t, u = layer.t, layer.u
    there = input_of(layer.inputs, 0)[offset]
    back = input_of(layer.inputs, 1)[offset]
    return there + i * u, back + (i // t * t + t - 1 - i % t) * u


@kernel
def bidirectional_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t, u), y (n, t, u) from the last step to the first -> out (n, t, 2u) side by side, or (n, t, u)."""
    u = layer.u
    k = layer.n_out // layer.t
    for i in range(start * layer.t, stop * layer.t):
        there, back = pair(layer, work, i, 0)
        x, y, out = span(work, there, u), span(work, back, u), span(work, layer.out + i * k, k)
        if layer.merge == CONCAT:
            for j in range(u):
                out[j] = x[j]
            for j in range(u):
                out[u + j] = y[j]
        elif layer.merge == MUL:
            for j in range(u):
                out[j] = x[j] * y[j]
        else:
            scale = work.dtype.type(0.5 if layer.merge == AVE else 1.0)
            for j in range(u):
                out[j] = (x[j] + y[j]) * scale


@kernel
def bidirectional_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, t, 2u) or (n, t, u) -> dx, dy (n, t, u)."""
    u = layer.u
    k = layer.n_out // layer.t
    for i in range(start * layer.t, stop * layer.t):
        there, back = pair(layer, work, i, 0)
        dthere, dback = pair(layer, work, i, 1)
        share(layer, work, dthere, back, layer.dout + i * k)
        share(layer, work, dback, there, layer.dout + i * k + (u if layer.merge == CONCAT else 0))


@inline
def share(layer, work, to, other, dout):
    """dx (u,) at `to` = dout (u,) at `dout`, times the other branch's output if the two were multiplied."""
    dx, d, y = span(work, to, layer.u), span(work, dout, layer.u), span(work, other, layer.u)
    if layer.merge == MUL:
        for j in range(layer.u):
            dx[j] = d[j] * y[j]
    else:
        scale = work.dtype.type(0.5 if layer.merge == AVE else 1.0)
        for j in range(layer.u):
            dx[j] = d[j] * scale


@LAYERS.register("Bidirectional")
@dataclass
class Bidirectional(Layer):
    """A recurrent layer on the sequence, and a twin of it with weights of its own on the reversed sequence.

    Parameters
    ----------
    layer : SimpleRNN, LSTM or GRU
        Its twin has the same settings but `go_backwards`.
    merge_mode : {"concat", "sum", "mul", "ave"}, default "concat"
        How the two outputs become one: side by side, their sum, product or mean.
    name : str, optional
        Default ``"bidirectional"``, ``"bidirectional_1"`` and so on. A `layer` of the name ``"a"`` gives
        ``"forward_a"`` and ``"backward_a"``.

    Raises
    ------
    TypeError
        Where `layer` is not a recurrent layer.
    ValueError
        Where it goes backwards itself, or `merge_mode` is unknown.

    Notes
    -----
    Inputs ``(n, t, d)``, outputs ``(n, 2u)`` or ``(n, u)``, with the layer's `return_sequences` ``(n, t, 2u)`` or
    ``(n, t, u)``: at each step the forward layer has seen the steps up to it, and its twin those from the end back
    to it. At steps that `Masking` skips they are zero, as in Keras.

    Examples
    --------
    >>> import fastbp
    >>> both = fastbp.Bidirectional(fastbp.LSTM(8, return_sequences=True))
    >>> fastbp.Sequential([both], input_shape=(29, 12)).output_shape
    (29, 16)
    """

    layer: Any
    merge_mode: str = "concat"
    name: str | None = None

    dtype = BIDIRECTIONAL
    forward, backward = bidirectional_forward, bidirectional_backward

    def __post_init__(self):
        if getattr(type(self.layer), "dtype", None) is not RECURRENT:
            raise TypeError(f"Bidirectional takes a recurrent layer (SimpleRNN, LSTM, GRU), not {self.layer!r}.")
        if self.layer.go_backwards:
            raise ValueError("Bidirectional takes a layer that goes forwards: go_backwards=False.")
        if self.merge_mode not in MERGES:
            known = ", ".join(repr(mode) for mode in MERGES)
            raise ValueError(f"Bidirectional(merge_mode={self.merge_mode!r}): it is one of {known}.")

    @property
    def held(self) -> tuple:
        return (self.layer,)

    @property
    def branches(self) -> tuple:
        """The layer, and its twin that goes the other way."""
        name = self.layer.name
        names = (None, None) if name is None else (f"forward_{name}", f"backward_{name}")
        # As Keras: masked steps of sequences are zero.
        forward = replace(self.layer, zero_output_for_mask=self.layer.return_sequences, name=names[0])
        return (forward,), (replace(forward, go_backwards=True, name=names[1]),)

    def build(self, there: tuple[int, ...], back: tuple[int, ...]) -> Build:
        t, u = there if self.layer.return_sequences else (1, *there)
        k = 2 * u if self.merge_mode == "concat" else u
        fields = {"t": t, "u": u, "merge": MERGES.index(self.merge_mode)}
        return Build(output_shape=(*there[:-1], k), fields=fields)
