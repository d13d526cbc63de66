"""The types of a CSV's columns, once a parser has read them: numbers, text, dates, booleans.

The parser makes numbers of a column if all of its fields are numbers.  The rule of `fastbp.tabular.recognition` decides
about the other columns here.  Some columns of numbers are read again as text: codes like 007, numbers of 18 digits
beside an empty field, dates like 20240131.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastbp.tabular.columns import target_names
from fastbp.tabular.datetimes import DateForm
from fastbp.tabular.missing_words import is_missing_word, is_spreadsheet_error
from fastbp.tabular.numerals import LEADING_ZERO, NumberForm
from fastbp.tabular.recognition import recognise
from fastbp.tabular.textcolumns import knowing, parsed_texts, told_odd, typed
from fastbp.tabular.vocabulary import counts_of

# Floats hold every whole number up to this one.
EXACT = 2**53
FEWEST_DATES = 3


class Expected(NamedTuple):
    """Knowledge about columns before they are read.

    Attributes
    ----------
    text : frozenset of str
        Columns that are text, whatever they look like.
    kinds : dict {str: str}
        Columns that are "number", "date", "time" or "duration", or that a user wants to be a "category".
    forms : dict {str: form}
        Columns that training had as text of this form.
    trained : bool
        Whether `kinds` are those of a model: what does not fit is an error.
    """

    text: frozenset = frozenset()
    kinds: dict = {}
    forms: dict = {}
    trained: bool = False

    @property
    def raw(self):
        """The columns that are to be read as text."""
        return self.text | self.forms.keys() | (set() if self.trained else self.kinds.keys())


class Settled(NamedTuple):
    """A typed table: the frame, {name: form} of columns that were text, notes, and the target's form or None.

    Of several targets the forms are a dict.
    """

    frame: object
    forms: dict
    notes: list
    target_form: object = None


def settle(frame, file, expected, marks, target=None):
    """Return the `Settled` frame.

    Parameters
    ----------
    frame : pandas.DataFrame
        As a parser read it, text where a column is not all numbers.
    file : fastbp.tabular.csv_to_dataframe.CSVFile
        From which columns can be read again as text.
    expected : Expected
    marks : dict
        decimal and thousands, where they are known, for `recognise`.
    target : str, optional
        Or several names with commas between them. Rows without a value in any do not count.
    """
    zeros = lru_cache(file.has_leading_zeros)
    doubtful = [name for name in frame.columns if name not in expected.raw and _is_doubtful(frame[name], zeros)]
    columns = {name: frame[name] for name in frame.columns}
    if doubtful:
        again = file.read_text(doubtful)
        columns |= {name: _names_or_numbers(columns[name], again[name], name in expected.kinds) for name in doubtful}
    forms, notes, target_forms, counted = {}, [], {}, None
    targets = [] if target is None else [name for name in target_names(target, columns) if name in columns]
    for name in targets:
        columns[name], target_forms[name], told = _settled_target(columns[name], expected, marks)
        notes += told
        known = columns[name].notna().to_numpy()
        counted = known if counted is None else counted | known
    for name, column in columns.items():
        if name in targets:
            continue
        columns[name], form, told = _settled(name, column, counted, expected, marks)
        if not expected.trained or name in expected.kinds:  # or nobody uses the column
            notes += told
        if form is not None and form != NumberForm():
            forms[name] = form
    import pandas as pd

    target_form = target_forms.get(target) if len(targets) < 2 else target_forms
    return Settled(pd.DataFrame(columns, index=frame.index, copy=False), forms, notes, target_form)


def _is_doubtful(column, zeros):
    """Tell whether a column that was read as numbers has lost digits, or holds objects of several types."""
    kind = column.dtype.kind
    if column.dtype == object:
        return not all(isinstance(value, bool) for value in column.dropna().unique())
    if kind == "f":
        values = column.to_numpy()
        with np.errstate(invalid="ignore"):
            if np.any(values[:100] % 1 > 0):  # most columns need no closer look
                return False
        known = values[~np.isnan(values)]
        with np.errstate(invalid="ignore"):  # infinities
            whole = len(known) > 0 and not np.any(known[:100] % 1) and not np.any(known % 1)
        return whole and (np.abs(known).max() >= EXACT or zeros())
    return kind in "iu" and zeros()


def _names_or_numbers(numbers, text, is_number):
    """Return a column of whole numbers as it is, as exact ones, or as text where digits would be lost."""
    import pandas as pd

    values = text.dropna().unique().tolist()
    if not is_number and any(map(LEADING_ZERO.fullmatch, map(str.strip, values))):
        return text
    if numbers.dtype.kind in "iu":
        return numbers
    if numbers.dtype == object:  # of more than 64 bits
        return text
    if numbers.dtype.kind == "f" and not np.abs(numbers).max() >= EXACT:
        return numbers
    try:
        return pd.to_numeric(text, dtype_backend="numpy_nullable")
    except (ValueError, TypeError, OverflowError):
        return text


def _factorized(column, counted=None):
    """Return codes (n,), texts (k,) and the rows of each that count."""
    import pandas as pd

    codes, texts = pd.factorize(column)
    counts = counts_of(codes if counted is None else np.where(counted, codes, -1), texts)
    return codes, list(map(str, texts)), counts


def _without(column, codes, gone):
    """Return a column without the texts that are gone (k,)."""
    return column.mask(np.append(gone, False)[codes]) if np.any(gone) else column


def _settled(name, column, counted, expected, marks):
    """Return a feature's column, its form and notes."""
    if column.dtype.kind in "iufb":
        known = name in expected.text or expected.kinds.get(name, "date") != "date"
        return (*_dated(column, known), [])
    if name in expected.text or column.isna().all():
        return column, None, []
    codes, texts, counts = _factorized(column, counted)
    kind, form = expected.kinds.get(name), expected.forms.get(name)
    if kind == "category" and not expected.trained:
        return column.astype("category"), None, []
    if form is not None or (expected.trained and kind in ("number", "date")):
        values, notes = parsed_texts(name, codes, texts, form, kind if kind == "date" else "number", **marks)
        return _series(values, column), form, notes
    if _are_booleans(texts, counts):
        return _booleans(column), None, []
    found = recognise(texts, counts, kind=kind, **marks)
    if found.form is None:
        notes = [f"column {name!r}: {found.why}."] * bool(found.why)
        return _without(column, codes, _missing(texts, found)), None, notes
    notes = [f"column {name!r}: {found.why}."] * bool(found.why)
    if found.odd.any():
        seen = codes if counted is None else np.where(counted, codes, -1)
        notes.append(f"column {name!r}: {told_odd(found.odd, seen, texts, found.form)}.")
    unread = found.odd | (counts == 0)
    return (
        _series(typed(found.form, codes, texts, unread), column),
        knowing(found.form, found.odd, texts, counts),
        notes,
    )


