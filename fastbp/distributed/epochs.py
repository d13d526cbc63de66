"""An epoch on many ranks: each computes the gradient of its slices, all add them up and make the same update."""

import time
from typing import NamedTuple

import numpy as np

from fastbp.distributed.rows import counts, gathered
from fastbp.distributed.shares import batch_shares
from fastbp.distributed.slice_steps import Piece
from fastbp.engine.divergence import TrainingDiverged
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.epochs import mean_loss
from fastbp.engine.interruptible_steps import STRETCH_SECONDS
from fastbp.engine.snapshot import Reach


class Report(NamedTuple):
    """What a rank tells after a stretch of steps: its slices' losses (k, steps), Ctrl-C, the length of the next one."""

    losses: np.ndarray
    interrupted: bool
    length: int


class RankEpochs:
    """Runs epochs, as `fastbp.engine.epochs.Epochs` does in one process; a context.

    Parameters
    ----------
    ranks : Ranks
    add : FastSum or OrderedSum
    validation : Table or None
    engine : Engine
    train : Table
    batch_size : int
        Of all ranks together.
    shuffled : bool
    n_steps : int, optional
        Steps of an epoch, where it is not a pass over the rows.
    """

    def __init__(self, ranks, add, validation, engine, train, batch_size, shuffled, n_steps=None):
        self.ranks, self.add, self.engine, self.train = ranks, add, engine, train
        self.shuffled, self.cut_short, self._error = shuffled, False, None
        self.n_batches = -(-train.total // batch_size)
        self.n_steps = n_steps or self.n_batches
        n_passes = 1 if self.n_steps == self.n_batches else 1 + -(-(self.n_steps - 1) // self.n_batches)
        k = self.n_slices = len(train.slices)
        *shares, self.largest = batch_shares(train.sizes, batch_size, train.first, k)
        self.pieces = [
            Piece(engine, rows, train.first + i, [share[i] for share in shares], n_passes)
            for i, rows in enumerate(train.slices)
        ]
        sizes = np.full(self.n_batches, batch_size)
        sizes[-1] = train.total - batch_size * (self.n_batches - 1)
        self.batch_rows = np.tile(sizes, n_passes)
        self.flats = np.zeros((k, engine.params.size + engine.buffers.size), engine.dtype)
        self.length = 1
        # All that is trained, whichever rows of tables this rank reads.
        self.reach = Reach(engine.network)
        self._all = {id(table): gathered(ranks, table) for table in (train, validation) if table and engine.metrics}

    def __enter__(self):
        self._lent = self.engine.runner(self.largest, self.engine.training_purpose(), self.train.targets)
        self.runner = self._lent.__enter__()
        return self

    def __exit__(self, *exception):
        self.engine.grads[:] = self.flats[0, : self.engine.params.size]
        return self._lent.__exit__(*exception)

    def epoch(self, watchers, guard):
        """Run one epoch; return its mean loss and metrics, or set `cut_short`."""
        engine = self.engine
        first = self._next_steps()
        update = engine.next_update(self.n_steps)
        before = engine.snapshot(self.reach)
        losses, done = np.empty(self.n_steps), 0
        try:
            while done < self.n_steps and not guard.requested:
                length = 1 if watchers.by_batches else min(self.length, self.n_steps - done)
                losses[done : done + length] = self._stretch(first + done, length, done, update, guard)
                done += length
                if not np.isfinite(losses[:done]).all():
                    raise self._divergence(losses[:done])
                if not self._watched(watchers, losses[:done], first, done):
                    break
            if not all(self.ranks.exchange(engine.is_finite(self.reach), self._taken_error())):
                raise self._divergence(losses[:done])
            self.cut_short = done < self.n_steps and guard.requested
            if self.cut_short:
                return {}
            logs = {"loss": mean_loss(losses[:done], self.batch_rows[first : first + done])}
            logs |= self._metrics(self.train, first, done)
        except BaseException:
            engine.restore(before)
            raise
        engine.epoch += 1
        return logs | {"learning_rate": float(update.coefficients[-1, 0])}

    def _next_steps(self):
        """Draw the orders of the next epoch, find what its losses are divided by; return its first step's place."""
        engine = self.engine
        number, first = divmod(engine.epoch * self.n_steps, self.n_batches)
        for piece in self.pieces:
            piece.draw(number, self.shuffled)
        part = slice(first, first + self.n_steps)
        divisors = self.batch_rows * float(self.train.slices[0].entries)
        if self.train.weighted:
            counted = np.sum([piece.counted() for piece in self.pieces], axis=0)
            counted, weighing = sum(self.ranks.exchange(counted))
            divisors = counted * (weighing > 0)
        for piece in self.pieces:
            piece.steps["divisor"] = divisors
            piece.steps["counter"][part] = engine.step + np.arange(self.n_steps)
        self._updates = make_steps(engine.seed, engine.step, np.zeros(self.n_steps, int), 1, training=True)
        # So many rows tell how many threads an update may have.
        self._updates["rows"] = np.maximum(self.pieces[0].steps["rows"][part], 1)
        self._updates["divisor"] = divisors[part]
        return first

    def _stretch(self, first, length, done, update, guard):
        """Make steps `first` to `first + length`, `done` steps after the epoch's first; return the loss of each."""
        own, started = np.zeros((self.n_slices, length)), time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # told at the end
            for i in range(length):
                self._step(first + i, done + i, own[:, i], update)
        seconds = max(time.perf_counter() - started, 1e-6)
        wanted = max(1, min(int(length * STRETCH_SECONDS / seconds), 10 * self.length))
        reports = self.ranks.exchange(Report(own, guard.noted, wanted), self._taken_error())
        self.length, guard.requested = reports[0].length, any(report.interrupted for report in reports)
        losses = np.zeros(length)
        for report in reports:  # in the slices' order, one after the other
            for of_slice in report.losses:
                losses += of_slice
        return losses

    def _step(self, place, number, losses, update):
        """Make one step; an error, of a loss of one's own, is kept until the ranks tell each other."""
        engine, start = self.engine, self.engine.buffers.copy()
        for i, piece in enumerate(self.pieces):
            try:
                if self._error is None:
                    losses[i] = piece.gradient(self.runner, piece.steps[place : place + 1], self.flats[i], start)
            except Exception as error:
                self._error, self.flats[:] = error, 0
                engine.buffers[:] = start
        self.add(self.flats)
        size = engine.params.size
        if start.size:
            engine.buffers += self.flats[0, size:] / engine.dtype.type(self.batch_rows[place])
        one = slice(number, number + 1)
        update = update._replace(coefficients=update.coefficients[one])
        self.runner.run(engine.params, self.flats[0, :size], self._updates[one], Data(), update=update)

    def _watched(self, watchers, losses, first, done):
        """Tell rank 0's callbacks of a stretch; return whether the epoch goes on: a callback may end it."""
        going_on = True
        try:
            watchers.tell("on_stretch_end", done, {})
            if watchers.by_batches:
                mean = mean_loss(losses, self.batch_rows[first : first + done])
                going_on = watchers.tell_batch_over(mean, done, self.n_steps)
        except Exception as error:
            self._error = error
        return self.ranks.exchange(going_on, self._taken_error())[0] if watchers.by_batches else True

    def _taken_error(self):
        error, self._error = self._error, None
        return error

    def _divergence(self, losses):
        """Return the error of a training whose loss or parameters are not finite."""
        engine, step = self.engine, len(losses)
        if not np.isfinite(losses).all():
            step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
        names = [p.layer for p in engine.network.params if not np.isfinite(engine.params[p.start : p.stop]).all()]
        layer = engine.network.layers[names[0] if names else -1].name
        return TrainingDiverged(
            f"training diverged in epoch {engine.epoch + 1}, at or before step {step} of {self.n_steps}: the loss or a "
            f"parameter (layer {layer!r}) is not finite. Try a lower learning rate, global_clipnorm=1.0 in the "
            "optimizer, or inputs and targets scaled to unit variance. The weights of the last good epoch are kept.",
            engine.epoch + 1,
            step,
            layer,
        )

    def evaluate(self, validation):
        """Return the figures of a `Table` of all ranks' rows, which slices compute in their order."""
        engine, sums, outputs = self.engine, [], []
        for rows in validation.slices:
            out = np.empty((len(rows.x), engine.n_outputs), engine.dtype) if engine.metrics else None
            outputs.append(out)
            counted, weighing = counts(rows)
            loss = engine.mean_loss(rows, out) if len(rows.x) else (0.0, 0.0)
            sums.append((loss[0] * loss[1], counted.sum(), weighing.sum()))
        sums = [one for part in self.ranks.exchange(sums) for one in part]
        total, divisor, weighing = (sum(column) for column in zip(*sums, strict=True))
        loss = total / divisor if divisor and weighing else 0.0
        return {"loss": float(loss + engine.penalty())} | self._metric_values(validation, outputs)

    def _metrics(self, table, first, done):
        """Return the metrics of the rows of an epoch's steps, as the network saw them."""
        if not self.engine.metrics:
            return {}
        if self.n_steps == self.n_batches == done:
            return self._metric_values(table, [piece.outputs for piece in self.pieces])
        seen = [np.unique(piece.seen(first, done)) for piece in self.pieces]
        ends = np.cumsum([0, *(len(rows.x) for rows in table.slices)])
        places = self.ranks.gather(np.concatenate([rows + ends[i] for i, rows in enumerate(seen)]))
        sizes = self.ranks.exchange((ends[-1], sum(map(len, seen))))
        outputs = [piece.outputs[rows] for piece, rows in zip(self.pieces, seen, strict=True)]
        if places is not None:
            offsets = np.cumsum([0, *(size for size, _ in sizes[:-1])])
            places += np.repeat(offsets, [n for _, n in sizes])
        return self._metric_values(table, outputs, places)

    def _metric_values(self, table, outputs, seen=slice(None)):
        """Return {metric: value}: rank 0 has all outputs, for a metric may be of all rows at once."""
        engine = self.engine
        if not engine.metrics:
            return {}
        everything = self.ranks.gather(np.concatenate(outputs))

        def values():
            return engine.metric_values(self._all[id(table)].subset(seen), everything)

        value = self.ranks.together(lambda: values() if everything is not None else None)
        return self.ranks.from_first(value)
