"""What happens between compiled calls: epochs, shuffles, validation, callbacks, divergence, Ctrl-C."""

from typing import NamedTuple

import numpy as np

from fastbp.callbacks.backup import backup_of
from fastbp.callbacks.callbacklist import CallbackList
from fastbp.callbacks.history import History
from fastbp.callbacks.progbar import reporters
from fastbp.engine.divergence import TrainingDiverged, divergence_error
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.interruptible_steps import Stretches
from fastbp.engine.interrupts import InterruptGuard
from fastbp.engine.snapshot import Reach
from fastbp.engine.user_arrays import all_finite
from fastbp.kernels.repeatable import dot
from fastbp.kernels.rng import shuffle


class Course(NamedTuple):
    """How a run goes: `epochs` more of them, or with `first_epoch` up to that number; batches, order, what is shown.

    `steps` are the batches an epoch, where they are not all of the rows'.
    """

    epochs: int
    batch_size: int
    shuffled: bool
    verbose: int
    first_epoch: int | None = None
    steps: int | None = None

    def numbers(self, engine, resumed):
        """Return the first epoch and one past the last; `resumed` is the first one of a training that is resumed."""
        if self.first_epoch is not None:
            return (self.first_epoch if resumed is None else engine.epoch), self.epochs
        first = engine.epoch if resumed is None else resumed
        return engine.epoch, first + self.epochs


class Alone:
    """A training by this process alone; `fastbp.distributed` has the like for many processes.

    It says how many rows there are, restores a backup, and makes who watches, who runs epochs and who notes Ctrl-C.
    """

    def n_rows(self, rows):
        """Return the number of rows that an epoch goes through."""
        return len(rows.x)

    def restore(self, backup, model, callbacks):
        """Restore what a `BackupAndRestore` (or None) has; return what it returns."""
        return backup and backup.restore(model, callbacks)

    def watchers(self, *arguments, rows):
        """Return the `CallbackList`."""
        return CallbackList(*arguments, rows=rows)

    def epochs(self, *arguments):
        """Return the `Epochs`."""
        return Epochs(*arguments)

    def guard(self):
        """Return the `InterruptGuard`."""
        return InterruptGuard()

    def say(self, text):
        """Print a line."""
        print(text)


