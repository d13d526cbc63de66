"""Activations and their derivatives in plain NumPy float64, from the formulas of the papers.

`FORWARD[name](x, alpha)` and `BACKWARD[name](dout, x, alpha)` work on x (n, k).  What is not here is derived from the
formula in autodiff.py (derived.py).
"""

import math

import numpy as np

from tests.reference.derived import WithDerived, activation_by_jax, activation_derivative_by_jax

erf = np.vectorize(math.erf, otypes=["f8"])
SELU = (1.0507009873554805, 1.6732632423543772)


def sigmoid(x):
    """The logistic function, by the side that does not overflow."""
    z = np.exp(-abs(x))
    return np.where(x >= 0, 1, z) / (1 + z)


def softplus(x):
    """log(1 + e^x)."""
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def softmax(x):
    """Exponentials divided by their sum over the last axis."""
    z = np.exp(x - x.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def softmax_jacobian_product(dout, x):
    """Row by row dout @ J, J = diag(p) - p p^T."""
    p = softmax(x)
    jacobian = np.einsum("...i,ij->...ij", p, np.eye(x.shape[-1])) - np.einsum("...i,...j->...ij", p, p)
    return np.einsum("...i,...ij->...j", dout, jacobian)


def gelu_inner(x):
    """The argument of the tanh in GELU's approximation, and its derivative."""
    scale = np.sqrt(2 / np.pi)
    return scale * (x + 0.044715 * x**3), scale * (1 + 3 * 0.044715 * x**2)


def gelu_tanh_slope(x):
    """Derivative of 0.5 x (1 + tanh(inner))."""
    inner, slope = gelu_inner(x)
    return 0.5 * (1 + np.tanh(inner)) + 0.5 * x * slope / np.cosh(inner) ** 2


def normal_cdf(x):
    """Standard normal distribution function."""
    return 0.5 * (1 + erf(x / np.sqrt(2)))


FORWARD = WithDerived(
    {
        "sigmoid": lambda x, alpha: sigmoid(x),
        "tanh": lambda x, alpha: np.tanh(x),
        "relu": lambda x, alpha: np.maximum(x, 0),
        "leaky_relu": lambda x, alpha: np.where(x > 0, x, alpha * x),
        "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        "selu": lambda x, alpha: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(np.minimum(x, 0))),
        "gelu": lambda x, alpha: x * normal_cdf(x),
        "gelu_tanh": lambda x, alpha: 0.5 * x * (1 + np.tanh(gelu_inner(x)[0])),
        "silu": lambda x, alpha: x * sigmoid(x),
        "mish": lambda x, alpha: x * np.tanh(softplus(x)),
        "softplus": lambda x, alpha: softplus(x),
        "exponential": lambda x, alpha: np.exp(x),
        "hard_sigmoid": lambda x, alpha: np.clip(x / 6 + 0.5, 0, 1),
        "softmax": lambda x, alpha: softmax(x),
    },
    activation_by_jax,
)

BACKWARD = WithDerived(
    {
        "sigmoid": lambda dout, x, alpha: dout * sigmoid(x) * sigmoid(-x),
        "tanh": lambda dout, x, alpha: dout / np.cosh(x) ** 2,
        "relu": lambda dout, x, alpha: dout * (x > 0),
        "leaky_relu": lambda dout, x, alpha: dout * np.where(x > 0, 1, alpha),
        "elu": lambda dout, x, alpha: dout * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
        "selu": lambda dout, x, alpha: dout * SELU[0] * np.where(x > 0, 1, SELU[1] * np.exp(np.minimum(x, 0))),
        "gelu": lambda dout, x, alpha: dout * (normal_cdf(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)),
        "gelu_tanh": lambda dout, x, alpha: dout * gelu_tanh_slope(x),
        "silu": lambda dout, x, alpha: dout * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
        "mish": lambda dout, x, alpha: dout * (np.tanh(softplus(x)) + x * sigmoid(x) / np.cosh(softplus(x)) ** 2),
        "softplus": lambda dout, x, alpha: dout * sigmoid(x),
        "exponential": lambda dout, x, alpha: dout * np.exp(x),
        "hard_sigmoid": lambda dout, x, alpha: dout * (abs(x) < 3) / 6,
        "softmax": lambda dout, x, alpha: softmax_jacobian_product(dout, x),
    },
    activation_derivative_by_jax,
)
