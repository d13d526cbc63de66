"""Several targets of one table: some are classes, some are quantities, and any entry may be missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbp.layers.core.softmaxblocks import slices_of
from fastbp.settings.validation import is_number
from fastbp.tabular.columns import as_frame, column_kind, is_missing, nearest_name, with_rows
from fastbp.tabular.errors import TableError
from fastbp.tabular.sparsetable import is_sparse
from fastbp.tabular.target import Classes, Quantity
from fastbp.tabular.task import MOST_CLASSES, class_values, detect_task, number_values

TASKS = ("classification", "regression")


class TargetTable:
    """Columns of targets by name, and which of their entries are known."""

    def __init__(self, frame):
        self.frame, self.names = frame, list(frame.columns)
        self.known = {name: ~is_missing(frame[name]) for name in self.names}

    def __len__(self):
        return len(self.frame)

    def values(self, name, task):
        """Return a target's known values, as `fastbp.tabular.task` has them."""
        known = self.known[name]
        column = self.frame[name] if known.all() else self.frame[name].filter(known.tolist())
        return class_values(column) if task == "classification" else number_values(column)

    def task(self, name):
        """Return a target's task by its values, and a line where they are few whole numbers; or raise."""
        column = self.frame[name].filter(self.known[name].tolist())
        if not len(column):
            raise TableError(f"the target {name!r} is empty.")
        task, reason = detect_task(column)
        is_clear = (
            column_kind(column) != "number" or reason.endswith("not whole") or len(column.unique()) > MOST_CLASSES
        )
        return task, [] if is_clear else [f"target {name!r}: {task}, because {reason} (the parameter tasks decides)."]


def target_table(y):
    """Return the `TargetTable` of a frame, a dict of columns, a list of records or an array (n, t)."""
    y = with_rows(y)
    if is_sparse(y):
        raise TableError("y is a sparse matrix: give an array, y.toarray().")
    if not (hasattr(y, "columns") or hasattr(y, "column_names")):
        y = _frame_of(y)
    frame = as_frame(y)
    if len(frame) == 0 or not frame.columns:
        raise TableError(f"y has {len(frame)} rows and {len(frame.columns)} columns: there is nothing to learn.")
    return TargetTable(frame)


def _frame_of(y):
    """Return an array or a list of rows as a frame whose columns are called 0, 1, 2 ..."""
    import pandas as pd

    try:
        values = np.array(y, dtype=object) if isinstance(y, list | tuple) else np.asarray(y)
    except ValueError as error:
        raise TableError(f"y is no table: {error}.") from None
    if values.ndim != 2:
        raise TableError(
            f"y has shape {values.shape}: give a frame, a dict of columns or an array (n, t) with a column for each "
            "target; of one target, use TabularClassifier or TabularRegressor."
        )
    frame = pd.DataFrame(values)
    return frame.infer_objects() if values.dtype == object else frame


class Mixture(NamedTuple):
    """Several targets, each with what it is learnt as.

    Attributes
    ----------
    names : tuple of str
    parts : tuple of Classes or Quantity
    complete : bool
        Whether all rows of training have all targets; files do not tell.
    notices : tuple of str
        What was guessed about them, or is missing.
    """

    names: tuple[str, ...]
    parts: tuple
    complete: bool = True
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, table, tasks, weight):
        """Return the targets in a `TargetTable` whose rows have weight (n,) or None; tasks are as the users' are."""
        asked, parts, notices = asked_tasks(tasks, table.names), [], []
        any_known = np.any(list(table.known.values()), axis=0)
        for name in table.names:
            task, told = (asked[name], []) if name in asked else table.task(name)
            notices += told + _told_missing(name, any_known & ~table.known[name])
            parts.append(_named(name, _part, table, name, task, weight))
        complete = all(known.all() for known in table.known.values())
        n_empty = int(np.count_nonzero(~any_known))
        if n_empty:
            rows = "1 row has" if n_empty == 1 else f"{n_empty} rows have"
            notices.append(f"{rows} no value in any target and {'is' if n_empty == 1 else 'are'} left out.")
        return cls(tuple(table.names), tuple(parts), complete, tuple(notices))

    @property
    def tasks(self):
        """The task of each target."""
        return [TASKS[not isinstance(part, Classes)] for part in self.parts]

    @property
    def sizes(self):
        """How many outputs each target has."""
        return [len(part.classes) if isinstance(part, Classes) else 1 for part in self.parts]

    @property
    def blocks(self):
        """The slice of the outputs of each target."""
        return slices_of(self.sizes)

    def encode(self, table):
        """Return targets (n, t) float32: codes or standardised values, NaN where they are missing."""
        if sorted(table.names) != sorted(self.names):
            raise TableError(f"y has the targets {', '.join(table.names)}: training had {', '.join(self.names)}.")
        targets = np.full((len(table), len(self.names)), np.nan, np.float32)
        for place, (name, part, task) in enumerate(zip(self.names, self.parts, self.tasks, strict=True)):
            known = table.known[name]
            if known.any():
                targets[known, place] = _named(name, part.encode, table.values(name, task)).ravel()
        return targets

    def decode(self, outputs):
        """Return what outputs (n, k) predict: for each target classes or quantities (n,)."""
        return [
            part.classes[outputs[:, block].argmax(axis=1)]
            if isinstance(part, Classes)
            else part.decode(outputs[:, block])[:, 0]
            for part, block in zip(self.parts, self.blocks, strict=True)
        ]

    def weigh(self, targets, weight):
        """Return the weights (n,), 0 of rows without any target, or None where all count the same."""
        empty = np.isnan(targets).all(axis=1)
        if not empty.any():
            return weight
        return np.where(empty, 0.0, 1.0 if weight is None else weight)

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        parts = [
            {"name": name, "task": task, "state": part.get_state()}
            for name, task, part in zip(self.names, self.tasks, self.parts, strict=True)
        ]
        return {"targets": parts}

    @classmethod
    def from_state(cls, state):
        """Return the targets that `get_state` described."""
        targets = state["targets"]
        if not isinstance(targets, list) or not targets:
            raise ValueError(f"several targets are {targets!r}.")
        kinds = dict(zip(TASKS, (Classes, Quantity), strict=True))
        for one in targets:
            if one["task"] not in kinds or not isinstance(one["name"], str):
                raise ValueError(f"a target is {one['task']!r} of {one['name']!r}.")
        parts = tuple(kinds[one["task"]].from_state(one["state"]) for one in targets)
        return cls(tuple(one["name"] for one in targets), parts)


