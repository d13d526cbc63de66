"""Outputs for the rows that networks did not train on, and the mean of several networks' outputs for such rows."""

from typing import NamedTuple

import numpy as np


class Unseen(NamedTuple):
    """Of `n_rows` training rows those, rows (m,), that a network did not train on, and its outputs (m, k) for them."""

    n_rows: int
    rows: np.ndarray
    outputs: np.ndarray

    def spread(self, values):
        """Return values (m, ...) of these rows as those of all rows (n, ...), NaN in the others."""
        spread = np.full((self.n_rows, *values.shape[1:]), np.nan, values.dtype)
        spread[self.rows] = values
        return spread


def mean_outputs(n, rows, outputs):
    """Return the mean (n, k) of outputs of several sets of rows; NaN for a row in none of them.

    The list `outputs` is emptied: of many classes all of them would take as much memory as their mean.
    """
    total, count = np.zeros((n, outputs[0].shape[1]), np.float32), np.zeros((n, 1), np.float32)
    for some in rows:
        total[some] += outputs.pop(0)
        count[some] += 1
    with np.errstate(invalid="ignore"):
        total /= count
    return total
