"""What a report asks a model: one class for tabular estimators, one for all other models of numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbp.explain.permutation import permutation_importances
from fastbp.tabular.columns import as_table, column_kind, is_missing
from fastbp.tabular.insight.dependence import listed

# Rows that importances of other models are found by, and columns at most.
MOST_ROWS, MOST_COLUMNS = 2000, 200
# Of the columns' values so many rows are looked at.
DESCRIBED_ROWS = 100_000
SMALLEST = 1e-7


class Curve(NamedTuple):
    """One line of the learning curves; `best` is the epoch that was chosen, or None."""

    label: str | None
    epochs: list
    scores: list
    best: int | None = None


class Subject:
    """A model, and rows to judge it by.

    Attributes
    ----------
    kind : {"classes", "quantity", "quantiles", "targets"}
    labels : list of str
        Classes, quantiles or targets.
    truth : (n,) codes of classes, or (n, t)
    predicted : (n, k)
        Probabilities, or quantities.
    """

    curve_label, levels = "loss", None

    @property
    def row_names(self):
        """What the rows are called: by a frame's index, or their numbers from 0."""
        return self.X.index if hasattr(self.X, "iloc") else range(len(self.truth))

    @property
    def decided(self):
        """The codes (n,) of the predicted classes."""
        return self.predicted.argmax(axis=1)

    def losses(self):
        """Return each row's loss (n,)."""
        if self.kind == "classes":
            return -np.log(np.maximum(self.predicted[np.arange(len(self.truth)), self.truth], SMALLEST))
        if self.kind == "quantiles":
            error, levels = self.truth - self.predicted, np.array(self.levels)
            return np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
        return np.abs(self.predicted - self.truth).mean(axis=1)


