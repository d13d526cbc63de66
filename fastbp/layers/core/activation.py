"""Activation: out (n, ...) = f(x (n, ...)), and the fields by which any layer's record carries an activation."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fastbp.activations import ACTIVATIONS, ReLU
from fastbp.compiler.jit import call, compiled_address, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.compiler.signatures import signature
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build

ACTIVATION_FIELDS = [
    ("activate", "i8"),  # kernel addresses; 0: linear
    ("differentiate", "i8"),
    ("needs_input", "i8"),  # does the derivative read z, or only out?
    ("alpha", "f8"),  # the activation's setting
]


def activation_addresses(activation, float_type):
    """Return the addresses of an activation's two kernels, 0 for linear."""
    return _addresses(activation.forward, activation.backward, float_type)


# Cached by the kernels, because activations that differ in their settings alone have the same kernels.
@cache
def _addresses(forward, backward, float_type):
    if forward is None:
        return 0, 0
    first = compiled_address(forward, signature("f[:] f[:] i8 f8", f=float_type))
    return first, compiled_address(backward, signature("f[:] f[:] f[:] i8 f8", f=float_type))


def fill_activation(record, activation, float_type):
    """Set a record's ACTIVATION_FIELDS."""
    record["activate"], record["differentiate"] = activation_addresses(activation, float_type)
    record["needs_input"] = activation.needs_input
    record["alpha"] = activation.alpha


def is_rectifier(activation):
    """Is it ReLU, which products have in their tiles?  It is not where its class has been given other kernels."""
    return (activation.forward, activation.backward) == (ReLU.forward, ReLU.backward)


ACTIVATION = layer_dtype(
    ("width", "i8"),  # size of the last axis, over which softmax sums
    *ACTIVATION_FIELDS,
)


@kernel
def activation_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, k) -> out (n, k)."""
    k = layer.n_out
    x = span(work, layer.x + start * k, (stop - start) * k)
    out = span(work, layer.out + start * k, (stop - start) * k)
    if layer.activate:
        call(layer.activate, (out, x, layer.width, layer.alpha))
    else:
        copy_entries(at(work, layer.out + start * k), at(work, layer.x + start * k), x.size)


@kernel
def activation_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), x (n, k), out (n, k) -> dx (n, k)."""
    k = layer.n_out
    dx = span(work, layer.dx + start * k, (stop - start) * k)
    copy_entries(at(work, layer.dx + start * k), at(work, layer.dout + start * k), dx.size)
    if layer.differentiate:
        x = span(work, layer.x + start * k, (stop - start) * k)
        out = span(work, layer.out + start * k, (stop - start) * k)
        call(layer.differentiate, (dx, x, out, layer.width, layer.alpha))


@LAYERS.register("Activation")
@dataclass
class Activation(Layer):
    """Apply an activation to every entry; softmax to the last axis.

    Parameters
    ----------
    activation : str or activation object
    name : str, optional
        Default ``"activation"``, ``"activation_1"`` and so on.

    Raises
    ------
    ValueError
        Where there is no activation of that name.
    TypeError
        Where `activation` is neither a name nor an activation object.

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

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape, fields={"width": input_shape[-1]})

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        fill_activation(record, self.activation, float_type)

    @property
    def output_activation(self) -> Any:
        return self.activation
