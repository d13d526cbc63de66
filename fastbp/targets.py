"""Targets at the Python border: from what users give to C-contiguous rows (n, t) in the model's dtype."""

import numpy as np


def _numbers(y, dtype):
    """Return `y` as an array of finite numbers of any shape, in `dtype`; the error names the first bad value."""
    y = np.asarray(y)
    if y.dtype.kind in "cmM":
        raise ValueError(f"y must hold real numbers, not {y.dtype}.")
    if y.dtype.kind not in "bifu":
        y = _from_objects(y)
    with np.errstate(over="ignore"):
        numbers = y.astype(dtype, copy=False)
    if numbers.size == 0:
        raise ValueError(f"y is empty: its shape is {y.shape}.")
    finite = np.isfinite(numbers)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        too_large = f" (too large for {np.dtype(dtype)})" if np.isfinite(y[place]) else ""
        raise ValueError(f"y{list(place)} is {y[place]}{too_large}: targets must be finite; drop or fill such rows.")
    return numbers


def _from_objects(y):
    """Return objects or strings that all are numbers as float64."""
    if y.dtype.kind in "OSU":
        try:
            return y.astype(np.float64)
        except (TypeError, ValueError):
            pass
    example = next((v for v in y.ravel().tolist() if not _is_number(v)), y.dtype)
    raise ValueError(
        f"y must hold numbers, but has {example!r}: turn labels into 0, 1, 2 ... first "
        "(numpy.unique(y, return_inverse=True)[1])."
    )


def _is_number(value):
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def table_targets(y, dtype):
    """Return numbers as (n, t), for any number of columns."""
    y = _numbers(y, dtype)
    if y.ndim not in (1, 2):
        raise ValueError(f"y has shape {y.shape}: targets have shape (n,) or (n, columns).")
    return np.ascontiguousarray(y.reshape(len(y), -1))


def dense_targets(y, n_out, dtype):
    """Return numbers as (n, k): one column for each output."""
    table = table_targets(y, dtype)
    if table.shape[1] != n_out:
        raise ValueError(
            f"y has shape {np.shape(y)}; a model with {n_out} output{'s' if n_out > 1 else ''} takes (n, {n_out})"
            f"{' or (n,)' if n_out == 1 else ''}. Give the last layer as many units as y has columns."
        )
    return table


def bounded_targets(y, n_out, dtype, low, high, meaning):
    """Return `dense_targets` whose values all lie in [low, high]."""
    y = dense_targets(y, n_out, dtype)
    if y.min() < low or y.max() > high:
        bad = y[(y < low) | (y > high)][0]
        raise ValueError(f"y holds {bad:g}, but {meaning}.")
    return y


def one_hot_targets(y, n_out, dtype):
    """Return class probabilities as (n, k)."""
    shape = np.shape(y)
    if n_out > 1 and (len(shape) == 1 or shape[1:] == (1,)):
        raise ValueError(
            f'y has shape {shape}: for class numbers use loss="sparse_categorical_crossentropy"; '
            f"categorical_crossentropy takes one-hot rows (n, {n_out})."
        )
    return bounded_targets(y, n_out, dtype, 0, 1, "categorical_crossentropy takes probabilities from 0 to 1")


def class_targets(y, n_out, dtype):
    """Return class numbers 0 .. k-1 as (n, 1)."""
    table = table_targets(y, dtype)
    if table.shape[1] != 1:
        hint = ', which looks one-hot: use loss="categorical_crossentropy", or y.argmax(1)'
        raise ValueError(
            f"y has shape {np.shape(y)}{hint if table.shape[1] == n_out else '; class numbers have shape (n,)'}."
        )
    broken = table != np.floor(table)
    if broken.any():
        raise ValueError(f"y holds {table[broken][0]:g}: class numbers are whole numbers from 0 to {n_out - 1}.")
    if table.min() < 0 or table.max() >= n_out:
        bad = table[(table < 0) | (table >= n_out)][0]
        raise ValueError(
            f"y holds class {bad:g}, but the model has {n_out} outputs, for classes 0 to {n_out - 1}: give the last "
            "layer one unit a class, and number classes from 0."
        )
    # A copy: kernels index with class numbers, and whoever has the user's array may change it.
    return table.copy() if np.may_share_memory(table, y) else table
