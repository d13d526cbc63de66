"""Bagging: each network of a recipe is trained without one part of the rows, and their mean is the prediction."""

from concurrent.futures import FIRST_EXCEPTION, wait
from threading import Lock

import numpy as np

from fastbp.compiler.compiling import working_time
from fastbp.engine.threads import Tasks, get_num_threads, limit_threads
from fastbp.tabular.calibration import MOST_PROBABILITIES
from fastbp.tabular.checkpoint import NoCheckpoint
from fastbp.tabular.ensemble import Ensemble
from fastbp.tabular.folds import ALL_ALIKE, cut
from fastbp.tabular.joblib_tasks import by_workers, find_workers
from fastbp.tabular.network_training import Learner, epochs_between_validations, whole_plan
from fastbp.tabular.observers import NetworkObserver, Observers
from fastbp.tabular.onenetwork import Given, Widths, new_network, train_network, without_training
from fastbp.tabular.out_of_fold import Unseen, mean_outputs
from fastbp.tabular.time_limit import Costs, Pace, planned

# A time limit first lowers the epochs to those of `fast`, and only then the number of networks.
ENOUGH_EPOCHS = 24
# The work that follows a training takes so many seconds for each number, on a busy core: for a number of the rows
# (repeated rows are looked for), for an output of a row that was left out (these are averaged, calibrated and scored),
# and for an output by which the temperature is found.
INPUT_SECONDS, OUTPUT_SECONDS, TEMPERATURE_SECONDS = 10e-9, 10e-9, 150e-9


def train_ensemble(
    encoder,
    part,
    *,
    recipe,
    objective,
    seed,
    valid=None,
    separation=ALL_ALIKE,
    deadline=None,
    progress=None,
    checkpoint=None,
    n_jobs=None,
    observers=None,
):
    """Train the networks of a recipe.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    part : Part
        The encoded rows.
    recipe : Recipe
    objective : Objective
    seed : int
    valid : Part, optional
        Rows to choose the best epochs by; then all networks train on all of `part`. By default each network leaves
        out a part of the rows for that.
    separation : Separation, optional
        The groups and times of the rows: a group stays on one side of a network's cut.
    deadline : float, optional
        The value of `compiling.working_time` at which to end; it leads to fewer networks, or fewer epochs.
    progress : callable, optional
        Called with the share of the work that is done, 0 to 1, from several threads, one at a time.
    checkpoint : Checkpoint, optional
        Where finished networks are kept; networks that it holds are not trained again.
    n_jobs : int, optional
        Train the networks by so many of joblib's workers, in place of threads of this process.
    observers : Observers, optional
        Callbacks that are told of the networks' epochs.

    Returns
    -------
    Ensemble
    """
    training = Training(
        encoder, part, recipe, objective, seed, valid, separation, deadline, progress, checkpoint, n_jobs
    )
    training.observers = observers or training.observers
    return training.run()


