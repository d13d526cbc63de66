"""What the estimators minimise: scikit-learn's losses, with its conventions for several outputs and for weights.

The mean over the rows of a batch, weighted, of the row's loss, plus ``alpha / 2 * |W|^2`` over the sum of the
weights.  `model_`, the `Sequential` beneath, is compiled with the nearest of Keras's losses.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.intrinsics import like, select
from fastbp.engine.cut import Purpose
from fastbp.kernels.vecmath import exp, log
from fastbp.losses import (
    BinaryCrossentropy,
    Loss,
    MeanSquaredError,
    Poisson,
    SparseCategoricalCrossentropy,
)
from fastbp.losses.base import LOSSES, sum_over_outputs
from fastbp.losses.targets import bounded_targets


@dataclass(frozen=True)
class HalfSquaredError(Loss):
    """Half the mean over outputs of ``(y_pred - y_true)**2``, with the gradient of half the *sum*.

    That is scikit-learn's convention: the outputs share the value, each has its own gradient.

    Parameters
    ----------
    setting : float
        One over the number of outputs.
    """

    setting: float

    name = "half_squared_error"

    @sum_over_outputs
    def kernel(out, y, share):
        error = out - y
        return like(out, 0.5) * share * (error * error), error


@dataclass(frozen=True)
class HalfPoissonDeviance(Loss):
    """Half the Poisson deviance of counts and rates ``exp(out)``: ``y log(y / exp(out)) - y + exp(out)``."""

    name = "half_poisson_deviance"
    link = "exponential"

    @sum_over_outputs
    def kernel(out, y, setting):
        rate = exp(out)
        surplus = y * (log(select(y > 0, y, like(y, 1))) - out)
        return surplus - y + rate, rate - y

    def prepare_targets(self, y, n_out, dtype):
        return bounded_targets(y, n_out, dtype, 0, float("inf"), "the poisson loss takes counts of at least 0")


@dataclass(frozen=True)
class Objective:
    """A loss with what surrounds it.

    Attributes
    ----------
    loss : Loss
        What the steps of a fit compute.
    out_activation : str
        Of the last layer, scikit-learn's name.
    model_loss : Loss
        What `model_` is compiled with.
    share : float
        Factor on the divisor of a batch: a loss that is a mean over k outputs is summed with 1 / k.
    """

    loss: Any
    out_activation: str
    model_loss: Any
    share: float = 1.0

    def purpose(self, training):
        """Return the purpose of a plan that computes the loss, and its gradient if `training`."""
        return Purpose(training, fused_output=self.loss.link is not None)

    def set_divisors(self, steps, totals):
        """Have each step divide its loss, and its penalty, by the sum of its rows' weights (steps,).

        A step whose weights sum to zero makes no update; where all do, scikit-learn's error is raised.
        """
        if not np.any(totals):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        steps["divisor"] = totals * self.share
        steps["penalty"] = 1.0 / np.where(totals == 0, 1.0, totals)


def regression_objective(loss, n_outputs):
    """Return the objective of a regressor's parameter `loss`, a name or a fastbp loss."""
    if loss == "squared_error":
        return Objective(HalfSquaredError(1.0 / n_outputs), "identity", MeanSquaredError())
    if loss == "poisson":
        return Objective(HalfPoissonDeviance(), "exp", Poisson())
    loss = LOSSES.resolve(loss)
    return Objective(loss, "identity", loss)


def classification_objective(multiclass, n_outputs):
    """Return the log loss: of one of several classes, or of `n_outputs` labels that are each there or not."""
    if multiclass:
        return Objective(SparseCategoricalCrossentropy(), "softmax", SparseCategoricalCrossentropy())
    return Objective(BinaryCrossentropy(), "logistic", BinaryCrossentropy(), 1.0 / n_outputs)
