"""Those who watch a fit: callbacks, and the user's Ctrl-C."""

from fastbp.engine.epochs import tell
from fastbp.engine.interrupts import InterruptGuard
from fastbp.engine.job import Data, make_steps
from fastbp.engine.state import PREDICT_ROWS


class Watchers:
    """Those of one fit: its callbacks are told what happens; KeyboardInterrupt is raised between compiled calls only.

    Parameters
    ----------
    mlp : BaseMLP
    objective : Objective
    steps : int
        Batches an epoch, for the callbacks.
    validation : Rows or None
        What the validation figures are computed on.
    """

    def __init__(self, mlp, objective, steps, validation):
        self.mlp, self.objective, self.validation = mlp, objective, validation
        self.callbacks = list(mlp.callbacks or [])
        self.guard = InterruptGuard()
        names = ["loss", "learning_rate"]
        if validation is not None:
            names += ["val_loss", f"val_{mlp._score_name}"]
        mlp.model_.stop_training = False
        for callback in self.callbacks:
            callback.model = mlp.model_
            callback.params = {"epochs": mlp.max_iter, "steps": steps, "metrics": names}

    def watch(self, function, *arguments):
        """Call function(*arguments), the training; return what it returns."""
        return self.mlp.model_.engine.alone(self._watched, function, *arguments)

    def _watched(self, function, *arguments):
        begun = []

        def begin():
            for callback in self.callbacks:
                callback.on_train_begin({})
                begun.append(callback)
            return function(*arguments)

        try:
            return self.guard.run(begin)
        finally:
            tell(begun, "on_train_end", {})

    def tell(self, hook, number, logs=None):
        """Call one hook of every callback."""
        tell(self.callbacks, hook, number, logs or {})

    def stretch_ends(self, done):
        """Tell that a compiled call is over, and stop here if the user asked for it."""
        self.tell("on_stretch_end", done)
        if self.guard.requested:
            raise KeyboardInterrupt

    def epoch_ends(self, epoch, loss):
        """Tell the figures of an epoch."""
        if not self.callbacks:
            return
        rate = self.mlp.model_.optimizer.learning_rate
        if callable(rate):
            rate = float(rate(self.mlp.model_.step - 1))
        logs = {"loss": loss, "learning_rate": rate}
        if self.validation is not None:
            logs["val_loss"] = data_loss(self.mlp.model_.engine, self.objective, self.validation)
            logs[f"val_{self.mlp._score_name}"] = self.mlp.validation_scores_[-1]
        self.tell("on_epoch_end", epoch, logs)

    def iteration_ends(self, iteration, loss):
        """Tell the loss after an iteration over all rows; return whether a callback wants to end here."""
        self.tell("on_epoch_begin", iteration)
        self.stretch_ends(1)
        self.tell("on_epoch_end", iteration, {"loss": loss})
        return self.mlp.model_.stop_training


def data_loss(engine, objective, rows):
    """Return the mean loss on `rows`, without penalty."""
    n = len(rows.x)
    steps = make_steps(engine.seed, engine.step, [0], [n], training=False)
    objective.set_divisors(steps, n if rows.weight is None else rows.weight.sum())
    with engine.runner(
        PREDICT_ROWS, objective.purpose(training=False), rows.targets.shape[1], objective.loss
    ) as runner:
        data = Data(rows.x, rows.targets, rows.weight)
        return float(runner.run(engine.params, engine.grads, steps, data)[0])
