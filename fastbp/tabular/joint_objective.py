"""The objective of several targets at once: the weighted mean of log losses and of squared errors."""

from dataclasses import dataclass

import numpy as np

from fastbp.layers.core.softmaxblocks import slices_of
from fastbp.losses import JointLoss, MeanSquaredError, SparseCategoricalCrossentropy
from fastbp.tabular.calibration import temper_blocks
from fastbp.tabular.objectives import Objective, log_loss
from fastbp.tabular.repeated_rows import log_losses, squared_errors


@dataclass(frozen=True)
class JointObjective(Objective):
    """The objective of several targets (n, t), NaN where one is missing; classes are codes, quantities standardised.

    Parameters
    ----------
    sizes : tuple of int
        The size of each target's block of outputs; 1 for a quantity.
    weights : tuple of float
    """

    weights: tuple[float, ...] = ()

    @property
    def blocks(self):
        """The slice of the outputs of each target."""
        return slices_of(self.sizes)

    def strata(self, targets):
        """Return codes (n,) of the first target that is classes, a missing one as a class of its own; or None."""
        place = next((place for place, size in enumerate(self.sizes) if size > 1), None)
        return None if place is None else np.nan_to_num(targets[:, place] + 1).astype(np.int64)

    def values(self, targets):
        """Return the outputs (n, k) of a perfect prediction of these targets."""
        columns = [
            targets[:, [place]] if size == 1 else np.eye(size, dtype=np.float32)[targets[:, place].astype(np.int64)]
            for place, size in enumerate(self.sizes)
        ]
        return np.hstack(columns)

    def parts(self, outputs, targets, weight=None):
        """Return the log loss or the mean squared error of each target, over the rows that have it; NaN without any."""
        found = []
        for place, (size, block) in enumerate(zip(self.sizes, self.blocks, strict=True)):
            known = ~np.isnan(targets[:, place])
            own = None if weight is None else weight[known]
            if not known.any() or (own is not None and not own.any()):
                found.append(np.nan)
            elif size > 1:
                found.append(float(log_loss(outputs[known, block], targets[known, place].astype(np.int64), own)))
            else:
                errors = outputs[known, block][:, 0].astype(np.float64) - targets[known, place]
                found.append(float(np.average(np.square(errors), weights=own)))
        return found

    def row_sums(self, outputs, targets, temperatures):
        """Return each row's weighted mean of losses (n,), of the targets that it has; outputs are not tempered yet."""
        classes = [block for block, size in zip(self.blocks, self.sizes, strict=True) if size > 1]
        outputs, known = temper_blocks(outputs, classes, temperatures).astype(np.float64), ~np.isnan(targets)
        values, total = self.values(np.nan_to_num(targets)), np.zeros(len(outputs))
        for place, (size, block) in enumerate(zip(self.sizes, self.blocks, strict=True)):
            losses = (log_losses if size > 1 else squared_errors)(outputs[:, block], values[:, block])
            total += self.weights[place] * losses * known[:, place]
        return total / sum(self.weights)

    def score(self, outputs, targets, weight=None):
        """Return the value: it is to be minimised."""
        return self.value(outputs, targets, weight)

    def value(self, outputs, targets, weight=None):
        """Return the weighted mean of the targets' losses; NaN where an output is not finite."""
        if not np.isfinite([outputs.min(), outputs.max()]).all():
            return float("nan")
        losses = np.array(self.parts(outputs, targets, weight))
        known = ~np.isnan(losses) & (np.array(self.weights) > 0)
        return float(np.average(losses[known], weights=np.array(self.weights)[known])) if known.any() else 0.0


def joint_objective(sizes, weights, complete):
    """Return the objective of targets with blocks of outputs of these sizes.

    `complete`: whether all rows have all targets.  If not, repeated rows are not used, because their targets are
    summed.
    """
    sizes, weights = tuple(sizes), tuple(weights)
    class_loss, quantity_loss = SparseCategoricalCrossentropy(from_logits=True), MeanSquaredError()
    loss = JointLoss([(class_loss if size > 1 else quantity_loss, size) for size in sizes], weights)
    # Losses divided by those of one estimator for each target, geometric means of the 14 losses above 0.01, for eight
    # real tables with a target of either kind (at most 4,000 rows, `fast`): 1.00 with the rate and the activation of
    # classification (worst: diamonds' price, 1.10), 1.01 with those of regression (worst: california's ocean_proximity,
    # 1.14).
    task = "regression" if all(size == 1 for size in sizes) else "classification"
    losses = _row_losses(sizes, weights) if complete else None
    return JointObjective(task, sum(sizes), loss, None, "joint", None, losses, sizes, weights)


def _row_losses(sizes, weights):
    """Return the losses of rows, a function of outputs (n, k) and values (n, k): repeats must lower their mean."""

    def row_losses(outputs, values):
        total = 0.0
        for size, block, weight in zip(sizes, slices_of(sizes), weights, strict=True):
            losses = log_losses if size > 1 else squared_errors
            total = total + weight * losses(outputs[:, block], values[:, block])
        return total

    return row_losses
