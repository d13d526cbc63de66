"""How gradients are added up: by MPI, as fast as it can, or slice by slice in their order."""

import numpy as np

# Entries that are sent at a time.  Of 10,000,000 entries (40 MB) at once MPICH's all-reduce takes twice as long on one
# machine: parts of 4 MB stay in the caches.
BUCKET = 1_000_000


class FastSum:
    """Adds the slices of each rank, then the ranks in whatever order MPI likes.

    Parameters
    ----------
    ranks : Ranks
    """

    def __init__(self, ranks):
        self._ranks = ranks

    def __call__(self, flats):
        """flats (k, L): flats[0] = the sum over the slices of all ranks; the others are left as they are."""
        total = flats[0]
        for flat in flats[1:]:
            total += flat
        if self._ranks.size > 1:
            for start in range(0, total.size, BUCKET):
                self._ranks.add(total[start : start + BUCKET])


class OrderedSum:
    """Adds all slices one after the other, whichever ranks have them: the bits depend on the slices alone.

    Each rank gets its share of the entries of every slice (k times the bytes of an all-reduce, for k slices a rank),
    adds them in the slices' order and hands the sums round.

    Parameters
    ----------
    ranks : Ranks
    """

    def __init__(self, ranks):
        self._ranks, self._rooms = ranks, {}

    def __call__(self, flats):
        """flats (k, L): flats[0] = the sum over the slices of all ranks; the others are left as they are."""
        if self._ranks.size == 1:
            for flat in flats[1:]:
                flats[0] += flat
            return
        length = flats.shape[1]
        bucket = BUCKET // len(flats)
        for start in range(0, length, bucket):
            self._add(flats[:, start : start + bucket])

    def _add(self, part):
        k, length = part.shape
        sent, received, total, whole = self._room(k, length, part.dtype)
        size, share = self._ranks.size, sent.shape[2]
        padded = np.zeros((k, size * share), part.dtype) if size * share != length else part
        if padded is not part:
            padded[:, :length] = part
        sent[:] = padded.reshape(k, size, share).transpose(1, 0, 2)
        self._ranks.deal(sent, received)
        slices = received.reshape(size * k, share)
        total[:] = slices[0]
        for one in slices[1:]:
            total += one
        self._ranks.collect(total, whole)
        part[0] = whole[:length]

    def _room(self, k, length, dtype):
        if length not in self._rooms:
            size = self._ranks.size
            share = -(-length // size)
            shapes = (size, k, share), (size, k, share), (share,), (size * share,)
            self._rooms[length] = tuple(np.empty(shape, dtype) for shape in shapes)
        return self._rooms[length]
