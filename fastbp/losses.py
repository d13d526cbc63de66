"""Losses: each a settings class, its kernel, and the checks of its targets.

    value_and_grad(row, dout, out, y, weight, scale) -> float64

for raw outputs out (n, k) of the last layer, targets y (n, t) and weights weight (n,), all flat and in the
model's dtype: returns the sum over rows of weight * loss and overwrites dout (n, k) with
scale * weight * dloss/dout.  Names, defaults and formulas are those of `keras.losses`.

A loss with a `link` (softmax or sigmoid) works on the numbers before it, the logits, where the two
together are safe at any size; the driver leaves that activation out of the last layer in training.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastbp._jit import address, call_float, inline, kernel
from fastbp._registry import Registry
from fastbp._rows import make_row, row_dtype
from fastbp.targets import bounded_targets, class_targets, dense_targets
from fastbp.vecmath import exp, log, log1p, sigmoid

LOSSES = Registry("loss")
LOSS_ROW_SIZE = 128
LOSS_HEADER = [
    ("kernel", "i8"),  # address
    ("n_out", "i8"),
    ("n_targets", "i8"),
]

# Keras's fuzz factor, for the logarithm of a predicted count.
EPSILON = 1e-7


class Loss:
    """What every loss has."""

    dtype = row_dtype(LOSS_ROW_SIZE, LOSS_HEADER)
    kernel: Any = None
    link: str | None = None

    def row(self, n_out, n_targets, kernel_address, float_type):
        """Return the settings as an array of one row of `dtype`."""
        settings = {name: getattr(self, name) for name in self.dtype.names[len(LOSS_HEADER) :]}
        return make_row(self.dtype, kernel=kernel_address, n_out=n_out, n_targets=n_targets, **settings)

    def check_output(self, activation, n_out):
        """Raise ValueError where the model's last activation or number of outputs does not suit the loss."""

    def prepare_targets(self, y, n_out, dtype):
        """Return the targets as a C-contiguous array (n, t)."""
        return dense_targets(y, n_out, dtype)


@kernel
def mean_squared_error(row, dout, out, y, weight, scale):
    """loss = mean over outputs of (out - y)**2."""
    k, real = row.n_out, out.dtype.type
    total = 0.0
    for i in range(weight.size):
        factor = real(scale * 2.0 / k) * weight[i]
        squares = real(0)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            error = out[j] - y[j]
            squares += error * error
            dout[j] = factor * error
        total += np.float64(weight[i]) * np.float64(squares)
    return total / k


@LOSSES.register("mean_squared_error")
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over outputs of ``(y_pred - y_true)**2``."""

    kernel = staticmethod(mean_squared_error)


@kernel
def mean_absolute_error(row, dout, out, y, weight, scale):
    """loss = mean over outputs of |out - y|."""
    k, real = row.n_out, out.dtype.type
    total = 0.0
    for i in range(weight.size):
        factor = real(scale / k) * weight[i]
        absolute = real(0)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            error = out[j] - y[j]
            absolute += abs(error)
            dout[j] = factor * np.sign(error)
        total += np.float64(weight[i]) * np.float64(absolute)
    return total / k


@LOSSES.register("mean_absolute_error")
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over outputs of ``|y_pred - y_true|``; the derivative at 0 is taken as 0."""

    kernel = staticmethod(mean_absolute_error)


@kernel
def huber(row, dout, out, y, weight, scale):
    """loss = mean over outputs of e**2 / 2 where |e| <= delta, else delta * (|e| - delta / 2); e = out - y."""
    k, real = row.n_out, out.dtype.type
    delta, half = real(row.delta), real(0.5)
    total = 0.0
    for i in range(weight.size):
        factor = real(scale / k) * weight[i]
        value = real(0)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            error = out[j] - y[j]
            # The limited error; both comparisons are false for NaN, which survives.
            limited = delta if error > delta else error
            limited = -delta if limited < -delta else limited
            value += limited * (error - half * limited)
            dout[j] = factor * limited
        total += np.float64(weight[i]) * np.float64(value)
    return total / k


