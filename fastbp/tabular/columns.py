"""The border of the package: tables of any library, and their columns as plain numbers.

A column is a narwhals Series (of a pandas, polars or pyarrow table) or a NumPy vector of numbers (of an array).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastbp.settings.naming import nearest
from fastbp.tabular.errors import TableError
from fastbp.tabular.object_columns import SECONDS, settle
from fastbp.tabular.pandastable import PandasTable
from fastbp.tabular.sparsetable import SparseTable, is_sparse


class Useless(TableError):
    """Why a column says nothing to a network; encoders leave it out."""


class ArrayTable:
    """An array (n, d) of numbers, read like a narwhals DataFrame; its columns are called "x0", "x1" and so on."""

    def __init__(self, array):
        self.array = array
        self.columns = [f"x{i}" for i in range(array.shape[1])]

    def __len__(self):
        return len(self.array)

    def __getitem__(self, name):
        return self.array[:, int(name[1:])]


def as_table(data):
    """Return a table with `columns`, a length, and columns by name; and whether the names are the user's.

    Parameters
    ----------
    data : DataFrame of pandas, polars, pyarrow; array or list of rows; sparse matrix; dict of columns, list of records

    Raises
    ------
    TableError
        It is none of these, has no rows or no columns, or two columns of one name.
    """
    table, named = _table(data)
    shape = (len(table), len(table.columns))
    for size, what in zip(shape, ("sample", "feature"), strict=True):
        if size == 0:  # in scikit-learn's words, which its checks of estimators look for
            raise TableError(f"Found a table with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
    return table, named


def has_names(data):
    """Does a table have names that are text?  (Those of a pandas frame may be numbers, which are places.)"""
    return any(isinstance(name, str) for name in getattr(data, "columns", ()))


def with_rows(data):
    """Return a dict of columns or a list of records (dicts) as a pandas DataFrame, anything else as it is.

    A sparse matrix comes back in a format that can be indexed by rows.
    """
    if is_sparse(data):  # those of keys are mappings
        return data if data.format in ("csr", "csc") else data.tocsr()
    is_records = isinstance(data, list) and len(data) > 0 and all(isinstance(row, Mapping) for row in data)
    if not (is_records or isinstance(data, Mapping)):
        return data
    import pandas as pd

    try:
        return pd.DataFrame(data)
    except ValueError as error:
        if isinstance(data, Mapping) and all(np.ndim(values) == 0 for values in data.values()):
            raise TableError(
                "this dict holds one value for each column, not a list: write [row] for one row."
            ) from None
        raise TableError(f"this dict of columns is no table: {error}.") from None


def _table(data):
    data = with_rows(data)
    if is_sparse(data):
        return SparseTable(data), False
    if isinstance(data, list) or (hasattr(data, "__array__") and not hasattr(data, "columns")):
        return _array_table(data)
    return _read_by_blocks(as_frame(data)), True


def _read_by_blocks(frame):
    return PandasTable(frame) if frame.implementation.is_pandas() else frame


def _array_table(data):
    """Return the table of an array or a list of rows; values that are no numbers go through pandas."""
    if np.ma.isMaskedArray(data):
        data = data.astype(np.float64).filled(np.nan)
    try:
        array = np.asarray(data)
    except ValueError as error:  # rows of different lengths
        raise TableError(f"this list is no table: {error}.") from None
    if array.dtype.kind == "c":
        raise TableError("Complex data not supported: give the real and the imaginary part a column each.")
    if array.dtype.names:
        raise TableError("a structured array is no table that can be used: write pandas.DataFrame(x).")
    if array.ndim != 2:
        raise TableError(
            f"Expected 2D array, got {array.ndim}D array instead: its shape is {array.shape}. Reshape your data: "
            "x[:, None] is one column, x[None, :] one row."
        )
    if array.dtype.kind in "biuf":
        return ArrayTable(array), False
    import pandas as pd

    rows = np.array(data, dtype=object) if isinstance(data, list) else array  # numbers in a list with text are numbers
    return _read_by_blocks(as_frame(pd.DataFrame(rows, columns=[f"x{i}" for i in range(array.shape[1])]))), False


def as_frame(frame):
    """Return a DataFrame (pandas, polars, pyarrow) as a narwhals one whose column names are strings."""
    import narwhals as nw

    try:
        frame = nw.from_native(frame, eager_only=True)
        names = [str(name) for name in frame.columns]
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise TableError(f"this is no table that can be used: {' '.join(str(error).split())}") from None
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise TableError(f"there are two columns named {twice[0]!r}.")
    library = frame.implementation
    if library.is_polars() or library.is_pyarrow():
        return frame
    return nw.from_native(settle(frame.to_pandas(), names), eager_only=True)


def take_column(frame, name):
    """Return the column `name` of a narwhals frame; a wrong name is an error that says the nearest."""
    if name not in frame.columns:
        raise TableError(f"there is no column {name!r}.{nearest_name(name, frame.columns)}")
    return frame[name]


def target_names(text, columns):
    """Return the names of the targets that a text names: one column, or several with commas between them.

    Examples
    --------
    >>> target_names("a, b", ["a", "b", "c"]), target_names("a, b", ["a, b", "c"])
    (['a', 'b'], ['a, b'])
    """
    if text in columns or "," not in text:
        return [text]
    names = [name if name in columns else name.strip() for name in text.split(",")]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise TableError(f"the target {twice!r} is named twice.")
    return names


def nearest_name(name, names):
    """Return " Did you mean 'x'?" for the closest of `names`, or an empty string."""
    same = [other for other in names if other.strip().lower() == name.strip().lower()]
    return nearest(name, names) if not same else f" Did you mean {same[0]!r}?"


def column_kind(column):
    """Return "number", "boolean", "date", "text" or "other" (lists, structs ...).

    Durations and times of day are numbers: seconds.  A column of nulls without a type is one of numbers.
    """
    dtype = column.dtype
    if isinstance(column, np.ndarray):
        return "boolean" if dtype.kind == "b" else "number"
    import narwhals as nw

    if dtype == nw.Boolean:
        return "boolean"
    if dtype in (nw.Datetime, nw.Date):
        return "date"
    if dtype.is_numeric() or dtype in (nw.Duration, nw.Time):
        return "number"
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "text"
    if dtype == nw.Object and column.implementation.is_pandas():
        return "text"  # of different types, or `settle` had made it a better one
    return "number" if all_missing(column) else "other"


def all_missing(column):
    """Tell whether a column holds nulls and NaN only, of whatever type."""
    return bool(is_missing(column).all())


def is_integer(column):
    """Tell whether a Series holds integers that NumPy has, too."""
    return column.dtype.is_integer() and "128" not in str(column.dtype)


def type_name(column):
    """Return the name of a column's type, in its library's words where narwhals has none."""
    native = column if isinstance(column, np.ndarray) else column.to_native()
    return str(getattr(native, "dtype", column.dtype))


def is_missing(column):
    """Return a boolean array: which values of a column are null or NaN."""
    if isinstance(column, np.ndarray):
        return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    missing = column.is_null().to_numpy().astype(bool)
    if column.dtype.is_float():
        missing |= column.is_nan().fill_null(True).to_numpy().astype(bool)
    return missing


def to_numbers(column):
    """Return a column that is no text as float64, NaN where a value is missing.

    Durations are seconds, times of day seconds since midnight, dates seconds since 1970.  Whole numbers beyond 2**53
    are rounded to 53 bits.
    """
    if isinstance(column, np.ndarray):
        return column.astype(np.float64)
    import narwhals as nw

    dtype = column.dtype
    if all_missing(column):
        return np.full(len(column), np.nan)
    if dtype in (nw.Datetime, nw.Date):
        return _floats(column.dt.timestamp("us")) / 1e6
    if dtype == nw.Duration:
        return _spread(column, column.drop_nulls().to_numpy().astype("m8[us]").astype(np.int64)) / 1e6
    if dtype == nw.Time:
        return sum(factor * _floats(getattr(column.dt, part)()) for part, factor in SECONDS.items())
    return _floats(column)


def _floats(column):
    import narwhals as nw

    if is_integer(column):  # pyarrow refuses to round those beyond 2**53
        return _spread(column, column.drop_nulls().to_numpy())
    if column.dtype == nw.Decimal:  # polars turns 0.57 into 0.57 - 1e-16 on the straight way
        column = column.cast(nw.String)
    return column.cast(nw.Float64).to_numpy().astype(np.float64, copy=False)


def _spread(column, known):
    """Return the numbers of the rows that are not missing as float64 (n,), NaN elsewhere."""
    numbers = np.full(len(column), np.nan)
    numbers[~is_missing(column)] = known
    return numbers