class TabularSubject(Subject):
    """A tabular estimator and a table."""

    def __init__(self, model, X, y):
        self.model, self.X = model, X
        checked = model._checked_target(y)
        target = model._target.encode(checked)  # which refuses classes that are not known
        classes = hasattr(model, "classes_")
        self.levels = None if classes else model.quantiles
        self.kind = "classes" if classes else "quantity" if self.levels is None else "quantiles"
        self.predicted = model.predict_proba(X) if classes else model.predict(X).reshape(len(checked), -1)
        if classes:
            self.labels = [str(label) for label in model.classes_.tolist()]
            self.truth = target.argmax(axis=1) if target.ndim == 2 else target
        else:
            self.truth = checked.reshape(len(checked), -1)
            width = self.predicted.shape[1]
            name = model.target_name_ or "target"
            names = [name] if width == 1 else [f"target {number}" for number in range(width)]
            self.labels = [f"{level:g}" for level in self.levels] if self.levels is not None else names
        self.curve_label = f"{model._objective(model._target).metric.replace('_', ' ')} of rows left out"

    @property
    def settings(self):
        """{name: value} of the settings that are not their defaults, and the preset."""
        default = type(self.model)().get_params()
        own = self.model.get_params()
        return {name: value for name, value in own.items() if name == "preset" or value is not default[name]}

    @property
    def facts(self):
        """Pairs of what else there is to know."""
        encoder, reading = self.model.encoder_, self.model.reading_
        facts = [
            ("networks", len(self.model.ensemble_.networks)),
            ("columns used", f"{len(encoder.columns)} of {len(encoder.feature_names_in)}"),
            ("score out of fold", f"{self.model.best_score_:.5g}"),
        ]
        return facts + ([("trained with", f"fastbp {reading['fastbp']}")] if "fastbp" in reading else [])

    def curves(self):
        """Return the validation scores of each network."""
        # Scores are minimised: an accuracy is below zero.
        return [
            Curve(None, one["epochs"], [abs(score) for score in one["scores"]], one["best_epoch"])
            for one in self.model.history_
            if len(one.get("epochs", ())) > 1
        ]

    def importances(self):
        """Return the frame of importances, and what they are of."""
        measure = {"classes": "log loss", "quantity": "squared error (share of the variance)"}
        what = f"Rise of the {measure.get(self.kind, 'pinball loss')} where a column is shuffled, ± 2 standard errors"
        if self.model.ensemble_.kept is not None or self.model.ensemble_.importances is not None:
            return self.model.importances(), f"{what}; by rows that the networks did not train on."
        known = self.truth if self.kind != "classes" else self.model.classes_[self.truth]
        y = known[:, 0] if np.ndim(known) == 2 and known.shape[1] == 1 else known
        return self.model.importances(self.X, y), f"{what}; by the rows of this report."

    def dependence(self, column):
        """Return the partial dependence on a column."""
        return self.model.partial_dependence(self.X, column)

    def reasons(self, rows):
        """Return for each of these rows its largest contributions to what was predicted, as text."""
        found = self.model.explain(self.rows(rows))
        texts = []
        for place, row in enumerate(rows):
            shown = self.contributions_to(found, row).iloc[place].drop("(base value)")
            sign = -1 if self.kind == "classes" and len(self.labels) == 2 and self.decided[row] == 0 else 1
            largest = shown.iloc[np.argsort(-np.abs(shown.to_numpy()), kind="stable")[:3]]
            texts.append("; ".join(f"{self._told(row, name)} ({sign * value:+.3g})" for name, value in largest.items()))
        return texts

    def contributions_to(self, found, row):
        """Return the frame of contributions to what was predicted for a row, of those to all outputs."""
        if found.columns.nlevels == 1:
            return found
        first = list(dict.fromkeys(found.columns.get_level_values(0)))
        return found[first[int(self.decided[row]) if self.kind == "classes" else len(first) // 2]]

    def rows(self, places):
        """Return some rows of the table."""
        from sklearn.utils import _safe_indexing

        return _safe_indexing(self.X, np.asarray(places))

    def predict(self, X):
        """Predict rows of the table (what is timed)."""
        return self.model.predict(X)

    def columns(self):
        """Return rows for the table of columns: name, type, missing, different, range or examples."""
        encoder = self.model.encoder_
        kinds = encoder.kinds | {name: form.describe() for name, form in encoder.forms.items()}
        for name in encoder.feature_names_in:
            column = encoder.column_of(self.X, name)
            kind = f"not used: {encoder.dropped[name]}" if name in encoder.dropped else kinds[name]
            yield (name, kind, *(_described(column) if column is not None else ("", "", "not in the table")))

    def _told(self, row, name):
        if not hasattr(self, "_values"):
            self._values = {}
        if name not in self._values:
            known = name in self.model.encoder_.feature_names_in
            column = self.model.encoder_.column_of(self.X, name) if known else None
            self._values[name] = None if column is None else listed(column)
        values = self._values[name]
        return name if values is None else f"{name} = {_short(values[row])}"


class ArraySubject(Subject):
    """A `Sequential`, or any model with scikit-learn's methods, and rows of numbers."""

    def __init__(self, model, X, y, history=None):
        self.model, self.history = model, history
        self.names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        self.X = X
        self._predict = getattr(model, "predict_proba", model.predict)
        self.predicted = self._outputs(X)
        y = np.asarray(y)
        if len(y) != len(self.predicted):
            raise ValueError(f"X has {len(self.predicted)} rows and y {len(y)}.")
        self.kind = "classes" if self._predicts_classes() else "quantity"
        if self.kind == "classes":
            self._take_classes(y)
        else:
            self.truth = y.reshape(len(y), -1).astype(float)
            if self.truth.shape != self.predicted.shape:
                raise ValueError(f"y has shape {y.shape}; the predictions have {self.predicted.shape}.")
            width = self.truth.shape[1]
            self.labels = ["target"] if width == 1 else [f"target {i}" for i in range(width)]

    def _predicts_classes(self):
        if hasattr(self.model, "predict_proba"):
            return True
        return getattr(getattr(self.model, "loss", None), "link", None) in ("softmax", "sigmoid")

    def _take_classes(self, y):
        if self.predicted.shape[1] == 1:
            self.predicted = np.hstack([1 - self.predicted, self.predicted])
        n_classes = self.predicted.shape[1]
        classes = np.asarray(getattr(self.model, "classes_", np.arange(n_classes)))
        self.labels = [str(label) for label in classes.tolist()]
        if y.ndim == 2 and y.shape[1] == n_classes:
            self.truth = y.argmax(axis=1)
            return
        y = y.reshape(len(y))
        places = {label: place for place, label in enumerate(classes.tolist())}
        unknown = [label for label in y.tolist() if label not in places]
        if unknown:
            raise ValueError(f"y holds {unknown[0]!r}, which is none of the classes {', '.join(self.labels[:10])}.")
        self.truth = np.array([places[label] for label in y.tolist()])

    def _outputs(self, X):
        outputs = np.asarray(self._predict(X), float)
        if outputs.ndim > 2:
            raise ValueError(f"predictions have shape {outputs.shape}: a report takes one set of outputs for each row.")
        return outputs.reshape(len(outputs), -1)

    @property
    def settings(self):
        """{name: value} of the model's settings."""
        if hasattr(self.model, "get_params"):
            return self.model.get_params()
        settings = {"dtype": self.model.dtype.name, "seed": self.model.seed}
        if hasattr(self.model, "_compiled") and self.model._compiled is not None:
            settings |= {"optimizer": self.model.optimizer, "loss": getattr(self.model.loss, "name", self.model.loss)}
        return settings

    @property
    def facts(self):
        """Pairs of what else there is to know."""
        if not hasattr(self.model, "count_params"):
            return []
        names = [type(layer).__name__ for layer in self.model.layers]
        return [("layers", ", ".join(names)), ("parameters", f"{self.model.count_params():,}")]

    def curves(self):
        """Return the losses of training and validation by epoch."""
        if self.history is not None:
            logs = getattr(self.history, "history", self.history)
            known = [(name, logs[name]) for name in ("loss", "val_loss") if name in logs]
        else:
            known = [("loss", getattr(self.model, "loss_curve_", None) or [])]
        return [Curve(name, list(range(1, len(scores) + 1)), list(scores)) for name, scores in known if len(scores) > 1]

    def importances(self):
        """Return a frame of importances, and what they are of; None where rows are no vectors."""
        import pandas as pd

        if np.ndim(self.X) != 2 or not 1 < self.X.shape[1] <= MOST_COLUMNS or self._numbers() is None:
            return None
        x, some = self._numbers(), self._some()
        truth, classes = self.truth[some], self.kind == "classes"

        def losses(rows):
            outputs = self._outputs(self._as_given(rows))
            if not classes:
                return np.square(outputs - truth).mean(axis=1) / max(float(np.var(truth)), 1e-300)
            p = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
            return -np.log(np.maximum(p[np.arange(len(p)), truth], SMALLEST))

        groups = [np.array([place]) for place in range(x.shape[1])]
        found = permutation_importances(losses, x[some], groups, 3)
        frame = pd.DataFrame({"importance": found.importance, "standard_error": found.error}, index=self._names())
        measure = "log loss" if classes else "squared error (share of the variance)"
        what = f"Rise of the {measure} where a column is shuffled, ± 2 standard errors; by the rows of this report."
        return frame, what

    def dependence(self, column):
        """Return the partial dependence on a column: a frame indexed by its values."""
        import pandas as pd

        x, place = self._numbers()[self._some()], self._names().index(column)
        values = np.unique(np.quantile(x[:, place], np.linspace(0.05, 0.95, 20), method="nearest"))
        means = []
        for value in values:
            x[:, place] = value
            outputs = self._outputs(self._as_given(x))
            means.append(outputs.mean(axis=0))
        found = np.array(means)
        if self.kind == "classes" and len(self.labels) == 2:
            return pd.DataFrame(found[:, -1:], index=pd.Index(values, name=column), columns=self.labels[1:])
        return pd.DataFrame(found, index=pd.Index(values, name=column), columns=self.labels)

    def reasons(self, rows):
        """Return nothing to say for each row."""
        return [""] * len(rows)

    def rows(self, places):
        """Return some rows."""
        return self.X.iloc[places] if hasattr(self.X, "iloc") else np.asarray(self.X)[places]

    def predict(self, X):
        """Predict rows (what is timed)."""
        return self._predict(X)

    def columns(self):
        """Return rows for the table of columns."""
        if np.ndim(self.X) != 2 or self.X.shape[1] > MOST_COLUMNS:
            return
        table, _ = as_table(self.X)
        for name, column in zip(self._names(), table.columns, strict=True):
            yield (name, column_kind(table[column]), *_described(table[column]))

    def _numbers(self):
        """Return X (n, d) as numbers, or None."""
        try:
            return np.array(self.X, float)
        except (TypeError, ValueError):
            return None

    def _as_given(self, x):
        if self.names is None:
            return x
        import pandas as pd

        return pd.DataFrame(x, columns=self.X.columns)

    def _names(self):
        return self.names or [f"x{place}" for place in range(np.shape(self.X)[1])]

    def _some(self):
        n = len(self.predicted)
        return np.linspace(0, n - 1, min(n, MOST_ROWS)).round().astype(int)


def _described(column):
    """Return the missing values, the different ones, and the range of numbers or the most frequent ones, as text."""
    missing = is_missing(column)
    values = [value for value, gone in zip(listed(column)[:DESCRIBED_ROWS], missing, strict=False) if not gone]
    distinct = {}
    for value in values:
        distinct[value] = distinct.get(value, 0) + 1
    share = f"{int(missing.sum())}" + (f" ({missing.mean():.1%})" if missing.any() else "")
    if not values:
        return share, "0", "all missing"
    if column_kind(column) in ("number", "date") and len(distinct) > 2:
        ends = _short(min(distinct)), _short(max(distinct))
        return share, str(len(distinct)), f"{ends[0]} to {ends[1]}, median {_short(sorted(values)[len(values) // 2])}"
    frequent = sorted(distinct, key=lambda value: -distinct[value])[:4]
    more = ", …" if len(distinct) > 4 else ""
    return (
        share,
        str(len(distinct)),
        ", ".join(f"{_short(v)} ({distinct[v] / len(values):.0%})" for v in frequent) + more,
    )


def _short(value):
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).removesuffix(" 00:00:00").split())
    return text if len(text) <= 28 else text[:27] + "…"
