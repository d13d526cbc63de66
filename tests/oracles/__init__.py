"""One file for each layer (the recipe of CONTRIBUTING.md): its cases and, apart from fastbp's code, what it computes.

A file has

    CASES = [...]                           objects of the layer that together set every setting to two values
    def outputs(layer, weights, x): ...     x (n, ...) -> out (n, ...), with jax.numpy; weights: the layer's parameters

and where they are needed

    SHAPE = (2, 3)                          of a row of the layer's inputs, in place of (6,)
    CHANGES = {"epsilon": 0.5}              values that may be assigned to settings of CASES[0] later on
    REGULARIZERS = ("gamma_regularizer",)   settings with the penalties of the parameters, in the order of `weights`
    REFUSED = [(layer, shape, message)]     what `build` refuses of rows of this shape

Finite differences, JAX's gradient, the reference's, penalties, NaN, bits at 1 and 2 threads, files, settings that
change, and the layer of its name in Keras are tried of all of them, by test_layers.py, test_settings.py and
test_oracles.py.
"""

import importlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fastbp import Dense, Reshape

ORACLES = {}
for _path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    _module = importlib.import_module(f"tests.oracles.{_path.stem}")
    ORACLES[type(_module.CASES[0]).__name__] = _module

CASES = {kind: module.CASES for kind, module in ORACLES.items()}
REGULARIZERS = {kind: getattr(module, "REGULARIZERS", ()) for kind, module in ORACLES.items()}


def shape_of(kind):
    """Return the shape of a row of the layer's inputs in its cases."""
    return getattr(ORACLES[kind], "SHAPE", (6,))


def _front(shape):
    """Return layers that make such rows of rows of 6 numbers."""
    size = math.prod(shape)
    return [*([] if size == 6 else [Dense(size)]), *([] if len(shape) == 1 else [Reshape(shape)])]


IN_FRONT = {kind: _front(shape_of(kind)) for kind in ORACLES}


def autodiff_of(module):
    """Return the function of reference/autodiff.py."""
    return lambda layer, weights, x, mask: module.outputs(layer, weights, x)


def reference_of(module):
    """Return the functions of reference/network.py: the backward one is JAX's derivative."""

    def forward(layer, weights, x, mask):
        return np.asarray(module.outputs(layer, [jnp.asarray(w) for w in weights], jnp.asarray(x))), None

    def backward(layer, weights, x, z, dout, mask):
        arrays = [jnp.asarray(w) for w in weights]
        _, pull = jax.vjp(lambda arrays, x: module.outputs(layer, arrays, x), arrays, jnp.asarray(x))
        dweights, dx = pull(jnp.asarray(dout))
        return np.asarray(dx), [np.asarray(d) for d in dweights]

    return forward, backward


AUTODIFF = {kind: autodiff_of(module) for kind, module in ORACLES.items()}
REFERENCE = {kind: reference_of(module) for kind, module in ORACLES.items()}