def _settled_target(column, expected, marks):
    """Return the target's column, the form of its text, and notes: classes stay the text that they are."""
    if column.dtype.kind in "iufb" or column.isna().all():
        return column, None, []
    if expected.kinds.get(column.name) == "category" and not expected.trained:
        return column, None, []
    codes, texts, counts = _factorized(column)
    if _are_booleans(texts, counts) and column.name not in expected.text:
        return _booleans(column), None, []
    form = expected.forms.get(column.name)
    found = recognise(texts, counts, **marks)
    found = found._replace(form=form or found.form)
    column = _without(column, codes, _missing(texts, found))
    notes = [f"target {column.name!r}: {found.why}."] * bool(found.form is not None and found.why)
    plain = found.form == NumberForm() and not found.odd.any() and column.name not in expected.text
    if plain:
        return _series(typed(found.form, codes, texts, found.odd), column), None, []
    return column, found.form, notes


def _missing(texts, found):
    """Return which texts (k,) are missing: all words for it beside numbers and dates, or only a spreadsheet's."""
    tells = is_missing_word if found.form is not None or found.why else is_spreadsheet_error
    return np.array([tells(text) for text in texts], bool)


def _series(values, column):
    """Return typed values as a Series like a column."""
    import pandas as pd

    series = pd.Series(values) if isinstance(values, np.ndarray) else values.to_native()
    return series.set_axis(column.index).rename(column.name)


def _are_booleans(texts, counts):
    words = {text.strip().lower() for text, count in zip(texts, counts, strict=True) if count}
    return bool(words & {"true", "false"}) and all(w in ("true", "false") or is_missing_word(w) for w in words)


def _booleans(column):
    words = column.astype(str).str.strip().str.lower()
    return words.map({"true": True, "false": False}).astype("boolean")


def _dated(column, known):
    """Return whole numbers like 20240131 as dates where all of them are such, and the form, or None."""
    if known or column.dtype.kind not in "iuf":
        return column, None
    low, high = column.min(), column.max()
    if not (low >= 19000101 and high <= 21001231) or _is_fraction(column):
        return column, None
    import pandas as pd

    codes, values = pd.factorize(column)
    texts = [str(int(value)) for value in values]
    form = DateForm()
    if len(texts) < FEWEST_DATES or np.isnat(form.parse(texts)[0]).any():
        return column, None
    return form.column(texts, codes).set_axis(column.index).rename(column.name), form


def _is_fraction(column):
    return column.dtype.kind == "f" and bool(np.any(column.dropna().to_numpy() % 1))
