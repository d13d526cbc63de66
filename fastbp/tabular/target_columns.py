"""Columns of a table that are the target: whoever leaves one among the features gets scores that say nothing."""

from __future__ import annotations

from itertools import compress

import numpy as np
from sklearn.utils import _safe_indexing

from fastbp.tabular.columns import as_frame
from fastbp.tabular.sparsetable import is_sparse

# Of so many rows a column of two values agrees with a target of two by chance once in 2**19 times.
FEWEST_ROWS = 20
# So many rows are compared before a whole column is.
COMPARED = 64


def target_columns(X, y, kept, used, is_classes):
    """Return a line for each column of X that is a target, or has the name of one.

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
    names = as_frame(X).columns if hasattr(X, "columns") else [f"x{i}" for i in range(_width(X))]
    called = {str(name) for name, _ in targets if hasattr(X, "columns") and isinstance(name, str)}
    same = set()
    n = len(targets[0][1]) if targets else 0
    if n >= FEWEST_ROWS:
        agree = _one_to_one if is_classes and len(targets) == 1 else _equal
        same = _agreeing(X, names, [values for _, values in targets], used, agree)
    return [_line(name, name in same, name in called) for name in names if name in used and name in same | called]


def _agreeing(X, names, targets, used, agree):
    """Return the names of the used columns that agree with a target in all rows."""
    rows = np.unique(np.linspace(0, len(targets[0]) - 1, COMPARED).astype(np.intp))
    some, few = _columns(_safe_indexing(X, rows)), [[values[row] for row in rows] for values in targets]
    found = set()
    for place, name in enumerate(names):
        if name not in used:
            continue
        near = [values for values, own in zip(targets, few, strict=True) if agree(some(place), own)]
        if near and any(agree(column, values) for column in [_columns(X)(place)] for values in near):
            found.add(name)
    return found


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
    array = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
    return lambda place: array[:, place].tolist()


def _width(X):
    return X.shape[1] if hasattr(X, "shape") else len(X[0])


def _equal(one, other):
    """Are two lists the same, entry by entry, or missing in the same places?"""
    return all(a == b or (_is_missing(a) and _is_missing(b)) for a, b in zip(one, other, strict=True))


def _is_missing(value):
    return value is None or value != value


def _one_to_one(one, other):
    """Does each value of a list stand beside one value of the other, and the other way round?"""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


def _line(name, same, called):
    if same:
        what = "is the target" if called else "tells the target of every row"
        return f"column {name!r} {what}: scores say nothing. Leave it out, unless it is known when you predict."
    return f"column {name!r} has the name of y: if it is the target in other words, leave it out."
