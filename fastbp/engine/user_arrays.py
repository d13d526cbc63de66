"""The border between the user's arrays and the kernels: checks, conversions, weights, splits."""

import math
import sys

import numpy as np

from fastbp.settings.user_warnings import warn


def held(x):
    """Return a view of an array, or what is none as it is: whoever has the array may change its shape meanwhile."""
    return x.view() if isinstance(x, np.ndarray) else x


def has_masked(values):
    """Has an array of `numpy.ma`, or a list of such arrays, masked entries?"""
    if isinstance(values, list | tuple):
        return any(_is_masked_array(value) and np.ma.is_masked(value) for value in values)
    return _is_masked_array(values) and bool(np.ma.is_masked(values))


def _is_masked_array(values):
    """Is it an array of `numpy.ma`?  Only whoever has imported that (in 10 ms) can have one."""
    return "numpy.ma" in sys.modules and isinstance(values, np.ma.MaskedArray)


def refuse_masked(**arrays):
    """Raise ValueError where an array-like has masked entries: NumPy would take what stands beneath the mask."""
    for name, values in arrays.items():
        if has_masked(values):
            raise ValueError(
                f"{name} is a masked array, and some entries are masked: write {name}.filled(...), or leave out rows."
            )


def real_array(values, name):
    """Return an array-like as an array, or raise ValueError where it is masked or its numbers are not real."""
    refuse_masked(**{name: values})
    array = np.asarray(held(values))
    if array.dtype.kind in "cmM":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}.")
    return array


def as_float_rows(x, dtype, name="x", shape=None):
    """Return `x` as a C-contiguous array (n, ...) in `dtype`: itself if it is one, else one copy.

    Parameters
    ----------
    x : array-like (n, d) or (n, ...)
        Numbers; a memory map of the right dtype is used in place.
    dtype : numpy dtype
    name : str
        For messages.
    shape : tuple of int, optional
        The shape of a row that the model was built for; None takes any.

    Raises
    ------
    ValueError
        If `x` does not hold numbers or its rows have another shape.
    """
    ready = isinstance(x, np.ndarray) and x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned
    if not ready or _is_masked_array(x):
        x = _converted(x, dtype, name)
    dimensions = 2 if shape is None else 1 + len(shape)
    if x.ndim < 2 or (shape is not None and x.ndim != dimensions):
        hint = " Write x[:, None] for one column, or x[None, :] for one row." if x.ndim == 1 else ""
        axes = "(rows, columns)" if dimensions == 2 else f"(rows, {', '.join(map(str, shape))})"
        raise ValueError(f"{name} must have {dimensions} dimensions, {axes}; it has shape {x.shape}.{hint}")
    if shape is not None and x.shape[1:] != shape:
        if len(shape) == 1:
            raise ValueError(f"{name} has {x.shape[1]} columns; the model takes {shape[0]}.")
        raise ValueError(f"{name} has rows of shape {x.shape[1:]}; the model takes {shape}.")
    return x


def _converted(x, dtype, name):
    """Return a C-contiguous copy in `dtype` of anything that holds real numbers."""
    if hasattr(x, "toarray"):
        raise ValueError(f"{name} is a sparse matrix: write {name}.toarray().")
    try:
        if has_masked(x):
            raise TypeError("some entries are masked")
        x = np.asarray(x)
        if x.dtype.kind in "cmM":
            raise TypeError(f"it holds {x.dtype}")
        with np.errstate(over="ignore"):
            return np.require(x, dtype, "CA")
    except (TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{name} must be a table of numbers: {reason}. Encode text, dates and categories.") from None


def all_finite(array):
    """Are all entries of an array finite?"""
    # To count them takes 0.6 us where they are few, `all()` 1.1, a sum that is finite only if they are 2.1; 670,000
    # entries take 55, 45 and 92 us.
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)


def check_rows(x, name="x"):
    """Raise ValueError where `x` (n, ...) is empty or has an entry that is not finite, naming the first."""
    if x.size == 0:
        raise ValueError(f"{name} is empty: its shape is {x.shape}.")
    # 4,096 rows at a time: the answers stay in the cache, and a memory map is not copied.
    for start in range(0, len(x), 4096):
        part = x[start : start + 4096]
        if not all_finite(part):
            row, *entry = (int(i) for i in np.argwhere(~np.isfinite(part))[0])
            value = part[row, *entry]
            raise ValueError(
                f"{name}{[start + row, *entry]} is {value} (or too large for {x.dtype}): fill missing values "
                "and scale the columns first."
            )


def sample_weights(sample_weight, n, dtype, name="sample_weight", entries=()):
    """Return the given weights of `n` rows, checked: in `dtype`, finite and not negative.

    Parameters
    ----------
    sample_weight : array-like (n,) or (n, *entries)
    n : int
    dtype : numpy dtype
    name : str
        For messages.
    entries : tuple of int
        The axes of a row of outputs that have weights of their own (time steps).

    Returns
    -------
    array (n,), or (n, e) where e is the product of `entries`, if there are any
    """
    try:
        weights = real_array(sample_weight, name)
        weights = np.ascontiguousarray(weights, dtype)
    except (TypeError, ValueError) as error:
        reason = str(error) if name in str(error) else f"{name} must hold numbers only: {error}."
        raise ValueError(reason) from None
    shape, whole = np.shape(sample_weight), (n, *entries)
    if shape not in ((n,), whole) and not (entries and shape in ((n, 1), (*whole, 1))):
        or_entries = f" or {whole}, one for each time step" if entries else ""
        raise ValueError(f"{name} must have shape ({n},), one for each row{or_entries}; it has {shape}.")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        bad = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise ValueError(f"{name} holds {bad}: weights are finite and not negative.")
    if not entries:
        return weights
    return np.ascontiguousarray(np.broadcast_to(weights.reshape(n, -1), (n, math.prod(entries))))


