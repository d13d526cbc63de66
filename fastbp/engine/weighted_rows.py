"""Rows ready for the kernels, with what their losses are weighed and divided by."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class WeightedRows:
    """Rows ready for the kernels.

    Attributes
    ----------
    x : array (n, d)
    targets : array (n, t)
    weight : array (n, entries) or None
        Of each entry that has a loss of its own: 0 where it is masked. (n,) does for one entry a row.
    y : array
        What metrics see: the user's y, as numbers.
    mask : bool array (n, entries) or None
        Which entries count.
    entries : int
        How many entries of a row have a loss of their own.
    """

    x: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None
    y: np.ndarray
    mask: np.ndarray | None = None
    entries: int = 1

    def subset(self, rows):
        """Return some of the rows (a slice)."""
        weight, mask = (None if array is None else array[rows] for array in (self.weight, self.mask))
        return replace(self, x=self.x[rows], targets=self.targets[rows], weight=weight, y=self.y[rows], mask=mask)

    def weighted(self, factors):
        """Return the rows with their weights times `factors`, (n, entries) or, for one entry a row, (n,)."""
        if self.weight is not None:
            factors = self.weight * factors.reshape(self.weight.shape)
        return replace(self, weight=factors)

    def divisors(self, firsts, sizes, order=None):
        """Return what the losses of batches, which begin at `firsts`, are divided by.

        That is the number of entries that count (as in Keras, whatever their weights), and 0 for a batch in which
        nothing has a weight.
        """
        counts = np.asarray(sizes) * float(self.entries)
        if self.weight is None:
            return counts
        in_order = slice(None) if order is None else order
        if self.mask is not None:
            counts = np.add.reduceat(self.mask.sum(axis=1, dtype=np.float64)[in_order], firsts)
        return counts * np.logical_or.reduceat(self.weight.reshape(len(self.x), -1).any(axis=1)[in_order], firsts)


def of_entries(array, mask, axes):
    """Return the entries that count, (m, ...), of an array whose first axes are all entries: mask (n, e)."""
    return array.reshape(mask.size, *array.shape[axes:])[mask.ravel()]
