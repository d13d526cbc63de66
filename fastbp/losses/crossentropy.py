"""The crossentropies, computed on logits, the numbers before the link (sigmoid or softmax).

The two together are safe at any size; the driver leaves the link out of the last layer in training.
"""

from dataclasses import dataclass

import numpy as np

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.lanes import lane_dot, lane_maximum, lane_sum
from fastbp.kernels.vecmath import exp, log, sigmoid, softplus
from fastbp.losses.base import LOSSES, Loss, mean_over_outputs
from fastbp.losses.targets import bounded_targets, class_targets, one_hot_targets
from fastbp.settings.checked import checked_switch, is_number


class Crossentropy(Loss):
    """What the crossentropies share: a link, logits, smoothed targets."""

    from_logits = False
    label_smoothing = 0.0

    def __post_init__(self):
        name = type(self).__name__
        object.__setattr__(self, "from_logits", checked_switch(self, "from_logits", self.from_logits))
        if not is_number(self.label_smoothing) or not 0 <= self.label_smoothing < 1:
            raise ValueError(f"{name}(label_smoothing={self.label_smoothing!r}): it is at least 0 and below 1.")

    @property
    def setting(self):
        return self.label_smoothing

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
                f'{loss} takes the probabilities of a {self.link}, but the last layer ends in "{activation}": write '
                f'Dense({n_out}, activation="{self.link}"), or loss=fastbp.{name}(from_logits=True) for raw outputs '
                "of a linear last layer."
            )


@LOSSES.register("binary_crossentropy")
@dataclass(frozen=True)
class BinaryCrossentropy(Crossentropy):
    """Crossentropy of independent yes-or-no outputs, also for several labels a row.

    Mean over outputs of ``-t log(p) - (1 - t) log(1 - p)``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"sigmoid"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        ``t = y * (1 - label_smoothing) + label_smoothing / 2``.

    Raises
    ------
    ValueError
        Where `label_smoothing` is not in [0, 1).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    link = "sigmoid"

    @property
    def accuracy(self):
        """Logits are on either side of 0, probabilities of 0.5."""
        return "sign_accuracy" if self.from_logits else "binary_accuracy"

    @mean_over_outputs
    def kernel(z, y, smoothing):
        t = y * (like(z, 1) - smoothing) + like(z, 0.5) * smoothing
        # -t log p - (1 - t) log(1 - p) = t softplus(-z) + (1 - t) softplus(z), and the two differ by z.
        # Of the smaller one, that of -|z|, all bits count; |z| comes times the target on z's wrong side.
        wrong = select(z < 0, t, like(z, 1) - t)
        return softplus(-abs(z)) + wrong * abs(z), sigmoid(z) - t

    def prepare_targets(self, y, n_out, dtype):
        return bounded_targets(y, n_out, dtype, 0, 1, "binary_crossentropy takes targets from 0 to 1")


@inline
def exponentials(d):
    """d (n, k) = exp(d), one loop over the rows: vector code at any width."""
    for i in range(d.size):
        d[i] = exp(d[i])


@inline
def subtract_maxima(d, z, k):
    """d (n, k) = z (n, k) minus the largest of its row: nothing overflows, and one exponential is 1."""
    for start in range(0, z.size, k):
        top = lane_maximum(z, start, start + k)
        for j in range(np.uint64(start), np.uint64(start + k)):
            d[j] = z[j] - top


@kernel
def categorical_crossentropy(row, dout, out, y, weight, scale):
    """loss = -sum over classes of t log p; p = softmax(out), t = y (1 - s) + s / k."""
    k, real = row.n_out, out.dtype.type
    keep, share = 1.0 - row.setting, row.setting / k
    total = 0.0
    # -sum(t log p) = -sum(t z) + sum(t) log(sum(exp z)) with the largest z subtracted: no part is negative
    subtract_maxima(dout, out, k)
    for i in range(weight.size):
        cross = keep * lane_dot(dout, y, i * k, i * k + k)
        if share > 0:
            cross += share * lane_sum(dout, i * k, i * k + k)
        total -= weight[i] * cross
    exponentials(dout)
    for i in range(weight.size):
        mass = lane_sum(dout, i * k, i * k + k)
        targets = keep * lane_sum(y, i * k, i * k + k) + row.setting
        total += weight[i] * (targets * log(mass))
        # dout = p * sum(t) - t
        factor = scale * weight[i]
        p_factor, y_factor, constant = real(factor * targets / mass), real(factor * keep), real(factor * share)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            dout[j] = dout[j] * p_factor - (y[j] * y_factor + constant)
    return total


@LOSSES.register("categorical_crossentropy")
@dataclass(frozen=True)
class CategoricalCrossentropy(Crossentropy):
    """Crossentropy of classes, targets one-hot or as probabilities (n, k): ``-sum(t * log(p))``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"softmax"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        ``t = y * (1 - label_smoothing) + label_smoothing / k`` (Szegedy et al., 2016).

    Raises
    ------
    ValueError
        Where `label_smoothing` is not in [0, 1).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(categorical_crossentropy)
    link = "softmax"
    accuracy = "sparse_categorical_accuracy"

    def prepare_targets(self, y, n_out, dtype):
        return one_hot_targets(y, n_out, dtype)


@inline
def class_at(y, i, k):
    """Return class number y[i], or -1 where it is none of 0 to k - 1."""
    number = np.int64(y[i])
    return number if np.uint64(number) < np.uint64(k) else np.int64(-1)


@kernel
def sparse_categorical_crossentropy(row, dout, out, y, weight, scale):
    """loss = -log p[y], p = softmax(out), y (n, 1) a class number; smoothed: -(1 - s) log p[y] - s mean(log p).

    What is no class number gives NaN: y may be an array of the user's, which anybody may change while this runs.
    """
    k, real = row.n_out, out.dtype.type
    keep, share = 1.0 - row.setting, row.setting / k
    total = 0.0
    # -log p[y] = -z[y] + log(sum(exp z)) with the largest z subtracted: no part is negative
    subtract_maxima(dout, out, k)
    for i in range(weight.size):
        cross = keep * dout[i * k + max(class_at(y, i, k), 0)]
        if share > 0:
            cross += share * lane_sum(dout, i * k, i * k + k)
        total -= weight[i] * cross
    exponentials(dout)
    for i in range(weight.size):
        known = class_at(y, i, k)
        mass = lane_sum(dout, i * k, i * k + k) if known >= 0 else np.nan
        total += weight[i] * log(mass)
        # dout = p - t
        factor = scale * weight[i]
        p_factor, constant = real(factor / mass), real(factor * share)
        for j in range(np.uint64(i * k), np.uint64(i * k + k)):
            dout[j] = dout[j] * p_factor - constant
        dout[i * k + max(known, 0)] -= real(factor * keep)
    return total


@LOSSES.register("sparse_categorical_crossentropy")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Crossentropy):
    """Crossentropy of classes, targets as class numbers (n,): ``-log(p[y])``.

    Parameters
    ----------
    from_logits : bool, default False
        False: the model ends in ``"softmax"`` (computed together with the loss, safely). True: it ends linear.
    label_smoothing : float, default 0.0
        As in `CategoricalCrossentropy`.

    Raises
    ------
    ValueError
        Where `label_smoothing` is not in [0, 1).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(sparse_categorical_crossentropy)
    link = "softmax"
    accuracy = "sparse_categorical_accuracy"

    def prepare_targets(self, y, n_out, dtype):
        return class_targets(y, n_out, dtype)
