"""The steps of a pipeline: micro-batches go forward through the segments, their gradients come back (GPipe)."""

import time
from dataclasses import replace

import numpy as np

from fastbp.distributed.epochs import RankEpochs
from fastbp.distributed.rank_callbacks import Company, RankWatchers, share_settings
from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.runner import Runner
from fastbp.engine.snapshot import Reach
from fastbp.kernels.rng import shuffle


class Stage:
    """A rank's segment at work on micro-batches.

    Parameters
    ----------
    engine : Engine
        Of the segment.
    rows : int
        Largest micro-batch.
    n_targets : int
        Entries of a row of targets (of the last segment), else of outputs.
    first_layer : int
        The segment's place in the network: what masks are drawn by.
    takes, hands_on : bool
        Is there a segment before this one, and one after it?
    """

    def __init__(self, engine, rows, n_targets, first_layer, takes, hands_on):
        self.engine, self.takes, self.hands_on = engine, takes, hands_on
        purpose = Purpose(training=True, fused_output=engine.fused_output, input_gradient=takes)
        arguments = engine.network, rows, engine.dtype, purpose, engine.loss, n_targets, engine.buffers
        self.runner = Runner(*arguments)
        for layer in self.runner.plan.table:
            layer["index"] += first_layer
        self.grads, self._part = (np.zeros(engine.params.size, engine.dtype) for _ in range(2))

    def forward(self, x, step):
        """x (n, ...) -> outputs (n, ...), as `backward` will compute them anew."""
        engine, buffers = self.engine, self.engine.buffers.copy()
        outputs = np.empty((len(x), *engine.network.raw_shape), engine.dtype)
        self.runner.run(engine.params, self._part, step, Data(x, outputs=outputs))
        engine.buffers[:] = buffers
        return outputs

    def backward(self, x, y, step, first):
        """x (n, ...), targets or dout y (n, t) -> dx (n, ...) or None, and the loss; add to `grads`, or write it.

        Activations are computed once more: a segment keeps the inputs of its micro-batches, nothing else.
        """
        dx = np.empty_like(x) if self.takes else None
        into = self.grads if first else self._part
        loss = self.runner.run(self.engine.params, into, step, Data(x, y, dx=dx), backward=True)[0]
        if not first:
            self.grads += into
        return dx, loss


