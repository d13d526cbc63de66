"""Bagging: the networks of a recipe, each trained without one part of the rows, several at a time, and their mean."""

import time
from concurrent.futures import FIRST_EXCEPTION, wait
from threading import Lock

import numpy as np

from fastbp import described
from fastbp.network import is_picky
from fastbp.sequential import Sequential
from fastbp.specs import copies
from fastbp.tabular.calibration import HIGHEST, LOWEST, tempered
from fastbp.tabular.folds import ALL_ALIKE, cut
from fastbp.tabular.learner import Learner, epochs_of, learn
from fastbp.tabular.networks import table_network
from fastbp.tabular.pace import Pace
from fastbp.tabular.repeats import Repeats
from fastbp.threads import Tasks, get_num_threads, limit_threads

# Rows that initial values are adapted to.
ADAPTING_ROWS = 2000
# With a time limit, networks have as many epochs as `fast` has before there are fewer of them.
ENOUGH_EPOCHS = 24
# What the names of the repeats' tensors begin with.
REPEATS = "repeats/"


class Ensemble:
    """Networks whose predictions are averaged.

    Parameters
    ----------
    networks : list of Sequential
    temperature : float, default 1.0
        Averaged probabilities p become ``p ** (1 / temperature)``, normalised.
    repeats : Repeats, optional
        Training rows whose targets join the prediction where a row has the same features.

    Attributes
    ----------
    history : list of dict
        Of each network: its ``best_epoch`` (from 1) and ``score``.
    oof_outputs : (n, k) or None
        The mean outputs of the networks that did not train on a row; NaN where all did.
    oof_share : float or None
        The share of the networks in such a mean, on average over the rows that have one.
    interrupted : bool
        Whether Ctrl-C ended training.
    """

    def __init__(self, networks, temperature=1.0, repeats=None):
        self.networks, self.temperature, self.repeats = networks, temperature, repeats
        self.history, self.interrupted = [], False
        self.oof_outputs = self.oof_share = None

    def outputs(self, x):
        """x (n, d) float32 -> probabilities or standardised values (n, k) float32."""
        self.networks[0].engine.network.check_input(x)
        total = self.networks[0].engine.predict(x)
        for network in self.networks[1:]:
            total += network.engine.predict(x)
        total /= len(self.networks)
        if self.temperature != 1.0:
            total = tempered(total, self.temperature)
        return total if self.repeats is None else self.repeats.mixed(total, x)

    def get_state(self):
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        states = [network.get_state() for network in self.networks]
        tensors = {f"{i}/{name}": array for i, (own, _) in enumerate(states) for name, array in own.items()}
        description = {
            "networks": [description for _, description in states],
            "temperature": self.temperature,
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
        temperature = described.real(description["temperature"], "temperature", LOWEST / 2, 2 * HIGHEST)
        ensemble = cls(networks, temperature, repeats)
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


def _one_history(figures, name):
    for key, value in figures.items():
        described.number_or_none(value, f"{key} of the history")


def _below(start, tensors):
    """Return the tensors whose names begin with `start`, by the rest of their names."""
    return {name[len(start) :]: array for name, array in tensors.items() if name.startswith(start)}


def train_ensemble(
    encoder, part, *, recipe, objective, seed, valid=None, separation=ALL_ALIKE, deadline=None, progress=None
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
        The value of `time.perf_counter` at which to end: then with fewer networks, or fewer epochs.
    progress : callable, optional
        Called with the share of the work that is done, 0 to 1, from several threads, one at a time.

    Returns
    -------
    Ensemble
    """
    training = Training(encoder, part, recipe, objective, seed, valid, separation, deadline, progress)
    return training.run()


class Training:
    """The training of an ensemble: what its threads share."""

    def __init__(self, encoder, part, recipe, objective, seed, valid, separation, deadline, progress):
        self.encoder, self.part, self.recipe, self.objective, self.seed = encoder, part, recipe, objective, seed
        self.valid, self.progress, self.pace = valid, progress, Pace(deadline)
        n = recipe.networks
        if valid is None:
            self.cuts = cut(part.targets, recipe.folds, n, seed, objective.task == "classification", separation)
        else:
            self.cuts = [(np.arange(len(part.x)), None)] * n
        self.done, self.lock = np.zeros(n), Lock()

    def run(self):
        """Train the networks; return the `Ensemble`."""
        n, n_threads = self.recipe.networks, get_num_threads()
        epochs = self._epochs()
        tasks = Tasks(self._train, [(number, epochs, n_threads) for number in range(n)])
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
        return self._ensemble([future.result() for future in tasks.futures])

    def _train(self, number, epochs, n_threads):
        """Train one network; return it with what was learned, or None where there is no time for it."""
        # The first one is trained whatever the clock says: there must be something to predict with.
        if number and not self.pace.another():
            return None
        started = time.perf_counter()
        network, rows, valid = self._prepared(number)
        # A thread for each network that is being trained; the last one may have those that are left.
        with limit_threads(max(n_threads // min(n_threads, self.recipe.networks - number), 1)):
            learner = Learner(network, self.part, rows, self.objective, self.recipe, epochs)
            learned = learn(learner, valid, self.pace.stop, lambda share: self._tell(number, share))
        self.pace.note(time.perf_counter() - started)
        return without_training(network), learned

    def _prepared(self, number):
        """Return a network, adapted to its rows, the rows, and its validation part."""
        rows, valid_rows = self.cuts[number]
        valid = self.valid or self.part.rows(valid_rows)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        sample = np.random.default_rng(seed).permutation(rows)[:ADAPTING_ROWS]
        hidden = self.recipe.hidden[number % len(self.recipe.hidden)]
        network = table_network(self.encoder, self.part.x[sample], self.objective, self.recipe, hidden, seed)
        return network, rows, valid

    def _tell(self, number, share):
        with self.lock:
            self.done[number] = share
            if self.progress is not None:
                self.progress(self.done.mean())

    def _epochs(self):
        """Return the epochs of each network: the recipe's, or as many as the time limit allows."""
        rows = self.cuts[0][0]
        epochs = epochs_of(len(rows), self.recipe)
        if not self.pace.limited:
            return epochs
        network, _, _ = self._prepared(0)
        n, n_threads = self.recipe.networks, get_num_threads()
        with limit_threads(max(n_threads // n, 1)):
            seconds = Learner(network, self.part, rows, self.objective, self.recipe, 1).seconds_an_epoch()
        return min(epochs_in_time(self.pace.left() / seconds, -(-n // n_threads)), epochs)

    def _ensemble(self, results):
        """Return the `Ensemble` of those networks that were trained."""
        trained = [number for number, result in enumerate(results) if result is not None]
        ensemble = Ensemble([results[number][0] for number in trained])
        learned = [results[number][1] for number in trained]
        ensemble.history = [{"best_epoch": one.epoch, "score": one.score} for one in learned]
        ensemble.interrupted = self.pace.interrupted
        if self.valid is None:
            rows = [self.cuts[number][1] for number in trained]
            ensemble.oof_outputs = mean_outputs(len(self.part.x), rows, [one.outputs for one in learned])
            ensemble.oof_share = float(np.mean([len(some) for some in rows]) / len(np.unique(np.concatenate(rows))))
        return ensemble


def epochs_in_time(possible, rounds):
    """Return the epochs of each network where one could have `possible`, and they train in so many rounds.

    Examples
    --------
    >>> [epochs_in_time(possible, rounds=5) for possible in (500.0, 200.0, 100.0, 10.0, 0.2)]
    [100, 40, 24, 10, 1]
    """
    return max(int(min(possible, max(possible / rounds, ENOUGH_EPOCHS))), 1)


def without_training(network):
    """Return a network with the same parameters, but no optimizer, state and buffers: a third of the memory."""
    engine = network.engine
    bare = Sequential(copies(engine.layers), input_shape=engine.network.input_shape, seed=network.seed)
    bare.params[:] = network.params
    return bare


def mean_outputs(n, rows, outputs):
    """Return the mean (n, k) of outputs of several sets of rows; NaN for a row in none of them."""
    total, count = np.zeros((n, outputs[0].shape[1]), np.float32), np.zeros((n, 1), np.float32)
    for some, values in zip(rows, outputs, strict=True):
        total[some] += values
        count[some] += 1
    with np.errstate(invalid="ignore"):
        return total / count
