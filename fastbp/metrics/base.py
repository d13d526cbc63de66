"""What metrics with settings share: their registry, their base, and targets beside outputs."""

import math
from typing import ClassVar

import numpy as np

from fastbp.registry import Registry

SCORES = Registry("metric")


class Score:
    """Base of all metrics with settings; see scoring.py."""

    heeds_mask: ClassVar[bool] = False
    greater_is_better: ClassVar[bool] = True
    name: str

    @property
    def __name__(self):
        """The metric's key in the history."""
        return self.name

    def refuse(self, setting, rule):
        """Raise ValueError for the value of a setting."""
        raise ValueError(f"{type(self).__name__}({setting}={getattr(self, setting)!r}): {rule}")


def check_score(name, score, y_true, y_pred):
    """Raise ValueError where a metric with settings does not take such targets and outputs: a row of them is enough."""
    try:
        with np.errstate(all="ignore"):
            score(y_true, y_pred)
    except (ValueError, IndexError) as error:
        raise ValueError(f"the metric {name!r}: {error}") from None


def entry_by_entry(y_true, y_pred):
    """Return targets and outputs as arrays of the same shape, (n, ..., k)."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.size != y_pred.size:
        raise ValueError(
            f"it compares y with the outputs entry by entry, but a row of y has shape {y_true.shape[1:]}, of the "
            f"outputs {y_pred.shape[1:]}: give one-hot rows for classes."
        )
    return y_true.reshape(y_pred.shape), y_pred


def entry_weights(y_pred, sample_weight):
    """Return the weights (n, ..., 1) beside outputs (n, ..., k), of one for each entry or each row; 1 for None."""
    if sample_weight is None:
        return np.ones((*np.shape(y_pred)[:-1], 1))
    weight, entries = np.asarray(sample_weight, np.float64), np.shape(y_pred)[:-1]
    if weight.size == math.prod(entries):
        return weight.reshape(*entries, 1)
    if weight.size != len(y_pred):
        raise ValueError(
            f"the weights have shape {weight.shape}, the outputs {np.shape(y_pred)}: give one for each row."
        )
    return np.broadcast_to(weight.reshape(-1, *[1] * len(entries)), (*entries, 1))


def mean_of(values, y_pred, sample_weight):
    """Return the mean of values (n, ...) of entries, weighted; 0 where no entry has a weight, as in Keras."""
    if sample_weight is None:
        return float(np.mean(values))
    weight = entry_weights(y_pred, sample_weight)
    values = values.reshape(*weight.shape[:-1], -1).mean(-1, keepdims=True)
    return float((values * weight).sum() / weight.sum()) if weight.any() else 0.0


def class_numbers(y_true, y_pred):
    """Return the true classes, (n, ...), from class numbers or from rows of k entries whose largest tells."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.size == y_pred.size and y_pred.shape[-1] > 1:
        return y_true.reshape(y_pred.shape).argmax(-1)
    return y_true.reshape(y_pred.shape[:-1]).astype(np.int64)
