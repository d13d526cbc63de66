"""Solvers that take one step a batch: the epochs of a fit, and when they end.

Orders, batches, stopping and messages are those of scikit-learn's MLP, draw for draw; an epoch is one compiled
call, or a few where it takes long, so that Ctrl-C is heard.
"""

import warnings
from math import isfinite

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp.estimators.names import initial_rate, learning_rate_mode, optimizer_of
from fastbp.estimators.watchers import Watchers
from fastbp.job import Data, make_steps
from fastbp.stretches import Stretches

# Below this, an adaptive learning rate ends training instead of falling further.
SMALLEST_LEARNING_RATE = 1e-6
# The coefficients of a short epoch take as long as a step of it; those of so many steps take no longer.
STEPS_AHEAD = 500
# Fitted attributes that all epochs write, those of earlier fits with warm_start too.
EPOCHS_ATTRIBUTES = (
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
    "_best_params",
)


def fit_stochastic(mlp, objective, rows, validation, incremental):
    """Train `mlp` for `max_iter` epochs, or until it stops getting better; for one epoch if `incremental`.

    Parameters
    ----------
    mlp : BaseMLP
        Its fitted attributes are written.
    objective : Objective
    rows : Rows
    validation : Rows or None
        Given by the user; early stopping sets rows aside where it is None.
    incremental : bool
    """
    if mlp.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    train = np.arange(len(rows.x))
    if mlp.early_stopping and validation is None:
        train, validation = _split(mlp, rows)
    batch_size = _batch_size(mlp.batch_size, len(train))
    if not incremental or mlp._optimizer is None:
        steps = mlp.max_iter * -(-len(train) // batch_size)
        mlp.model_.compile(optimizer_of(mlp, steps), objective.model_loss)
    _begin(mlp, validation is not None)
    epochs = Epochs(mlp, objective, rows, train, batch_size)
    mlp.n_iter_ = 0
    try:
        with Watchers(mlp, objective, len(epochs.steps), validation) as watchers, epochs:
            while mlp.n_iter_ < (1 if incremental else mlp.max_iter):
                watchers.tell("on_epoch_begin", mlp.n_iter_)
                loss = epochs.run(watchers.stretch_ends)
                if _epoch_ends(mlp, loss, len(train), watchers):
                    break
                if mlp.n_iter_ == mlp.max_iter and not incremental:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({mlp.max_iter}) reached and the optimization "
                        "hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=5,
                    )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    if mlp.early_stopping:
        mlp.model_.params[:] = mlp._best_params


def _begin(mlp, validates):
    """Set those of `EPOCHS_ATTRIBUTES` that there are not yet as they are before the first epoch."""
    if not hasattr(mlp, "best_loss_"):
        mlp.loss_curve_, mlp._no_improvement_count, mlp.best_loss_ = [], 0, None
        mlp.validation_scores_ = mlp.best_validation_score_ = None
        mlp._best_params = mlp.model_.params.copy()
    if mlp.best_loss_ is None and not mlp.early_stopping:
        mlp.best_loss_ = np.inf
    if mlp.validation_scores_ is None and validates:
        mlp.validation_scores_, mlp.best_validation_score_ = [], -np.inf


def _split(mlp, rows):
    """Return the row numbers to train on, and the `Rows` set aside."""
    stratify = rows.y if mlp._stratifies() else None
    parts = train_test_split(
        np.arange(len(rows.x)),
        random_state=mlp._random_state,
        test_size=mlp.validation_fraction,
        stratify=stratify,
    )
    if len(parts[1]) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return parts[0], rows.part(parts[1])


def _batch_size(batch_size, n):
    """Return the rows of a batch."""
    if batch_size == "auto":
        return min(200, n)
    if batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return min(batch_size, n)


