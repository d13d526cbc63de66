"""What all rows of a target say, partition by partition: sums that are merged in the partitions' order."""

import math
from typing import NamedTuple

import numpy as np

from fastbp.tabular.target import Classes, Quantity


class Summary(NamedTuple):
    """A target's rows: how many; of classes the labels and their rows; of a quantity its mean, deviation and range."""

    n: int
    labels: np.ndarray | None = None
    counts: np.ndarray | None = None
    mean: float = 0.0
    deviation: float = 0.0
    low: float = np.inf
    high: float = -np.inf


def summary_of(y, is_classes):
    """Return the `Summary` of a partition's checked target y (n,)."""
    if not len(y):
        return Summary(0)
    if is_classes:
        return Summary(len(y), *np.unique(y, return_counts=True))
    part = Quantity.of(y, None)
    return Summary(len(y), None, None, part.mean, part.scale if part.low < part.high else 0.0, part.low, part.high)


def merged(one, other):
    """Return the `Summary` of two sets of rows (Chan, Golub and LeVeque, 1983, for the deviation).

    Examples
    --------
    >>> import numpy as np
    >>> parts = [summary_of(np.array(y), is_classes=False) for y in ([1.0, 2.0], [6.0])]
    >>> merged(*parts)[3:]
    (3.0, 2.1602468994692865, 1.0, 6.0)
    """
    if not one.n or not other.n:
        return one if one.n else other
    n, apart = one.n + other.n, other.mean - one.mean
    labels = counts = None
    if one.labels is not None:
        labels, place = np.unique(np.concatenate([one.labels, other.labels]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([one.counts, other.counts])).astype(np.int64)
    mean = one.mean + apart * other.n / n
    # The squares of 1e200 overflow, and no sum of squares is formed.
    within = math.hypot(one.deviation * math.sqrt(one.n / n), other.deviation * math.sqrt(other.n / n))
    deviation = math.hypot(within, apart * math.sqrt(one.n / n) * math.sqrt(other.n / n))
    return Summary(n, labels, counts, mean, deviation, min(one.low, other.low), max(one.high, other.high))


def quantity_of(summary):
    """Return the `Quantity` of all rows."""
    scale = summary.deviation if summary.low < summary.high else 1.0
    return Quantity(summary.mean, scale or 1.0, summary.low, summary.high)


def classes_of(summary, class_weight):
    """Return the `Classes` of all rows."""
    if isinstance(class_weight, str):  # "balanced", by the counts of all rows
        factors = summary.n / (len(summary.counts) * summary.counts)
        class_weight = dict(zip(summary.labels.tolist(), factors.tolist(), strict=True))
    return Classes.of(summary.labels, summary.counts.astype(np.float64), class_weight)
