"""Objectives: the loss that the networks of a tabular estimator minimise, and the metric that chooses the best epoch.

The metrics equal scikit-learn's of the same names.  They are written in NumPy, because scikit-learn's checks of
arguments take longer than the prediction of a small validation part.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.kernels import arraymath
from fastbp.kernels.repeatable import dot
from fastbp.losses import CategoricalCrossentropy, MeanSquaredError, QuantileLoss, SparseCategoricalCrossentropy
from fastbp.tabular.quantiles import pinball_losses, uncrossed
from fastbp.tabular.repeated_rows import log_losses, squared_errors

METRICS: dict = {}


def metric(task, greater_is_better=False):
    """Return a decorator that puts a function among `METRICS`; the first one of a task is its default."""

    def add(function):
        function.task, function.greater_is_better = task, greater_is_better
        METRICS[function.__name__] = function
        return function

    return add


@dataclass(frozen=True)
class Objective:
    """The loss that is minimised, and the metric that is measured.

    Parameters
    ----------
    task : {"classification", "regression"}
    n_outputs : int
        Classes, quantiles, or 1.
    loss : Loss
    activation : str or None
        Of the last layer.
    metric : str
        A name of `METRICS`; of quantiles "pinball".
    quantiles : tuple of float, optional
    row_losses : callable, optional
        The losses (n,) that repeated rows must lower, by outputs (n, k) and values (n, k); None: they are not used.
    sizes : tuple of int, optional
        How many outputs each of several targets has, if some of them are classes.
    """

    task: str
    n_outputs: int
    loss: Any
    activation: str | None
    metric: str
    quantiles: tuple[float, ...] | None = None
    row_losses: Any = None
    sizes: tuple[int, ...] | None = None

    def strata(self, targets):
        """Return codes (n,) by which rows are cut evenly, or None; for probabilities, the most probable class."""
        if self.task == "regression":
            return None
        return targets.argmax(axis=1) if targets.ndim == 2 else targets

    def values(self, targets):
        """Return the outputs (n, k) of a perfect prediction: for classes, rows of an identity matrix."""
        return targets if targets.ndim == 2 else np.eye(self.n_outputs, dtype=np.float32)[targets]

    def value(self, outputs, targets, weight=None):
        """Return the metric of probabilities or values (n, k); NaN where one is not finite.

        Parameters
        ----------
        outputs : (n, k)
        targets : (n,) class codes, (n, k) probabilities of classes, or (n, t) values
        weight : (n,), optional
        """
        if not np.isfinite([outputs.min(), outputs.max()]).all():  # without a mask of so many rows and classes
            return float("nan")
        if self.quantiles:
            return float(pinball_losses(uncrossed(outputs), targets, self.quantiles, weight).mean())
        return float(METRICS[self.metric](outputs, targets, weight))

    def score(self, outputs, targets, weight=None):
        """Return the metric as something to be minimised."""
        return self.natural(self.value(outputs, targets, weight))

    def natural(self, score):
        """Return the metric for its score, or the score for its metric."""
        return -score if self.quantiles is None and METRICS[self.metric].greater_is_better else score


def classification_objective(n_classes, metric=None, soft=False):
    """Return the objective of a classifier, the log loss; if `soft`, its targets are probabilities."""
    metric = metric or CLASSIFICATION_METRICS[0]
    loss = CategoricalCrossentropy() if soft else SparseCategoricalCrossentropy()
    return Objective("classification", n_classes, loss, "softmax", metric, row_losses=log_losses)


def regression_objective(metric=None, n_targets=1):
    """Return the objective of a regressor: squared errors, whichever metric is measured; their mean over targets."""
    metric = metric or REGRESSION_METRICS[0]
    return Objective("regression", n_targets, MeanSquaredError(), None, metric, row_losses=squared_errors)


def quantile_objective(quantiles):
    """Return the objective of a regressor of several quantiles: the pinball loss."""
    loss = QuantileLoss(quantiles)
    return Objective("regression", len(loss.quantiles), loss, None, "pinball", loss.quantiles)


@metric("classification")
def log_loss(probabilities, targets, weight=None):
    """Return the mean of -log p[true], or of -sum(t log p) for soft targets; p is cut at 2e-16, as in scikit-learn."""
    smallest = np.finfo(np.float64).eps
    if targets.ndim == 1:
        p = np.take_along_axis(probabilities, targets[:, None], axis=1)[:, 0].astype(np.float64)
        return -np.average(arraymath.log(np.clip(p, smallest, 1 - smallest)), weights=weight)
    log_p = arraymath.log(np.clip(probabilities.astype(np.float64), smallest, 1 - smallest))
    return -np.average((targets * log_p).sum(axis=1), weights=weight)


@metric("classification", greater_is_better=True)
def accuracy(probabilities, targets, weight=None):
    """Return the share of rows where the true class has the largest probability; the expected one for soft targets."""
    chosen = probabilities.argmax(axis=1)
    if targets.ndim == 1:
        return np.average(chosen == targets, weights=weight)
    return np.average(np.take_along_axis(targets, chosen[:, None], axis=1)[:, 0].astype(np.float64), weights=weight)


@metric("classification", greater_is_better=True)
def roc_auc(probabilities, targets, weight=None):
    """Return the area under the ROC curve; of more than two classes, the mean over them, one against the rest.

    Classes that all rows or no rows have are left out; without any other class the result is 0.5. A row with soft
    targets belongs to each class with its target as weight.
    """
    weight = np.ones(len(targets)) if weight is None else weight.astype(np.float64)
    k = probabilities.shape[1]
    shares = (lambda i: (targets == i).astype(np.float64)) if targets.ndim == 1 else lambda i: targets[:, i]
    areas = [_area(probabilities[:, i], shares(i), weight) for i in ((1,) if k == 2 else range(k))]
    known = [area for area in areas if area is not None]
    return np.mean(known) if known else 0.5


def _area(scores, positive, weight):
    """Return the probability that a positive row's score is above a negative one's, ties half; None without a pair.

    positive (n,): how much of a row is positive, 0 to 1.
    """
    order = np.argsort(scores)
    scores = scores[order]
    # The last place of each group of equal scores.
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    above, below = (np.cumsum((weight * share)[order])[ends] for share in (positive, 1.0 - positive))
    if above[-1] == 0 or below[-1] == 0:
        return None
    half_way = below - np.diff(below, prepend=0) / 2
    return dot(np.diff(above, prepend=0), half_way) / (above[-1] * below[-1])


@metric("regression")
def rmse(outputs, targets, weight=None):
    """Return the root of the mean squared error, of several targets too."""
    return np.sqrt(np.average(np.square(_errors(outputs, targets)).mean(axis=1), weights=weight))


@metric("regression")
def mae(outputs, targets, weight=None):
    """Return the mean absolute error."""
    return np.average(np.abs(_errors(outputs, targets)).mean(axis=1), weights=weight)


def _errors(outputs, targets):
    return outputs.astype(np.float64) - targets


CLASSIFICATION_METRICS, REGRESSION_METRICS = (
    tuple(name for name, function in METRICS.items() if function.task == task)
    for task in ("classification", "regression")
)
