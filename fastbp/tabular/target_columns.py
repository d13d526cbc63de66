"""Columns of a table that are the target: whoever leaves one among the features gets scores that say nothing."""

from __future__ import annotations

from itertools import compress
from numbers import Real

import numpy as np
from sklearn.utils import _safe_indexing

from fastbp.tabular.columns import as_frame
from fastbp.tabular.sparsetable import is_sparse

# Tables of fewer rows are toys: there a column may agree by chance, or because somebody tries things out.
FEWEST_ROWS = 50
# So many rows are compared before a whole column is.
COMPARED = 64


def target_columns(X, y, kept, used, is_classes):
    """Return a line for each column of X that is a target, or tells one.

    Parameters
    ----------
    X : DataFrame, array, list of rows or sparse matrix
    y : Series, DataFrame, dict or array-like (n,) or (n, t)
        As the user gave it.
    kept : array (n,) of bool
        The rows of y that X has.
    used : set of str
        The columns that are features, by the encoder's names.
    is_classes : bool
        Are labels compared by which rows have the same one?  So 0 and 1 beside "no" and "yes" are found.
    """
    targets = [(name, list(compress(values, kept))) for name, values in _targets(y)]
    if not targets or len(targets[0][1]) < FEWEST_ROWS:
        return []
    if not (hasattr(X, "columns") or is_sparse(X)):
        X = np.array(X, dtype=object) if isinstance(X, list) else np.asarray(X)
    names = as_frame(X).columns if hasattr(X, "columns") else [f"x{i}" for i in range(X.shape[1])]
    rows = np.unique(np.linspace(0, len(targets[0][1]) - 1, COMPARED).astype(np.intp))
    some, whole = _columns(_safe_indexing(X, rows)), _columns(X)
    lines = {}
    for place, name in enumerate(names):
        for target, values in targets if name in used else ():
            agree = _agreement(name == target, is_classes and len(targets) == 1)
            if agree(some(place), [values[row] for row in rows]) and agree(whole(place), values):
                lines.setdefault(name, _line(name, name == target))
    return list(lines.values())


def _agreement(same_name, is_classes):
    return _one_to_one if is_classes else _same_order if same_name else _equal


def _line(name, same_name):
    what = "is the target" if same_name else "tells the target of every row"
    return f"column {name!r} {what}: scores say nothing. Leave it out, unless it is known when you predict."


def _targets(y):
    """Return the name (or None) and the values, as a list, of each column of y."""
    if hasattr(y, "items") and not hasattr(y, "name"):
        frame = as_frame(y) if hasattr(y, "columns") else None
        pairs = y.items() if frame is None else [(name, frame[name].to_list()) for name in frame.columns]
        return [(name, list(values)) for name, values in pairs]
    if hasattr(y, "columns"):  # of a library whose frames have no items
        frame = as_frame(y)
        return [(name, frame[name].to_list()) for name in frame.columns]
    array = y.toarray() if is_sparse(y) else np.asarray(y)
    if array.ndim == 1 or array.shape[1] == 1:
        return [(getattr(y, "name", None), array.ravel().tolist())]
    return [(None, column.tolist()) for column in array.T]


def _columns(X):
    """Return a function that gives the values of the column at a place, as a list."""
    if hasattr(X, "columns"):
        frame = as_frame(X)
        return lambda place: frame[frame.columns[place]].to_list()
    if is_sparse(X):
        return lambda place: X[:, [place]].toarray().ravel().tolist()
    return lambda place: X[:, place].tolist()


def _equal(one, other):
    """Are two lists the same, entry by entry, or missing in the same places?"""
    for a, b in zip(one, other, strict=True):
        gone = _is_missing(a)
        if gone != _is_missing(b) or not (gone or a == b):
            return False
    return True


def _is_missing(value):
    return value is None or type(value).__name__ == "NAType" or value != value


def _same_order(one, other):
    """Are two lists of numbers the same, or is one a rising or falling function of the other, such as its log?"""
    if _equal(one, other):
        return True
    if not all(isinstance(value, Real) and value == value for value in [*one, *other]):
        return False
    if not _one_to_one(one, other):
        return False
    along = np.asarray(other, float)[np.argsort(np.asarray(one, float), kind="stable")]
    return bool((np.diff(along) >= 0).all() or (np.diff(along) <= 0).all())


def _one_to_one(one, other):
    """Does each value of a list stand beside one value of the other, and the other way round?"""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))
