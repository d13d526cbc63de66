"""Bagging: the networks of a recipe, each trained without one part of the rows, several at a time, and their mean."""

from concurrent.futures import FIRST_EXCEPTION, wait
from threading import Lock

import numpy as np

from fastbp.compiler.compiling import working_time
from fastbp.engine.network import is_picky
from fastbp.engine.threads import Tasks, get_num_threads, limit_threads
from fastbp.io import described
from fastbp.models.sequential import Sequential
from fastbp.tabular.calibration import HIGHEST, LOWEST, MOST_PROBABILITIES, temper_blocks, tempered
from fastbp.tabular.folds import ALL_ALIKE, cut
from fastbp.tabular.jobs import by_workers, find_workers
from fastbp.tabular.learner import Learner, epochs_between_validations, whole_plan
from fastbp.tabular.observers import NetworkObserver, Observers
from fastbp.tabular.onenetwork import Given, Widths, new_network, train_network, without_training
from fastbp.tabular.pace import Costs, Pace, planned
from fastbp.tabular.repeats import Repeats
from fastbp.tabular.unseen import Unseen, mean_outputs

# With a time limit, networks have as many epochs as `fast` has before there are fewer of them.
ENOUGH_EPOCHS = 24
# Seconds that follow a training, on a busy core, for each number: of the rows (which are repeated), of the outputs for
# rows that were left out (they are averaged, calibrated and scored), and of those that the temperature is found by.
INPUT_SECONDS, OUTPUT_SECONDS, TEMPERATURE_SECONDS = 10e-9, 10e-9, 150e-9
# Numbers of outputs that are predicted at once.
BLOCK = 2**24
# What the names of the repeats' tensors begin with.
REPEATS = "repeats/"


