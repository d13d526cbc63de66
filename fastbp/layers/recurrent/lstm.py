"""LSTM (Hochreiter and Schmidhuber, 1997; Gers et al., 2000): gates decide what enters, stays in and leaves a cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, span
from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.build import Build
from fastbp.layers.recurrent.packed_sequences import PACK, RECURRENT, keep_states, load_states, pack_of, step_of, zero
from fastbp.layers.recurrent.recurrent import (
    activate,
    copy_before,
    differentiate,
    enter,
    enter_backward,
    leave,
    leave_backward,
    multiply,
    multiply_before,
    multiply_dz,
    recurrent_gradient,
)
from fastbp.layers.recurrent.recurrentdropout import add_aside, set_aside
from fastbp.layers.recurrent.recurrentspec import BiasOf, build_recurrent, draws, fill_recurrent, resolve_recurrent

GATES = 4  # i, f, c, o; the formulas call c, the cell's candidate, g


@kernel
def lstm_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t, d), kernel (d, 4u), recurrent kernel (u, 4u), bias (4u,) -> out (n, t, u) or (n, u)."""
    u = layer.units
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter(layer, step, params, work, pack, first, rows, row0)
        load_states(layer, step, work, pack, layer.cell, 1, row0 + first, rows)
        previous = -PACK
        for p in range(steps):
            begin, m = step_of(layer, work, pack, p)
            # z = x @ kernel + bias + h @ recurrent
            for gate in range(GATES):
                z, before = pack + layer.z + (gate * PACK * layer.t + begin) * u, pack + layer.before + begin * u
                multiply_before(layer, work, pack, gate, before, at(work, z), u, z, m)
            lstm_step(layer, work, pack, begin, m, previous)
            if p + 1 < steps:
                copy_before(layer, step, work, pack, p + 1, begin)
            previous = begin
        leave(layer, step, work, pack, first, rows, row0)
        keep_states(layer, step, work, pack, layer.cell, 1, row0 + first, rows)


@inline
def lstm_step(layer, work, pack, begin, m, previous):
    """z (4, m, u) -> h, cell (m, u); the cells before begin at packed row `previous`."""
    u, size = layer.units, m * layer.units
    gate = PACK * layer.t * u
    z, outs = pack + layer.z + begin * u, pack + layer.outs + begin * u
    # i, f, o = sigmoid(z), g = tanh(z)
    for number in range(GATES):
        address, alpha = (
            (layer.recurrent_activate, layer.recurrent_alpha) if number != 2 else (layer.activate, layer.alpha)
        )
        activate(address, alpha, work, outs + number * gate, z + number * gate, size, u)
    i, f = span(work, outs, size), span(work, outs + gate, size)
    g, o = span(work, outs + 2 * gate, size), span(work, outs + 3 * gate, size)
    before, cell = span(work, pack + layer.cell + previous * u, size), span(work, pack + layer.cell + begin * u, size)
    # cell = f * cell before + i * g
    for j in range(size):
        cell[j] = f[j] * before[j] + i[j] * g[j]
    # h = o * tanh(cell)
    cell_out = pack + layer.cell_out + begin * u
    activate(layer.activate, layer.alpha, work, cell_out, pack + layer.cell + begin * u, size, u)
    multiply(span(work, pack + layer.h + begin * u, size), o, span(work, cell_out, size))


