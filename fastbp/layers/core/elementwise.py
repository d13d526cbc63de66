"""Layers without parameters that compute each entry by itself: two formulas for one entry, as in activations.

    @LAYERS.register("Rescaling")
    @dataclass
    class Rescaling(Elementwise):
        scale: float
        name: str | None = None

        @forward
        def forward(x, scale):
            return x * scale

        @backward
        def backward(d, x, out, scale):                 # d is dout -> dx
            return d * scale

All other arguments of a formula are settings.  The formula gets the field of the layer's record that has the argument's
name, as a number in the dtype of the entries.
"""

import inspect
from dataclasses import dataclass

from fastbp.compiler.formulas import check_formula
from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import span
from fastbp.layers.base import Layer, layer_dtype
from fastbp.layers.build import Build

FORWARD, BACKWARD = ("x",), ("d", "x", "out")


def forward(formula):
    """Make the forward kernel out[i] = formula(x[i], *settings) of a formula (a method without self)."""
    entry, settings = inline(formula), _settings_of("forward", formula, FORWARD)

    def loop(layer, step, params, shared, work, start, stop, row0):
        first, size, values = start * layer.n_out, (stop - start) * layer.n_out, settings(layer, work)
        x, out = span(work, layer.x + first, size), span(work, layer.out + first, size)
        for i in range(size):
            out[i] = entry(x[i], *values)

    return _kernel_of(loop, formula)


def backward(formula):
    """Make the backward kernel dx[i] = formula(dout[i], x[i], out[i], *settings) of a formula."""
    entry, settings = inline(formula), _settings_of("backward", formula, BACKWARD)

    def loop(layer, step, params, shared, work, start, stop, row0):
        first, size, values = start * layer.n_out, (stop - start) * layer.n_out, settings(layer, work)
        x, out = span(work, layer.x + first, size), span(work, layer.out + first, size)
        dout, dx = span(work, layer.dout + first, size), span(work, layer.dx + first, size)
        for i in range(size):
            dx[i] = entry(dout[i], x[i], out[i], *values)

    return _kernel_of(loop, formula)


def _kernel_of(loop, formula):
    # The cache and Numba tell kernels apart by these names.
    loop.__name__, loop.__qualname__ = formula.__name__, formula.__qualname__
    made = kernel(loop, origin=formula)
    made.formula = formula
    return staticmethod(made)


def _settings_of(decorator, formula, entries):
    """Return the compiled function (layer, work) -> the settings that a formula takes after its entries."""
    names = tuple(inspect.signature(formula).parameters)
    check_formula(decorator, formula, (*entries, *names[len(entries) :]))
    return _reader(names[len(entries) :])


def _reader(names):
    """Return the compiled function (layer, work) -> the record's fields of these names, as a tuple."""
    if not names:
        return inline(_no_settings)
    name, others = names[0], _reader(names[1:])

    def read(layer, work):
        return (work.dtype.type(layer[name]), *others(layer, work))

    return inline(read)


def _no_settings(layer, work):
    return ()


@dataclass
class Elementwise(Layer):
    """Base of layers whose `forward` and `backward` are made by the decorators of this module."""

    def __init_subclass__(cls):
        names = dict.fromkeys((*_names_of(cls.forward, FORWARD), *_names_of(cls.backward, BACKWARD)))
        cls.dtype = layer_dtype(*((name, "f8") for name in names))

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape)


def _names_of(made, entries):
    return list(inspect.signature(made.formula).parameters)[len(entries) :]
