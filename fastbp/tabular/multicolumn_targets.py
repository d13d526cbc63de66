"""Targets with several columns: probabilities of classes, and several quantities at once."""

from typing import NamedTuple

import numpy as np

from fastbp.tabular.columns import as_frame, column_kind, is_missing, to_numbers
from fastbp.tabular.target import Classes, Quantity

# Rows of probabilities are normalised.  Their sums may be off by so much, because probabilities may be rounded.
SUM_TOLERANCE = 1e-3


def columns_of(y):
    """Return the names of a target's columns as a list, or None: it is no frame, or has one column."""
    names = getattr(y, "column_names", None) or getattr(y, "columns", None)
    return list(names) if names is not None and len(names) > 1 else None


def is_several(y):
    """Has a target two or more columns?"""
    if columns_of(y) is not None:
        return True
    shape = y.shape if hasattr(y, "shape") else _shape_of(y)
    return len(shape) == 2 and shape[1] > 1


def _shape_of(y):
    try:
        return np.asarray(y).shape
    except ValueError:  # rows of different lengths
        return ()


def numbers_of(y, advice):
    """Return a target of several columns as float64 (n, t), or raise ValueError that names the odd one.

    Parameters
    ----------
    y : frame or array-like (n, t)
    advice : str
        What to do with columns that hold no numbers.
    """
    if hasattr(y, "toarray"):
        raise ValueError("y is a sparse matrix: give an array, y.toarray().")
    if columns_of(y) is not None:
        frame = as_frame(y)
        for name in frame.columns:
            if column_kind(frame[name]) not in ("number", "boolean"):
                raise ValueError(f"y's column {name!r} holds {frame[name].dtype}, no numbers: {advice}")
            if (missing := is_missing(frame[name])).any():
                raise ValueError(
                    f"Input y contains NaN, in column {name!r}, row {int(missing.argmax())}: leave it out."
                )
        values = np.stack([to_numbers(frame[name]) for name in frame.columns], axis=1)
    else:
        values = np.asarray(y)
        if values.dtype.kind not in "biufO":
            raise ValueError(f"y holds {values.dtype} values such as {values.ravel().tolist()[0]!r}: {advice}")
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            odd = next(value for value in values.ravel().tolist() if not isinstance(value, int | float))
            raise ValueError(f"y holds {odd!r}, which is no number: {advice}") from None
    if not np.isfinite(values).all():
        row, place = np.argwhere(~np.isfinite(values))[0].tolist()
        what = "NaN" if np.isnan(values[row, place]) else "infinity"
        raise ValueError(f"Input y contains {what}, in row {row}, column {place}: leave that row out.")
    return values


def probabilities_of(y):
    """Return rows of probabilities as float64 (n, k) that sum to 1, or raise ValueError that names the odd row."""
    p = numbers_of(y, "several columns are the probabilities of classes; several targets are for TabularMultiTask.")
    sums = p.sum(axis=1)
    wrong = (np.abs(sums - 1) > SUM_TOLERANCE) | (p < 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            "y should be a 1d array of labels, or an array (n, k) of the probabilities of k classes, each row of which "
            f"sums to 1: row {row} holds {', '.join(f'{value:g}' for value in p[row, :5])}{', ...' * (p.shape[1] > 5)}."
        )
    return p / sums[:, None]


class Quantities(NamedTuple):
    """Several quantities.  Each is standardised by itself, so that all outputs weigh the same."""

    parts: tuple[Quantity, ...]

    @classmethod
    def of(cls, y, weight):
        """Return the quantities of y (n, t) float64, in the rows that have a weight."""
        if (y.min(axis=0) == y.max(axis=0)).all():
            raise ValueError(
                "y should be a 1d array, or an array (n, t) of several targets of which one at least varies: each of "
                f"its {y.shape[1]} columns has one value only."
            )
        return cls(tuple(Quantity.of(column, weight) for column in y.T))

    def encode(self, y):
        """Return y (n, t) standardised, (n, t) float32."""
        if y.ndim != 2 or y.shape[1] != len(self.parts):
            raise ValueError(f"y has shape {y.shape}: training had {len(self.parts)} targets.")
        return np.hstack([part.encode(column) for part, column in zip(self.parts, y.T, strict=True)])

    def limit(self, outputs):
        """Return outputs (n, t) cut to training's ranges, float64."""
        return np.hstack([part.limit(outputs[:, [i]]) for i, part in enumerate(self.parts)])

    def decode(self, outputs):
        """Return outputs (n, t) as quantities, cut to training's ranges."""
        return np.hstack([part.decode(outputs[:, [i]]) for i, part in enumerate(self.parts)])

    def weigh(self, targets, weight):
        """Return the weights (n,), or None where all count the same."""
        return weight

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        return {"several": [part.get_state() for part in self.parts]}

    @classmethod
    def from_state(cls, state):
        """Return the quantity, or the quantities, that `get_state` described."""
        if "several" not in state:
            return Quantity.from_state(state)
        parts = state["several"]
        if not isinstance(parts, list) or len(parts) < 2:
            raise ValueError(f"several targets are {parts!r}.")
        return cls(tuple(map(Quantity.from_state, parts)))


class SoftClasses(NamedTuple):
    """Classes with probabilities: each training row has one for each class, in the order of the columns."""

    classes: np.ndarray
    factors: None = None

    @classmethod
    def of(cls, p, names):
        """Return the classes of probabilities p (n, k), whose columns have these names; None: 0, 1, 2 ..."""
        if names is None:
            return cls(np.arange(p.shape[1]))
        if any(isinstance(name, str) for name in names):
            return cls(np.array([str(name) for name in names], dtype=object))
        return cls(np.array(names))

    def encode(self, y):
        """Return probabilities (n, k) float32, also of labels (n,)."""
        if y.ndim == 2:
            if y.shape[1] != len(self.classes):
                raise ValueError(f"y has {y.shape[1]} columns: training had {len(self.classes)} classes.")
            return y.astype(np.float32)
        places = {label: place for place, label in enumerate(self.classes.tolist())}
        unknown = [label for label in y.tolist() if label not in places]
        if unknown:
            raise ValueError(f"y holds {unknown[0]!r}, which training did not see.")
        return np.eye(len(places), dtype=np.float32)[[places[label] for label in y.tolist()]]

    def weigh(self, targets, weight):
        """Return the weights (n,), or None where all count the same."""
        return weight

    def get_state(self):
        """Return what `Classes.from_state` needs, ready for JSON: prediction knows no difference."""
        return Classes(self.classes).get_state()
