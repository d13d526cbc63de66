"""What happens between compiled calls: epochs, shuffles, validation, callbacks, divergence, Ctrl-C."""

import numpy as np

from fastbp.callbacks import EpochLines, History, ProgressBar
from fastbp.engine.divergence import divergence_error
from fastbp.engine.interruptible_steps import Stretches
from fastbp.engine.interrupts import InterruptGuard
from fastbp.engine.job import Data, make_steps
from fastbp.engine.snapshot import Reach
from fastbp.kernels.repeatable import dot
from fastbp.kernels.rng import shuffle

# What `verbose` shows.
REPORTERS = {0: [], 1: [ProgressBar], 2: [EpochLines]}


def fit(model, train, validation, epochs, batch_size, shuffled, callbacks, verbose):
    """Train `model` on `train` (`Rows`) for `epochs` epochs; return the `History`."""
    history = History()
    callbacks = [*(reporter() for reporter in REPORTERS[verbose]), *callbacks, history]
    batch_size = min(batch_size, len(train.x))
    figures = ["loss", *(name for name, _ in model.engine.metrics)]
    names = [*figures, "learning_rate", *(f"val_{name}" for name in figures if validation is not None)]
    for callback in callbacks:
        callback.model = model
        callback.params = {"epochs": epochs, "steps": -(-len(train.x) // batch_size), "metrics": names}
    model.stop_training = False
    begun, guard = [], InterruptGuard()
    try:
        for callback in callbacks:
            callback.on_train_begin({})
            begun.append(callback)
        with Epochs(model.engine, train, batch_size, shuffled) as run:
            guard.run(_run_epochs, model, run, validation, epochs, callbacks, guard)
    finally:
        tell(begun, "on_train_end", {})
    if guard.requested:
        print("Interrupted: training stopped, the model is whole.")
    return history


def _run_epochs(model, run, validation, epochs, callbacks, guard):
    """Run the epochs, until something ends training."""
    for epoch in range(epochs):
        tell(callbacks, "on_epoch_begin", epoch, {})
        model.tell_changes()
        try:
            logs = run.epoch(lambda done: tell(callbacks, "on_stretch_end", done, {}) or guard.requested)
            if run.cut_short:
                return
            if validation is not None:
                logs |= {f"val_{name}": value for name, value in model.engine.evaluate(validation).items()}
        except KeyboardInterrupt:  # in the middle of a long call
            if guard.requested:
                return
            raise
        tell(callbacks, "on_epoch_end", epoch, logs)
        if model.stop_training or guard.requested:
            return


class Epochs:
    """Runs epochs on one set of rows; a context, because it borrows the engine's runner."""

    def __init__(self, engine, train, batch_size, shuffled):
        self.engine, self.train, self.batch_size, self.shuffled = engine, train, batch_size, shuffled
        n = len(train.x)
        self.order = np.empty(n, np.int64) if shuffled else None
        self.outputs = np.empty((n, engine.n_outputs), engine.dtype) if engine.metrics else None
        self.data = Data(train.x, train.targets, train.weight, self.order, self.outputs)
        self.reach = Reach(engine.network, train.x)
        self.cut_short = False
        self.firsts = np.arange(0, n, batch_size)
        self.rows = np.minimum(batch_size, n - self.firsts)
        self.shares = self.rows / n
        self.steps = make_steps(engine.seed, 0, self.firsts, self.rows, training=True)
        self.steps["divisor"] = train.divisors(self.firsts, self.rows)

    def __enter__(self):
        self._lent = self.engine.runner(self.batch_size, self.engine.training_purpose(), self.train.targets.shape[1])
        self.stretches = Stretches(self.engine, self._lent.__enter__(), self.data)
        return self

    def __exit__(self, *exception):
        return self._lent.__exit__(*exception)

    def epoch(self, after_stretch):
        """Run one epoch; return its mean loss and metrics, or set `cut_short`.

        `after_stretch(steps done)` is called after each compiled call; True ends the epoch.
        """
        engine = self.engine
        if self.shuffled:
            shuffle(self.order, engine.seed, engine.epoch)
        steps = self.steps
        steps["counter"] = np.arange(engine.step, engine.step + len(steps))
        if self.train.weight is not None:  # which rows a batch has decides
            steps["divisor"] = self.train.divisors(self.firsts, self.rows, self.order)
        update = engine.next_update(len(steps))
        before = engine.snapshot(self.reach)
        rate = float(update.coefficients[-1, 0])
        parts, done = [], 0
        try:
            for done, losses in self.stretches.run(steps, update):
                if not np.isfinite(losses).all():
                    raise divergence_error(engine, before, self.data, steps, update)
                parts.append(losses)
                if after_stretch(done):
                    break
        except BaseException:
            self._make_whole(before, steps, update, done)
            raise
        # A gradient may overflow under a loss that is finite; its update shows here.
        if not engine.is_finite(self.reach):
            raise divergence_error(engine, before, self.data, steps, update)
        self.cut_short = done < len(steps)
        if self.cut_short:
            return {}
        try:
            metrics = engine.metric_values(self.train, self.outputs)
        except BaseException:  # of a user's function
            engine.restore(before)
            raise
        engine.epoch += 1
        loss = float(dot(np.concatenate(parts), self.shares))
        return {"loss": loss} | metrics | {"learning_rate": rate}

    def _make_whole(self, before, steps, update, done):
        """Put the buffers right where a loss has raised in a call of several steps, of which some were made.

        The parameters are those after the last whole step, but the step that failed has moved the buffers: the epoch
        is run again up to there.
        """
        engine = self.engine
        made = engine.step - before.step
        if not done < made < self.stretches.end or not engine.buffers.size:
            return
        engine.restore(before)
        some = update._replace(coefficients=update.coefficients[:made])
        engine.run(self.stretches.runner, steps[:made], self.data, backward=True, update=some)


def tell(callbacks, hook, *arguments):
    """Call one hook of every callback."""
    for callback in callbacks:
        getattr(callback, hook)(*arguments)
