"""Those who watch a fit: callbacks, and the user's Ctrl-C."""

from fastbp.callbacks.backup import backup_of
from fastbp.callbacks.base import BATCH_HOOKS
from fastbp.callbacks.callbacklist import CallbackList
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.engine import PREDICT_ROWS
from fastbp.engine.interrupts import InterruptGuard


class Watchers:
    """Those of one fit: its callbacks are told what happens; KeyboardInterrupt is raised between compiled calls only.

    Parameters
    ----------
    mlp : BaseMLP
    objective : Objective
    steps : int
        Batches an epoch, for the callbacks.
    validation : WeightedRows or None
        What the validation figures are computed on.
    """

    def __init__(self, mlp, objective, steps, validation):
        self.mlp, self.objective, self.validation = mlp, objective, validation
        self.guard = InterruptGuard()
        # With warm_start the epochs' numbers go on.
        self.first = len(getattr(mlp, "loss_curve_", ()))
        names = ["loss", "learning_rate"]
        if validation is not None:
            names += ["val_loss", f"val_{mlp._score_name}"]
        mlp.model_.stop_training = False
        params = {"epochs": self.first + mlp.max_iter, "steps": steps, "metrics": names}
        without = ("on_test_begin", "on_test_end", *(BATCH_HOOKS if mlp._takes_all_rows() else ()))
        self.callbacks = CallbackList(mlp.callbacks or [], mlp.model_, params, without, owner=mlp)

    def watch(self, function, *arguments):
        """Call function(*arguments), the training; return what it returns."""
        return self.mlp.model_.engine.alone(self._watched, function, *arguments)

    def _watched(self, function, *arguments):
        def begin():
            refuse_backups(self.callbacks)
            self.callbacks.begin()
            return function(*arguments)

        try:
            return self.guard.run(begin)
        finally:
            self.callbacks.end()

    @property
    def batch_by_batch(self):
        """Is each compiled call one batch, because a callback has hooks around batches?"""
        return self.callbacks.around_batches

    def tell(self, hook, number, logs=None):
        """Call one hook of every callback."""
        self.callbacks.tell(hook, number, logs or {})

    def epoch_begins(self, epoch):
        """Tell that an epoch of this fit, counted from 0, begins."""
        self.tell("on_epoch_begin", self.first + epoch)
        self.callbacks.tell_batch("on_train_batch_begin", 0, {})

    def stretch_ends(self, done, of=0, loss=None):
        """Tell that a compiled call is over, and stop here if the user asked for it.

        `done` are the steps of the epoch so far, `of` all of them, `loss` their mean.
        """
        self.tell("on_stretch_end", done)
        self.callbacks.tell_batch("on_train_batch_end", done - 1, {"loss": loss})
        if self.guard.requested:
            raise KeyboardInterrupt
        if done < of:
            self.callbacks.tell_batch("on_train_batch_begin", done, {})

    def epoch_ends(self, epoch, loss):
        """Tell the figures of an epoch."""
        if not self.callbacks.callbacks:
            return
        rate = self.mlp.model_.optimizer.learning_rate
        if callable(rate):
            rate = float(rate(self.mlp.model_.step - 1))
        logs = {"loss": loss, "learning_rate": rate}
        if self.validation is not None:
            logs["val_loss"] = data_loss(self.mlp.model_.engine, self.objective, self.validation)
            logs[f"val_{self.mlp._score_name}"] = self.mlp.validation_scores_[-1]
        self.tell("on_epoch_end", self.first + epoch, logs)

    def iteration_ends(self, iteration, loss):
        """Tell the loss after an iteration over all rows; return whether a callback wants to end here."""
        self.tell("on_epoch_begin", iteration)
        self.stretch_ends(1)
        self.tell("on_epoch_end", iteration, {"loss": loss})
        return self.mlp.model_.stop_training


def refuse_backups(callbacks):
    """Raise ValueError for a callback that keeps a training of `Sequential.fit`."""
    if backup_of(callbacks) is not None:
        raise ValueError("BackupAndRestore keeps a training of Sequential.fit; an estimator has warm_start and save.")


def data_loss(engine, objective, rows):
    """Return the mean loss on `rows`, without penalty."""
    n = len(rows.x)
    steps = make_steps(engine.seed, engine.step, [0], [n], training=False)
    objective.set_divisors(steps, n if rows.weight is None else rows.weight.sum())
    with engine.runner(
        PREDICT_ROWS, objective.purpose(training=False), rows.targets.shape[1], objective.loss
    ) as runner:
        data = Data(rows.x, rows.targets, rows.weight)
        return float(engine.run(runner, steps, data)[0])
