"""How much worse predictions get where a column is shuffled among the rows (Breiman, 2001)."""

from typing import NamedTuple

import numpy as np


class Importances(NamedTuple):
    """The mean rise of the loss for each group of columns (c,), and its standard error."""

    importance: np.ndarray
    error: np.ndarray


def permutation_importances(losses, x, groups, n_repeats, seed=0, weight=None):
    """Return the `Importances` of groups of columns of x (n, d).

    Parameters
    ----------
    losses : callable
        x (n, d) -> (n,), the rows' losses.
    groups : list of (m,) int
        Columns that are shuffled together.
    n_repeats : int
        Shuffles of each group; the rows' mean rises over them make importance and error.
    weight : (n,), optional
    """
    before = losses(x)
    weight = np.ones(len(x)) if weight is None else weight.astype(np.float64)
    share = weight / weight.sum()
    found = []
    for number, group in enumerate(groups):
        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        rise = np.zeros(len(x))
        shuffled = x.copy()
        for _ in range(n_repeats):
            shuffled[:, group] = x[rng.permutation(len(x))][:, group]
            rise += (losses(shuffled) - before) / n_repeats
        mean = float(share @ rise)
        # Of a weighted mean; with equal weights the deviation by the root of n.
        found.append((mean, float(np.sqrt(np.square(share * (rise - mean)).sum()))))
    importance, error = np.array(found).reshape(-1, 2).T
    return Importances(importance, error)
