"""Formulas of references that are written by JAX alone (autodiff.py): their values and derivatives as NumPy arrays.

So a new activation or loss has one line in autodiff.py, which stands in for a formula in activations.py or losses.py.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fastbp.losses import LOSSES


class WithDerived(dict):
    """Formulas by name; `derive(name)` makes one that is not written down."""

    def __init__(self, formulas, derive):
        super().__init__(formulas)
        self._derive = derive

    def __missing__(self, name):
        """Keep and return what `derive` makes."""
        self[name] = self._derive(name)
        return self[name]


def activation_by_jax(name):
    """Return f(x, alpha) -> out."""
    from tests.reference import autodiff

    formula = autodiff.ACTIVATIONS[name]
    return lambda x, alpha: np.asarray(formula(jnp.asarray(x, jnp.float64), alpha))


def activation_derivative_by_jax(name):
    """Return f(dout, x, alpha) -> dx."""
    from tests.reference import autodiff

    formula = autodiff.ACTIVATIONS[name]

    def backward(dout, x, alpha):
        _, pull = jax.vjp(lambda x: formula(x, alpha), jnp.asarray(x, jnp.float64))
        return np.asarray(pull(jnp.asarray(dout, jnp.float64))[0])

    return backward


def loss_by_jax(name):
    """Return f(out, y, **settings) -> the losses of rows (n,), their derivatives (n, k)."""
    from tests.reference import autodiff

    def losses(out, y, **settings):
        loss = LOSSES[name](**settings)
        values, pull = jax.vjp(lambda out: autodiff.LOSSES[name](loss, out, jnp.asarray(y)), jnp.asarray(out))
        return np.asarray(values), np.asarray(pull(jnp.ones_like(values))[0])

    return losses
