"""Targets at the Python border: what users give becomes C-contiguous rows (n, t) in the model's dtype."""

import math

import numpy as np


def as_numbers(y):
    """Return `y` as an array of real numbers; objects and text, which must all be numbers, become float64."""
    y = np.asarray(y)
    if y.dtype.kind in "cmM":
        raise ValueError(f"y must hold real numbers, not {y.dtype}.")
    return y if y.dtype.kind in "bifu" else _from_objects(y)


def _numbers(y, dtype):
    """Return `y` as an array of finite numbers of any shape, in `dtype`; the error names the first bad value."""
    y = as_numbers(y)
    numbers = y
    if y.dtype != dtype:
        with np.errstate(over="ignore"):
            numbers = y.astype(dtype)
    if numbers.size == 0:
        raise ValueError(f"y is empty: its shape is {y.shape}.")
    finite = np.isfinite(numbers)
    if np.count_nonzero(finite) < finite.size:
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        too_large = f" (too large for {np.dtype(dtype)})" if np.isfinite(y[place]) else ""
        raise ValueError(f"y{list(place)} is {y[place]}{too_large}: targets must be finite; drop or fill such rows.")
    return numbers


def _from_objects(y):
    """Return objects or strings, which must all be numbers, as float64."""
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


def prepared_targets(loss, y, network, dtype):
    """Return the targets of a network's outputs as the loss wants them, (n, t), in `dtype`.

    If outputs have several axes, such as (time steps, classes), every time step has a target: y has the shape of the
    outputs, or that shape without the last axis.
    """
    shape = network.loss_shape
    if len(shape) == 1 or loss.whole_rows:
        several = len(network.output_shape) > 1 and y.shape[1:] == network.output_shape
        return loss.prepare_targets(y.reshape(len(y), -1) if several else y, math.prod(shape), dtype)
    if y.shape[1:] not in (shape, shape[:-1], (*shape[:-1], 1), (math.prod(shape),)):
        steps = ", ".join(map(str, shape[:-1]))
        raise ValueError(
            f"y has shape {y.shape}; a model with outputs of shape {shape} takes (n, {steps}, {shape[-1]}), or "
            f"(n, {steps}) for class numbers and single outputs."
        )
    _numbers(y, dtype)  # its error names the place in y, which the reshaped entries have lost
    entries = y.reshape(len(y) * math.prod(shape[:-1]), -1)
    try:
        return loss.prepare_targets(entries, shape[-1], dtype).reshape(len(y), -1)
    except ValueError as error:
        raise ValueError(f"y of shape {y.shape}, taken entry by entry of outputs {shape}: {error}") from None


def beside_outputs(y, shape):
    """Return y in the shape of outputs (n, *shape); class numbers have that shape without the last axis."""
    if y.shape[1:] == shape or (y.shape[1:] == shape[:-1] and shape[-1] != 1):
        return y
    if y.size == len(y) * math.prod(shape):
        return y.reshape(len(y), *shape)
    if y.size == len(y) * math.prod(shape[:-1]):
        return y.reshape(len(y), *shape[:-1])
    return y


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
    codes = _whole_codes(y, n_out)
    if codes is not None:
        return codes.astype(dtype)
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
    # A copy, because kernels index with class numbers, and the user's array may be changed while they run.
    return table.copy() if np.may_share_memory(table, y) else table


def _whole_codes(y, n_out):
    """Return a copy (n, 1) of a column of whole numbers 0 .. k-1, or None where another check has to find the error.

    This check takes 1 us, all checks of numbers take 5.
    """
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or not y.dtype.isnative or not y.size:
        return None
    if y.ndim not in (1, 2) or len(y) != y.size:
        return None
    codes = y.reshape(-1, 1).copy()
    # As unsigned numbers, negative ones are large.
    return codes if np.maximum.reduce(codes.view(_UNSIGNED[codes.itemsize]), axis=None) < n_out else None


_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