def fit(model, train, validation, course, callbacks, company=None):
    """Train `model` on `train` (`WeightedRows`) as a `Course` says; return the `History`."""
    company = company or Alone()
    history, engine = History(), model.engine
    callbacks = [*reporters(course.verbose), *callbacks, history]
    n_rows = company.n_rows(train)
    batch_size = min(course.batch_size, n_rows)
    names = engine.figures(validation is not None)
    params = {"steps": course.steps or -(-n_rows // batch_size), "metrics": names}
    backup, states = backup_of(callbacks), None
    # Without what shows progress: a resumed run may show more or less.
    remembering = callbacks[len(reporters(course.verbose)) :]
    watchers = company.watchers(callbacks, model, params, rows=train)
    restored = company.restore(backup, model, remembering)
    if restored:
        params["resumed_epoch"] = engine.epoch
        states = [None] * (len(callbacks) - len(remembering)) + restored[1]
    first, end = course.numbers(engine, restored and restored[0])
    params["epochs"] = end
    if backup is not None:
        backup.first_epoch = restored[0] if restored else first
    engine.epoch = first
    model.stop_training = False
    guard = company.guard()
    try:
        watchers.begin(states)
        with company.epochs(engine, train, batch_size, course.shuffled, course.steps) as run:
            guard.run(_run_epochs, model, run, validation, range(first, end), watchers, guard, backup)
        engine.finish_training()
    finally:
        watchers.end()
    if guard.requested:
        company.say("Interrupted: training stopped, the model is whole.")
    return history


def _run_epochs(model, run, validation, epochs, watchers, guard, backup):
    """Run the epochs, until something ends training."""
    for epoch in epochs:
        watchers.tell("on_epoch_begin", epoch, {})
        model.tell_changes()
        try:
            logs = run.epoch(watchers, guard)
            if run.cut_short:
                return
            if validation is not None:
                logs |= _validated(run, validation, watchers)
        except KeyboardInterrupt:  # in the middle of a long call
            if guard.requested:
                return
            raise
        except TrainingDiverged as error:
            if watchers.heeds(error):
                return
            raise
        watchers.tell("on_epoch_end", epoch, logs)
        if backup is not None:
            backup.save()
        if model.stop_training or guard.requested:
            return


def _validated(run, validation, watchers):
    """Return the figures of the validation rows."""
    watchers.tell("on_test_begin", {})
    figures = run.evaluate(validation)
    watchers.tell("on_test_end", dict(figures))
    return {f"val_{name}": value for name, value in figures.items()}


class Epochs:
    """Runs epochs on one set of rows; a context, because it borrows the engine's runner.

    With `n_steps`, an epoch has so many batches, whatever the rows have: the batches of one pass over the rows after
    the other are counted on from epoch to epoch.
    """

    def __init__(self, engine, train, batch_size, shuffled, n_steps=None):
        self.engine, self.train, self.batch_size, self.shuffled = engine, train, batch_size, shuffled
        n = len(train.x)
        self.n_batches = -(-n // batch_size)
        self.n_steps = n_steps if n_steps != self.n_batches else None
        # Passes that an epoch may touch.
        self.n_passes = 1 if self.n_steps is None else 1 + -(-(self.n_steps - 1) // self.n_batches)
        self.order = np.empty(n * self.n_passes, np.int64) if shuffled or self.n_steps else None
        self.outputs = np.empty((n, engine.n_outputs), engine.dtype) if engine.metrics else None
        self.data = Data(train.x, train.targets, train.weight, self.order, self.outputs)
        self.reach = Reach(engine.network, train.x)
        self.cut_short = False
        starts = np.arange(0, n, batch_size)
        self.firsts = (n * np.arange(self.n_passes)[:, None] + starts).ravel()
        self.rows = np.tile(np.minimum(batch_size, n - starts), self.n_passes)
        self.steps = make_steps(engine.seed, 0, self.firsts, self.rows, training=True)
        if train.weight is None:
            self.steps["divisor"] = train.divisors(self.firsts, self.rows)

    def __enter__(self):
        self._lent = self.engine.runner(self.batch_size, self.engine.training_purpose(), self.train.targets.shape[1])
        self.stretches = Stretches(self.engine, self._lent.__enter__(), self.data)
        return self

    def __exit__(self, *exception):
        return self._lent.__exit__(*exception)

    def epoch(self, watchers, guard):
        """Run one epoch; return its mean loss and metrics, or set `cut_short`.

        Where a callback has hooks around batches, each compiled call is one batch.
        """
        engine = self.engine
        steps = self._next_steps()
        update = engine.next_update(len(steps))
        before = engine.snapshot(self.reach)
        rate = float(update.coefficients[-1, 0])
        losses, done = np.empty(len(steps)), 0
        by_batches = watchers.around_batches
        self.stretches.fixed = 1 if by_batches else None
        try:
            if by_batches:
                watchers.tell_batch("on_train_batch_begin", 0, {})
            for done, part in self.stretches.run(steps, update):
                if not all_finite(part):
                    raise divergence_error(engine, before, self.data, steps, update)
                losses[done - len(part) : done] = part
                watchers.tell("on_stretch_end", done, {})
                if by_batches and not self._tell_batches(watchers, steps, losses, done):
                    break
                if guard.requested:
                    break
        except BaseException:
            self._make_whole(before, steps, update, done)
            raise
        # A gradient may overflow under a loss that is finite; its update shows here.
        if not engine.is_finite(self.reach):
            raise divergence_error(engine, before, self.data, steps, update)
        self.cut_short = done < len(steps) and guard.requested
        if self.cut_short:
            return {}
        try:
            metrics = self._metrics(steps[:done])
        except BaseException:  # of a user's function
            engine.restore(before)
            raise
        engine.epoch += 1
        return {"loss": mean_loss(losses[:done], steps["rows"][:done])} | metrics | {"learning_rate": rate}

    def evaluate(self, validation):
        """Return the figures of the validation rows."""
        return self.engine.evaluate(validation)

    def _tell_batches(self, watchers, steps, losses, done):
        """Tell that a batch is over and the next one begins; return whether it does: a callback may end the epoch."""
        model = watchers.model
        stopped_before = model.stop_training
        watchers.tell_batch("on_train_batch_end", done - 1, {"loss": mean_loss(losses[:done], steps["rows"][:done])})
        if model.stop_training and not stopped_before:
            return False
        if done < len(steps):
            watchers.tell_batch("on_train_batch_begin", done, {})
        return True

    def _next_steps(self):
        """Return the STEP rows of the next epoch; the orders of the passes that it touches are drawn."""
        engine, first = self.engine, 0
        n_steps = self.n_steps or self.n_batches
        if self.n_steps is None:
            if self.shuffled:
                shuffle(self.order, engine.seed, engine.epoch)
        else:
            number, first = divmod(engine.epoch * self.n_steps, self.n_batches)
            for i, order in enumerate(self.order.reshape(self.n_passes, -1)):
                if self.shuffled:
                    shuffle(order, engine.seed, number + i)
                else:
                    order[:] = np.arange(len(order))
        if self.train.weight is not None:  # which rows a batch has decides
            self.steps["divisor"] = self.train.divisors(self.firsts, self.rows, self.order)
        steps = self.steps[first : first + n_steps]
        steps["counter"] = np.arange(engine.step, engine.step + len(steps))
        return steps

    def _metrics(self, steps):
        """Return the metrics of the rows of these steps, as the network saw them."""
        engine = self.engine
        if not engine.metrics or (self.n_steps is None and len(steps) == self.n_batches):
            return engine.metric_values(self.train, self.outputs)
        seen = np.arange(steps["first"][0], steps["first"][-1] + steps["rows"][-1])
        seen = np.unique(seen if self.order is None else self.order[seen])
        return engine.metric_values(self.train.subset(seen), self.outputs[seen])

    def _make_whole(self, before, steps, update, done):
        """Put the buffers right after a loss has raised in a call of several steps.

        The parameters are those after the last whole step.  The step that failed has changed the buffers, so the epoch
        is run again up to the last whole step.
        """
        engine = self.engine
        made = engine.step - before.step
        if not done < made < self.stretches.end or not engine.buffers.size:
            return
        engine.restore(before)
        some = update._replace(coefficients=update.coefficients[:made])
        engine.run(self.stretches.runner, steps[:made], self.data, backward=True, update=some)


def mean_loss(losses, rows):
    """Return the mean of the losses (n,) of steps with so many rows (n,)."""
    return float(dot(losses, rows / rows.sum()))
