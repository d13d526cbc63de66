"""A rank's rows: made ready as `Sequential.fit` does, and cut into slices for training and validation."""

import warnings
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastbp.distributed.shares import bounds
from fastbp.engine.user_arrays import check_same_length, class_labels, tell_unknown_classes, validation_parts
from fastbp.engine.weighted_rows import WeightedRows
from fastbp.models import fitting
from fastbp.settings.validation import is_number


class Table(NamedTuple):
    """A rank's rows in slices.

    slices (list of `WeightedRows`), sizes (of every slice of all ranks), first (the number of the rank's first slice).
    """

    slices: list
    sizes: list
    first: int

    @property
    def total(self):
        """Rows of all ranks."""
        return sum(self.sizes)

    @property
    def targets(self):
        """Entries of a row of targets."""
        return self.slices[0].targets.shape[1]

    @property
    def weighted(self):
        """Have rows weights of their own?"""
        return self.slices[0].weight is not None


def ready_rows(model, ranks, x, y, sample_weight):
    """Return the rank's `WeightedRows`, which may be none at all; all ranks' rows have weights, or none has."""
    if _is_empty(x):
        check_same_length(0, y=y)
        if sample_weight is not None:
            check_same_length(0, sample_weight=sample_weight)
    # An array of no rows has nothing to tell its shape by: one row of another rank does.
    rows = ranks.together(_own_rows, model, x, y, sample_weight)
    samples = ranks.exchange(rows and rows.subset(slice(0, 1)))
    known = next((sample for sample in samples if sample is not None), None)
    if known is None:
        raise ValueError("x is empty in every rank.")
    rows = ranks.together(lambda: _no_rows(model, known) if rows is None else rows)
    if {sample.targets.shape[1:] for sample in samples if sample is not None} != {known.targets.shape[1:]}:
        raise ValueError("y has rows of different shapes in the ranks.")
    if any(sample is not None and sample.weight is not None for sample in samples) and rows.weight is None:
        shape = (len(rows.x), rows.entries) if rows.entries > 1 else (len(rows.x),)
        rows = replace(rows, weight=np.ones(shape, model.dtype))
    return rows


def _is_empty(x):
    return hasattr(x, "__len__") and len(x) == 0


def _own_rows(model, x, y, sample_weight):
    return None if _is_empty(x) else model._rows(x, y, sample_weight)


def _no_rows(model, sample):
    if model.engine is None:
        model.build(sample.x.shape[1:])
    return sample.subset(slice(0, 0))


def validation_rows(model, ranks, validation_data):
    """Return the rank's `WeightedRows` of `validation_data`, or None where no rank has any."""
    given = ranks.exchange(validation_data is not None)
    if not all(given):
        if any(given):
            raise ValueError(
                f"validation_data is given in {sum(given)} of {ranks.size} ranks: give it in all, empty arrays where "
                "a rank has no rows."
            )
        return None
    x, y, weight = ranks.together(validation_parts, validation_data)
    return ready_rows(model, ranks, x, y, weight)


def sliced(ranks, rows, k):
    """Return the `Table` of a rank's rows in `k` slices."""
    sizes = ranks.exchange(len(rows.x))
    total, before = sum(sizes), sum(sizes[: ranks.rank])
    ends = bounds(len(rows.x), k, before, total, k * ranks.size)
    return tabled(ranks, [rows.subset(slice(start, stop)) for start, stop in pairwise(ends)])


def tabled(ranks, slices):
    """Return the `Table` of a rank's slices."""
    sizes = [size for part in ranks.exchange([len(part.x) for part in slices]) for size in part]
    return Table(slices, sizes, ranks.rank * len(slices))


def class_weighted(model, ranks, table, class_weight):
    """Return a table whose rows have the weights {class: weight}, or "balanced", of their classes in all ranks."""
    soft = model.engine.loss.link == "softmax"
    found: Counter = Counter()
    for part in ranks.exchange(ranks.together(lambda: sum((_classes(rows, soft) for rows in table.slices), Counter()))):
        found += part
    if class_weight == "balanced":
        class_weight = {label: found.total() / (len(found) * n) for label, n in sorted(found.items())}

    def weighted(rows):
        if not len(rows.x):
            return rows.weighted(np.ones((0, rows.entries), model.dtype))
        with warnings.catch_warnings():  # a class may be in other slices alone
            warnings.simplefilter("ignore")
            return fitting.class_weighted(model, rows, class_weight)

    slices = ranks.together(lambda: [weighted(rows) for rows in table.slices])
    if ranks.rank == 0:
        tell_unknown_classes(class_weight, sorted(found))
    return table._replace(slices=slices)


def _classes(rows, soft):
    """Return how many entries that count each class has."""
    if not len(rows.x):
        return Counter()
    labels = class_labels(np.reshape(rows.y, (len(rows.x) * rows.entries, -1)), soft)
    return Counter(labels.tolist() if rows.mask is None else labels[rows.mask.ravel()].tolist())


def split(ranks, table, share):
    """Return two tables: each slice's rows without the last `share` of them, and these."""
    if isinstance(share, bool) or not is_number(share) or not 0 < share < 1:
        raise ValueError(f"validation_split={share!r}: it is a share above 0 and below 1.")
    kept = [int(len(part.x) * (1 - share)) for part in table.slices]
    train = [part.subset(slice(0, n)) for part, n in zip(table.slices, kept, strict=True)]
    validation = [part.subset(slice(n, None)) for part, n in zip(table.slices, kept, strict=True)]
    return tabled(ranks, train), tabled(ranks, validation)


def gathered(ranks, table):
    """Return, in rank 0, what metrics need of the rows of all ranks: y, weights and the mask; None in other ranks."""

    def whole(name):
        parts = [getattr(part, name) for part in table.slices]
        return None if parts[0] is None else ranks.gather(np.concatenate(parts))

    y, weight, mask = map(whole, ("y", "weight", "mask"))
    if y is None:
        return None
    nothing = np.empty((len(y), 0))
    return WeightedRows(nothing, nothing, weight, y, mask, table.slices[0].entries)


def counts(rows):
    """Return how many entries of each row count (n,), and whether any of them has a weight (n,)."""
    n = len(rows.x)
    counted = np.full(n, float(rows.entries)) if rows.mask is None else rows.mask.sum(axis=1, dtype=np.float64)
    return counted, np.ones(n) if rows.weight is None else rows.weight.reshape(n, rows.entries).any(axis=1)
