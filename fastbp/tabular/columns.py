"""One column of a DataFrame, of whatever library, as plain numbers or plain texts (through narwhals)."""

import numbers as abstract

import numpy as np

from fastbp._registry import nearest
from fastbp.tabular.reading import TableError


def as_frame(frame):
    """Return a DataFrame (pandas, polars, pyarrow) as a narwhals one whose column names are strings."""
    import narwhals as nw

    try:
        frame = nw.from_native(frame, eager_only=True)
        names = [str(name) for name in frame.columns]
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise TableError(f"this is no table that can be used: {' '.join(str(error).split())}") from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TableError(f"there are two columns named {twice[0]!r}.")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def take_column(frame, name):
    """Return the column `name` of a narwhals frame; a wrong name is an error that says the nearest."""
    if name not in frame.columns:
        raise TableError(f"there is no column {name!r}.{nearest_name(name, frame.columns)}")
    return frame[name]


def nearest_name(name, names):
    """Return " Did you mean 'x'?" for the closest of `names`, or an empty string."""
    same = [other for other in names if other.strip().lower() == name.strip().lower()]
    return nearest(name, names) if not same else f" Did you mean {same[0]!r}?"


def column_kind(column):
    """Return "number", "boolean", "text", or "other" (lists, bytes ...) for a narwhals Series.

    Dates, times and durations are numbers: seconds.  A pandas column of objects is what all of its
    values are, and text if they differ.
    """
    import narwhals as nw

    dtype = column.dtype
    if dtype == nw.Boolean:
        return "boolean"
    if dtype.is_numeric() or dtype.is_temporal():
        return "number"
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "text"
    if dtype != nw.Object:
        return "number" if dtype == nw.Unknown and len(column) == column.null_count() else "other"
    kinds = {type(value) for value in column.drop_nulls().to_list()}
    if kinds and kinds <= {bool, np.bool_}:
        return "boolean"
    if all(issubclass(kind, abstract.Number) and kind is not bool for kind in kinds):
        return "number"
    return "text"


def is_missing(column):
    """Return a boolean array: which values of a narwhals Series are null or NaN."""
    missing = column.is_null().to_numpy().astype(bool)
    if column.dtype.is_float():
        missing |= column.is_nan().fill_null(True).to_numpy().astype(bool)
    return missing


def to_numbers(column):
    """Return a column that is no text as float64, NaN where a value is missing; dates as seconds since 1970."""
    import narwhals as nw

    dtype, missing = column.dtype, is_missing(column)
    if dtype == nw.Object or dtype == nw.Unknown:
        values = column.to_list()
        return np.array([np.nan if gone else float(v) for v, gone in zip(values, missing, strict=True)])
    if dtype in (nw.Datetime, nw.Date):
        column = column.dt.timestamp("us")
    elif dtype == nw.Duration:
        column = column.dt.total_microseconds()
    elif dtype == nw.Time:
        raise TableError(f"column {column.name!r} holds times of day, which cannot be used: make them numbers.")
    numbers = column.cast(nw.Float64).to_numpy().astype(np.float64)  # a copy of our own
    if dtype.is_temporal():
        numbers /= 1e6
    numbers[missing] = np.nan
    return numbers


def to_texts(column):
    """Return the values of a column as a list of str, None where missing.

    Whole numbers are written without a fraction, so that the category "3" is found again in a column
    which a missing value has turned into floats.
    """
    missing = is_missing(column)
    texts = [value if type(value) is str else _text(value) for value in column.to_list()]
    for row in np.flatnonzero(missing):
        texts[row] = None
    return texts


def _text(value):
    if isinstance(value, (float, np.floating)) and value == value and float(value).is_integer():
        return str(int(value))
    return str(value)
