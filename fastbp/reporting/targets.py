"""The subject of a model; of one of several targets, a subject for the model and one for each of its targets."""

import numpy as np

from fastbp.reporting.model_adapters import ArraySubject, Subject, TabularSubject
from fastbp.tabular.estimator import BaseTabular
from fastbp.tabular.mixed_targets import target_table
from fastbp.tabular.target import Classes


class MultiTaskSubject(TabularSubject):
    """A `TabularMultiTask` and a table; `targets` are the `TargetSubject` of those that some row has."""

    kind, curve_label = "targets", "joint loss of rows left out"

    def __init__(self, model, X, y):
        self.model, self.X, self.y = model, X, y
        table = target_table(y)
        encoded = model._target.encode(table)  # which refuses what does not suit
        outputs = model._outputs(X)
        if len(outputs) != len(encoded):
            raise ValueError(f"X has {len(outputs)} rows and y {len(encoded)}.")
        self.truth, self.labels = encoded, model.target_names_
        self.targets = [
            TargetSubject(self, number, table, encoded[:, number], outputs)
            for number, name in enumerate(self.labels)
            if table.known[name].any()
        ]
        if not self.targets:
            raise ValueError("y has no value in any target.")

    def importances(self):
        """Return the frame of importances, and what they are of."""
        what = "Rise of the joint loss of all targets where a column is shuffled, ± 2 standard errors"
        if self.model.ensemble_.kept is not None or self.model.ensemble_.importances is not None:
            return self.model.importances(), f"{what}; by rows that the networks did not train on."
        return self.model.importances(self.X, self.y), f"{what}; by the rows of this report."


class TargetSubject(TabularSubject):
    """One target (its `name` and `number`), and the rows that have it."""

    def __init__(self, whole, number, table, encoded, outputs):
        target = whole.model._target
        self.model, self.number = whole.model, number
        self.name, part = target.names[number], target.parts[number]
        self.places = np.flatnonzero(table.known[self.name])
        self.X, self._names = whole.rows(self.places), whole.row_names
        own = outputs[self.places, target.blocks[number]].astype(np.float64)
        if isinstance(part, Classes):
            self.kind, self.labels = "classes", [str(label) for label in part.classes.tolist()]
            self.predicted = own / own.sum(axis=1, keepdims=True)
            self.truth = encoded[self.places].astype(np.int64)
            shown = self.labels[1:] if len(self.labels) == 2 else self.labels
            self.outputs = [f"{self.name}={label}" for label in shown]
        else:
            self.kind, self.labels, self.outputs = "quantity", [self.name], [self.name]
            self.predicted = part.decode(own).reshape(-1, 1)
            self.truth = table.values(self.name, "regression").reshape(-1, 1)

    @property
    def row_names(self):
        """What the rows are called in the whole table."""
        return [self._names[place] for place in self.places]

    def curves(self):
        """Return nothing: the networks learn all targets at once."""
        return []

    def dependence(self, column):
        """Return the partial dependence of this target on a column."""
        found = self.model.partial_dependence(self.X, column)
        return found[self.outputs]

    def contributions_to(self, found, row):
        """Return the frame of contributions to what was predicted for a row."""
        output = self.outputs[self.decided[row] if len(self.outputs) > 1 else 0]
        return found[output] if found.columns.nlevels > 1 else found


def parts_of(subject: Subject) -> list[Subject]:
    """Return the subjects that a report judges one by one: those of several targets, or the model's own."""
    return getattr(subject, "targets", [subject])


def subject_of(model, X, y, history=None):
    """Return the `Subject` of a model, or raise TypeError."""
    if isinstance(model, BaseTabular):
        return (MultiTaskSubject if hasattr(model, "tasks_") else TabularSubject)(model, X, y)
    if not hasattr(model, "predict"):
        raise TypeError(f"report takes a model that predicts, not {type(model).__name__}.")
    return ArraySubject(model, X, y, history)