class Ensemble:
    """Networks whose predictions are averaged.

    Parameters
    ----------
    networks : list of Sequential
    temperature : float or array of float, default 1.0
        Averaged probabilities p become ``p ** (1 / temperature)``, normalised; an array has one for each of `blocks`.
    repeats : Repeats, optional
        Training rows whose targets join the prediction where a row has the same features.

    Attributes
    ----------
    history : list of dict
        Of each network: its ``best_epoch`` (from 1) and ``score``, and the ``epochs`` that ended in a validation with
        their ``scores``.
    unseen : Unseen or None
        The rows that some networks did not train on, with the mean outputs of these.
    least_seconds : float
        Where a time limit was set, what the least training takes: a step of one network, its validation, and what
        follows.
    left_out : list of (m,) int64, or None
        The rows that each network did not train on, beside `unseen`.
    kept : fastbp.tabular.insight.importances.Kept or None
        Rows by which the importances of columns are found; not in files.
    importances : fastbp.explain.permutation.Importances or None
        Where somebody has asked for them.
    oof_share : float or None
        The share of the networks in such a mean, on average over the rows that have one.
    interrupted : bool
        Whether Ctrl-C ended training.
    """

    def __init__(self, networks, temperature=1.0, repeats=None):
        self.networks, self.temperature, self.repeats = networks, temperature, repeats
        self.history, self.interrupted = [], False
        self.kept = self.importances = None
        self.unseen, self.left_out, self.oof_share, self.least_seconds = None, None, None, 0.0

    @property
    def oof_outputs(self):
        """The mean outputs (n, k) of the networks that did not train on a row; NaN where all did."""
        return None if self.unseen is None else self.unseen.spread(self.unseen.outputs)

    def outputs(self, x):
        """x (n, d) float32 -> probabilities or standardised values (n, k) float32."""
        network = self.networks[0].engine.network
        network.check_input(x)
        size = max(BLOCK // network.output_shape[0], 1)
        if len(x) <= size:
            return self._outputs(x)
        outputs = np.empty((len(x), network.output_shape[0]), np.float32)
        for first in range(0, len(x), size):
            outputs[first : first + size] = self._outputs(x[first : first + size])
        return outputs

    def _outputs(self, x):
        total = self.networks[0].engine.predict(x)
        for network in self.networks[1:]:
            total += network.engine.predict(x)
        total /= len(self.networks)
        total = self._tempered(total)
        return total if self.repeats is None else self.repeats.mixed(total, x)

    @property
    def blocks(self):
        """The slices of the outputs that are probabilities, of several targets."""
        return getattr(self.networks[0].engine.layers[-1], "blocks", [])

    def _tempered(self, outputs):
        if isinstance(self.temperature, np.ndarray):
            return temper_blocks(outputs, self.blocks, self.temperature)
        return outputs if self.temperature == 1.0 else tempered(outputs, self.temperature)

    def get_state(self):
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        states = [network.get_state() for network in self.networks]
        tensors = {f"{i}/{name}": array for i, (own, _) in enumerate(states) for name, array in own.items()}
        description = {
            "networks": [description for _, description in states],
            "temperature": np.asarray(self.temperature).tolist(),
            "history": self.history,
            "strength": None,
        }
        if self.repeats is not None:
            own, description["strength"] = self.repeats.get_state()
            tensors |= {f"{REPEATS}{name}": array for name, array in own.items()}
        return tensors, description

    @classmethod
    def from_state(cls, tensors, description):
        """Return the ensemble that `get_state` described; without the outputs for training's rows."""
        networks = [
            Sequential.from_state(_below(f"{i}/", tensors), own) for i, own in enumerate(description["networks"])
        ]
        if not networks:
            raise ValueError("there are no networks.")
        repeats = None
        if description["strength"] is not None:
            repeats = Repeats.from_state(_below(REPEATS, tensors), description["strength"])
        ensemble = cls(networks, repeats=repeats)
        ensemble.temperature = _checked_temperature(description["temperature"], len(ensemble.blocks))
        ensemble.history = described.listed(description["history"], "history", _one_history, len(networks))
        return ensemble

    def check_against(self, encoder, n_outputs):
        """Raise ValueError where the networks of a file do not take what its encoder makes, or have other outputs.

        Parameters
        ----------
        encoder : TableEncoder
        n_outputs : int
            Of the target.
        """
        width, cardinalities = encoder.n_numeric + encoder.n_plain, tuple(encoder.cardinalities)
        # No category is a fraction, and those of the encoder are all that the networks take, to the last one.
        rows = np.full((2, width + len(cardinalities)), 0.5, np.float32)
        rows[0, width:], rows[1, width:] = 0.0, np.array(cardinalities) - 1
        for network in self.networks:
            placed = network.engine.network
            described.agree("the width of encoded rows", placed.input_shape, rows.shape[1:])
            described.agree("the outputs", placed.output_shape, (n_outputs,))
            described.agree("the type of numbers", network.dtype.name, "float32")
            known = [getattr(layer.spec, "cardinalities", ()) for layer in placed.layers if is_picky(layer.spec)]
            described.agree("the categories", known, [cardinalities] if cardinalities else [])
            placed.check_input(rows)
        if self.repeats is not None:
            described.agree("the outputs of repeated rows", self.repeats.sums.shape[1], n_outputs)


def _checked_temperature(value, n_blocks):
    """Return the temperature, or those of the blocks, that a file holds."""
    if not isinstance(value, list):
        return described.real(value, "temperature", LOWEST / 2, 2 * HIGHEST)
    described.agree("the temperatures", len(value), n_blocks)
    return np.array([described.real(one, "temperature", LOWEST / 2, 2 * HIGHEST) for one in value])


def _one_history(figures, name):
    for key, value in figures.items():
        for number in value if type(value) is list else [value]:
            described.number_or_none(number, f"{key} of the history")


def _below(start, tensors):
    """Return the tensors whose names begin with `start`, by the rest of their names."""
    return {name[len(start) :]: array for name, array in tensors.items() if name.startswith(start)}


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
        Groups that stay on one side of a network's cut, and times.
    deadline : float, optional
        The value of `compiling.working_time` at which to end: then with fewer networks, or fewer epochs.
    progress : callable, optional
        Called with the share of the work that is done, 0 to 1, from several threads, one at a time.
    checkpoint : Checkpoint, optional
        Where finished networks are kept; those that are there are not trained again.
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
        self.checkpoint, self.workers = checkpoint, find_workers(n_jobs)
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
        plan = self._plan() if self.checkpoint is None else self.checkpoint.plan(self._plan)
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
            # Ctrl-C is noted while threads start, and where none can, all the time.
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
        return [future.result() for future in tasks.futures]

    def kept(self, number):
        """Return a network that was finished before, with what was learned, or None."""
        finished = None if self.checkpoint is None else self.checkpoint.network(number)
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
        # A thread for each network that is being trained; the last one may have those that are left.
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
        if self.checkpoint is not None and not self.pace.stop():  # else it may have been cut short
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
        """Return the seconds that follow training with one network, and those that each further network adds."""
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