class Training:
    """The training of an ensemble: what its threads share."""

    def __init__(
        self,
        encoder,
        part,
        recipe,
        objective,
        seed,
        valid,
        separation,
        deadline,
        progress,
        checkpoint=None,
        n_jobs=None,
    ):
        self.part, self.recipe, self.objective = part, recipe, objective
        self.given = Given(Widths.of(encoder), recipe, objective, seed)
        self.valid, self.progress, self.pace = valid, progress, Pace(deadline)
        self.checkpoint, self.workers = checkpoint or NoCheckpoint(), find_workers(n_jobs, recipe.networks)
        n = recipe.networks
        if valid is None:
            strata = objective.strata(part.targets)
            given = part.targets if strata is None else strata
            self.cuts = cut(given, recipe.folds, n, seed, strata is not None, separation)
        else:
            self.cuts = [(np.arange(len(part.x)), None)] * n
        self.done, self.lock = np.zeros(n), Lock()
        self._first, self.least_seconds, self.following = None, 0.0, 0.0
        self.observers = Observers([], "")

    def run(self):
        """Train the networks; return the `Ensemble`."""
        plan = self.checkpoint.plan(self._plan)
        try:
            self.observers.begin(plan)
            return self._ensemble(self._by_threads(plan) if self.workers is None else by_workers(self, plan))
        finally:
            self.observers.end()

    def _by_threads(self, plan):
        """Return what `_train` returns for each network."""
        n, n_threads = self.recipe.networks, get_num_threads()
        tasks = Tasks(self._train, [(number, plan, n_threads) for number in range(n)])
        try:
            # Ctrl-C is noted while threads start.  If no thread can be started, it is noted all the time.
            self.pace.guard.run(tasks.start, n_threads)
            wait(tasks.futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            self.pace.interrupt()
        except BaseException:  # a signal's handler
            self.pace.interrupt()
            tasks.drop()
            raise
        if any(future.done() and future.exception() for future in tasks.futures):
            self.pace.interrupt()
            tasks.drop()  # no thread goes on behind the back of who catches the error
        return [future.result() for future in tasks.futures]

    def kept(self, number):
        """Return a network that was finished before, with what was learned, or None."""
        finished = self.checkpoint.network(number)
        if finished is not None:
            self.tell(number, 1.0)
        return finished

    def _train(self, number, plan, n_threads):
        """Train one network; return it with what was learned, or None where there is no time for it."""
        if (finished := self.kept(number)) is not None:
            return finished
        # The first one is trained whatever the clock says: there must be something to predict with.
        if number:
            if not self.pace.another():
                return None
            self.pace.reserve(self.following)
        started = working_time()
        if number == 0 and self._first:
            (network, rows, valid), self._first = self._first, None
        else:
            network, rows, valid = self._prepared(number)
        # Each network that is being trained has a thread; the last network also gets the threads that are left over.
        with limit_threads(max(n_threads // min(n_threads, self.recipe.networks - number), 1)):
            observer = NetworkObserver(self.observers, number, network) if self.observers else None
            network, learned = train_network(
                network,
                self.given,
                self.part,
                rows,
                valid,
                plan,
                self.pace.stop,
                lambda share: self.tell(number, share),
                observer,
            )
        self.pace.note(working_time() - started)
        if self.valid is not None:  # the whole ensemble will predict these rows
            learned = learned._replace(outputs=None)
        if not self.pace.stop():  # else it may have been cut short
            self.checkpoint.keep(number, network, learned)
        return network, learned

    def _prepared(self, number):
        """Return a network, adapted to its rows, the rows, and its validation part."""
        rows, valid_rows = self.cuts[number]
        valid = self.valid or self.part.rows(valid_rows)
        return new_network(self.given, self.part, rows, number), rows, valid

    def tell(self, number, share):
        with self.lock:
            self.done[number] = share
            if self.progress is not None:
                self.progress(self.done.mean())

    def _plan(self):
        """Return the `Plan` of each network: the recipe's, or what the time limit allows."""
        rows = self.cuts[0][0]
        whole = whole_plan(len(rows), self.recipe)
        if not self.pace.limited:
            return whole
        costs = self._costs(whole)
        n, at_once = self.recipe.networks, get_num_threads() if self.workers is None else self.workers.at_once
        first, self.following = self._following_seconds()
        self.least_seconds = costs.step + costs.validation + first
        self.pace.reserve(costs.validation + first)
        costs = costs._replace(building=costs.building + self.following * min(n, at_once))
        validations = 1 / epochs_between_validations(whole.epochs)
        return planned(whole, self.pace.left(), costs, -(-n // at_once), validations, ENOUGH_EPOCHS)

    def _costs(self, whole):
        """Build the first network, try steps with a copy of it; return the `Costs`."""
        started = working_time()
        self._first = network, rows, valid = self._prepared(0)
        building = working_time() - started
        with limit_threads(self._threads_each()):
            learner = Learner(without_training(network), self.part, rows, self.objective, self.recipe, whole)
            return Costs(building, *learner.trial(valid, self.pace.left()))

    def _threads_each(self):
        """Return the threads of a network while all are trained, as far as is known here."""
        if self.workers is None:
            return max(get_num_threads() // self.recipe.networks, 1)
        return self.workers.threads or 1

    def _following_seconds(self):
        """Return the seconds of what follows training with one network, and the seconds that each further one adds."""
        n_rows = len(self.valid.x) if self.valid else len(self.cuts[0][1])
        size = n_rows * self.objective.n_outputs
        each = OUTPUT_SECONDS * size
        once = INPUT_SECONDS * self.part.x.size + TEMPERATURE_SECONDS * min(size, MOST_PROBABILITIES)
        return once + each, 0.0 if self.valid else each

    def _ensemble(self, results):
        """Return the `Ensemble` of those networks that were trained."""
        trained = [number for number, result in enumerate(results) if result is not None]
        ensemble = Ensemble([results[number][0] for number in trained])
        learned = [results[number][1] for number in trained]
        ensemble.history = [one.figures() for one in learned]
        ensemble.interrupted, ensemble.least_seconds = self.pace.interrupted, self.least_seconds
        if self.valid is None:
            rows = [self.cuts[number][1] for number in trained]
            known = np.unique(np.concatenate(rows))
            outputs = [one.outputs for one in learned]
            results.clear()
            del learned  # the outputs alone are left, which are dropped as they are added up
            means = mean_outputs(len(known), [np.searchsorted(known, some) for some in rows], outputs)
            ensemble.unseen, ensemble.left_out = Unseen(len(self.part.x), known, means), rows
            ensemble.oof_share = float(np.mean([len(some) for some in rows]) / len(known))
        return ensemble