def asked_tasks(tasks, names):
    """Return {name: task} for the user's `tasks`: None, one word for all targets, a sequence, or a dict."""
    if tasks is None:
        return {}
    if isinstance(tasks, str):
        tasks = dict.fromkeys(names, tasks)
    elif not hasattr(tasks, "items"):
        tasks = list(tasks)
        if len(tasks) != len(names):
            raise ValueError(f"tasks has {len(tasks)} entries, y {len(names)} targets.")
        tasks = dict(zip(names, tasks, strict=True))
    tasks = by_target(tasks, names, "tasks")
    for name, task in tasks.items():
        if task not in (*TASKS, None):
            raise ValueError(f"tasks: {task!r} of {name!r} is none of {', '.join(map(repr, TASKS))}.")
    return {name: task for name, task in tasks.items() if task is not None}


def by_target(values, names, parameter):
    """Return a user's dict with the targets' own names as keys, or raise ValueError for a name that is no target."""
    values = {str(name): value for name, value in values.items()}
    for name in values:
        if name not in names:
            raise ValueError(f"{parameter}: y has no target {name!r}.{nearest_name(name, names)}")
    return values


def _part(table, name, task, weight):
    values, known = table.values(name, task), table.known[name]
    if not known.any():
        raise TableError("it is empty.")
    weight = None if weight is None else weight[known]
    if weight is not None and not weight.any():
        raise TableError("no row that has it has a weight.")
    return Classes.of(values, weight, None) if task == "classification" else Quantity.of(values, weight)


def _named(name, function, *arguments):
    """Return what a function returns; its ValueError names the target."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise TableError(f"target {name!r}: {error}") from None


def _told_missing(name, missing):
    n_missing = int(np.count_nonzero(missing))
    if not n_missing:
        return []
    rows, verb = ("rows", "have") if n_missing > 1 else ("row", "has")
    tail = "teach" if n_missing > 1 else "teaches"
    return [f"target {name!r}: {n_missing} {rows} of {len(missing)} {verb} no value in it and {tail} the others only."]


def target_weights(weights, names):
    """Return the weights of targets as users give them, one for each."""
    if weights is None:
        return [1.0] * len(names)
    if not hasattr(weights, "items"):
        weights = list(weights)
        if len(weights) != len(names):
            raise ValueError(f"target_weights has {len(weights)} entries, y {len(names)} targets.")
        weights = dict(zip(names, weights, strict=True))
    weights = dict.fromkeys(names, 1.0) | by_target(weights, names, "target_weights")
    for name, weight in weights.items():
        if not is_number(weight) or not 0 <= weight < np.inf:
            raise ValueError(f"target_weights: {weight!r} of {name!r} is no finite number of at least 0.")
    if not any(weights.values()):
        raise ValueError("target_weights: all of them are 0.")
    return [float(weight) for weight in weights.values()]


def side_by_side(columns):
    """Return columns (n,) as an array (n, t): of their type where they have one, else of objects."""
    if len({column.dtype for column in columns}) == 1:
        return np.stack(columns, axis=1)
    table = np.empty((len(columns[0]), len(columns)), object)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table
