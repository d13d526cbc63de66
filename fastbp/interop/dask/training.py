"""The training of a bag on samples of a table of Dask: two passes over the partitions, and one for the networks."""

import time
from functools import reduce
from typing import NamedTuple

import numpy as np

from fastbp.compiler.compiling import working_time
from fastbp.engine.threads import limit_threads
from fastbp.interop.dask.checkpoint_facts import facts_of
from fastbp.interop.dask.partitions import digested, gathered, network_rows, raw_rows, summarised, trained
from fastbp.interop.dask.sampling import draw
from fastbp.interop.dask.summary import Summary, merged, target_of
from fastbp.interop.dask.table import MEMORY_SHARE, active_client, finished, import_dask, lacking, memory_of_a_task
from fastbp.models.sequential import Sequential
from fastbp.tabular.bagging import ENOUGH_EPOCHS, Ensemble
from fastbp.tabular.checkpoint import NoCheckpoint
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.network_training import Learner, Part, epochs_between_validations, whole_plan
from fastbp.tabular.onenetwork import Given, Widths, new_network
from fastbp.tabular.recipe import PRESETS
from fastbp.tabular.target_columns import target_columns
from fastbp.tabular.time_limit import Costs, planned

# At most so many rows teach medians, quartiles, categories and the kinds of columns.
ENCODING_ROWS = 100_000
# Epochs are chosen and probabilities calibrated by a tenth of all rows, and by so many at most.
VALIDATION_ROWS = 20_000
# Rows of a network, if the user names no number and memory allows more.
MOST_ROWS = 1_000_000


class Fitted(NamedTuple):
    """The result of a training: parts of a tabular estimator, and lines to tell the user."""

    encoder: TableEncoder
    target: object
    objective: object
    valid: Part
    ensemble: Ensemble
    n_rows: int
    sample_rows: int
    notices: list


