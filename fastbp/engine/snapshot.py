"""Snapshots: copies of the parameters that training on some data can change.

These are all parameters, except that training changes only those rows of a lazy table that the data read.  So an
epoch's snapshot of a table of a million rows, and the search for NaN after the epoch, cost no more than its batches.
"""

from fastbp.engine.user_arrays import all_finite

# Where the data read more than this share of a table's rows, a copy of the whole table is cheaper.
MOST_ROWS = 0.5


class Reach:
    """The entries of a flat vector that training can change, as slices and as rows of tables.

    Parameters
    ----------
    network : Network
    x : (n, ...) array, optional
        Inputs of the model, checked; without them the entries are all.
    """

    def __init__(self, network, x=None):
        self.size, self.slices, self.tables = network.n_params, [], []
        start = 0
        for placed, rows in network.rows_read(x) if x is not None else ():
            if len(rows) <= MOST_ROWS * placed.param.shape[0]:
                self.slices.append(slice(start, placed.start))
                self.tables.append((slice(placed.start, placed.stop), placed.param.shape, rows))
                start = placed.stop
        self.slices.append(slice(start, network.n_params))

    def take(self, flat):
        """Return copies of the entries of flat (S * P,), for `put` and `is_finite`."""
        slots = self._slots(flat)
        return [*(slots[:, part].copy() for part in self.slices), *self._rows(slots)]

    def put(self, flat, copies):
        """Write such copies back to flat (S * P,)."""
        slots, copies = self._slots(flat), iter(copies)
        for part in self.slices:
            slots[:, part] = next(copies)
        for part, shape, rows in self.tables:
            for slot in slots:
                slot[part].reshape(shape)[rows] = next(copies)

    def is_finite(self, flat):
        """Are the entries of flat (S * P,) free of NaN and infinity?"""
        slots = self._slots(flat)
        slices = [slots[:, part] for part in self.slices]
        return all(map(all_finite, slices)) and all(map(all_finite, self._rows(slots)))

    def _slots(self, flat):
        """Return flat (S * P,) as (S, P)."""
        return flat.reshape(flat.size // max(self.size, 1), self.size)

    def _rows(self, slots):
        """Yield the rows of each table in each slot."""
        for part, shape, rows in self.tables:
            for slot in slots:
                # `slot[rows]` takes four times as long; a kernel that prefetches takes as long as `take`.
                yield slot[part].reshape(shape).take(rows, axis=0)
