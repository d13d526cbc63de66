"""SimpleRNN (Elman, 1990): h = activation(x @ kernel + h before @ recurrent kernel + bias)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, copy_entries
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
    multiply_before,
    multiply_dz,
    recurrent_gradient,
)
from fastbp.layers.recurrent.recurrentdropout import add_aside, set_aside
from fastbp.layers.recurrent.recurrentspec import build_recurrent, draws, fill_recurrent, resolve_recurrent


@kernel
def rnn_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t, d), kernel (d, u), recurrent kernel (u, u), bias (u,) -> out (n, t, u) or (n, u)."""
    u = layer.units
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter(layer, step, params, work, pack, first, rows, row0)
        for p in range(steps):
            begin, m = step_of(layer, work, pack, p)
            # z = x @ kernel + bias + h before @ recurrent, h = activation(z)
            z, h = pack + layer.z + begin * u, pack + layer.h + begin * u
            multiply_before(layer, work, pack, 0, pack + layer.before + begin * u, at(work, z), u, z, m)
            activate(layer.activate, layer.alpha, work, h, z, m * u, u)
            if p + 1 < steps:
                copy_before(layer, step, work, pack, p + 1, begin)
        leave(layer, step, work, pack, first, rows, row0)


@kernel
def rnn_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, t, u) or (n, u) -> dz (packed rows, u), dx (n, t, d)."""
    u = layer.units
    for first in range(start, stop, PACK):
        pack, rows = pack_of(layer, first), min(PACK, stop - first)
        steps = enter_backward(layer, params, work, pack, first, rows)
        for p in range(steps - 1, -1, -1):
            begin, m = step_of(layer, work, pack, p)
            z, h = pack + layer.z + begin * u, pack + layer.h + begin * u
            # dz = dh * activation'(z)
            dz = pack + layer.dz + begin * u
            copy_entries(at(work, dz), at(work, pack + layer.dh + begin * u), m * u)
            differentiate(layer.differentiate, layer.alpha, work, dz, z, h, m * u, u)
            if p > 0:
                # dh of the step before += dz @ recurrent^T
                dh = pack + layer.dh + step_of(layer, work, pack, p - 1)[0] * u
                set_aside(layer, step, work, pack, dh, m * u)
                multiply_dz(layer, work, pack, 0, dz, at(work, dh), dh, m)
                add_aside(layer, step, work, pack, dh, m * u)
        leave_backward(layer, step, work, pack, first, rows)


@LAYERS.register("SimpleRNN")
@dataclass
class SimpleRNN(Layer):
    """Recurrent layer without gates: ``h = activation(x @ kernel + h_before @ recurrent_kernel + bias)`` (Elman, 1990).

    Parameters
    ----------
    units : int
        Size of the state and of the outputs, ``u``.
    activation : str or activation object, default "tanh"
        Applied to the sum; None is linear.
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
        Ghahramani, 2016): a sequence has one mask of each for all its steps.
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
        Default ``"simplernn"``, ``"simplernn_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range or a name unknown; at building, where the inputs are not sequences.

    Notes
    -----
    Inputs ``(n, t, d)``, outputs ``(n, u)``, or ``(n, t, u)`` with `return_sequences`; kernel ``(d, u)``, recurrent
    kernel ``(u, u)``, bias ``(u,)``.

    The state starts at zero.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.SimpleRNN(32), fastbp.Dense(1)]
    >>> model = fastbp.Sequential(layers, input_shape=(24, 1))
    >>> model.views["simplernn/recurrent_kernel"].shape
    (32, 32)
    """

    units: int
    activation: Any = "tanh"
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
    trainable: bool = True
    name: str | None = None

    dtype = RECURRENT
    draws = draws
    forward, backward, gradient = rnn_forward, rnn_backward, recurrent_gradient

    def __post_init__(self):
        resolve_recurrent(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return build_recurrent(self, input_shape, gates=1)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_recurrent(record, self, float_type)