class Epochs:
    """Runs epochs on the rows `train` of `rows`; a context, because it borrows the engine's runner."""

    def __init__(self, mlp, objective, rows, train, batch_size):
        self.engine, self.objective = mlp.model_.engine, objective
        self.batch_size = batch_size
        self.random_state = mlp._random_state if mlp.shuffle else None
        self.data = Data(rows.x, rows.targets, rows.weight, np.array(train))
        firsts = np.arange(0, len(train), batch_size)
        sizes = np.minimum(batch_size, len(train) - firsts)
        self.steps = make_steps(self.engine.seed, self.engine.step, firsts, sizes, training=True)
        self.counters, self.shares = self.steps["counter"], sizes / len(train)
        self.ahead = None
        self._set_divisors()

    def __enter__(self):
        purpose, n_targets = self.objective.purpose(training=True), self.data.y.shape[1]
        self._lent = self.engine.runner(self.batch_size, purpose, n_targets, self.objective.loss)
        self.stretches = Stretches(self.engine, self._lent.__enter__(), self.data)
        return self

    def __exit__(self, *exception):
        return self._lent.__exit__(*exception)

    def run(self, after_stretch):
        """Run one epoch; return its mean loss.

        After a loss that is not finite the parameters are NaN, as scikit-learn's would be.
        """
        engine, steps = self.engine, self.steps
        if self.random_state is not None:
            self._shuffle()
        update = self._next_update()
        parts = []
        for done, losses in self.stretches.run(steps, update):
            parts.append(losses)
            engine.step += len(losses)
            after_stretch(done)
        self.counters += len(steps)
        loss = float(np.concatenate(parts) @ self.shares)
        if not isfinite(loss):
            engine.params[:] = np.nan
            return float("nan")
        return loss

    def _next_update(self):
        """Return the `Update` of an epoch; while the rate stays, coefficients come for several epochs at once."""
        n, rate = len(self.steps), self.engine.optimizer.learning_rate
        if not self.ahead or rate != self.rate:
            epochs = max(STEPS_AHEAD // n, 1)
            update = self.engine.next_update(epochs * n)
            parts = np.split(update.coefficients, epochs)
            self.rate, self.ahead = rate, [update._replace(coefficients=part) for part in reversed(parts)]
        return self.ahead.pop()

    def _shuffle(self):
        """Draw a new order from the last one, as sklearn.utils.shuffle does."""
        order = self.data.order
        places = np.arange(len(order))
        self.random_state.shuffle(places)
        order[:] = order[places]
        if self.data.weight is not None:
            self._set_divisors()

    def _set_divisors(self):
        """Tell the steps the sum of their rows' weights."""
        totals, weight = self.steps["rows"], self.data.weight
        if weight is not None:
            totals = np.add.reduceat(weight[self.data.order], self.steps["first"])
        self.objective.set_divisors(self.steps, totals)


def _epoch_ends(mlp, loss, n, watchers):
    """Note the figures of an epoch; return whether training is over."""
    mlp.n_iter_ += 1
    mlp.t_ += n
    mlp.loss_ = loss
    mlp.loss_curve_.append(loss)
    if mlp.verbose:
        print(f"Iteration {mlp.n_iter_}, loss = {loss:.8f}")
    if watchers.validation is not None:
        _note_score(mlp, mlp._validation_score(watchers.validation))
    if not mlp.early_stopping:
        _note_loss(mlp, loss)
    optimizer = mlp._optimizer
    watchers.epoch_ends(mlp.n_iter_ - 1, loss)
    if learning_rate_mode(mlp) == "invscaling":
        optimizer.learning_rate = initial_rate(mlp) / (mlp.t_ + 1) ** mlp.power_t
    if mlp._no_improvement_count > mlp.n_iter_no_change:
        if _stops(mlp, optimizer):
            return True
        mlp._no_improvement_count = 0
    return mlp.model_.stop_training


def _note_score(mlp, score):
    """Append a validation score; early stopping goes by it."""
    mlp.validation_scores_.append(score)
    if mlp.verbose:
        print(f"Validation score: {score:f}")
    if mlp.early_stopping:
        waits = score < mlp.best_validation_score_ + mlp.tol
        mlp._no_improvement_count = mlp._no_improvement_count + 1 if waits else 0
    if score > mlp.best_validation_score_:
        mlp.best_validation_score_ = score
        if mlp.early_stopping:
            mlp._best_params = mlp.model_.params.copy()


def _note_loss(mlp, loss):
    """Compare a training loss with the best so far."""
    waits = loss > mlp.best_loss_ - mlp.tol
    mlp._no_improvement_count = mlp._no_improvement_count + 1 if waits else 0
    if loss < mlp.best_loss_:
        mlp.best_loss_ = loss


def _stops(mlp, optimizer):
    """Return whether to stop, now that nothing gets better; an adaptive learning rate falls first."""
    what = "Validation score" if mlp.early_stopping else "Training loss"
    message = f"{what} did not improve more than tol={mlp.tol:f} for {mlp.n_iter_no_change:d} consecutive epochs."
    stops, then = True, "Stopping."
    if learning_rate_mode(mlp) == "adaptive":
        stops = optimizer.learning_rate <= SMALLEST_LEARNING_RATE
        then = "Learning rate too small. Stopping."
        if not stops:
            optimizer.learning_rate /= 5.0
            then = f"Setting learning rate to {optimizer.learning_rate:f}"
    if mlp.verbose:
        print(f"{message} {then}")
    return stops
