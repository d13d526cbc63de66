"""Metrics with settings: objects that are called as functions of (y_true, y_pred), by Keras's names and formulas.

They stand in ``compile(metrics=[...])`` beside the names of metrics/functions.py, by their `name`, and files hold
them.  Each is a frozen dataclass, registered, with

    __call__(y_true, y_pred, sample_weight=None) -> float

for outputs y_pred (n, k), or (n, t, k) and so on, and targets of their shape, or of class numbers that without the last
axis; `sample_weight` has a weight for each entry, (n,) or (n, t), or for each row.  In
``compile(weighted_metrics=[...])`` they are given the weights of `fit` and `evaluate`, as Keras's are.

`heeds_mask` says whether Keras leaves masked time steps out of the metric, as fastbp does of all, and
`greater_is_better` which way is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastbp.metrics.base import SCORES, Score, class_numbers, entry_by_entry, entry_weights, mean_of
from fastbp.metrics.confusion import AUC, F1Score, FBetaScore, Precision, Recall

__all__ = [
    "AUC",
    "SCORES",
    "Accuracy",
    "BinaryAccuracy",
    "F1Score",
    "FBetaScore",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "TopKCategoricalAccuracy",
]


@SCORES.register("binary_accuracy")
@dataclass(frozen=True)
class BinaryAccuracy(Score):
    """Share of entries for which ``y_pred > threshold`` is y_true, 0 or 1.

    Parameters
    ----------
    threshold : float, default 0.5
    name : str, default "binary_accuracy"

    Examples
    --------
    >>> BinaryAccuracy(threshold=0.7)([[0.0], [1.0]], [[0.6], [0.8]])
    1.0
    """

    threshold: float = 0.5
    name: str = "binary_accuracy"
    heeds_mask = True

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_true, y_pred = entry_by_entry(y_true, y_pred)
        return mean_of((y_pred > self.threshold) == y_true, y_pred, sample_weight)


@SCORES.register("accuracy")
@dataclass(frozen=True)
class Accuracy(Score):
    """What Keras makes of ``metrics=["accuracy"]``, whatever the loss is.

    Of one output `BinaryAccuracy`; of several the share of rows whose largest output is that of the largest target, or
    of the class that the target names: of several labels, too.

    Parameters
    ----------
    name : str, default "accuracy"

    Examples
    --------
    >>> Accuracy()([[1.0, 1.0, 0.0]], [[0.2, 0.9, 0.8]])
    0.0
    """

    name: str = "accuracy"
    heeds_mask = True

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        if np.shape(y_pred)[-1] == 1:
            return BinaryAccuracy()(y_true, y_pred, sample_weight)
        return mean_of(np.argmax(y_pred, -1) == class_numbers(y_true, y_pred), y_pred, sample_weight)


@SCORES.register("top_k_categorical_accuracy")
@dataclass(frozen=True)
class TopKCategoricalAccuracy(Score):
    """Share of rows whose true class (class number or one-hot row) is among the `k` largest outputs.

    Parameters
    ----------
    k : int, default 5
        At least 1.
    name : str, default "top_k_categorical_accuracy"

    Examples
    --------
    >>> TopKCategoricalAccuracy(k=2)([2, 0], [[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    0.5
    """

    k: int = 5
    name: str = "top_k_categorical_accuracy"
    heeds_mask = True

    def __post_init__(self):
        if not isinstance(self.k, int | np.integer) or isinstance(self.k, bool) or self.k < 1:
            self.refuse("k", "it is a whole number of at least 1.")

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_pred = np.asarray(y_pred)
        true = np.take_along_axis(y_pred, class_numbers(y_true, y_pred)[..., None], -1)
        return mean_of((y_pred > true).sum(-1) < self.k, y_pred, sample_weight)


@SCORES.register("r2_score")
@dataclass(frozen=True)
class R2Score(Score):
    """Coefficient of determination; a constant column of targets gives 0, or NaN if it is predicted exactly.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"}, default "uniform_average"
        The mean over outputs, even or by their targets' variance.
    name : str, default "r2_score"

    Examples
    --------
    >>> round(R2Score("variance_weighted_average")([[0.0, 0.0], [2.0, 1.0]], [[0.0, 0.5], [2.0, 0.5]]), 4)
    0.8
    """

    class_aggregation: str = "uniform_average"
    name: str = "r2_score"

    def __post_init__(self):
        if self.class_aggregation not in ("uniform_average", "variance_weighted_average"):
            self.refuse("class_aggregation", 'it is "uniform_average" or "variance_weighted_average".')

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_true, y_pred = (part.astype(np.float64) for part in entry_by_entry(y_true, y_pred))
        if y_pred.ndim != 2:
            raise ValueError(f"{self.name} takes outputs of shape (n, k), not {y_pred.shape}.")
        weight = entry_weights(y_pred, sample_weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (y_true * weight).sum(0) / weight.sum()
            total = ((y_true - mean) ** 2 * weight).sum(0)
            scores = 1 - ((y_true - y_pred) ** 2 * weight).sum(0) / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            return float(scores.mean())
        with np.errstate(invalid="ignore"):
            return float((total * scores).sum() / total.sum())


class Error(Score):
    """What metrics of errors share."""

    heeds_mask = True
    greater_is_better = False
    of_errors: ClassVar[Callable]  # (errors) -> what is averaged

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_true, y_pred = entry_by_entry(y_true, y_pred)
        return mean_of(self.of_errors(y_pred.astype(np.float64) - y_true), y_pred, sample_weight)


@SCORES.register("mean_squared_error")
@dataclass(frozen=True)
class MeanSquaredError(Error):
    """Mean of ``(y_pred - y_true)**2``, as the metric of this name, under a `name` of one's own.

    Parameters
    ----------
    name : str, default "mean_squared_error"

    Examples
    --------
    >>> MeanSquaredError(name="brier")([[0.0], [1.0]], [[0.0], [0.5]])
    0.125
    """

    name: str = "mean_squared_error"

    def of_errors(self, error):
        """Return what is averaged."""
        return error**2


@SCORES.register("mean_absolute_error")
@dataclass(frozen=True)
class MeanAbsoluteError(Error):
    """Mean of ``|y_pred - y_true|``, as the metric of this name, under a `name` of one's own.

    Parameters
    ----------
    name : str, default "mean_absolute_error"

    Examples
    --------
    >>> MeanAbsoluteError(name="euros")([[0.0], [1.0]], [[0.0], [0.5]])
    0.25
    """

    name: str = "mean_absolute_error"

    def of_errors(self, error):
        """Return what is averaged."""
        return np.abs(error)


@SCORES.register("root_mean_squared_error")
@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean squared error, as the metric of this name, under a `name` of one's own.

    Parameters
    ----------
    name : str, default "root_mean_squared_error"

    Examples
    --------
    >>> RootMeanSquaredError(name="rmse")([[0.0], [1.0]], [[0.0], [1.0]])
    0.0
    """

    name: str = "root_mean_squared_error"
    heeds_mask = False

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        return float(np.sqrt(super().__call__(y_true, y_pred, sample_weight)))