def class_weights(class_weight, y, n, dtype, entries=1, soft=False, mask=None):
    """Return the weight of each entry's class in `n` rows: (n, entries), or (n,) where a row is one entry.

    Parameters
    ----------
    class_weight : dict {class: weight} or "balanced"
        A class that is not named weighs 1; of one that is named and that y does not have, a warning tells. "balanced":
        each class weighs n / (classes * entries of the class), of the entries that count, as in scikit-learn.
    y : array (n, ...)
        Class labels, or one-hot rows, of each entry of a row: numbers.
    n : int
    dtype : numpy dtype
    entries : int, default 1
    soft : bool, default False
        Whether y may hold shares of classes. The largest share of a row tells its class, as in Keras.
    mask : bool array (n, entries), optional
        Which entries count.

    Raises
    ------
    ValueError
        Where y does not hold classes.
    """
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if not balanced and not isinstance(class_weight, dict):
        raise TypeError(f'class_weight is a dict {{class: weight}} or "balanced", not {class_weight!r}.')
    labels = class_labels(np.reshape(y, (n * entries, -1)), soft)
    if balanced:
        class_weight = balanced_weights(labels if mask is None else labels[mask.ravel()])
    weights = np.ones(labels.shape, dtype)
    for label, weight in class_weight.items():
        if not isinstance(label, int | float | np.number | np.bool_):
            raise ValueError(f"class_weight has the key {label!r}: its keys are class numbers, as in y.")
        if not isinstance(weight, int | float | np.number) or not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"class_weight[{label!r}] is {weight!r}: weights are finite numbers and not negative.")
        weights[labels == label] = weight
    tell_unknown_classes(class_weight, np.unique(labels).tolist())
    return weights.reshape(n, entries) if entries > 1 else weights


def balanced_weights(labels):
    """Return {class: weight} of labels (m,), by which all classes weigh the same and the mean weight is 1.

    Examples
    --------
    >>> balanced_weights(np.array([0, 0, 0, 1]))
    {0: 0.6666666666666666, 1: 2.0}
    """
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), (len(labels) / (len(classes) * counts)).tolist(), strict=True))


def tell_unknown_classes(class_weight, classes):
    """Warn of classes that `class_weight` names and that are not among those of y, a list."""
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        shown = ", ".join(map(repr, classes[:10])) + ", ..." * (len(classes) > 10)
        warn(f"class_weight names {unknown}, which y does not have; its classes: {shown}.")


def class_labels(y, soft):
    """Return the classes (m,) of labels (m, 1), of one-hot rows (m, k), or, if `soft`, of shares (m, k)."""
    advice = "class_weight weighs rows by their class; weigh others with sample_weight."
    if y.shape[1] > 1:
        one_hot = ((y == 0) | (y == 1)).all(axis=1) & (np.count_nonzero(y, axis=1) == 1)
        if not (soft or one_hot.all()):
            raise ValueError(f"y has the row {y[~one_hot][0].tolist()}, which is no one-hot row of a class: {advice}")
        return y.argmax(axis=1)
    labels = y[:, 0]
    broken = labels != np.floor(labels)
    if broken.any():
        raise ValueError(f"y holds {labels[broken][0]:g}, which is no class: {advice}")
    return labels


def check_same_length(n, **arrays):
    """Raise ValueError where an array does not have `n` rows."""
    for name, array in arrays.items():
        if type(array) is np.ndarray and array.ndim and len(array) == n:
            continue
        if np.ndim(array) == 0:
            raise ValueError(f"{name} must be an array with {n} rows, not {np.asarray(array).item()!r}.")
        if len(array) != n:
            raise ValueError(f"x has {n} rows, {name} has {len(array)}: they must be the same.")


def rows_kept(share, n):
    """Return how many of `n` rows are left to train on when the last `share` of them validates, as in Keras."""
    if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 < share < 1:
        raise ValueError(f"validation_split={share!r}: it is a share above 0 and below 1.")
    kept = int(n * (1 - share))
    if kept < 1 or kept == n:
        raise ValueError(
            f"validation_split={share} of {n} row{'s' if n > 1 else ''} leaves one part empty: give more rows."
        )
    return kept


def validation_parts(validation_data):
    """Return x, y and the weights (or None) of `validation_data`."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        found = f"{len(validation_data)} parts" if isinstance(validation_data, tuple | list) else type(validation_data)
        raise ValueError(f"validation_data is a tuple (x, y) or (x, y, sample_weight), not {found}.")
    return (*validation_data, None)[:3]


def as_table(values, name="y"):
    """Return array-likes and frames as arrays; anything with rows can then be sliced."""
    if type(values) is np.ndarray:
        return values.view()
    refuse_masked(**{name: values})
    return np.asarray(values)
