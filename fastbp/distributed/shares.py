"""Which rows of a global batch come from which slice: every batch has every slice's share of the rows.

A *slice* is a part of the rows that computes gradients on its own; a rank has one or more.  All that a training
depends on is told by the slices, never by which rank has them: 4 ranks, and 1 rank with 4 slices, do the same.

Row k of a slice of m rows has the place (k + 1/2) / m, and a global batch takes the next rows by their places (the
apportionment of Webster and Sainte-Laguë): batches have just the sizes that one process's have, and no slice is more
than one row behind its share.
"""

import numpy as np

# Batches whose shares are computed at a time.
BLOCK = 4096


def bounds(n, k, first, total, n_slices):
    """Return where the `k` slices of a rank's `n` rows begin, and the end: (k + 1,).

    Parameters
    ----------
    n, k : int
    first : int
        Rows that the ranks before this one have.
    total, n_slices : int
        Rows and slices of all ranks.
    """
    # Of rows that are spread evenly, slices begin at the same rows for every number of ranks.
    number = round(first * n_slices / max(total, 1))
    even = [(number + i) * total // n_slices - first for i in range(k + 1)]
    if even[0] == 0 and even[-1] == n:
        return np.array(even)
    return np.arange(k + 1) * n // k


def taken(sizes, ends):
    """Return how many rows of each slice the first `ends` (b,) rows of the order of all rows have: (b, slices)."""
    sizes, ends = np.asarray(sizes, np.int64), np.asarray(ends, np.int64)
    total = int(sizes.sum())
    counts = (2 * ends[:, None] * sizes + total) // (2 * total)
    with np.errstate(divide="ignore"):
        while (surplus := counts.sum(axis=1) - ends).any():
            # Of rows at the same place, those of later slices come later.
            over, under = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
            last = np.where(counts[over] > 0, (counts[over] - 0.5) / sizes, -np.inf)[:, ::-1]
            counts[over, len(sizes) - 1 - last.argmax(axis=1)] -= 1
            following = np.where(counts[under] < sizes, (counts[under] + 0.5) / sizes, np.inf)
            counts[under, following.argmin(axis=1)] += 1
    return counts


def batch_shares(sizes, batch_size, first, k):
    """Return the shares of slices `first` to `first + k` of each batch, and the rows of the slices in front of them.

    Parameters
    ----------
    sizes : sequence of int
        Rows of every slice.
    batch_size, first, k : int

    Returns
    -------
    starts, rows, before : (k, batches) int64
        Where a slice's share begins among its rows; how many it has; how many rows of the batch are in front of it.
    largest : int
        The largest share of any slice of all.
    """
    total = int(np.sum(sizes))
    n_batches = -(-total // batch_size)
    starts, rows, before = (np.empty((k, n_batches), np.int64) for _ in range(3))
    largest = 0
    for low in range(0, n_batches, BLOCK):
        high = min(low + BLOCK, n_batches)
        counts = taken(sizes, np.minimum(np.arange(low, high + 1) * batch_size, total))
        shares = np.diff(counts, axis=0)
        largest = max(largest, int(shares.max()))
        own = slice(first, first + k)
        starts[:, low:high], rows[:, low:high] = counts[:-1, own].T, shares[:, own].T
        before[:, low:high] = (np.cumsum(shares, axis=1) - shares)[:, own].T
    return starts, rows, before, largest
