"""Columns of text: `fit` recognises what a column holds, and later rows are parsed in the same way."""

from dataclasses import replace

import numpy as np

from fastbp.tabular.columns import column_kind, is_missing, to_numbers
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import factorize
from fastbp.tabular.missing_words import is_missing_word
from fastbp.tabular.numerals import PLAIN, NumberForm
from fastbp.tabular.recognition import NEARLY_ALL, recognise
from fastbp.tabular.vocabulary import counts_of

# A message shows so many odd values.
MOST_SHOWN = 3
# A model remembers so many odd values.
MOST_WORDS = 20
# Plain whole numbers that are text in a frame are categories if at most so many of them are different.
FEW_CODES = 20


def recognised_column(column):
    """Return (column as what it holds, its form, notes) for a column of text; the form None: it is left as it is."""
    codes, texts = factorize(column)
    counts = counts_of(codes, texts)
    found = recognise(texts, counts)
    notes = [f"column {column.name!r}: {found.why}."] * bool(found.why)
    if found.form is None or _are_codes(found.form, texts, counts):
        return column, None, notes
    if found.odd.any():
        notes.append(f"column {column.name!r}: {told_odd(found.odd, codes, texts, found.form)}.")
    return typed(found.form, codes, texts, found.odd), knowing(found.form, found.odd, texts, counts), notes


def parsed_column(column, form, kind, notes):
    """Return a column of text as numbers or dates, by the form of training, or by its own where there was none.

    kind is what training held, "number" or "date"; a line is appended to the list `notes` where a few values are odd.

    Raises
    ------
    TableError
        More than a few of the values are neither of this form nor words for "missing".
    """
    codes, texts = factorize(column)
    parsed, told = parsed_texts(column.name, codes, texts, form, kind)
    notes += told
    return parsed


def parsed_texts(name, codes, texts, form, kind, **known_marks):
    """Return what `parsed_column` does, for a factorized column, and a list of notes; raise alike."""
    counts = counts_of(codes, texts)
    form = form or recognise(texts, counts, kind=kind, **known_marks).form or NumberForm()
    odd = odd_texts(form, texts, counts)
    if not odd.any():
        return typed(form, codes, texts, odd), []
    unknown = odd & np.array([text not in form.words for text in texts], bool)
    if counts[~unknown].sum() < NEARLY_ALL * counts.sum():
        text, row = first_odd(unknown, codes, texts)
        raise TableError(f"column {name!r} held {kind}s in training and holds {text!r} in row {row} now.")
    return typed(form, codes, texts, odd), [f"column {name!r}: {told_odd(odd, codes, texts, form)}."]


def dated(column, form):
    """Return a column of whole numbers such as 20240131 as dates of a form; any other one as it is."""
    numbers = to_numbers(column)
    known = numbers[~np.isnan(numbers)]
    if not len(known) or not np.all((known == np.floor(known)) & (np.abs(known) < 1e9)):
        return column
    values, codes = np.unique(numbers, return_inverse=True)
    texts = ["" if np.isnan(value) else str(int(value)) for value in values]
    dates = typed(form, codes, texts, np.zeros(len(texts), bool))
    return dates if is_missing(dates).sum() == len(numbers) - len(known) else column


def knowing(form, odd, texts, counts):
    """Return a form that knows the most frequent of the odd texts: one of them alone in a table is no surprise."""
    places = sorted(np.flatnonzero(odd).tolist(), key=lambda i: (-counts[i], texts[i]))[:MOST_WORDS]
    return replace(form, words=tuple(texts[i] for i in places))


def odd_texts(form, texts, counts):
    """Return which of texts (k,) that stand in rows are neither of a form nor words for "missing"."""
    values = form.parse(texts)
    unread = np.isnat(values[0]) if form.kind == "date" else np.isnan(values)
    missing = np.array([is_missing_word(text) for text in texts], bool)
    return unread & ~missing & (np.asarray(counts) > 0)


def typed(form, codes, texts, odd):
    """Return the rows of codes (n,), -1 where missing: float64 (n,), or for dates a narwhals Series."""
    codes = np.where(np.append(odd, False)[codes], -1, codes)
    if form.kind != "date":
        return np.append(form.parse(texts), np.nan)[codes]
    import narwhals as nw

    return nw.from_native(form.column(texts, codes), series_only=True)


def told_odd(odd, codes, texts, form):
    """Return words on odd values: the first ones, their rows (counted from 1, the header left out), what is done."""
    first = np.full(len(texts), len(codes))
    np.minimum.at(first, codes[codes >= 0], np.flatnonzero(codes >= 0))
    places = sorted(np.flatnonzero(odd).tolist(), key=first.__getitem__)
    shown = [f"{texts[i]!r} in row {first[i] + 1}" for i in places[:MOST_SHOWN]]
    n_rows = np.count_nonzero(np.append(odd, False)[codes])
    more = f" and others, {n_rows} rows in all" if n_rows > len(shown) else ""
    verb = "is" if n_rows == 1 else "are"
    return f"{', '.join(shown)}{more} {verb} no {form.kind}, taken as missing"


def first_odd(odd, codes, texts):
    """Return the first odd text and the number of its row."""
    row = int(np.argmax(np.append(odd, False)[codes]))
    return texts[codes[row]], row + 1


def _are_codes(form, texts, counts):
    """Tell whether numbers in text are codes: plain whole ones, few of them different."""
    if form != NumberForm():
        return False
    used = [text for text, count in zip(texts, counts, strict=True) if count and PLAIN.fullmatch(text)]
    return len(used) <= FEW_CODES and all(float(text).is_integer() for text in used)


def is_free_text(column):
    """Tell whether a column holds text that nobody declared to be categories."""
    import narwhals as nw

    return column_kind(column) == "text" and column.dtype in (nw.String, nw.Object)