@LOSSES.register("huber")
@dataclass(frozen=True)
class Huber(Loss):
    """Squared near 0, absolute beyond `delta` (Huber, 1964).

    With ``e = y_pred - y_true``, the mean over outputs of ``e**2 / 2`` where ``|e| <= delta``, else of
    ``delta * (|e| - delta / 2)``.

    Parameters
    ----------
    delta : float, default 1.0
    """

    delta: float = 1.0

    kernel = staticmethod(huber)
    dtype = row_dtype(LOSS_ROW_SIZE, LOSS_HEADER, [("delta", "f8")])

    def __post_init__(self):
        if not 0 < self.delta < np.inf:
            raise ValueError(f"Huber(delta={self.delta!r}): delta is a number above 0.")


@kernel
def poisson(row, dout, out, y, weight, scale):
    """loss = mean over outputs of out - y * log(out + 1e-7)."""
    k, real = row.n_out, out.dtype.type
    epsilon, one = real(EPSILON), real(1)
    total = 0.0
    for i in range(weight.size):
        factor = real(scale / k) * weight[i]
        value = real(0)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            rate = out[j] + epsilon
            value += out[j] - y[j] * log(rate)
            dout[j] = factor * (one - y[j] / rate)
        total += np.float64(weight[i]) * np.float64(value)
    return total / k


@LOSSES.register("poisson")
@dataclass(frozen=True)
class Poisson(Loss):
    """Mean over outputs of ``y_pred - y_true * log(y_pred + 1e-7)``: counts, predicted as positive rates.

    End the model in ``"softplus"`` or another activation with positive outputs.
    """

    kernel = staticmethod(poisson)

    def prepare_targets(self, y, n_out, dtype):
        return bounded_targets(y, n_out, dtype, 0, np.inf, "the Poisson loss is for counts of at least 0")


@kernel
def hinge(row, dout, out, y, weight, scale):
    """loss = mean over outputs of max(1 - y * out, 0)."""
    k, real = row.n_out, out.dtype.type
    one, zero = real(1), real(0)
    total = 0.0
    for i in range(weight.size):
        factor = real(scale / k) * weight[i]
        value = zero
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            # `margin < 0` is false for NaN, which survives.
            margin = one - y[j] * out[j]
            value += zero if margin < 0 else margin
            dout[j] = -factor * y[j] if margin > 0 else zero
        total += np.float64(weight[i]) * np.float64(value)
    return total / k


