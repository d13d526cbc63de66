"""Sums over all rows of a target: each partition has its own, and they are merged in the partitions' order."""

import math
from typing import NamedTuple

import numpy as np

from fastbp.tabular.multicolumn_targets import Quantities, SoftClasses
from fastbp.tabular.target import Classes, Quantity


class Summary(NamedTuple):
    """A target's rows that have a weight: how many, and the sum of their weights.

    A target of classes also has the labels and how many rows each has; a quantity has its mean, deviation and range; a
    target of several columns has `parts`, a `Summary` for each column.
    """

    n: int
    mass: float = 0.0
    labels: np.ndarray | None = None
    counts: np.ndarray | None = None
    mean: float = 0.0
    deviation: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    parts: tuple = ()


def summary_of(y, is_classes, weight=None):
    """Return the `Summary` of a partition's checked target y (n,) or (n, t)."""
    n = len(y) if weight is None else int((weight > 0).sum())
    if not n:
        return Summary(0)
    mass = float(n if weight is None else weight.sum())
    if y.ndim == 2:
        return Summary(n, mass, parts=tuple(summary_of(column, False, weight) for column in y.T))
    if is_classes:
        if y.dtype == object:
            check_one_kind(set(y))
        labels, codes = np.unique(y, return_inverse=True)
        kept = codes if weight is None else codes[weight > 0]
        return Summary(n, mass, labels, np.bincount(kept, minlength=len(labels)))
    part = Quantity.of(y, weight)
    deviation = part.scale if part.low < part.high else 0.0
    return Summary(n, mass, None, None, part.mean, deviation, part.low, part.high)


def merged(one, other):
    """Return the `Summary` of two sets of rows (Chan, Golub and LeVeque, 1983, for the deviation).

    Examples
    --------
    >>> import numpy as np
    >>> parts = [summary_of(np.array(y), is_classes=False) for y in ([1.0, 2.0], [6.0])]
    >>> merged(*parts)[4:8]
    (3.0, 2.1602468994692865, 1.0, 6.0)
    """
    if not one.n or not other.n:
        return one if one.n else other
    n, mass, apart = one.n + other.n, one.mass + other.mass, other.mean - one.mean
    if len(one.parts) != len(other.parts):
        raise ValueError("partitions of y have different numbers of columns.")
    if one.parts:
        return Summary(n, mass, parts=tuple(map(merged, one.parts, other.parts)))
    labels = counts = None
    if one.labels is not None:
        check_one_kind([*one.labels.tolist(), *other.labels.tolist()])
        labels, place = np.unique(np.concatenate([one.labels, other.labels]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([one.counts, other.counts])).astype(np.int64)
    shares = one.mass / mass, other.mass / mass
    mean = one.mean + apart * shares[1]
    # The squares of 1e200 overflow, and no sum of squares is formed.
    within = math.hypot(one.deviation * math.sqrt(shares[0]), other.deviation * math.sqrt(shares[1]))
    deviation = math.hypot(within, apart * math.sqrt(shares[0]) * math.sqrt(shares[1]))
    return Summary(n, mass, labels, counts, mean, deviation, min(one.low, other.low), max(one.high, other.high))


def check_one_kind(labels):
    """Raise ValueError where labels are numbers and text, say: NumPy would make text of the numbers."""
    numbers = {int: "number", float: "number"}
    kinds = sorted({numbers.get(type(label), type(label).__name__) for label in labels})
    if len(kinds) > 1:
        raise ValueError(f"y holds labels of different types, {' and '.join(kinds)}: make them all text or numbers.")


def target_of(summary, is_classes, class_weight, names):
    """Return the target learnt from all rows: `Classes`, `SoftClasses`, a `Quantity` or `Quantities`.

    Columns of a target have names, or None.
    """
    if not is_classes:
        return quantities_of(summary.parts) if summary.parts else quantity_of(summary)
    if not summary.parts:
        return classes_of(summary, class_weight)
    if class_weight is not None:
        raise ValueError("class_weight is for labels: with probabilities, weigh the rows by sample_weight.")
    return SoftClasses.of(np.empty((0, len(summary.parts))), names)


def quantity_of(summary):
    """Return the `Quantity` of all rows."""
    scale = summary.deviation if summary.low < summary.high else 1.0
    return Quantity(summary.mean, scale or 1.0, summary.low, summary.high)


def quantities_of(parts):
    """Return the `Quantities` of all rows, by the `Summary` of each column."""
    if not any(part.low < part.high for part in parts):
        raise ValueError(f"each of y's {len(parts)} columns has one value only: one at least has to vary.")
    return Quantities(tuple(map(quantity_of, parts)))


def classes_of(summary, class_weight):
    """Return the `Classes` of all rows."""
    if isinstance(class_weight, str):  # "balanced", by the counts of all rows
        counted = summary.counts > 0
        factors = summary.n / (counted.sum() * summary.counts[counted])
        class_weight = dict(zip(summary.labels[counted].tolist(), factors.tolist(), strict=True))
    return Classes.of(summary.labels, summary.counts.astype(np.float64), class_weight)
