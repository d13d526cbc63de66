"""Softmax by JAX: of several axes by the logarithm of the sum of exponentials."""

import jax
import jax.numpy as jnp

from fastbp import Softmax

CASES = [Softmax(), Softmax(1), Softmax(2, name="shares"), Softmax([1, 2]), Softmax((-1, -2)), Softmax([3])]
SHAPE = (2, 3, 2)
CHANGES = {"axis": -2}
REFUSED = [
    (Softmax(0), (3, 2), "axis=0.*axes 1 to 2"),
    (Softmax(3), (3, 2), "axis=3"),
    (Softmax(-3), (3, 2), "axis=-3"),
    (Softmax((1, -1)), (3,), "each but once"),
    (Softmax((1, 3)), (2, 3, 2), "beside each other"),
    (lambda: Softmax("last"), None, "axis='last'"),
    (lambda: Softmax([]), None, r"axis=\[\]"),
    (lambda: Softmax(True), None, "axis=True"),
]


def outputs(layer, weights, x):
    """x (n, ...) -> out (n, ...)."""
    return jnp.exp(x - jax.nn.logsumexp(x, axis=layer.axis, keepdims=True))
