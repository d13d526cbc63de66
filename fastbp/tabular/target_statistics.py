"""Ordered target statistics of a category, as in CatBoost (Prokhorenkova et al., 2018, arXiv:1706.09516).

A category becomes the mean of the target in its rows, drawn towards the mean of all rows as if these had
`PRIOR_ROWS` rows there.  A training row must not see its own target, nor a mean from which that could be told (a mean
of all others can: it is lower where the own target is higher).  So training rows stand in a random order, and each
sees the rows before it alone: ``(sum before, same category + prior * mean before) / (rows before, same + prior)``.
"""

import numpy as np

from fastbp.tabular.reading import TableError
from fastbp.tabular.scaling import robust_scale, scaled
from fastbp.tabular.vocabulary import Vocabulary, counts_of

PRIOR_ROWS = 1.0
# A mean takes fewer rows than a trained vector: only values of one row share a code, which unseen values get too.
FEWEST_ROWS = 2
MOST_CATEGORIES = 1 << 16


class StatisticsCoder:
    """A category's mean targets, robustly scaled: numeric columns, one for each column of the targets.

    Parameters
    ----------
    name : str
    texts, rare
        The `Vocabulary`'s.
    table : (len(vocabulary), k) float64
        The mean targets for each code.
    scales : list of (median, scale)
        Of the mean targets in the rows of training.
    """

    kind = "statistics"
    plain_names = cardinalities = ()

    def __init__(self, name, texts, rare, table, scales):
        self.name = name
        self.vocabulary = Vocabulary(texts, rare)
        self.table = table
        self.scales = scales

    @classmethod
    def fit(cls, name, values, targets):
        """Learn from a factorized column and targets (n, k) float64; None where the means do not vary."""
        vocabulary = Vocabulary.fit(values[1], counts_of(*values), FEWEST_ROWS, MOST_CATEGORIES)
        own = vocabulary.lookup(*values)
        counts = np.bincount(own, minlength=len(vocabulary))[:, None]
        sums = np.stack([np.bincount(own, column, len(vocabulary)) for column in targets.T], axis=1)
        table = (sums + PRIOR_ROWS * targets.mean(axis=0)) / (counts + PRIOR_ROWS)
        scales = [robust_scale(column) for column in table[own].T]
        if None in scales:
            return None
        return cls(name, vocabulary.texts, vocabulary.rare, table, [list(scale) for scale in scales])

    @property
    def numeric_names(self):
        return [f"{self.name} (mean target {j})" for j in range(len(self.scales))]

    def encode(self, values, numeric, plain, codes):
        """Overwrite numeric (n, k), for rows that are not training's."""
        self._scale(self.table[self.vocabulary.lookup(*values)], numeric)

    def encode_training(self, values, targets, numeric):
        """Overwrite numeric (n, k) with the ordered statistics of training's rows."""
        self._scale(ordered_means(self.vocabulary.lookup(*values), targets), numeric)

    def _scale(self, means, numeric):
        for j, scale in enumerate(self.scales):
            numeric[:, j] = scaled(means[:, j], *scale)

    def surprises(self, values):
        """None: the column's other coder tells them."""
        return []

    def expect(self, values):
        """Nothing: see `surprises`."""

    def get_state(self):
        vocabulary = self.vocabulary
        state = {"name": self.name, "texts": vocabulary.texts, "rare": vocabulary.rare}
        return {**state, "table": self.table, "scales": self.scales}


def ordered_means(codes, targets):
    """Return the ordered statistics (n, k) of codes (n,) and targets (n, k); the order is always the same.

    Examples
    --------
    >>> import numpy as np
    >>> ordered_means(np.zeros(4, int), np.ones((4, 1)))[:, 0].tolist()  # the first row of the order sees nothing
    [1.0, 1.0, 0.0, 1.0]
    """
    n = len(codes)
    order = np.random.default_rng(0).permutation(n)
    before = np.arange(n)[:, None]
    mean_before = np.empty_like(targets)
    mean_before[order] = _sums_before(targets[order]) / np.maximum(before, 1)

    order = order[np.argsort(codes[order], kind="stable")]  # category by category
    sorted_codes = codes[order]
    first = np.searchsorted(sorted_codes, sorted_codes)  # the place of each one's first row
    sums = _sums_before(targets[order])
    sums -= sums[first]
    means = np.empty_like(targets)
    means[order] = (sums + PRIOR_ROWS * mean_before[order]) / (before - first[:, None] + PRIOR_ROWS)
    return means


def _sums_before(rows):
    return np.cumsum(rows, axis=0) - rows


def as_targets(y, n_rows):
    """Return the targets (n, k) float64 of `y` (n,) or (n, k), or raise TableError."""
    if y is None:
        raise TableError("target statistics need the target: fit(frame, y).")
    try:
        targets = np.asarray(y, np.float64)
    except (TypeError, ValueError):
        raise TableError("target statistics need a target of numbers: 0 and 1, or one such column a class.") from None
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2 or len(targets) != n_rows or not np.isfinite(targets).all():
        raise TableError(f"y must be {n_rows} finite numbers, or rows of them; its shape is {np.shape(y)}.")
    return targets