class PipelineEpochs(RankEpochs):
    """Runs epochs of a pipeline.

    Parameters
    ----------
    ranks : Ranks
    model : PipelineModel
    n_micro : int
        Micro-batches of a batch.
    engine, train, batch_size, shuffled, n_steps
        As `RankEpochs`; `train` is a `Whole`.
    """

    def __init__(self, ranks, model, n_micro, engine, train, batch_size, shuffled, n_steps=None):
        self.ranks, self.model, self.engine, self.train = ranks, model, engine, train
        self.shuffled, self.cut_short, self._error, self.length = shuffled, False, None, 1
        n = len(train.x)
        self.n_slices, self.n_batches = 1, -(-n // batch_size)
        self.n_steps = self.n_batches
        self.n_micro, self.batch_size = n_micro, batch_size
        self.batch_rows = np.minimum(batch_size, n - np.arange(0, n, batch_size))
        self.reach, self.order = Reach(engine.network), np.arange(n)
        is_last = ranks.rank == ranks.size - 1
        n_targets = train.targets.shape[1] if is_last else engine.n_outputs
        largest = -(-batch_size // n_micro)
        self.stage = Stage(engine, largest, n_targets, model.segment.first_layer, ranks.rank > 0, not is_last)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.engine.grads[:] = self.stage.grads

    def epoch(self, watchers, guard):
        """Run one epoch, and note which share of it this rank waited for others."""
        self.waited, started = 0.0, time.perf_counter()
        try:
            return super().epoch(watchers, guard)
        finally:
            self.model.bubble = self.waited / max(time.perf_counter() - started, 1e-9)

    def evaluate(self, validation):
        """Return the loss of a `Whole`, with all segments' penalties; all ranks call it."""
        inputs = list(self.model.handed_on(self.ranks, validation.x))
        loss = 0.0
        if inputs:
            loss = self.engine.mean_loss(replace(validation.rows, x=np.concatenate(inputs)), None)[0]
        return {"loss": float(sum(self.ranks.exchange(loss + self.engine.penalty())))}

    def _next_steps(self):
        engine = self.engine
        if self.shuffled:
            shuffle(self.order, engine.seed, engine.epoch)
        self._updates = make_steps(engine.seed, engine.step, np.zeros(self.n_steps, int), 1, training=True)
        self._updates["rows"] = np.minimum(self.batch_rows, self.stage.runner.plan.rows)
        return 0

    def _step(self, place, number, losses, update):
        """Make one step: all micro-batches forward, then all of them back."""
        engine, n = self.engine, int(self.batch_rows[place])
        rows = self.order[place * self.batch_size :][:n]
        ends = np.arange(self.n_micro + 1) * n // self.n_micro
        steps = make_steps(engine.seed, engine.step, ends[:-1] * 0, np.diff(ends), training=True)
        steps["counter"], steps["before"] = engine.step, ends[:-1]
        # Of the last segment alone: other segments' losses are sums of products with a gradient that is a mean's.
        steps["divisor"] = 1.0 if self.stage.hands_on else n * self.train.entries
        steps["penalty"] = (steps["before"] == 0) & (steps["rows"] > 0)
        micro = [(steps[i : i + 1], rows[ends[i] : ends[i + 1]]) for i in range(self.n_micro) if ends[i + 1] > ends[i]]
        losses[0] = engine.penalty() if self.stage.hands_on else 0.0
        self._pass(micro, losses)
        self._limit_norm()
        one = slice(number, number + 1)
        update = update._replace(coefficients=update.coefficients[one])
        self.stage.runner.run(engine.params, self.stage.grads, self._updates[one], Data(), update=update)

    def _pass(self, micro, losses):
        """Take the micro-batches through this segment, forward and back."""
        stage, rank, sent, inputs = self.stage, self.ranks.rank, [], []
        for i, (step, rows) in enumerate(micro):
            x = self._received(len(rows), stage.engine.network.input_shape, rank - 1) if rank else self.train.x[rows]
            inputs.append(x)
            if stage.hands_on:
                out = self._computed(stage.forward, x, step)
                out = np.zeros((len(rows), *stage.engine.network.raw_shape), x.dtype) if out is None else out
                sent.append((self.ranks.send(out, rank + 1), out))
            else:
                sent += self._back(x, self.train.targets[rows], step, i == 0, losses)
        for i, (step, rows) in enumerate(micro) if stage.hands_on else ():
            dout = self._received(len(rows), (stage.engine.n_outputs,), rank + 1)
            sent += self._back(inputs[i], dout, step, i == 0, None)
        # The arrays live as long as they are being sent.
        self.ranks.wait_for([request for request, _ in sent])

    def _back(self, x, y, step, first, losses):
        """Go back through the segment, and send dx on its way; return what is being sent."""
        dx, loss = self._computed(self.stage.backward, x, y, step, first) or (np.zeros_like(x), 0.0)
        if losses is not None:
            losses[0] += loss
        return [(self.ranks.send(dx, self.ranks.rank - 1), dx)] if self.stage.takes else []

    def _computed(self, function, *arguments):
        """Return function(*arguments), or None after an error, which is kept until the ranks tell each other."""
        try:
            return function(*arguments) if self._error is None else None
        except Exception as error:
            self._error = error

    def _received(self, n, shape, rank):
        array, started = np.empty((n, *shape), self.engine.dtype), time.perf_counter()
        self.ranks.receive(array, rank)
        self.waited += time.perf_counter() - started
        return array

    def _limit_norm(self):
        """Scale the gradient where that of all segments together is too long."""
        limit = self.engine.optimizer.global_clipnorm
        if limit:
            grads = self.stage.grads.astype(np.float64)
            squares = np.array([(grads * grads).sum()])
            self.ranks.add(squares)
            if squares[0] > limit**2:
                self.stage.grads *= self.engine.dtype.type(limit / np.sqrt(squares[0]))


class PipelineCompany(Company):
    """A training of a pipeline, as `Company` is one of ranks that all have the whole network."""

    def __init__(self, ranks, model, n_micro):
        super().__init__(ranks, None, None)
        self._model, self._n_micro = model, n_micro

    def n_rows(self, rows):
        """Return the number of rows."""
        return len(rows.x)

    def restore(self, backup, model, callbacks):
        """Restore nothing: a backup is refused before, for no rank has the whole model."""

    def watchers(self, *arguments, rows):
        """Return the callbacks of this rank."""
        return PipelineWatchers(self.ranks, self._guard, *arguments, rows=rows)

    def epochs(self, *arguments):
        """Return what runs epochs."""
        return PipelineEpochs(self.ranks, self._model, self._n_micro, *arguments)


class PipelineWatchers(RankWatchers):
    """As `RankWatchers`; each rank has its own weights."""

    def _share(self):
        share_settings(self._ranks, self.model)
