"""Outputs for the rows that networks did not train on, and the mean of several networks' outputs for such rows."""

from typing import NamedTuple

import numpy as np


class Unseen(NamedTuple):
    """The rows (m,), of `n_rows` training rows, on which a network did not train, and its outputs (m, k) for them."""

    n_rows: int
    rows: np.ndarray
    outputs: np.ndarray

    def spread(self, values):
        """Return values for all rows (n, ...): `values` (m, ...) of these rows, and NaN for the others."""
        spread = np.full((self.n_rows, *values.shape[1:]), np.nan, values.dtype)
        spread[self.rows] = values
        return spread


def mean_outputs(n, rows, outputs):
    """Return the mean (n, k) of outputs of several sets of rows; NaN for a row in none of them.

    The list `outputs` is emptied, because with many classes its arrays take much memory.
    """
    total, count = np.zeros((n, outputs[0].shape[1]), np.float32), np.zeros((n, 1), np.float32)
    for some in rows:
        total[some] += outputs.pop(0)
        count[some] += 1
    with np.errstate(invalid="ignore"):
        total /= count
    return total
