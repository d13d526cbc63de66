"""The border between the user's arrays and the kernels: checks, conversions, weights, splits."""

import numpy as np


def as_float_rows(x, dtype, name="x", columns=None):
    """Return `x` as a C-contiguous array (n, d) in `dtype`: itself if it is one, else one copy.

    Parameters
    ----------
    x : array-like (n, d)
        Numbers; a memory map of the right dtype is used in place.
    dtype : numpy dtype
    name : str
        For messages.
    columns : int, optional
        The `d` that the model was built for.

    Raises
    ------
    ValueError
        If `x` is not a table of numbers or has another number of columns.
    """
    if not (isinstance(x, np.ndarray) and x.dtype == dtype and x.flags.c_contiguous):
        try:
            with np.errstate(over="ignore"):
                x = np.ascontiguousarray(x, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold numbers only: {error}. Encode text columns first.") from None
    if x.ndim != 2:
        hint = " Write x[:, None] for one column, or x[None, :] for one row." if x.ndim == 1 else ""
        raise ValueError(f"{name} must have 2 dimensions, (rows, columns); it has shape {x.shape}.{hint}")
    if columns is not None and x.shape[1] != columns:
        raise ValueError(f"{name} has {x.shape[1]} columns; the model takes {columns}.")
    return x


def check_rows(x, name="x"):
    """Raise ValueError where `x` (n, d) is empty or has an entry that is not finite, naming the first."""
    if x.size == 0:
        raise ValueError(f"{name} is empty: its shape is {x.shape}.")
    # A sum that is finite needs no second pass; 4,096 rows at a time keep the copies small.
    for start in range(0, len(x), 4096):
        part = x[start : start + 4096]
        if not np.isfinite(part).all():
            row, column = np.argwhere(~np.isfinite(part))[0]
            value = part[row, column]
            raise ValueError(
                f"{name}[{start + row}, {column}] is {value} (or too large for {x.dtype}): fill missing values "
                "and scale the columns first."
            )


def row_weights(sample_weight, class_weight, y, n, dtype):
    """Return the weight of each row (n,), or None where every row weighs 1.

    Parameters
    ----------
    sample_weight : array-like (n,), optional
        Not negative.
    class_weight : dict {class: weight}, optional
        For class labels (n,), or one-hot rows (n, k). A class that is not named weighs 1.
    y : array (n,) or (n, k)
    """
    weights = None
    if sample_weight is not None:
        weights = np.asarray(sample_weight, dtype)
        if weights.shape != (n,):
            raise ValueError(f"sample_weight must have shape ({n},), one for each row; it has {weights.shape}.")
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            bad = weights[~(np.isfinite(weights) & (weights >= 0))][0]
            raise ValueError(f"sample_weight holds {bad}: weights are finite and not negative.")
    if class_weight is not None:
        by_class = _class_weights(class_weight, y, n, dtype)
        weights = by_class if weights is None else weights * by_class
    return None if weights is None else np.ascontiguousarray(weights, dtype)


def _class_weights(class_weight, y, n, dtype):
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight is a dict {{class: weight}}, not {class_weight!r}.")
    y = np.asarray(y)
    labels = y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(n)
    weights = np.ones(n, dtype)
    for label, weight in class_weight.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"class_weight[{label!r}] is {weight}: weights are finite and not negative.")
        weights[labels == label] = weight
    return weights


def check_same_length(n, **arrays):
    """Raise ValueError where an array does not have `n` rows."""
    for name, array in arrays.items():
        if array is not None and len(array) != n:
            raise ValueError(f"x has {n} rows, {name} has {len(array)}: they must be the same.")


def split_validation(share, x, y, sample_weight):
    """Split off the last `share` of the rows, as Keras does: (train), (validation) triples of x, y, weight."""
    if not 0 < share < 1:
        raise ValueError(f"validation_split={share!r}: it is a share above 0 and below 1.")
    n = len(x)
    kept = int(n * (1 - share))
    if kept < 1 or kept == n:
        raise ValueError(f"validation_split={share} of {n} rows leaves one part empty: give more rows.")
    parts = []
    for rows in (slice(0, kept), slice(kept, n)):
        parts.append((x[rows], y[rows], None if sample_weight is None else np.asarray(sample_weight)[rows]))
    return parts


def as_table(values):
    """Return array-likes and frames as arrays; anything with rows can then be sliced."""
    return values if isinstance(values, np.ndarray) else np.asarray(values)
