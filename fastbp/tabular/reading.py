"""Read a table from a file: CSV, gzipped CSV, or Parquet where pyarrow is installed.

pandas parses the file.  The encoding and the delimiter (`fastbp.tabular.sniffing`) and the types of columns
(`fastbp.tabular.csv_types`) are decided here.  The content of a file, and not its name, tells its kind.

What counts as missing
    The empty field.  In a column whose other fields are numbers or dates, the words of
    `fastbp.tabular.missing_words` ("NA", "nan", "?" ...) as well.  In a column of text they stay what
    they are: a category named "None" or "NA" is a category.
"""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from fastbp.settings.naming import nearest
from fastbp.tabular.errors import TableError

STANDARD_INPUT = "-"


class HowToRead(NamedTuple):
    """How a CSV is written; settings that are None are detected.

    Attributes
    ----------
    delimiter, decimal, thousands : str or None
    encoding : str or None
    na : tuple of str
        Further words for "missing", in every column.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    na: tuple = ()


class Table(NamedTuple):
    """A table that was read.

    Attributes
    ----------
    frame : pandas.DataFrame
    forms : dict {str: form}
        How text wrote the columns that are numbers or dates now (`fastbp.tabular.recognition`).
    notes : list of str
        What was guessed or odd, a line each.
    target_form : form or None
        Of a target that is text still, though it can be read as numbers or dates; of several targets a dict.
    how : HowToRead
        What was detected, too.
    file : fastbp.tabular.csv_to_dataframe.CSVFile or None
        From which columns can be read again as the text that they are.
    """

    frame: object
    forms: dict
    notes: list
    target_form: object = None
    how: HowToRead = HowToRead()
    file: object = None


def read_table(path, text=()):
    r"""Read the table in a file.

    Parameters
    ----------
    path : str or path-like
        A CSV (with a header line), gzipped or not, or a Parquet file; "-" is standard input.
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
    from fastbp.tabular.csv_types import Expected

    return read_file(path, expected=Expected(text=frozenset(text))).frame


def read_file(path, how=None, *, expected=None, target=None, usual_decimal=None):
    """Return the `Table` in a file.

    Parameters
    ----------
    path : str or path-like
        As of `read_table`.
    how : HowToRead, optional
    expected : fastbp.tabular.csv_types.Expected, optional
        What is known of the columns.
    target : str, optional
        The column to be learnt, or several with commas between their names: rows without a value in any of them do
        not decide what other columns hold.
    usual_decimal : str, optional
        The decimal mark where the file does not tell.

    Raises
    ------
    TableError
    """
    from fastbp.tabular.csv_types import Expected
    from fastbp.tabular.sniffing import unpacked

    path, name = (None, "standard input") if str(path) == STANDARD_INPUT else (Path(path), str(path))
    content = unpacked(_content(path), name)
    if not content[: 1 << 16].strip() and not content.strip():
        raise TableError(f"{name} is empty.")
    if _is_parquet(content):
        table = _read_parquet(content, name)
    else:
        table = _read_csv(content, name, how or HowToRead(), expected or Expected(), target, usual_decimal)
    if len(table.frame.columns) == 0 or len(table.frame) == 0:
        raise TableError(f"{name} has a header but no rows.")
    return table


def _content(path):
    """Return the bytes of a file, or of standard input."""
    try:
        if path is None:
            return sys.stdin.buffer.read()
        return path.read_bytes()
    except FileNotFoundError:
        raise TableError(f"there is no file {str(path)!r}.{_nearest_file(path)}") from None
    except IsADirectoryError:
        raise TableError(f"{path} is a folder, not a file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"cannot read {path or 'standard input'}: {reason}.") from None


def _nearest_file(path):
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def _is_parquet(content):
    """Tell a Parquet file from a CSV whose first column is called PAR1."""
    if not content.startswith(b"PAR1") or content.endswith(b"PAR1"):
        return content.startswith(b"PAR1") and len(content) > len(b"PAR1")
    start = content[: 1 << 16]
    return b"\0" in start or b"\n" not in start  # cut short


def _read_csv(content, name, how, expected, target, usual_decimal):
    from fastbp.tabular.csv_to_dataframe import CSVFile
    from fastbp.tabular.csv_types import settle
    from fastbp.tabular.sniffing import as_utf8, find_decimal, find_delimiter, split_separator_line

    content, notes = as_utf8(content, name, how.encoding)
    separator, content = split_separator_line(content)
    how = how._replace(delimiter=how.delimiter or separator or find_delimiter(content))
    if how.decimal is None:
        implied = {".": ",", ",": "."}.get(how.thousands)
        how = how._replace(decimal=implied or find_decimal(content, how.delimiter, usual_decimal))
        if how.decimal == "," and implied is None and usual_decimal != ",":
            notes.append(f"{name}: numbers are read with decimal commas (if that is wrong, pass --decimal .).")
    file = CSVFile(content, name, how)
    frame, told = file.read(expected.raw, expected.kinds)
    marks = {"decimal": how.decimal, "thousands": how.thousands}
    settled = settle(frame, file, expected, marks, target)
    return Table(settled.frame, settled.forms, [*notes, *told, *settled.notes], settled.target_form, how, file)


def _read_parquet(content, name):
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        message = f'{name} is a Parquet file; to read it: pip install "fastbp[parquet]"'
        raise TableError(message) from None
    from fastbp.tabular.parquet_to_dataframe import read_parquet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflows in float16
        frame, notes = read_parquet(io.BytesIO(content), name)
    return Table(frame, {}, notes)
