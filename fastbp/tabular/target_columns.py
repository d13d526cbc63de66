"""Columns of a table that are the target: whoever leaves one among the features gets scores that say nothing."""

from __future__ import annotations

from functools import partial
from itertools import compress

import numpy as np

from fastbp.tabular.columns import as_frame


def target_columns(X, y, kept, used):
    """Return a line for each column of X that has the name and the values of a target.

    Parameters
    ----------
    X : DataFrame, array, list of rows or sparse matrix
        Only a DataFrame has names.
    y : Series, DataFrame, dict or array-like (n,) or (n, t)
        As the user gave it.
    kept : array (n,) of bool
        The rows of y that X has.
    used : set of str
        The columns that are features.
    """
    if not hasattr(X, "columns"):
        return []
    frame, lines = as_frame(X), []
    for name, values in _named_targets(y):
        if name in used and name in frame.columns and _equal(frame[name].to_list(), compress(values(), kept)):
            lines.append(f"column {name!r} is the target: scores say nothing. Leave it out of X.")
    return lines


def _named_targets(y):
    """Return the name of each target that has one, and a function that lists its values.

    A list of 10,000,000 numbers takes 0.3 GB, and few tables need it.
    """
    if hasattr(y, "columns"):
        frame = as_frame(y)
        return [(name, frame[name].to_list) for name in frame.columns]
    if isinstance(y, dict):
        return [(name, partial(list, values)) for name, values in y.items()]
    return [(y.name, lambda: np.asarray(y).tolist())] if isinstance(getattr(y, "name", None), str) else []


def _equal(one, other):
    """Are values the same, entry by entry, or missing in the same places?"""
    return all(_same(a, b) for a, b in zip(one, other, strict=True))


def _same(a, b):
    if _is_missing(a) or _is_missing(b):
        return _is_missing(a) and _is_missing(b)
    same = a == b
    # Of an array in a cell it is an array.
    return isinstance(same, bool | np.bool_) and bool(same)


def _is_missing(value):
    # The second is pandas' NA, which compares as neither the same nor another.
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)
