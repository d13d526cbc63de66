"""Repeated rows: the targets of training rows with the same features are mixed into the networks' predictions.

If m training rows have exactly the features of a row, and targets ``y_1 ... y_m``, and the networks predict f for it,
the prediction becomes

    (a f + y_1 + ... + y_m) / (a + m)

This is the mean of a posterior distribution (Dirichlet for classes, normal for quantities).  Its prior has the mean f
and the weight of a rows.  Trees and nearest neighbours find such rows by themselves, and networks do not.  Two of 16
tables gained by it: 29 % of the rows of wine_quality_white have a twin (log loss 0.98 -> 0.73, CatBoost 0.86), and 23 %
of titanic's (0.422 -> 0.418).  The others have no such rows, or did not change.
"""

from typing import NamedTuple

import numpy as np

from fastbp.io import filechecks
from fastbp.kernels import arraymath
from fastbp.kernels.repeatable import dot

# The strengths a that are tried.  If the smallest one is the best, targets are nearly certain.
STRENGTHS = np.geomspace(0.05, 50, 31)
# Repeats are used if they lower the loss of the rows that have some by more than this many standard errors, and if
# there are so many of these rows.
LEAST_ERRORS, FEWEST_ROWS = 2.0, 20
# If there are more training rows times outputs, repeats are not looked for: they would take gigabytes.
MOST_VALUES = 100_000_000
# Log losses are clipped as elsewhere (scikit-learn's rule for float32).
SMALLEST = float(np.finfo(np.float32).eps)


class Seen(NamedTuple):
    """The sums of the values (n, k), and of the weights (n,), of training rows with the same features."""

    sums: np.ndarray
    counts: np.ndarray

    def mixed(self, outputs, strength):
        """Return ``(strength * outputs + sums) / (strength + counts)``."""
        strength = outputs.dtype.type(strength)
        return (strength * outputs + self.sums) / (strength + self.counts)[:, None]

    def rows(self, rows):
        """Return some of the rows."""
        return Seen(self.sums[rows], self.counts[rows])


class Repeats:
    """The training rows, by hash numbers of their features.

    Parameters
    ----------
    keys : (u,) uint64
        Sorted, of the different rows.
    sums : (u, k) float32
        Of their values: classes as rows of an identity matrix, or standardised quantities.
    counts : (u,) float32
        Of their weights.
    strength : float, optional
        The weight of the networks' prediction, in rows.
    """

    def __init__(self, keys, sums, counts, strength=None):
        self.keys, self.sums, self.counts, self.strength = keys, sums, counts, strength

    @classmethod
    def of(cls, x, values, weight=None):
        """Return the repeats of rows x (n, d) float32 with values (n, k), weight (n,)."""
        weight = np.ones(len(x), np.float32) if weight is None else weight
        keys, places = np.unique(row_keys(x), return_inverse=True)
        sums = np.zeros((len(keys), values.shape[1]), np.float32)
        np.add.at(sums, places, values * weight[:, None])
        return cls(keys, sums, np.bincount(places, weight, len(keys)).astype(np.float32))

    def seen(self, x):
        """Return what was `Seen` of rows x (n, d)."""
        keys = row_keys(x)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[places] == keys
        return Seen(self.sums[places] * known[:, None], self.counts[places] * known)

    def seen_by_others(self, x, values, weight=None):
        """Return what was `Seen` of training's own rows, each without itself."""
        weight = np.ones(len(x), np.float32) if weight is None else weight
        sums, counts = self.seen(x)
        counts = counts - weight
        # All weights are of the order of 1, so a tiny rest is rounding and not another row.
        others = counts > 1e-6 * weight
        return Seen((sums - values * weight[:, None]) * others[:, None], np.maximum(counts, 0) * others)

    def get_state(self):
        """Return what a file needs: tensors by name, and the strength."""
        return {"keys": self.keys, "sums": self.sums, "counts": self.counts}, self.strength

    @classmethod
    def from_state(cls, tensors, strength):
        """Return the repeats that `get_state` described."""
        size = (len(tensors["keys"]),)
        keys = filechecks.shaped(tensors["keys"], "keys", size, np.uint64)
        if len(keys) == 0 or (keys[1:] <= keys[:-1]).any():
            raise ValueError("the tensor 'keys' should rise.")
        sums = filechecks.shaped(tensors["sums"], "sums", (*size, None), np.float32)
        counts = filechecks.shaped(tensors["counts"], "counts", size, np.float32)
        return cls(keys, sums, counts, filechecks.real(strength, "strength", STRENGTHS[0] / 2))

    def mixed(self, outputs, x):
        """Return the prediction for rows x (n, d), where outputs (n, k) are those of the networks."""
        return self.seen(x).mixed(outputs, self.strength)


