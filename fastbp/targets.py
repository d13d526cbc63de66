"""Targets at the Python border: from what users give to C-contiguous rows (n, t) in the model's dtype."""

import numpy as np


def _numbers(y, dtype):
    """Return `y` as an array of finite numbers of any shape, in `dtype`; the error names the first bad value."""
    y = np.asarray(y)
    if y.dtype.kind in "cmM":
        raise ValueError(f"y must hold real numbers, not {y.dtype}.")
    if y.dtype.kind not in "bifu":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError):
            example = next((v for v in y.ravel().tolist() if not isinstance(v, int | float)), y.ravel()[:1])
            raise ValueError(
                f"y must hold numbers, but has {example!r}: turn labels into 0, 1, 2 ... first "
                "(numpy.unique(y, return_inverse=True)[1])."
            ) from None
    with np.errstate(over="ignore"):
        numbers = y.astype(dtype, copy=False)
    if numbers.size == 0:
        raise ValueError(f"y is empty: its shape is {y.shape}.")
    if not np.isfinite(numbers).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise ValueError(f"y{list(place)} is {y[place]}: targets must be finite; drop or fill such rows.")
    return numbers


def dense_targets(y, n_out, dtype):
    """Return numbers as (n, k): one column for each output."""
    y = _numbers(y, dtype)
    if y.ndim == 1:
        y = y[:, None]
    if y.ndim != 2 or y.shape[1] != n_out:
        raise ValueError(
            f"y has shape {y.shape}; a model with {n_out} output{'s' if n_out > 1 else ''} takes (n, {n_out})"
            f"{' or (n,)' if n_out == 1 else ''}. Give the last layer as many units as y has columns."
        )
    return np.ascontiguousarray(y)


def bounded_targets(y, n_out, dtype, low, high, meaning):
    """Return `dense_targets` whose values all lie in [low, high]."""
    y = dense_targets(y, n_out, dtype)
    if y.min() < low or y.max() > high:
        bad = y[(y < low) | (y > high)][0]
        raise ValueError(f"y holds {bad:g}, but {meaning}.")
    return y


def class_targets(y, n_out, dtype):
    """Return class numbers 0 .. k-1 as (n, 1)."""
    y = _numbers(y, dtype)
    if y.ndim == 2 and y.shape[1] == n_out and n_out > 1:
        raise ValueError(
            f'y has shape {y.shape}, which looks one-hot: use loss="categorical_crossentropy", or y.argmax(1).'
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y has shape {y.shape}; class numbers have shape (n,).")
    if (y != np.floor(y)).any():
        raise ValueError(f"y holds {y[y != np.floor(y)][0]:g}: class numbers are whole numbers from 0 to {n_out - 1}.")
    if y.min() < 0 or y.max() >= n_out:
        bad = y[(y < 0) | (y >= n_out)][0]
        raise ValueError(
            f"y holds class {bad:g}, but the model has {n_out} outputs, for classes 0 to {n_out - 1}: give the last "
            "layer one unit a class, and number classes from 0."
        )
    return np.ascontiguousarray(y[:, None])
