"""A CSV in memory, parsed by pandas; rows and columns that do not fit the header are told.

`encoding.py` makes numbers of its columns, and `rows_to_float32.py` writes them as float32.
"""

import csv
import io
import warnings

import numpy as np

from fastbp.tabular.errors import TableError
from fastbp.tabular.numerals import PLAIN

MOST_SHOWN = 5
# So many bytes are searched at once, because the results then stay in the cache.
CHUNK = 1 << 18
NEWLINE, QUOTE = ord("\n"), ord('"')


class CSVFile:
    """A CSV in memory.

    Parameters
    ----------
    content : bytes
        UTF-8, without a byte order mark.
    name : str
        For messages.
    how : fastbp.tabular.reading.HowToRead
        With a delimiter.
    """

    def __init__(self, content, name, how):
        # In a table of one column a blank line may be a row, but blank lines at the end are none.
        trimmed = content[-2:].strip(b"\r\n") and content[:1] not in b"\r\n"
        self.content = content if trimmed else content.strip(b"\r\n") + b"\n"
        self.name = name
        self.how = how

    def read(self, text, known=()):
        """Return the table as pandas types it, columns of `text` as text, and a list of notes.

        `known` are columns that a model or a user names: they are never left out.
        """
        header = self._header()
        try:
            frame = self._parsed(dtype=dict.fromkeys(text, str), skip_blank_lines=len(header) > 1)
        except _Ragged:
            frame = self._of_longer_rows(header, text)
        notes = self._notes_on_names(header)
        if len(header) > 1 and len(frame) and frame.iloc[:, -1].isna().any():
            notes += self._notes_on_short_rows(len(header))
        notes += _notes_on_line_breaks(frame)
        return _without_nameless(frame, header, known, notes), notes

    def read_text(self, names):
        """Return the columns `names` as text."""
        return self._parsed(dtype=str, usecols=names, skip_blank_lines=len(self._header()) > 1)

    def has_leading_zeros(self):
        """Tell whether a field may start with a zero and a digit: no columns need to be read twice where none does."""
        values = np.frombuffer(self.content, np.uint8)
        ends = (NEWLINE, ord("\r"), QUOTE, ord(" "), ord("+"), ord("-"), ord(self.how.delimiter))
        for first in range(0, len(values), CHUNK):
            part = values[first : first + CHUNK + 2]
            digits = (part[2:] - np.uint8(48)) < 10  # below zero is far above
            found = np.flatnonzero((part[1:-1] == 48) & digits)
            if np.isin(part[found], ends).any():
                return True
        return False

    def _header(self):
        """Return the header's fields; an empty one is ""."""
        # pandas renames a column whose name comes twice, so the header is read as a row.
        header = self._parsed(header=None, nrows=1, dtype=str, keep_default_na=False, na_values=[]).iloc[0].tolist()
        twins = sorted({field for field in header if field and header.count(field) > 1})
        if twins:
            raise TableError(f"{self.name} has two columns named {twins[0]!r}.")
        return header

    def _parsed(self, **options):
        import pandas as pd

        how = self.how
        defaults = {"sep": how.delimiter, "decimal": how.decimal or ".", "encoding": "utf-8", "index_col": False}
        defaults |= {"keep_default_na": False, "na_values": ["", *how.na]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                # pandas types 2**20 fields at once, 12 % faster than all of them.  What has another type in another
                # piece comes as objects: `fastbp.tabular.csv_types` has such columns read again, as text.
                warnings.simplefilter("ignore", pd.errors.DtypeWarning)
                return pd.read_csv(io.BytesIO(self.content), **(defaults | options))
        except pd.errors.EmptyDataError:
            raise TableError(f"{self.name} is empty.") from None
        except pd.errors.ParserWarning:
            raise _Ragged from None
        except pd.errors.ParserError as error:
            reason = str(error).strip().split("C error: ")[-1]
            if "Expected" in reason:
                raise _Ragged from None
            raise TableError(f"{self.name} is not a well-formed CSV: {reason}.") from None

    def _of_longer_rows(self, header, text):
        """Return the table of rows that are longer than the header by empty fields; raise where they hold anything."""
        longest, bad = len(header), []
        for row, line, fields in self._rows():
            longest = max(longest, len(fields))
            if any(field.strip() for field in fields[len(header) :]):
                bad.append((row, line, len(fields)))
        if bad:
            shown = ", ".join(f"row {row} (line {line}) has {n}" for row, line, n in bad[:MOST_SHOWN])
            more = f", and {len(bad) - MOST_SHOWN} more rows are like that" if len(bad) > MOST_SHOWN else ""
            message = f"{self.name}: rows have more fields than its header, which has {len(header)}"
            raise TableError(f"{message}: {shown}{more}.")
        names = [*(field or f"Unnamed: {i}" for i, field in enumerate(header)), *map(str, range(len(header), longest))]
        frame = self._parsed(dtype=dict.fromkeys(text, str), header=None, skiprows=1, names=names)
        return frame[names[: len(header)]]

    def _rows(self):
        """Yield (number of the row, of the line, fields) of the rows that are not blank, from 1."""
        lines = io.TextIOWrapper(io.BytesIO(self.content), "utf-8", newline="", errors="replace")
        reader = csv.reader(lines, delimiter=self.how.delimiter)
        number = -1
        for fields in reader:
            if fields:
                number += 1
                if number:
                    yield number, reader.line_num, fields

    def _notes_on_short_rows(self, width):
        short = self._short_rows(width)
        if not short:
            return []
        shown = ", ".join(f"{row} (line {line})" for row, line in short[:MOST_SHOWN])
        more = f" and {len(short) - MOST_SHOWN} more" if len(short) > MOST_SHOWN else ""
        one = len(short) == 1
        what = "what it lacks is" if one else "what they lack is"
        return [
            f"{self.name}: row{'s' * (not one)} {shown}{more} {'has' if one else 'have'} fewer fields than the header: "
            f"{what} taken as missing."
        ]

    def _short_rows(self, width):
        """Return (row, line) of the rows that have fewer fields than `width`."""
        content = self.content
        if b'"' in content or b"\r" in content:
            csv.field_size_limit(max(csv.field_size_limit(), len(content)))
            return [(row, line) for row, line, fields in self._rows() if len(fields) < width]
        values = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(values == NEWLINE)
        starts = np.append(0, ends[:-1] + 1)
        marks = np.add.reduceat(values == ord(self.how.delimiter), starts, dtype=np.int64)
        filled = np.flatnonzero(ends > starts)  # blank lines are no rows
        return [(int(row), int(filled[row]) + 1) for row in np.flatnonzero(marks[filled] < width - 1) if row]

    def _notes_on_names(self, header):
        if header and all(PLAIN.fullmatch(field.strip()) for field in header):
            names = ", ".join(header[:3])
            return [f"{self.name}: its first line ({names} ...) is taken as the header, though it holds numbers only."]
        return []


class _Ragged(Exception):
    """Rows have more fields than the header."""


def _notes_on_line_breaks(frame):
    for name in frame.columns:
        if frame[name].dtype.kind == "O":  # text too
            broken = frame[name].astype(str).str.contains("\n", regex=False).to_numpy()
            if broken.any():
                rows = np.flatnonzero(broken) + 1
                what = f"{len(rows)} of its values hold a line break, the first in row {rows[0]}"
                return [f"column {name!r}: {what}: if that is wrong, a quote is missing there."]
    return []


def _without_nameless(frame, header, known, notes):
    """Return a frame without columns that have neither a name nor values, or only the rows' numbers."""
    dropped = []
    for i, (field, name) in enumerate(zip(header, frame.columns, strict=False)):
        if field or name in known:
            continue
        column = frame[name]
        if column.isna().all():
            notes.append(f"column {i + 1} has neither a name nor values and is left out.")
        elif i == 0 and column.dtype.kind == "i" and (np.diff(column.to_numpy()) == 1).all() and column[0] in (0, 1):
            notes.append("column 1 has no name and holds the numbers of the rows: it is left out.")
        else:
            notes.append(f"column {i + 1} has no name: it is called {name!r}.")
            continue
        dropped.append(name)
    return frame.drop(columns=dropped) if dropped else frame
