"""Solvers that take one step a batch: the epochs of a fit, and when they end.

Orders, batches, stopping and messages are those of scikit-learn's MLP, draw for draw.  Short epochs between which
nothing can happen are one compiled call together; a long epoch is several, so that Ctrl-C is heard.
"""

import math

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.interruptible_steps import Stretches
from fastbp.estimators.fit_callbacks import Watchers
from fastbp.estimators.names import initial_rate, learning_rate_mode, optimizer_of
from fastbp.kernels.repeatable import dot
from fastbp.settings.user_warnings import warn

# Below this, an adaptive learning rate ends training instead of falling further.
SMALLEST_LEARNING_RATE = 1e-6
# Limits of the epochs of one compiled call: 10 ms of the smallest steps, beside which Python's 0.1 ms are little, and
# 4 MB of orders.
MOST_STEPS = 10_000
MOST_ROWS = 500_000
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
    rows : WeightedRows
    validation : WeightedRows or None
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
        steps = int(mlp.max_iter) * -(-len(train) // batch_size)
        mlp.model_.compile(optimizer_of(mlp, steps), objective.model_loss)
    _begin(mlp, validation is not None)
    epochs = Epochs(mlp, objective, rows, train, batch_size)
    mlp.n_iter_ = 0
    watchers = Watchers(mlp, objective, len(epochs.firsts), validation)
    try:
        with epochs:
            most = 1 if incremental else int(mlp.max_iter)
            over = watchers.watch(_train, mlp, epochs, most, watchers)
        if not over and not incremental:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({mlp.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
            )
    except KeyboardInterrupt:
        warn("Training interrupted by user.")
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
    """Return the row numbers to train on, and the `WeightedRows` set aside."""
    stratify = rows.y if mlp._stratifies() else None
    parts = train_test_split(
        np.arange(len(rows.x)),
        random_state=mlp._random_state,
        test_size=mlp.validation_fraction,
        stratify=stratify,
    )
    if len(parts[1]) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return parts[0], rows.subset(parts[1])


def _batch_size(batch_size, n):
    """Return the rows of a batch, an int whatever NumPy calls it."""
    if batch_size == "auto":
        return min(200, n)
    if batch_size > n:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(min(batch_size, n))


def _train(mlp, epochs, most, watchers):
    """Run up to `most` epochs; return whether training is over before, or with the last of them."""
    over = False
    while mlp.n_iter_ < most and not over:
        watchers.epoch_begins(mlp.n_iter_)
        n_epochs = epochs.in_a_call(min(most - mlp.n_iter_, _undisturbed_epochs(mlp, watchers)))
        rates = _rates(mlp, n_epochs, epochs.n_rows)
        for loss in epochs.run(n_epochs, rates, watchers):
            over = _epoch_ends(mlp, loss, epochs.n_rows, watchers)
    return over


def _undisturbed_epochs(mlp, watchers):
    """Return how many epochs there are before something looks at the weights, ends training or changes its rate."""
    if watchers.callbacks.callbacks or watchers.validation is not None:
        return 1
    # So many epochs, all without improvement, exceed the patience with the last of them, at the earliest.
    patience = mlp.n_iter_no_change
    return max(1, (patience if patience == np.inf else int(patience)) + 1 - mlp._no_improvement_count)


def _rates(mlp, n_epochs, n_rows):
    """Return the learning rates of the next epochs; None where they are all the optimizer's."""
    if learning_rate_mode(mlp) != "invscaling":
        return None
    return [mlp._optimizer.learning_rate, *(_scaled_rate(mlp, mlp.t_ + e * n_rows) for e in range(1, n_epochs))]


def _scaled_rate(mlp, t):
    """Return the rate of "invscaling" after t rows."""
    return initial_rate(mlp) / math.pow(t + 1, mlp.power_t)


class Epochs:
    """Runs epochs on the rows `train` of `rows`; a context, because it borrows the engine's runner."""

    def __init__(self, mlp, objective, rows, train, batch_size):
        self.engine, self.objective = mlp.model_.engine, objective
        self.batch_size = batch_size
        self.random_state = mlp._random_state if mlp.shuffle else None
        self.firsts = np.arange(0, len(train), batch_size)
        self.sizes = np.minimum(batch_size, len(train) - self.firsts)
        self.shares = self.sizes / len(train)
        self.n_rows, self.last_order = len(train), train
        self.data = Data(rows.x, rows.targets, rows.weight)

    def __enter__(self):
        purpose, n_targets = self.objective.purpose(training=True), self.data.y.shape[1]
        self._lent = self.engine.runner(self.batch_size, purpose, n_targets, self.objective.loss)
        self.stretches = Stretches(self.engine, self._lent.__enter__(), self.data)
        self._make_room(1)
        return self

    def __exit__(self, *exception):
        return self._lent.__exit__(*exception)

    def in_a_call(self, most):
        """Return how many epochs, `most` at most, may be one compiled call; 1 where an epoch takes several."""
        steps = min(self.stretches.length, MOST_STEPS)
        return max(1, min(most, steps // len(self.firsts), MOST_ROWS // self.n_rows))

    def run(self, n_epochs, rates, watchers):
        """Run as many epochs as `in_a_call` allows; yield the mean loss of each.

        Parameters
        ----------
        n_epochs : int
        rates : list of float or None
            The learning rate of each epoch, if it is not the optimizer's.
        watchers : Watchers
            Told after each compiled call. Where they raise, the epoch of the last step is not yielded: it counts as
            running.
        """
        engine, n = self.engine, len(self.firsts)
        steps = self._next_steps(n_epochs)
        update = engine.next_update(len(steps))
        if rates is not None:
            update.coefficients[:, 0] = np.repeat(rates, n)
        losses, ended = np.empty(len(steps)), 0
        self.stretches.fixed = 1 if watchers.batch_by_batch else None
        for done, part in self.stretches.run(steps, update):
            losses[done - len(part) : done] = part
            finite = np.isfinite(losses[:done])
            if not finite.all():
                # From here on all is NaN, as scikit-learn's would be.
                losses[finite.argmin() : done] = engine.params[:] = np.nan
                engine.step = int(steps["counter"][done - 1]) + 1
            running = (done - 1) // n
            for epoch in range(ended, running):
                yield self._mean(losses, epoch)
            ended = running
            loss = self._mean_so_far(losses[:done]) if watchers.batch_by_batch else None
            watchers.stretch_ends(done, len(steps), loss)
        yield self._mean(losses, ended)

    def _mean_so_far(self, losses):
        """Return the mean of the losses of an epoch's first steps."""
        return float(dot(losses, self.shares[: len(losses)]) / self.shares[: len(losses)].sum())

    def _mean(self, losses, epoch):
        """Return an epoch's mean of the losses (steps,): added up as one epoch's alone, without empty batches."""
        n = len(self.shares)
        of_epoch = slice(epoch * n, (epoch + 1) * n)
        mean = float(dot(losses[of_epoch], self.shares))
        if self.data.weight is None:
            return mean
        counts = self.steps["divisor"][of_epoch] != 0
        return mean if counts.all() else mean / float(self.shares[counts].sum())

    def _next_steps(self, n_epochs):
        """Return the STEP rows of the next epochs; their orders are drawn."""
        if len(self.orders) < n_epochs:
            self._make_room(n_epochs)
        if self.random_state is not None:
            self._shuffle(self.orders[:n_epochs])
        steps = self.steps[: n_epochs * len(self.firsts)]
        steps["counter"] = self.engine.step + np.arange(len(steps))
        if self.data.weight is not None:
            order = self.orders[:n_epochs].ravel()
            self.objective.set_divisors(steps, np.add.reduceat(self.data.weight[order], steps["first"]))
        return steps

    def _make_room(self, n_epochs):
        """Make the orders and steps of that many epochs; the epochs' orders follow each other."""
        self.orders = np.tile(self.last_order, (n_epochs, 1))
        self.stretches.data = self.data._replace(order=self.orders)
        firsts = (np.arange(n_epochs)[:, None] * self.n_rows + self.firsts).ravel()
        sizes = np.tile(self.sizes, n_epochs)
        self.steps = make_steps(self.engine.seed, self.engine.step, firsts, sizes, training=True)
        self.objective.set_divisors(self.steps, sizes)

    def _shuffle(self, orders):
        """Draw each order from the one before, as sklearn.utils.shuffle does."""
        for order in orders:
            places = np.arange(self.n_rows)
            self.random_state.shuffle(places)
            order[:] = self.last_order[places]
            self.last_order = order


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
        optimizer.learning_rate = _scaled_rate(mlp, mlp.t_)
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