def use_repeats(outputs, part, valid, rows, objective):
    """Mix the targets of repeated rows into predictions where that helps.

    Parameters
    ----------
    outputs : (m, k)
        The networks' predictions for rows that they were not trained on; overwritten where repeats help.
    part : Part
        The training rows.
    valid : Part
        The rows of `outputs`; its x is not needed where they are training's.
    rows : (m,) int64 or None
        Which of the training rows they are; None: others.
    objective : Objective

    Returns
    -------
    Repeats or None
        With their strength; None where they do not help, or would take too much memory.
    """
    if objective.row_losses is None or len(part.x) * outputs.shape[1] > MOST_VALUES:
        return None
    twins = _twins(part.x, None if rows is not None else valid.x, rows)
    if len(twins) < FEWEST_ROWS:
        return None
    repeats = Repeats.of(part.x, objective.values(part.targets), part.weight)
    values, weight = objective.values(valid.targets[twins]), None if valid.weight is None else valid.weight[twins]
    own = None if rows is None else part.x[rows[twins]]
    seen = repeats.seen(valid.x[twins]) if rows is None else repeats.seen_by_others(own, values, weight)
    repeats.strength = found_strength(outputs[twins], values, seen, objective.row_losses, weight)
    if repeats.strength is None:
        return None
    outputs[twins] = seen.mixed(outputs[twins], repeats.strength)
    return repeats


def _twins(x, others, rows):
    """Return which of other rows, or which of rows (m,) of x itself, have the same features as a (further) row of x."""
    keys = row_keys(x)
    distinct, counts = np.unique(keys, return_counts=True)
    if rows is None:
        return np.flatnonzero(np.isin(row_keys(others), distinct))
    return np.flatnonzero(np.isin(keys[rows], distinct[counts > 1]))


def found_strength(outputs, values, seen, loss, weight=None):
    """Return the strength with the least loss, or None where repeats do not help beyond doubt.

    Parameters
    ----------
    outputs : (n, k)
        The networks' predictions for rows that they were not trained on.
    values : (n, k)
        The true ones.
    seen : Seen
        Of the same rows.
    loss : callable
        outputs (m, k), values (m, k) -> losses (m,).
    weight : (n,), optional
    """
    rows = np.flatnonzero(seen.counts > 0)
    if len(rows) < FEWEST_ROWS:
        return None
    outputs, values, seen = outputs[rows].astype(np.float64), values[rows], seen.rows(rows)
    weight = np.ones(len(rows)) if weight is None else weight[rows]
    losses = [loss(seen.mixed(outputs, strength), values) for strength in STRENGTHS]
    best = int(np.argmin([dot(weight, one) for one in losses]))
    gains = weight * (loss(outputs, values) - losses[best])
    if gains.mean() <= LEAST_ERRORS * gains.std() / np.sqrt(len(rows)):
        return None
    return float(STRENGTHS[best])


def log_losses(probabilities, values):
    """Return -sum(values * log(probabilities)) of each row (n, k); for a class, a row of zeros and a 1: -log p."""
    return -(values * arraymath.log(np.maximum(probabilities, SMALLEST))).sum(axis=1)


def squared_errors(outputs, values):
    """Return each row's squared error."""
    return np.square(outputs - values).sum(axis=1)


def row_keys(x):
    """Return a hash number (n,) uint64 for each row of x (n, d) float32: the same for equal rows.

    Each entry's bits are multiplied by an odd number of its column's own and mixed, then added: two of a million
    different rows have the same number with a probability of about 1e-7.
    """
    keys = np.zeros(len(x), np.uint64)
    for column, factor in zip(x.T, hash_factors(x.shape[1]), strict=True):
        bits = (column + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0 becomes 0
        bits *= factor
        bits ^= bits >> np.uint64(29)
        bits *= np.uint64(0xBF58476D1CE4E5B9)
        bits ^= bits >> np.uint64(32)
        keys += bits
    return keys


def hash_factors(d):
    """Return the odd numbers (d,) uint64 by which `row_keys` tells columns apart."""
    factors = np.random.Generator(np.random.Philox(key=[0, d])).integers(2**63, size=d, dtype=np.uint64)
    return factors * np.uint64(2) + np.uint64(1)
