"""One network's training: schedules by the step, running means of the parameters, the best epoch kept."""

import math
from typing import NamedTuple

import numpy as np

import fastbp
from fastbp.compiler.compiling import working_time
from fastbp.engine.driver_call import Data, make_steps
from fastbp.kernels.repeatable import by_element
from fastbp.schedules import LogCosine
from fastbp.tabular.time_limit import Plan

# Steps between two updates of the running means, at most; each compiled call is one such group.
MOST_GROUP_STEPS = 16
# An epoch has so many updates of the running means, where it has the steps for it.
GROUPS_AN_EPOCH = 8
# A validation costs one prediction, a twelfth of an epoch's time, so not every epoch ends in one.
MOST_VALIDATIONS = 12
# A random stream beside those of initial values.
ORDER_STREAM = 2**33
# The trial that decides on the epochs under a time limit takes so many steps, and so many rows to validate by.  If one
# step takes more than this share of the time that is left, it is the only one.
TRIAL_STEPS, TRIAL_ROWS, TRIAL_SHARE = 8, 1024, 0.005


class Part(NamedTuple):
    """Rows of a table, encoded: x (n, d) float32, targets (n,) codes or (n, t) float32, weight (n,) or None."""

    x: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None = None

    def rows(self, rows):
        """Return some of the rows; if none of them has a weight, all count the same."""
        weight = None if self.weight is None else self.weight[rows]
        # In float32 a weight of 1e-60 beside others of 1 is 0, but a score needs some weight.
        return Part(self.x[rows], self.targets[rows], weight if weight is not None and weight.any() else None)


class Learned(NamedTuple):
    """The result of a training: the best epoch's number (from 1), its score, and the outputs for validation rows.

    curve holds the epochs that ended in a validation, with their scores.
    """

    epoch: int
    score: float
    outputs: np.ndarray
    curve: tuple = ()

    def figures(self):
        """Return what an ensemble's history keeps."""
        epochs, scores = [epoch for epoch, _ in self.curve], [score for _, score in self.curve]
        return {"best_epoch": self.epoch, "score": self.score, "epochs": epochs, "scores": scores}


