"""A column becomes codes and the texts of its distinct values, by its own library's hash table: no loop over rows."""

from decimal import Decimal

import numpy as np

from fastbp.tabular.columns import Useless, column_kind, is_integer, is_missing, to_numbers
from fastbp.tabular.errors import TableError

# Whole numbers within a range of this size are counted, which is faster than to sort them.
CLOSE = 1 << 16


def factorize(column):
    """Return the codes and the texts of a column of text, numbers or booleans.

    Whole numbers are written without a fraction, so that the category "3" is found again in a column which a
    missing value has turned into floats.

    Returns
    -------
    codes : (n,) int64
        -1 where a value is missing.
    texts : list of str
        Different from each other, in no promised order; some may stand in no row.

    Raises
    ------
    Useless
        The column holds lists, dicts or other objects without a hash.
    """
    if column_kind(column) != "text":
        return _factorize_numbers(column)
    library = column.implementation
    codes, values = (_polars if library.is_polars() else _pyarrow if library.is_pyarrow() else _pandas)(
        column.to_native()
    )
    if all(type(value) is str for value in values):
        return codes, values
    return _as_texts(codes, values)


def to_texts(column):
    """Return the values of a column as a list of str, None where missing."""
    try:
        codes, texts = factorize(column)
    except Useless as reason:
        raise TableError(f"column {column.name!r} cannot be used: {reason}.") from None
    return np.array([*texts, None], dtype=object)[codes].tolist()


def text_of(value):
    """Return a value as text, whole numbers without a fraction."""
    if isinstance(value, float | np.floating | Decimal):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def _pandas(series):
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.cat.codes.to_numpy().astype(np.int64), series.cat.categories.tolist()
    try:
        codes, values = pd.factorize(series)
    except TypeError as error:
        raise Useless(f"it holds values that are neither text nor numbers ({error})") from None
    return codes.astype(np.int64, copy=False), values.tolist()


def _polars(series):
    import polars as pl

    known = series.is_not_null().to_numpy()
    series = series.drop_nulls()
    physical = series.cast(pl.Categorical).to_physical() if series.dtype == pl.String else series.to_physical()
    # The numbers of polars' categories are those of all tables: they count from 0 here.
    distinct, codes = _unique(physical.to_numpy().astype(np.int64))
    row = np.empty(len(distinct), np.int64)
    row[codes] = np.arange(len(codes))  # a row of each
    return _spread(codes, known), series.gather(row).cast(pl.String).to_list()


def _pyarrow(chunked):
    import pyarrow as pa

    if not pa.types.is_dictionary(chunked.type):
        chunked = chunked.dictionary_encode()
    array = chunked.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunk, or of one in some releases
        array = array.chunk(0)
    return array.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False), array.dictionary.to_pylist()


def _factorize_numbers(column):
    known = ~is_missing(column)
    values = _known_numbers(column, known)
    distinct, inverse = _unique(values)
    codes = _spread(inverse, known)
    if column_kind(column) == "boolean":
        return codes, [str(bool(value)) for value in distinct]
    return codes, [text_of(value) for value in (_as_written(distinct) if _is_single(column) else distinct.tolist())]


def _is_single(column):
    """Does a column hold floats of fewer bits than Python's?"""
    return str(column.dtype).lower() in ("float32", "float16")


def _as_written(values):
    """Return float32 values (n,) as the shortest decimals that stand for them: 1.1, not 1.100000023841858."""
    return [float(str(value)) for value in values.astype(np.float32)]


def _spread(codes, known):
    """Return codes for all rows (n,): those of the known rows, and -1 for the others."""
    spread = np.full(len(known), -1)
    spread[known] = codes
    return spread


def _known_numbers(column, known):
    """Return the known values as int64, uint64 or float64: floats would confuse integers above 2**53."""
    if isinstance(column, np.ndarray):
        values = column[known]
    elif is_integer(column):
        values = column.drop_nulls().to_numpy()
    else:
        values = to_numbers(column)[known]
    kind = values.dtype.kind
    return values.astype(np.float64 if kind == "f" else values.dtype if values.dtype == np.uint64 else np.int64)


def _unique(values):
    """Return ``numpy.unique(values, return_inverse=True)``, in linear time where whole numbers lie close together."""
    if len(values):
        low = values.min()
        if values.max().item() - low.item() <= CLOSE:
            offsets = (values - low).astype(np.int64)
            if np.array_equal(low + offsets.astype(values.dtype), values):
                present = np.bincount(offsets) > 0
                return low + np.flatnonzero(present).astype(values.dtype), (np.cumsum(present) - 1)[offsets]
    return np.unique(values, return_inverse=True)


def _as_texts(codes, values):
    """Return the codes for the values' texts: 1 and "1" become one, a null among the values becomes -1."""
    texts, place = {}, []
    for value in values:
        place.append(-1 if value is None or value != value else texts.setdefault(text_of(value), len(texts)))
    return np.array([*place, -1])[codes], list(texts)
