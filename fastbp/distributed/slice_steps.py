"""The steps of one slice: its share of each global batch, and the gradient of that share."""

import numpy as np

from fastbp.distributed.rows import counts
from fastbp.engine.driver_call import Data, make_steps
from fastbp.kernels.rng import shuffle


class Piece:
    """One slice in training.

    Parameters
    ----------
    engine : Engine
    rows : WeightedRows
    number : int
        Of the slice.
    shares : tuple of (batches,) arrays
        Starts, rows and rows in front, of each batch (shares.py).
    n_passes : int
        Passes over the rows that an epoch may touch.
    """

    def __init__(self, engine, rows, number, shares, n_passes):
        starts, sizes, before = shares
        self.engine, self.rows, self._seed = engine, rows, _seed_of(engine.seed, number)
        n = len(rows.x)
        self.order = np.empty(n * n_passes, np.int64)
        self.outputs = np.empty((n, engine.n_outputs), engine.dtype) if engine.metrics else None
        self.data = Data(rows.x, rows.targets, rows.weight, self.order, self.outputs)
        self._passes = self.order.reshape(n_passes, n)
        firsts = (n * np.arange(n_passes)[:, None] + starts).ravel()
        self.steps = make_steps(engine.seed, 0, firsts, np.tile(sizes, n_passes), training=True)
        self.steps["before"] = np.tile(before, n_passes)
        # A penalty is no sum over rows: the first slice that has some of the batch adds it.
        self.steps["penalty"] = (self.steps["before"] == 0) & (self.steps["rows"] > 0)

    def draw(self, number, shuffled):
        """Draw the orders of passes number, number + 1 ..."""
        for i, order in enumerate(self._passes):
            if shuffled:
                shuffle(order, self._seed, number + i)
            else:
                order[:] = np.arange(order.size)

    def counted(self):
        """Return, for each of `steps`, how many entries count, and how many rows have a weight: (2, steps)."""
        found = np.zeros((2, len(self.steps)))
        for row, of_rows in zip(found, counts(self.rows), strict=True):
            sums = np.concatenate([[0.0], np.cumsum(of_rows[self.order])])
            row[:] = sums[self.steps["first"] + self.steps["rows"]] - sums[self.steps["first"]]
        return found

    def seen(self, first, n):
        """Return the rows of steps `first` to `first + n`; some may stand there twice."""
        steps = self.steps[first : first + n]
        return self.order[steps["first"][0] : steps["first"][-1] + steps["rows"][-1]]

    def gradient(self, runner, step, into, buffers):
        """Write the gradient of step (1,), and by how much it moves the buffers, to `into` (P + B,); return the loss.

        All of it is divided by what the whole batch's loss is divided by, and the buffers (B,) are as they were.
        """
        engine, n = self.engine, int(step["rows"][0])
        if n == 0:
            into[:] = 0
            return 0.0
        size = engine.params.size
        loss = runner.run(engine.params, into[:size], step, self.data, backward=True)[0]
        if buffers.size:
            into[size:] = (engine.buffers - buffers) * engine.dtype.type(n)
            engine.buffers[:] = buffers
        return loss


def _seed_of(seed, number):
    """Return what a slice's orders are drawn by: of the first one, what one process draws them by."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)