@LOSSES.register("hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """Mean over outputs of ``max(1 - y_true * y_pred, 0)`` for targets -1 and 1 (0 and 1 are converted)."""

    kernel = staticmethod(hinge)

    def prepare_targets(self, y, n_out, dtype):
        y = dense_targets(y, n_out, dtype)
        if not np.isin(y, (-1, 0, 1)).all() or ((y == 0).any() and (y == -1).any()):
            raise ValueError("the hinge loss takes targets -1 and 1, or 0 and 1.")
        return np.where(y == 0, y.dtype.type(-1), y) if (y == 0).any() else y


class _Crossentropy(Loss):
    """What the crossentropies share: a link, logits, smoothed targets."""

    dtype = row_dtype(LOSS_ROW_SIZE, LOSS_HEADER, [("label_smoothing", "f8")])
    from_logits = False

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            name = type(self).__name__
            raise ValueError(f"{name}(label_smoothing={self.label_smoothing!r}): it is at least 0 and below 1.")

    def check_output(self, activation, n_out):
        name, loss = type(self).__name__, self.name
        if self.link == "softmax" and n_out == 1:
            raise ValueError(
                f"{loss} needs an output for each class, the model has 1. For two classes write Dense(2, "
                'activation="softmax"), or Dense(1, activation="sigmoid") with loss="binary_crossentropy".'
            )
        if self.from_logits and activation != "linear":
            raise ValueError(
                f'{name}(from_logits=True) takes raw outputs, but the last layer ends in "{activation}": '
                "drop that activation, or from_logits=True."
            )
        if not self.from_logits and activation != self.link:
            raise ValueError(
                f'{loss} takes probabilities, but the last layer ends in "{activation}": write '
                f'Dense({n_out}, activation="{self.link}"), or loss=fastbp.{name}(from_logits=True) for raw outputs '
                "of a linear last layer."
            )


@kernel
def binary_crossentropy(row, dout, out, y, weight, scale):
    """loss = mean over outputs of -t log p - (1 - t) log(1 - p); p = sigmoid(out), t = y (1 - s) + s / 2."""
    k, real = row.n_out, out.dtype.type
    keep, half_smoothing, zero = real(1.0 - row.label_smoothing), real(0.5 * row.label_smoothing), real(0)
    total = 0.0
    for i in range(weight.size):
        factor = real(scale / k) * weight[i]
        value = zero
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            z, target = out[j], y[j] * keep + half_smoothing
            # = max(z, 0) - z t + log(1 + exp(-|z|)); `z < 0` is false for NaN, which survives.
            value += (zero if z < 0 else z) - z * target + log1p(exp(-abs(z)))
            dout[j] = factor * (sigmoid(z) - target)
        total += np.float64(weight[i]) * np.float64(value)
    return total / k


@LOSSES.register("binary_crossentropy")
@dataclass(frozen=True)
class BinaryCrossentropy(_Crossentropy):
    """Crossentropy of independent yes-or-no outputs, also for several labels a row.

    Mean over outputs of ``-t log(p) - (1 - t) log(1 - p)``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"sigmoid"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        ``t = y * (1 - label_smoothing) + label_smoothing / 2``.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(binary_crossentropy)
    link = "sigmoid"

    def prepare_targets(self, y, n_out, dtype):
        return bounded_targets(y, n_out, dtype, 0, 1, "binary_crossentropy takes targets from 0 to 1")


@inline
def row_maximum(z):
    """The largest entry of z (k,); a NaN is passed over here and comes back with the exponentials."""
    top = z[0]
    for j in range(1, z.size):
        top = z[j] if z[j] > top else top
    return top


@kernel
def categorical_crossentropy(row, dout, out, y, weight, scale):
    """loss = -sum over classes of t log p; p = softmax(out), t = y (1 - s) + s / k."""
    k, real = row.n_out, out.dtype.type
    keep, share = real(1.0 - row.label_smoothing), real(row.label_smoothing / k)
    total = 0.0
    for i in range(weight.size):
        z, target, dz = out[i * k : i * k + k], y[i * k : i * k + k], dout[i * k : i * k + k]
        top = row_maximum(z)
        mass = real(0)
        for j in range(k):
            dz[j] = exp(z[j] - top)
            mass += dz[j]
        # -log p = log(sum exp(z - top)) - (z - top)
        log_mass = log(mass)
        value = targets = real(0)
        for j in range(k):
            t = target[j] * keep + share
            targets += t
            value += t * (log_mass - (z[j] - top))
        # dz = p * sum(t) - t
        factor = real(scale) * weight[i]
        for j in range(k):
            dz[j] = factor * (dz[j] * (targets / mass) - (target[j] * keep + share))
        total += np.float64(weight[i]) * np.float64(value)
    return total


@LOSSES.register("categorical_crossentropy")
@dataclass(frozen=True)
class CategoricalCrossentropy(_Crossentropy):
    """Crossentropy of classes, targets one-hot or as probabilities (n, k): ``-sum(t * log(p))``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"softmax"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        ``t = y * (1 - label_smoothing) + label_smoothing / k`` (Szegedy et al., 2016).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(categorical_crossentropy)
    link = "softmax"

    def prepare_targets(self, y, n_out, dtype):
        if np.ndim(y) == 1 and n_out > 1:
            raise ValueError(
                f'y has shape {np.shape(y)}: for class numbers use loss="sparse_categorical_crossentropy"; '
                f"categorical_crossentropy takes one-hot rows (n, {n_out})."
            )
        return bounded_targets(y, n_out, dtype, 0, 1, "categorical_crossentropy takes probabilities from 0 to 1")


@kernel
def sparse_categorical_crossentropy(row, dout, out, y, weight, scale):
    """loss = -log p[y], p = softmax(out), y (n, 1) a class number; smoothed: -(1 - s) log p[y] - s mean(log p)."""
    k, real = row.n_out, out.dtype.type
    keep, share = real(1.0 - row.label_smoothing), real(row.label_smoothing / k)
    total = 0.0
    for i in range(weight.size):
        z, dz, label = out[i * k : i * k + k], dout[i * k : i * k + k], np.int64(y[i])
        top = row_maximum(z)
        mass = others = real(0)
        for j in range(k):
            dz[j] = exp(z[j] - top)
            mass += dz[j]
            others += z[j] - top
        # -log p[j] = log(sum exp(z - top)) - (z[j] - top)
        log_mass = log(mass)
        value = keep * (log_mass - (z[label] - top)) + share * (real(k) * log_mass - others)
        # dz = p - t
        factor = real(scale) * weight[i]
        for j in range(k):
            dz[j] = factor * (dz[j] / mass - share)
        dz[label] -= factor * keep
        total += np.float64(weight[i]) * np.float64(value)
    return total


@LOSSES.register("sparse_categorical_crossentropy")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(_Crossentropy):
    """Crossentropy of classes, targets as class numbers (n,): ``-log(p[y])``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"softmax"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        As in `CategoricalCrossentropy`.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(sparse_categorical_crossentropy)
    link = "softmax"

    def prepare_targets(self, y, n_out, dtype):
        return class_targets(y, n_out, dtype)


@kernel
def vector_jacobian(row, dout, out, y, weight, scale):
    """loss = sum(out * y), so that dout = y."""
    real = out.dtype.type
    total = 0.0
    k = row.n_out
    for i in range(weight.size):
        factor = real(scale) * weight[i]
        for j in range(i * k, i * k + k):
            total += np.float64(weight[i]) * np.float64(out[j]) * np.float64(y[j])
            dout[j] = factor * y[j]
    return total


@LOSSES.register("vector_jacobian")
@dataclass(frozen=True)
class VectorJacobian(Loss):
    """``sum(out * y)``, whose gradient is the given `y`: what `Sequential.vjp` minimises."""

    kernel = staticmethod(vector_jacobian)


@kernel
def custom_loss(row, dout, out, y, weight, scale):
    """loss = the user's function of one row of targets and outputs."""
    k, t, real = row.n_out, row.n_targets, out.dtype.type
    total = 0.0
    for i in range(weight.size):
        d = dout[i * k : i * k + k]
        total += weight[i] * call_float(row.function, (y[i * t : i * t + t], out[i * k : i * k + k], d))
        factor = real(scale) * weight[i]
        for j in range(k):
            d[j] *= factor
    return total


@LOSSES.accept
class CustomLoss(Loss):
    """A loss of one's own: a compiled function of one row.

    Parameters
    ----------
    function : numba.njit function
        ``f(y_true, y_pred, dout) -> float`` for arrays ``y_true (t,)``, ``y_pred (k,)``, the outputs after the
        last activation, and ``dout (k,)``, which it fills with the derivatives. No exceptions, no allocation.
    name : str, default "custom_loss"
        By which `load_model` asks for it: files hold no code.

    Examples
    --------
    >>> import numba, numpy as np, fastbp
    >>> @numba.njit
    ... def log_cosh(y_true, y_pred, dout):
    ...     error = y_pred[0] - y_true[0]
    ...     dout[0] = np.tanh(error)
    ...     return np.log(np.cosh(error))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0, dtype="float64")
    >>> model.compile(loss=fastbp.CustomLoss(log_cosh, name="log_cosh"))
    >>> x = np.eye(3)
    >>> bool(fastbp.check_gradients(model, x, x.sum(1)).max_relative_error < 1e-6)
    True
    """

    kernel = staticmethod(custom_loss)
    dtype = row_dtype(LOSS_ROW_SIZE, LOSS_HEADER, [("function", "i8")])

    def __init__(self, function, name: str = "custom_loss"):
        if not hasattr(function, "py_func"):
            raise TypeError(f"CustomLoss takes a function compiled with numba.njit, not {function!r}.")
        self.function, self.name = function, name

    def row(self, n_out, n_targets, kernel_address, float_type):
        where, _ = _compiled(self.function, float_type)
        return make_row(self.dtype, kernel=kernel_address, n_out=n_out, n_targets=n_targets, function=where)

    def prepare_targets(self, y, n_out, dtype):
        y = np.asarray(y)
        return dense_targets(y, y.shape[1] if y.ndim == 2 else 1, dtype)


@cache
def _compiled(function, float_type):
    """Return the address of a compiled function with a float64 result, and what keeps its machine code alive."""

    @inline
    def in_float64(y_true, y_pred, dout):
        return np.float64(function(y_true, y_pred, dout))

    array = types.Array(float_type, 1, "C")
    return address(in_float64, array, array, array, returns=types.float64), in_float64