def epochs_of(n_rows, recipe):
    """Return the epochs of a network for so many training rows: few rows make short epochs, of which there are more."""
    return max(recipe.epochs, -(-recipe.least_steps // _steps_of(n_rows, recipe)))


def whole_plan(n_rows, recipe):
    """Return the `Plan` of a network for so many training rows, without a time limit."""
    return Plan(epochs_of(n_rows, recipe), _steps_of(n_rows, recipe), MOST_GROUP_STEPS)


def _steps_of(n_rows, recipe):
    return n_rows // min(recipe.batch_size, n_rows)


def epochs_between_validations(epochs):
    """Return the number of epochs from one validation to the next."""
    return max(epochs // MOST_VALIDATIONS, 1)


def learn(learner, valid, stop, tell, observer=None):
    """Train; leave the network with the parameters of its best epoch.

    In the second half of the epochs, training ends as soon as the best epoch lies in the first half of those that are
    done: such a network has begun to learn noise by heart, and no later epoch will be better.

    Parameters
    ----------
    learner : Learner
    valid : Part
        Rows to choose the epoch by.
    stop : callable
        Asked between compiled calls; training ends where it returns True.
    tell : callable
        Called with the share of the training that is done.
    observer : NetworkObserver, optional
        Told of the epochs.

    Returns
    -------
    Learned
    """
    best, every = None, epochs_between_validations(learner.epochs)
    with learner:
        for epoch in range(1, learner.epochs + 1):
            if observer is not None:
                observer.epoch_begins(epoch - 1)
            ended = learner.run_epoch(stop)
            scored = ended or epoch % every == 0 or epoch == learner.epochs
            if scored:
                best = learner.better(best, epoch, valid)
                ended = ended or (2 * epoch >= learner.epochs and 2 * best[0].epoch <= epoch)
            if observer is not None and observer.epoch_ends(epoch - 1, learner, learner.score if scored else None):
                if not scored:
                    best = learner.better(best, epoch, valid)
                ended = True
            tell(1.0 if ended else epoch / learner.epochs)
            if ended:
                break
    learned, parameters = best
    learner.engine.params[:] = parameters
    return learned


class Learner:
    """Trains one network on some rows of a part; a context, because it borrows the engine's runner.

    Parameters
    ----------
    network : Sequential
        With its initial values; its parameters are overwritten.
    part : Part
    rows : (m,) int64
        Rows of `part` to train on.
    objective : Objective
    recipe : Recipe
    plan : Plan
    """

    def __init__(self, network, part, rows, objective, recipe, plan):
        self.rows, self.weight, self.objective = rows, part.weight, objective
        self.batch_size, self.curve = min(recipe.batch_size, len(rows)), []
        self.epochs, self.n_steps, self.most_group = plan
        self.total = self.epochs * self.n_steps
        rate = recipe.regression_rate if objective.task == "regression" else recipe.classification_rate
        schedule = LogCosine(rate, self.total)
        optimizer = fastbp.AdamW(schedule, weight_decay=recipe.weight_decay, beta_2=0.95, epsilon=1e-8)
        network.compile(optimizer, objective.loss)
        self.engine = network.engine
        targets = self.engine.loss.prepare_targets(part.targets, self.engine.n_outputs, self.engine.dtype)
        self.data = Data(part.x, targets, part.weight, np.empty(len(rows), np.int64))
        self.rng = np.random.Generator(np.random.Philox(key=[self.engine.seed, ORDER_STREAM]))
        # The losses of the current epoch's groups, its learning rate, and the last score.
        self.losses, self.rate, self.score = [], 0.0, float("nan")
        self.average = RunningMean(self.engine.params, recipe.averaging * self.total)

    def __enter__(self):
        n_targets = self.data.y.shape[1]
        self._lent = self.engine.runner(self.batch_size, self.engine.training_purpose(), n_targets)
        self.runner = self._lent.__enter__()
        return self

    def __exit__(self, *exception):
        return self._lent.__exit__(*exception)

    def run_epoch(self, stop):
        """Run an epoch's steps in groups, each followed by an update of the running means; return whether to stop."""
        steps, update = self._steps(), self.engine.next_update(self.n_steps)
        size = min(max(self.n_steps // GROUPS_AN_EPOCH, 1), self.most_group)
        self.losses, self.rate = [], float(update.coefficients[-1, 0])
        for first in range(0, self.n_steps, size):
            self._run(steps[first : first + size], update.coefficients[first : first + size], update)
            if stop():
                return True
        return False

    def _steps(self):
        """Return the STEP rows of the next epoch, in a new order of the rows."""
        engine, size, order = self.engine, self.batch_size, self.data.order
        order[:] = self.rows[self.rng.permutation(len(self.rows))]
        steps = make_steps(engine.seed, engine.step, size * np.arange(self.n_steps), size, training=True)
        steps["dropout"] = steps["decay"] = late_fall((engine.step + np.arange(self.n_steps)) / self.total)
        if self.weight is not None:
            steps["divisor"] = self.weight[order[: self.n_steps * size]].reshape(self.n_steps, size).sum(axis=1)
        return steps

    def _run(self, steps, coefficients, update):
        engine, update = self.engine, update._replace(coefficients=coefficients)
        losses = self.runner.run(engine.params, engine.grads, steps, self.data, backward=True, update=update)
        self.losses.append(losses)
        self.average.add(engine.params, len(steps))

    def better(self, best, epoch, valid):
        """Return the better of `best` and the present running means (the latter if equal): (Learned, parameters)."""
        training = self.engine.params.copy()
        self.engine.params[:] = self.average.value
        outputs, score = self._judged(valid)
        self.curve.append((epoch, float(score)))
        self.score = score
        self.engine.params[:] = training
        # The score of a diverged network is NaN, and any other score is better.
        if best is not None and (best[0].score < score or np.isnan(score)):
            return best
        return Learned(epoch, score, outputs), self.average.value.copy()

    def _judged(self, valid):
        """Return the network's outputs for rows, and their score."""
        outputs = self.engine.predict(valid.x)
        return outputs, self.objective.score(outputs, valid.targets, valid.weight)

    def trial(self, valid, left):
        """Return the seconds of a step and of a validation: each is done once first, to compile or load its kernels."""
        with self:
            self._timed_steps(1)
            step = self._timed_steps(1)
            if self.n_steps >= TRIAL_STEPS and step < TRIAL_SHARE * left:
                step = self._timed_steps(TRIAL_STEPS)
        few = valid.rows(slice(0, TRIAL_ROWS))
        self._judged(few)
        started = working_time()
        self._judged(few)
        return step, (working_time() - started) * len(valid.x) / len(few.x)

    def _timed_steps(self, n):
        """Run n steps; return the seconds of one."""
        steps, update = self._steps()[:n], self.engine.next_update(self.n_steps)
        started = working_time()
        self._run(steps, update.coefficients[:n], update)
        return (working_time() - started) / n


def late_fall(done):
    """Return 1 in the first half of training, then half a cosine wave down to 0; `done` is the share done."""
    return np.where(done < 0.5, 1.0, 0.5 * (1.0 + by_element(math.cos, np.pi * (2.0 * done - 1.0))))


class RunningMean:
    """The exponential running mean of parameters (P,), over the steps.

    The last steps have weights that fall by 1 / e in `horizon` steps; before so many, all steps weigh the same.
    """

    def __init__(self, params, horizon):
        self.value, self._steps, self._horizon = np.zeros_like(params), 0, horizon

    def add(self, params, n_steps):
        """Take in the parameters after `n_steps` more steps."""
        kept = min(math.exp(-n_steps / self._horizon), self._steps / (self._steps + n_steps))
        self._steps += n_steps
        self.value += self.value.dtype.type(1.0 - kept) * (params - self.value)
