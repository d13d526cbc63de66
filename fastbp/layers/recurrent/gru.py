"""GRU (Cho et al., 2014): an update gate z and a reset gate r, and two conventions of where r acts.

With ``reset_after=True`` (Keras's default, and cuDNN's) r multiplies the product of the state and the recurrent kernel.
With False (the paper) r multiplies the state before that product.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.intrinsics import like
from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, null, span
from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.build import Build
from fastbp.layers.recurrent.packed_sequences import PACK, RECURRENT, pack_of, step_of
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
from fastbp.layers.recurrent.recurrentspec import build_recurrent, draws, fill_recurrent, resolve_recurrent

GATES = 3  # z, r, h


@kernel
def gru_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t, d), kernel (d, 3u), recurrent kernel (u, 3u), bias (2, 3u) or (3u,) -> out (n, t, u) or (n, u)."""
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter(layer, step, params, work, pack, first, rows, row0)
        previous = -PACK
        for p in range(steps):
            begin, m = step_of(layer, work, pack, p)
            gru_gates(layer, params, work, pack, begin, m)
            gru_state(layer, work, pack, begin, m, previous)
            if p + 1 < steps:
                copy_before(layer, step, work, pack, p + 1, begin)
            previous = begin
        leave(layer, step, work, pack, first, rows, row0)


@inline
def gru_gates(layer, params, work, pack, begin, m):
    """z, r (m, u) = sigmoid(x @ kernel + bias + h before @ recurrent); then the new state's pre-activation,
    in which r scales the state."""
    u, size = layer.units, m * layer.units
    gate = PACK * layer.t * u
    z, outs, before = pack + layer.z + begin * u, pack + layer.outs + begin * u, pack + layer.before + begin * u
    address, alpha = layer.recurrent_activate, layer.recurrent_alpha
    for number in range(2):
        to = z + number * gate
        multiply_before(layer, work, pack, number, before, at(work, to), u, to, m)
        activate(address, alpha, work, outs + number * gate, to, size, u)
    r, reset = span(work, outs + gate, size), span(work, pack + layer.reset + begin * u, size)
    to = z + 2 * gate
    if layer.reset_after:
        # pre-activation of h = x @ kernel + bias + r * (h before @ recurrent + the state's bias)
        bias = at(params, layer.bias + (2 * GATES - 1) * u) if layer.bias >= 0 else null(params)
        multiply_before(layer, work, pack, 2, before, bias, 0, pack + layer.reset + begin * u, m)
        state = span(work, to, size)
        for j in range(size):
            state[j] += r[j] * reset[j]
    else:
        # pre-activation of h = x @ kernel + bias + (r * h before) @ recurrent
        multiply(reset, r, span(work, before, size))
        multiply_before(layer, work, pack, 2, pack + layer.reset + begin * u, at(work, to), u, to, m)


@inline
def gru_state(layer, work, pack, begin, m, previous):
    """h (m, u) = z * h before + (1 - z) * tanh(pre-activation of h); those before begin at packed row `previous`."""
    u, size = layer.units, m * layer.units
    gate = PACK * layer.t * u
    z, outs = pack + layer.z + begin * u, pack + layer.outs + begin * u
    activate(layer.activate, layer.alpha, work, outs + 2 * gate, z + 2 * gate, size, u)
    update, state = span(work, outs, size), span(work, outs + 2 * gate, size)
    before, h = span(work, pack + layer.h + previous * u, size), span(work, pack + layer.h + begin * u, size)
    for j in range(size):
        h[j] = update[j] * before[j] + (like(h[j], 1) - update[j]) * state[j]