class DaskTraining:
    """The training of `model`, a tabular estimator without data, on a `DaskTable`.

    Parameters
    ----------
    model : TabularClassifier or TabularRegressor of fastbp
    table : DaskTable
    is_classes : bool
    sample_rows : int or None
    seed : int
    pace : Pace
    progress : callable or None
        Called with the share of the networks that are done.
    eval_set : tuple, optional
        Rows in memory to validate by; by default some of the table's.
    checkpoint : Checkpoint, optional
    """

    def __init__(self, model, table, is_classes, sample_rows, seed, pace, progress, eval_set=None, checkpoint=None):
        self.table, self.is_classes, self.sample_rows, self.seed = table, is_classes, sample_rows, seed
        self.pace, self.progress, self.client = pace, progress, active_client()
        self.eval_set, self.checkpoint = eval_set, checkpoint or NoCheckpoint()
        self.delayed, self.local, self.notices = import_dask().delayed, model, []
        # These are one node of each graph, so that they are sent once and not with each task.
        self.model = self.delayed(model, traverse=False)

    def run(self):
        """Return what was `Fitted`."""
        target, sizes, digests = self._target()
        n = int(sum(sizes))
        n_valid = 0 if self.eval_set is not None else max(min(n // 10, VALIDATION_ROWS), 1)
        first = draw(sizes, n_valid, ENCODING_ROWS, 0, 0, self.seed)
        encoder, valid = self._encoder(first, target)
        rows = min(self.sample_rows or self._affordable(encoder), n - n_valid)
        recipe = PRESETS[self.local.preset].suited(rows, encoder.n_numeric)
        objective = self.local._objective(target)
        given = Given(Widths.of(encoder), recipe, objective, self.seed)
        self.checkpoint.begin(self.seed, lambda: facts_of(digests, valid, recipe, objective, rows))
        whole = draw(sizes, n_valid, ENCODING_ROWS, rows, recipe.networks, self.seed)
        plan = self.checkpoint.plan(lambda: self._plan(rows, given, valid))
        ensemble = self._ensemble(whole, (encoder, target), given, valid, plan)
        return Fitted(encoder, target, objective, valid, ensemble, n, rows, self.notices)

    def _over_partitions(self, function, places, *arguments):
        """Return function(place, *arguments, X, y, weight) of partitions, delayed."""
        call, table = self.delayed(function, pure=False), self.table
        return [call(place, *arguments, table.X[place], table.y[place], table.weight[place]) for place in places]

    def _compute(self, tasks):
        return import_dask().compute(*tasks)

    def _first_pass(self, tasks):
        """Compute tasks over all partitions; where Dask itself misses a column, say in which partition."""
        try:
            return self._compute(tasks)
        except KeyError as error:  # "['b'] not in index"
            told = lacking(self.table.given) if self.table.columns is not None else None
            if told is None:
                raise
            raise ValueError(told) from error

    def _target(self):
        """Return the target by all rows, the partitions' sizes, and their digests for a checkpoint."""
        places = range(len(self.table.X))
        tasks = self._over_partitions(summarised, places, self.model, self.is_classes, self.table.columns)
        digests = self._over_partitions(digested, places) if self.checkpoint.wanted else []
        found = self._first_pass([*tasks, *digests])
        summaries, digests = found[: len(tasks)], found[len(tasks) :]
        whole = reduce(merged, summaries, Summary(0))
        if whole.n < 2:
            weighty = "" if self.table.weight[0] is None else " of a weight"
            raise ValueError(f"Found a table with {whole.n} sample(s){weighty} while a minimum of 2 is required.")
        names = self.table.target_name if isinstance(self.table.target_name, list) else None
        class_weight = self.local.class_weight if self.is_classes else None
        target = target_of(whole, self.is_classes, class_weight, names)
        return target, [summary.n for summary in summaries], digests

    def _encoder(self, draw, target):
        """Return the encoder of drawn rows, and the `Part` to validate by."""
        places = np.flatnonzero(draw.valid + draw.encoding)
        found = self._compute(self._over_partitions(raw_rows, places, self.delayed(draw, traverse=False), self.model))
        encoder = TableEncoder().fit(
            _together([raw for *_, raw in found]), categorical_features=self.local.categorical_features
        )
        if self.eval_set is not None:
            valid, self.notices = self.local._valid_part(encoder, target, self.eval_set)
            return encoder, valid
        found = [(X, y, weight) for X, y, weight, _ in found if y is not None]
        X, y = _together([X for X, _, _ in found]), np.concatenate([y for _, y, _ in found])
        targets = target.encode(y)
        weight = None if found[0][2] is None else np.concatenate([weight for *_, weight in found])
        x = encoder.transform(X, [])
        self.notices = target_columns(X, self._named(y), np.ones(len(y), bool), set(encoder.columns))
        return encoder, gathered([Part(x, targets, target.weigh(targets, weight))])

    def _named(self, y):
        """Return targets (n,) or (n, t) with the name or names that the user's have."""
        import pandas as pd

        name = self.table.target_name
        return pd.DataFrame(y, columns=name) if y.ndim == 2 else pd.Series(y, name=name)

    def _affordable(self, encoder):
        """Return how many rows of a network a worker's memory allows."""
        width = encoder.n_numeric + encoder.n_plain + encoder.n_codes
        return int(max(min(MEMORY_SHARE * memory_of_a_task(self.client) / (4 * width), MOST_ROWS), 1000))

    def _plan(self, n_rows, given, valid):
        """Return the `Plan` of each network: the recipe's, or what the time limit allows by a trial here."""
        whole = whole_plan(n_rows, given.recipe)
        if not self.pace.limited:
            return whole
        started, rows = working_time(), np.arange(len(valid.x))
        network = new_network(given, valid, rows, 0)
        building = working_time() - started
        with limit_threads(1):
            trial = Learner(network, valid, rows, given.objective, given.recipe, whole)
            costs = Costs(building, *trial.trial(valid, max(self.pace.left(), 0.0)))
        at_once = sum(self.client.ncores().values()) if self.client else 1
        rounds = -(-given.recipe.networks // max(at_once, 1))
        left = max(self.pace.left() - costs.validation, 1e-3)
        return planned(whole, left, costs, rounds, 1 / epochs_between_validations(whole.epochs), ENOUGH_EPOCHS)

    def _tasks(self, numbers, draw, fitted, given, valid, plan):
        """Return a delayed task for each of some networks, after those that draw its rows."""
        places = np.flatnonzero(draw.networks[numbers].sum(axis=0))
        constants = [self.delayed(one, traverse=False) for one in (draw, fitted, given, valid)]
        common, encoding, given, valid = constants
        drawn = self._over_partitions(network_rows, places, common, self.model, encoding, numbers)
        train = self.delayed(trained, pure=False)
        plan = self.delayed(plan, traverse=False)
        deadline = time.time() + self.pace.left() if self.pace.limited else None
        return [
            train(number, given, plan, deadline, valid, [parts[i] for parts in drawn])
            for i, number in enumerate(numbers)
        ]

    def _ensemble(self, draw, fitted, given, valid, plan):
        """Return the `Ensemble` of the networks that end, in the order of their numbers."""
        n = given.recipe.networks
        results = {number: kept for number in range(n) if (kept := self.checkpoint.network(number)) is not None}
        missing = [number for number in range(n) if number not in results]
        interrupted = False
        try:
            for number, state, learned, cut_short in finished(
                self._tasks(missing, draw, fitted, given, valid, plan) if missing else [], self.client
            ):
                if state is not None:
                    results[number] = Sequential.from_state(*state), learned
                    if not cut_short:
                        self.checkpoint.keep(number, *results[number])
                if self.progress is not None:
                    self.progress(len(results) / n)
        except KeyboardInterrupt:
            interrupted = True
            if not results:
                raise
        ordered = [results[number] for number in sorted(results)]
        ensemble = Ensemble([network for network, _ in ordered])
        ensemble.history, ensemble.interrupted = [learned.figures() for _, learned in ordered], interrupted
        return ensemble


def _together(tables):
    """Return rows of several partitions as one table; categories become those of all."""
    tables = [table for table in tables if len(table)]
    if isinstance(tables[0], np.ndarray):
        return np.concatenate(tables)
    from dask.dataframe.dispatch import concat

    return concat(tables, ignore_index=True)
