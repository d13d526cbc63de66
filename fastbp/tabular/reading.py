"""Read a table from a file: CSV, gzipped CSV, or Parquet where pyarrow is installed.

What counts as missing
    The empty field.  In a column whose other fields are all numbers, the words in `MISSING_WORDS`
    ("NA", "nan", "?" ...) as well.  In a column of text they stay what they are: a category named
    "None" or "NA" is a category.

The kind of file is told by its content, not by its name.  The delimiter is the comma, unless the header
has none and has semicolons or tabs.
"""

import gzip
import os
import warnings
import zlib
from pathlib import Path

from fastbp.naming import nearest

MISSING_WORDS = frozenset({"NA", "N/A", "na", "n/a", "nan", "NaN", "NAN", "NULL", "null", "None", "?"})

_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"%PDF": "a PDF file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstandard file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class TableError(ValueError):
    """What is wrong with a table, in one line for the person who brought it."""


def read_table(path, text=()):
    r"""Read the table in a file.

    Parameters
    ----------
    path : str or path-like
        A CSV (UTF-8, with a header line), gzipped or not, or a Parquet file.
    text : collection of str, optional
        Names of columns to be read as text whatever they look like.  A model names here the columns
        that were text in training, so that the category "007" is not read as the number 7.

    Returns
    -------
    pandas.DataFrame
        At least one row and one column.

    Raises
    ------
    TableError
        There is no such file, or it holds no table.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.csv"
    >>> _ = path.write_text("age,city\n31,Rome\nNA,NA\n,Oslo\n")
    >>> read_table(path)["age"].tolist()
    [31.0, nan, nan]
    >>> read_table(path)["city"].tolist()
    ['Rome', 'NA', 'Oslo']
    """
    path = Path(path)
    start, gzipped = _first_bytes(path)
    if start.startswith(b"PAR1"):
        frame = _read_parquet(path)
    else:
        _refuse_binary(path, start)
        frame = _read_csv(path, _delimiter(start), "gzip" if gzipped else None, frozenset(text))
    if len(frame.columns) == 0 or len(frame) == 0:
        raise TableError(f"{path} has a header but no rows.")
    return frame


def _first_bytes(path, size=1 << 16):
    """Return the first bytes of a file, unpacked if it is gzipped, and whether it is."""
    try:
        with open(path, "rb") as file:
            start = file.read(size)
        gzipped = start.startswith(b"\x1f\x8b")
        if gzipped:
            with gzip.open(path) as file:
                start = file.read(size)
    except FileNotFoundError:
        raise TableError(f"there is no file {str(path)!r}.{_nearest_file(path)}") from None
    except IsADirectoryError:
        raise TableError(f"{path} is a folder, not a file.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path} is a damaged gzip file: {error}.") from None
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}.") from None
    if not start.strip():
        raise TableError(f"{path} is empty.")
    return start, gzipped


def _nearest_file(path):
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def _delimiter(start):
    header = start.lstrip().splitlines()[0]
    return "," if b"," in header else max(",;\t", key=lambda mark: header.count(mark.encode()))


def _read_csv(path, delimiter, compression, text):
    import pandas as pd

    options = {"sep": delimiter, "compression": compression, "encoding": "utf-8-sig"}
    options |= {"keep_default_na": False, "na_values": [""], "low_memory": False, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # pandas renames a column whose name comes twice, so the header is read as a row.
            _refuse_twins(path, pd.read_csv(path, header=None, nrows=1, dtype=str, **options).iloc[0].dropna())
            frame = pd.read_csv(path, dtype=dict.fromkeys(text, str), **options)
    except pd.errors.EmptyDataError:
        raise TableError(f"{path} is empty.") from None
    except pd.errors.ParserWarning:
        raise TableError(f"{path}: its rows have more fields than its header.") from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().split("C error: ")[-1]
        raise TableError(f"{path} is not a well-formed CSV: {reason}.") from None
    except UnicodeDecodeError:
        raise TableError(f"{path} is not UTF-8 text: save it as a CSV in UTF-8.") from None
    except (EOFError, zlib.error) as error:
        raise TableError(f"{path} is a damaged gzip file: {error}.") from None
    for name in frame.columns:
        if name not in text:
            frame[name] = _settled(frame[name])
    return frame


def _refuse_twins(path, names):
    """Raise where two columns have the same name."""
    twins = names[names.duplicated()]
    if len(twins):
        raise TableError(f"{path} has two columns named {twins.iloc[0]!r}.")


def _refuse_binary(path, start):
    """Raise where the first bytes are no text, saying what they look like."""
    for mark, kind in _OTHER_FORMATS.items():
        if start.startswith(mark):
            raise TableError(f"{path} is {kind}, not a CSV: save it as a CSV in UTF-8.")
    if b"\0" in start:
        raise TableError(f"{path} is a binary file, not a CSV.")


def _settled(column):
    """Return a column as numbers or as booleans where its fields, but for missing ones, are such."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):  # booleans included
        return column
    values = set(column.dropna().unique())
    if values and all(isinstance(value, bool) for value in values):
        return column.astype("boolean")  # True, False and empty fields: pandas leaves them as objects
    words = values & MISSING_WORDS
    if not words or values == words:
        return column
    try:
        pd.to_numeric(pd.Series(sorted(values - words, key=str)))
    except (ValueError, TypeError):
        return column
    return pd.to_numeric(column.where(~column.isin(words)))


def _read_parquet(path):
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        message = f'{path} is a Parquet file; to read it: pip install "fastbp[parquet]"'
        raise TableError(message) from None
    import pandas as pd

    try:
        return pd.read_parquet(path, engine="pyarrow").rename(columns=str)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        reason = " ".join(str(error).split()).rstrip(".")
        raise TableError(f"{path} is a damaged Parquet file: {reason}.") from None
