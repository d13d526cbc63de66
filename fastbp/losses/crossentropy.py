"""The crossentropies, computed on logits, the numbers before the link (sigmoid or softmax).

Link and loss computed together do not overflow, however large the logits are.  In training the driver leaves the link
out of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at
from fastbp.kernels.lanes import lane_dot_below, lane_sum, lane_sum_below
from fastbp.kernels.softmax import ROWS, row_room, softmax_rows
from fastbp.kernels.vecmath import log, sigmoid, softplus
from fastbp.losses.base import LOSSES, Loss, mean_over_outputs
from fastbp.losses.targets import bounded_targets, class_targets, one_hot_targets
from fastbp.settings.validation import checked_switch, is_number


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
    def setting(self) -> float:  # type: ignore[override]
        return self.label_smoothing

    def check_output(self, activation: Any, n_out: int) -> None:
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

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("sigmoid")], input_shape=(1,))
    >>> model.compile("adam", fastbp.BinaryCrossentropy())
    >>> round(model.evaluate([[0.0]], [[1]]), 4)
    0.6931
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    link = "sigmoid"

    @property
    def accuracy(self) -> str:
        """The metric that "accuracy" means: a logit says yes above 0, a probability above 0.5."""
        return "sign_accuracy" if self.from_logits else "binary_accuracy"

    @mean_over_outputs
    def kernel(z, y, smoothing):
        t = y * (like(z, 1) - smoothing) + like(z, 0.5) * smoothing
        # -t log p - (1 - t) log(1 - p) = t softplus(-z) + (1 - t) softplus(z) = softplus(-|z|) + wrong * |z|, because
        # softplus(z) = softplus(-z) + z.  The target's share of the class that z rejects is `wrong`.
        wrong = select(z < 0, t, like(z, 1) - t)
        return softplus(-abs(z)) + wrong * abs(z), sigmoid(z) - t

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return bounded_targets(y, n_out, dtype, 0, 1, "binary_crossentropy takes targets from 0 to 1")


@inline
def logarithms(mass, rows):
    """mass (rows,) = log(mass)."""
    for r in range(np.uint64(rows)):
        mass[r] = log(mass[r])


@kernel
def categorical_crossentropy(record, dout, out, y, weight, scale):
    """loss = -sum over classes of t log p; p = softmax(out), t = y (1 - s) + s / k."""
    k, n, real = record.n_out, weight.size, out.dtype.type
    keep, share = 1.0 - record.setting, record.setting / k
    factor, mass, targets, top = row_room(1.0), row_room(1.0), row_room(1.0), row_room(real(0))
    total = 0.0
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        d, z, y_ = at(dout, first * k), at(out, first * k), at(y, first * k)
        for r in range(rows):
            targets[r] = keep * lane_sum(y_, r * k, r * k + k) + record.setting
            factor[r] = scale * weight[np.uint64(first + r)] * targets[r]
        softmax_rows(d, z, rows, k, factor, top, mass)
        logarithms(mass, rows)
        for r in range(rows):
            one_weight = weight[np.uint64(first + r)]
            # -sum(t log p) = sum(t) log(sum(exp(z - top))) - sum(t (z - top)), top the largest z: no part is negative
            cross = keep * lane_dot_below(z, top[r], y_, r * k, r * k + k)
            if share > 0:
                cross += share * lane_sum_below(z, top[r], r * k, r * k + k)
            total += one_weight * (targets[r] * mass[r] - cross)
            # dout = p * sum(t) - t
            y_factor, constant = real(scale * one_weight * keep), real(scale * one_weight * share)
            for j in range(np.uint64(r * k), np.uint64(r * k + k)):
                d[j] -= y_[j] * y_factor + constant
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

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("softmax")], input_shape=(2,))
    >>> model.compile("adam", fastbp.CategoricalCrossentropy())
    >>> round(model.evaluate([[0.0, 0.0]], [[1, 0]]), 4)
    0.6931
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(categorical_crossentropy)
    link = "softmax"
    accuracy = "sparse_categorical_accuracy"

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return one_hot_targets(y, n_out, dtype)


@inline
def class_at(y, i, k):
    """Return class number y[i], or -1 where it is none of 0 to k - 1."""
    number = np.int64(y[i])
    return number if np.uint64(number) < np.uint64(k) else np.int64(-1)


@kernel
def sparse_categorical_crossentropy(record, dout, out, y, weight, scale):
    """loss = -log p[y], p = softmax(out), y (n, 1) a class number; smoothed: -(1 - s) log p[y] - s mean(log p).

    A number that is no class gives NaN: y may be an array of the user's, and anybody may change it while this runs.
    """
    k, n, real = record.n_out, weight.size, out.dtype.type
    keep, share = 1.0 - record.setting, record.setting / k
    factor, mass, cross, top = row_room(1.0), row_room(1.0), row_room(1.0), row_room(real(0))
    total = 0.0
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        d, z = at(dout, first * k), at(out, first * k)
        for r in range(np.uint64(rows)):
            factor[r] = scale * weight[np.uint64(first) + r]
        softmax_rows(d, z, rows, k, factor, top, mass)
        logarithms(mass, rows)
        for r in range(rows):
            cross[r] = 0.0
        if share > 0:
            smooth(d, z, rows, k, factor, top, share, cross)
        unknown = take_targets(d, z, at(y, first), rows, k, factor, top, keep, cross)
        # -log p[y] = log(sum(exp(z - top))) - (z[y] - top), top the largest z: no part is negative
        for r in range(np.uint64(rows)):
            mass[r] = weight[np.uint64(first) + r] * (mass[r] - cross[r])
        total += np.nan if unknown else lane_sum(mass, 0, rows)
    return total


@inline
def smooth(d, z, rows, k, factor, top, share, cross):
    """dout = p - share for every class, and cross = share * sum(z - top)."""
    for r in range(rows):
        cross[r] = share * lane_sum_below(z, top[r], r * k, r * k + k)
        by = like(top[r], factor[r] * share)
        for j in range(np.uint64(r * k), np.uint64(r * k + k)):
            d[j] -= by


@inline
def take_targets(d, z, y, rows, k, factor, top, keep, cross):
    """dout -= keep at each row's class, cross += keep * (z[y] - top); rows without a class get NaN and are counted.

    The loop does nothing else: with sums and the branch of smoothing it took twice the time.
    """
    unknown = 0
    for r in range(np.uint64(rows)):
        known = class_at(y, r, k)
        place = np.uint64(r * np.uint64(k)) + np.uint64(max(known, 0))
        cross[r] += keep * np.float64(z[place] - top[r])
        d[place] -= like(top[r], factor[r] * keep)
        unknown += known < 0
    if unknown > 0:
        for r in range(rows):
            if class_at(y, r, k) < 0:
                for j in range(np.uint64(r * k), np.uint64(r * k + k)):
                    d[j] = np.nan
    return unknown


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

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("softmax")], input_shape=(2,))
    >>> model.compile("adam", fastbp.SparseCategoricalCrossentropy())
    >>> round(model.evaluate([[0.0, 0.0]], [1]), 4)
    0.6931
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    kernel = staticmethod(sparse_categorical_crossentropy)
    link = "softmax"
    accuracy = "sparse_categorical_accuracy"

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return class_targets(y, n_out, dtype)
