"""Losses in plain NumPy float64, from their definitions.

Each takes the raw outputs out (n, k), targets y (n, t) and the settings, and returns the loss of each row
(n,) and its derivatives dout (n, k).  The crossentropies take logits.  A loss that is not here is derived from its
formula in autodiff.py (derived.py).
"""

import numpy as np

from tests.reference.derived import WithDerived, loss_by_jax


def mean_squared_error(out, y):
    """The mean of squared errors."""
    return np.mean((out - y) ** 2, axis=1), 2 * (out - y) / out.shape[1]


def mean_absolute_error(out, y):
    """The mean of absolute errors."""
    return np.mean(np.abs(out - y), axis=1), np.sign(out - y) / out.shape[1]


def huber(out, y, delta):
    """A parabola that goes on as a straight line."""
    error = out - y
    near = np.abs(error) <= delta
    losses = np.where(near, error**2 / 2, delta * np.abs(error) - delta**2 / 2)
    return losses.mean(axis=1), np.where(near, error, delta * np.sign(error)) / out.shape[1]


def poisson(out, y):
    """The negative log likelihood of counts, without its constant part."""
    return np.mean(out - y * np.log(out + 1e-7), axis=1), (1 - y / (out + 1e-7)) / out.shape[1]


def hinge(out, y):
    """What is missing to a margin of 1."""
    return np.mean(np.maximum(1 - y * out, 0), axis=1), -y * (y * out < 1) / out.shape[1]


def binary_crossentropy(out, y, from_logits, label_smoothing):
    """Of log p = -log(1 + exp(-out)) and log(1 - p) = -log(1 + exp(out))."""
    t = y * (1 - label_smoothing) + label_smoothing / 2
    losses = t * np.logaddexp(0, -out) + (1 - t) * np.logaddexp(0, out)
    return losses.mean(axis=1), (np.exp(-np.logaddexp(0, -out)) - t) / out.shape[1]


def categorical_crossentropy(out, y, from_logits, label_smoothing):
    """Of log p = out - log(sum(exp(out)))."""
    t = y * (1 - label_smoothing) + label_smoothing / out.shape[1]
    log_p = out - np.logaddexp.reduce(out, axis=1, keepdims=True)
    return -(t * log_p).sum(axis=1), np.exp(log_p) * t.sum(axis=1, keepdims=True) - t


def sparse_categorical_crossentropy(out, y, from_logits, label_smoothing):
    """That of one-hot rows."""
    one_hot = np.eye(out.shape[1])[y[:, 0].astype(int)]
    return categorical_crossentropy(out, one_hot, from_logits, label_smoothing)


def quantile(out, y, quantiles):
    """A row's target is above an output with probability 1 - tau: the error counts tau above, 1 - tau below."""
    tau, above = np.array(quantiles), y > out
    losses = np.where(above, tau, 1 - tau) * np.abs(y - out)
    return losses.mean(axis=1), np.where(above, -tau, 1 - tau) / out.shape[1]


def vector_jacobian(out, y):
    """The sum of products."""
    return np.sum(out * y, axis=1), y


KNOWN = {
    function.__name__: function
    for function in (
        mean_squared_error,
        mean_absolute_error,
        huber,
        poisson,
        hinge,
        binary_crossentropy,
        categorical_crossentropy,
        sparse_categorical_crossentropy,
        quantile,
        vector_jacobian,
    )
}
LOSSES = WithDerived(KNOWN, loss_by_jax)