@kernel
def lstm_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, t, u) or (n, u) -> dz (4, packed rows, u), dx (n, t, d)."""
    u = layer.units
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter_backward(layer, params, work, pack, first, rows)
        zero(span(work, pack + layer.dstep, PACK * u))
        for p in range(steps - 1, -1, -1):
            begin, m = step_of(layer, work, pack, p)
            previous = -PACK if p == 0 else step_of(layer, work, pack, p - 1)[0]
            lstm_step_backward(layer, work, pack, begin, m, previous)
            if p > 0:
                # dh of the step before += dz @ recurrent^T
                dh = pack + layer.dh + previous * u
                set_aside(layer, step, work, pack, dh, m * u)
                for gate in range(GATES):
                    dz = pack + layer.dz + (gate * PACK * layer.t + begin) * u
                    multiply_dz(layer, work, pack, gate, dz, at(work, dh), dh, m)
                add_aside(layer, step, work, pack, dh, m * u)
        leave_backward(layer, step, work, pack, first, rows)


@inline
def lstm_step_backward(layer, work, pack, begin, m, previous):
    """dh, dcell (m, u) -> dz (4, m, u); dcell becomes that of the step before."""
    u, size = layer.units, m * layer.units
    gate = PACK * layer.t * u
    z, outs, dz = pack + layer.z + begin * u, pack + layer.outs + begin * u, pack + layer.dz + begin * u
    i, f = span(work, outs, size), span(work, outs + gate, size)
    g, o = span(work, outs + 2 * gate, size), span(work, outs + 3 * gate, size)
    di, df = span(work, dz, size), span(work, dz + gate, size)
    dg, do = span(work, dz + 2 * gate, size), span(work, dz + 3 * gate, size)
    cell, cell_out = pack + layer.cell + begin * u, pack + layer.cell_out + begin * u
    before = span(work, pack + layer.cell + previous * u, size)
    dh, dcell = span(work, pack + layer.dh + begin * u, size), span(work, pack + layer.dstep, size)
    # do = dh * tanh(cell), dcell += dh * o * tanh'(cell)
    multiply(do, dh, span(work, cell_out, size))
    multiply(dg, dh, o)
    differentiate(layer.differentiate, layer.alpha, work, dz + 2 * gate, cell, cell_out, size, u)
    for j in range(size):
        dcell[j] += dg[j]
    # di = dcell * g, dg = dcell * i, df = dcell * cell before, dcell before = dcell * f
    multiply(di, dcell, g)
    multiply(dg, dcell, i)
    multiply(df, dcell, before)
    for j in range(size):
        dcell[j] *= f[j]
    # dz = dgate * activation'(z)
    for number in range(GATES):
        address, alpha = layer.recurrent_differentiate, layer.recurrent_alpha
        if number == 2:
            address, alpha = layer.differentiate, layer.alpha
        differentiate(address, alpha, work, dz + number * gate, z + number * gate, outs + number * gate, size, u)


@LAYERS.register("LSTM")
@dataclass
class LSTM(Layer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with forget gates (Gers et al., 2000).

    Parameters
    ----------
    units : int
        Size of the state and of the outputs, ``u``.
    activation : str or activation object, default "tanh"
        Of the cell's candidate, and of the cell on its way out; None is linear.
    recurrent_activation : str or activation object, default "sigmoid"
        Of the gates.
    use_bias : bool, default True
    kernel_initializer, recurrent_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"``, ``"orthogonal"`` and ``"zeros"``.
    unit_forget_bias : bool, default True
        Start the forget gate's bias at one (Jozefowicz et al., 2015): with zero, half of the cell is lost at each step.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or regularizer object, optional
        `L1`, `L2` or `L1L2`.
    kernel_learning_rate_factor, recurrent_learning_rate_factor, bias_learning_rate_factor : float, default 1.0
        The parameter's own factor on the learning rate (and so on the decoupled weight decay).
    kernel_decay_factor, recurrent_decay_factor, bias_decay_factor : float, default 1.0
        The parameter's own factor on the optimizer's decoupled weight decay; 0 spares it.
    dropout, recurrent_dropout : float, default 0.0
        Shares of the inputs, and of the state where the recurrent kernel reads it, that training drops (Gal and
        Ghahramani, 2016): a sequence has one mask of each for all its steps and gates.
    return_sequences : bool, default False
        True gives the outputs of all steps, as a recurrent layer behind it needs, False that of the last one.
    go_backwards : bool, default False
        Go from the last step to the first; with `return_sequences` the outputs come in that order.
    stateful : bool, default False
        Begin each batch in the states that its rows had at the end of the last one, in prediction too, until
        ``model.reset_states()``: sequences of any length in windows (truncated backpropagation through time).
    batch_size : int, optional
        Rows of every batch; needed, and of use, with `stateful` alone.
    zero_output_for_mask : bool, default False
        Whether the output of a step that `Masking` skips is zero; False repeats the output before.
    trainable : bool, default True
        False keeps the weights as they are.
    name : str, optional
        Default ``"lstm"``, ``"lstm_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range or a name unknown; at building, where the inputs are not sequences.

    Notes
    -----
    Inputs ``(n, t, d)``, outputs ``(n, u)``, or ``(n, t, u)`` with `return_sequences`; kernel ``(d, 4u)``, recurrent
    kernel ``(u, 4u)``, bias ``(4u,)``, gates in the order i, f, c, o as in Keras.

    With ``z = x @ kernel + h_before @ recurrent_kernel + bias``: ``c = sigmoid(z_f) * c_before + sigmoid(z_i) *
    tanh(z_c)`` and ``h = sigmoid(z_o) * tanh(c)``. Both states start at zero.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.LSTM(32), fastbp.Dense(1)]
    >>> model = fastbp.Sequential(layers, input_shape=(24, 1))
    >>> model.views["lstm/recurrent_kernel"].shape
    (32, 128)
    """

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_learning_rate_factor: float = 1.0
    recurrent_learning_rate_factor: float = 1.0
    bias_learning_rate_factor: float = 1.0
    kernel_decay_factor: float = 1.0
    recurrent_decay_factor: float = 1.0
    bias_decay_factor: float = 1.0
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    go_backwards: bool = False
    stateful: bool = False
    batch_size: int | None = None
    zero_output_for_mask: bool = False
    trainable: bool = True
    name: str | None = None

    dtype = RECURRENT
    draws = draws
    forward, backward, gradient = lstm_forward, lstm_backward, recurrent_gradient

    def __post_init__(self):
        resolve_recurrent(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        bias = BiasOf(self.bias_initializer, 1, self.units) if self.unit_forget_bias else None
        return build_recurrent(self, input_shape, GATES, bias, cell=True)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_recurrent(record, self, float_type)
