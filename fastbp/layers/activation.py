"""Activation: out (n, k) = f(x (n, k)), and the fields by which any layer's row carries an activation."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from numba import types

from fastbp._jit import address, call, kernel
from fastbp.activations import ACTIVATIONS
from fastbp.layers.base import LAYERS, Build, Layer, layer_dtype

ACTIVATION_FIELDS = [
    ("activate", "i8"),  # kernel addresses; 0: linear
    ("differentiate", "i8"),
    ("needs_input", "i8"),  # does the derivative read z, or only out?
    ("alpha", "f8"),  # the activation's setting
]


@cache
def _addresses(activation_class, float_type):
    """Return the addresses of an activation's two kernels, 0 for linear."""
    if activation_class.forward is None:
        return 0, 0
    array = types.Array(float_type, 1, "C")
    forward = address(activation_class.forward, array, array, types.int64, types.float64)
    return forward, address(activation_class.backward, array, array, array, types.int64, types.float64)


def fill_activation(row, activation, float_type):
    """Set a row's ACTIVATION_FIELDS."""
    row["activate"], row["differentiate"] = _addresses(type(activation), float_type)
    row["needs_input"] = activation.needs_input
    row["alpha"] = activation.alpha


ACTIVATION = layer_dtype(*ACTIVATION_FIELDS)


@kernel
def activation_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k)."""
    k = layer.n_out
    x = work[layer.x + start * k : layer.x + stop * k]
    out = work[layer.out + start * k : layer.out + stop * k]
    if layer.activate:
        call(layer.activate, (out, x, k, layer.alpha))
    else:
        out[:] = x


@kernel
def activation_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), x (n, k), out (n, k) -> dx (n, k)."""
    if layer.dx < 0:
        return
    k = layer.n_out
    dx = work[layer.dx + start * k : layer.dx + stop * k]
    dx[:] = work[layer.dout + start * k : layer.dout + stop * k]
    if layer.differentiate:
        x = work[layer.x + start * k : layer.x + stop * k]
        out = work[layer.out + start * k : layer.out + stop * k]
        call(layer.differentiate, (dx, x, out, k, layer.alpha))


@LAYERS.register("Activation")
@dataclass
class Activation(Layer):
    """Apply an activation to every entry.

    Parameters
    ----------
    activation : str or activation object
    name : str, optional
        Default ``"activation"``, ``"activation_1"`` and so on.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(3), fastbp.Activation("relu")], input_shape=(2,))
    """

    activation: Any
    name: str | None = None

    dtype = ACTIVATION
    forward, backward = activation_forward, activation_backward

    def __post_init__(self):
        self.activation = ACTIVATIONS.resolve(self.activation)

    def build(self, input_shape):
        return Build(output_shape=input_shape)

    def fill(self, row, float_type):
        fill_activation(row, self.activation, float_type)

    @property
    def output_activation(self):
        return self.activation
