"""Checks of what a model file's description says: a file may be damaged or hostile, like any other input.

Each function returns the value if it is right, and raises ValueError with its name if it is not.  `load_model` makes a
ModelFileError of that.
"""

import math

# Counters may be so large: more than any training makes, and far less than an int64 holds.
MOST = 2**53


def whole(value, name, low=0, high=MOST):
    """Return a whole number from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {_shown(value)}; it should be a whole number from {low} to {high}.")
    return value


def real(value, name, low=-math.inf, high=math.inf):
    """Return a number from low to high; neither NaN nor infinite."""
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} is {_shown(value)}; it should be a number from {low} to {high}.")
    return value


def number_or_none(value, name):
    """Return None or a number, which may be infinite or NaN: nothing computes with it."""
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{name} is {_shown(value)}; it should be a number.")
    return value


def flag(value, name):
    """Return True or False."""
    if type(value) is not bool:
        raise ValueError(f"{name} is {_shown(value)}; it should be true or false.")
    return value


def text(value, name, known=None):
    """Return a text, which must be one of those known if these are given."""
    if type(value) is not str or (known is not None and value not in known):
        raise ValueError(f"{name} is {_shown(value)}; it should be {'a text' if known is None else sorted(known)}.")
    return value


def listed(value, name, of, length=None):
    """Return a list of so many values; `of(value, name)` checks each."""
    if type(value) is not list or (length is not None and len(value) != length):
        many = "" if length is None else f" of {length} values"
        raise ValueError(f"{name} is {_shown(value)}; it should be a list{many}.")
    for one in value:
        of(one, f"an entry of {name}")
    return value


def shaped(array, name, shape, dtype):
    """Return a tensor if it has this dtype and this shape, in which None stands for any size."""
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits or array.dtype != dtype:
        found = f"{array.shape} ({array.dtype})"
        raise ValueError(f"the tensor {name!r} has shape {found}; it should be {shape} ({dtype}).")
    return array


def agree(what, found, expected):
    """Raise ValueError where two things that a file says are not the same."""
    if found != expected:
        raise ValueError(f"{what}: {_shown(found)} in one place of the file, {_shown(expected)} in another.")


def settings_in_range(value):
    """Raise ValueError where a whole number in a description of layers, losses and so on needs more than 64 bits."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif type(one) is int and abs(one) >= 2**63:
            raise ValueError(f"a setting is {_shown(one)}: it should be below 2**63.")


def _shown(value):
    """Return a value as text of at most 60 characters; a long number or list is shown by its kind."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of more digits than Python writes, a list in a list in ...
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