@kernel
def gru_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, t, u) or (n, u) -> dz (3 or 4, packed rows, u), dx (n, t, d)."""
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter_backward(layer, params, work, pack, first, rows)
        for p in range(steps - 1, -1, -1):
            begin, m = step_of(layer, work, pack, p)
            # No step gives out the state before the first step, so its gradient is dropped.
            previous = -PACK if p == 0 else step_of(layer, work, pack, p - 1)[0]
            gru_step_backward(layer, step, work, pack, begin, m, previous)
        leave_backward(layer, step, work, pack, first, rows)


@inline
def gru_step_backward(layer, step, work, pack, begin, m, previous):
    """dh (m, u) -> dz (3 or 4, m, u); dh of the states before, from packed row `previous` on, is added to."""
    u, size = layer.units, m * layer.units
    gate = PACK * layer.t * u
    z, outs, dz = pack + layer.z + begin * u, pack + layer.outs + begin * u, pack + layer.dz + begin * u
    update, r, state = span(work, outs, size), span(work, outs + gate, size), span(work, outs + 2 * gate, size)
    dupdate, dr, dstate = span(work, dz, size), span(work, dz + gate, size), span(work, dz + 2 * gate, size)
    before, dh = span(work, pack + layer.h + previous * u, size), span(work, pack + layer.dh + begin * u, size)
    reset, dlast = span(work, pack + layer.reset + begin * u, size), span(work, pack + layer.last_dz + begin * u, size)
    dbefore = pack + layer.dh + previous * u
    dh_before = span(work, dbefore, size)
    # dupdate = dh * (h before - state), dstate = dh * (1 - update), dh before += dh * update
    for j in range(size):
        dupdate[j] = dh[j] * (before[j] - state[j])
    for j in range(size):
        dstate[j] = dh[j] * (like(dh[j], 1) - update[j])
    for j in range(size):
        dh_before[j] += dh[j] * update[j]
    differentiate(layer.recurrent_differentiate, layer.recurrent_alpha, work, dz, z, outs, size, u)
    differentiate(layer.differentiate, layer.alpha, work, dz + 2 * gate, z + 2 * gate, outs + 2 * gate, size, u)
    set_aside(layer, step, work, pack, dbefore, size)
    if layer.reset_after:
        # dr = dstate * reset; dreset = dstate * r goes through the recurrent kernel
        multiply(dr, dstate, reset)
        multiply(dlast, dstate, r)
        multiply_dz(layer, work, pack, 2, pack + layer.last_dz + begin * u, at(work, dbefore), dbefore, m)
    else:
        # dreset = dstate @ recurrent^T, dr = dreset * h before, dh before += dreset * r
        multiply_dz(layer, work, pack, 2, dz + 2 * gate, null(work), pack + layer.dstep, m)
        dreset = span(work, pack + layer.dstep, size)
        multiply(dr, dreset, span(work, pack + layer.before + begin * u, size))
        for j in range(size):
            dh_before[j] += dreset[j] * r[j]
    differentiate(layer.recurrent_differentiate, layer.recurrent_alpha, work, dz + gate, z + gate, outs + gate, size, u)
    # dh before += dz @ recurrent^T
    for number in range(2):
        multiply_dz(layer, work, pack, number, dz + number * gate, at(work, dbefore), dbefore, m)
    add_aside(layer, step, work, pack, dbefore, size)


@LAYERS.register("GRU")
@dataclass
class GRU(Layer):
    """Gated recurrent unit (Cho et al., 2014).

    Parameters
    ----------
    units : int
        Size of the state and of the outputs, ``u``.
    activation : str or activation object, default "tanh"
        Of the new state; None is linear.
    recurrent_activation : str or activation object, default "sigmoid"
        Of the gates.
    use_bias : bool, default True
    kernel_initializer, recurrent_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"``, ``"orthogonal"`` and ``"zeros"``.
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
    reset_after : bool, default True
        Where the reset gate acts: on the product of the state with the recurrent kernel, or (False) on the state.
    trainable : bool, default True
        False keeps the weights as they are.
    name : str, optional
        Default ``"gru"``, ``"gru_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range or a name unknown; at building, where the inputs are not sequences.

    Notes
    -----
    Inputs ``(n, t, d)``, outputs ``(n, u)``, or ``(n, t, u)`` with `return_sequences`; kernel ``(d, 3u)``, recurrent
    kernel ``(u, 3u)``, bias ``(2, 3u)`` (of the inputs, of the state) or without `reset_after` ``(3u,)``, gates in the
    order z, r, h as in Keras.

    ``h = z * h_before + (1 - z) * tanh(x @ kernel_h + b_h + r * (h_before @ recurrent_h + c_h))``, or ``... + (r *
    h_before) @ recurrent_h)`` without `reset_after`; z and r are sigmoids of the like sums. The state starts at zero.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.GRU(32), fastbp.Dense(1)]
    >>> model = fastbp.Sequential(layers, input_shape=(24, 1))
    >>> model.views["gru/recurrent_kernel"].shape
    (32, 96)
    """

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
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
    reset_after: bool = True
    trainable: bool = True
    name: str | None = None

    dtype = RECURRENT
    draws = draws
    forward, backward, gradient = gru_forward, gru_backward, recurrent_gradient

    def __post_init__(self):
        resolve_recurrent(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return build_recurrent(self, input_shape, GATES, reset=True)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_recurrent(record, self, float_type)
