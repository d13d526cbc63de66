"""The content of a column of text: numbers, dates, times of day, durations, or words.

One rule serves files and text columns of frames.  If nearly all values are numbers (or dates ...), the column holds
numbers.  The few other values are odd: the user is told of them, with their rows, and they count as missing.  Words for
"missing" do not count either way.
"""

from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np

from fastbp.io import filechecks
from fastbp.tabular.datetimes import DateForm, DurationForm, TimeForm, find_day_first, match_date
from fastbp.tabular.missing_words import is_missing_word
from fastbp.tabular.number_suffixes import SCALES, without_bound
from fastbp.tabular.numerals import INFINITIES, LEADING_ZERO, LONG, NumberForm, find_number_form

FORMS = {form.kind: form for form in (DateForm, TimeForm, DurationForm, NumberForm)}  # tried in this order

# At least this share of the values that are not missing must be of the column's kind,
NEARLY_ALL = 0.9
# and for each odd value there must be so many different ones of the kind, because 1, 2, "x" are codes;
ODD_FEWER = 3
# or the odd values are words, and half of the rows have, for each word, so many different values.
VALUES_A_WORD = 20
# So few different numbers among words are codes, and are not warned of.
MOST_CODES = 20


class Recognised(NamedTuple):
    """What was found in a column of text.

    Attributes
    ----------
    form : NumberForm, DateForm, TimeForm, DurationForm or None
        None: it is text.
    odd : (k,) bool
        Which of the texts are neither of this form nor words for "missing".
    why : str
        What is worth telling about the decision; mostly empty.
    """

    form: object
    odd: np.ndarray
    why: str = ""


def recognise(texts, counts, *, kind=None, decimal=None, thousands=None):
    """Tell what texts are.

    Parameters
    ----------
    texts : list of str (k,)
        Different ones.
    counts : (k,) int
        The rows of each; texts of no row do not count.
    kind : {"number", "date", "time", "duration"}, optional
        What they are known to be.
    decimal, thousands : str, optional
        The marks of numbers, where they are known.

    Examples
    --------
    >>> recognise(["1,5", "2,25", "n/a"], np.array([1, 1, 1])).form
    NumberForm(decimal=',', thousands='', unit='', scale='', bounds=False)
    """
    counts = np.asarray(counts)
    known = np.array([count > 0 and not is_missing_word(text) for text, count in zip(texts, counts, strict=True)], bool)
    nothing = Recognised(None, np.zeros(len(texts), bool))
    places = np.flatnonzero(known).tolist()
    if not places or (kind is None and not _has_digits(texts, places)):
        return nothing
    some, rows = [texts[i] for i in places], counts[known]
    for name in FORMS if kind is None else [kind]:
        found = _FINDERS[name](some, rows, decimal, thousands)
        if found is None:
            continue
        form, right, why = found
        if kind is None and not (_nearly_all(right, rows) or _all_but_words(right, rows, some)):
            nothing = nothing._replace(why=nothing.why or _told_mixed(name, right, rows, some))
            continue
        if kind is None and name == "number" and (reason := _numbers_that_are_names(some, right)):
            return nothing._replace(why=reason)
        odd = np.zeros(len(texts), bool)
        odd[known] = ~right
        return Recognised(form, odd, why)
    return nothing


def _has_digits(texts, places, most=200):
    """Do at least half of some of the texts have digits?  Most columns of text have not, and need no closer look."""
    some = places[:: -(-len(places) // most)]
    return 2 * sum(any(map(str.isdecimal, texts[i][:64])) for i in some) >= len(some)


def _nearly_all(right, rows):
    n_odd = np.count_nonzero(~right)
    return rows[right].sum() >= NEARLY_ALL * rows.sum() and len(right) - n_odd >= ODD_FEWER * n_odd


def _all_but_words(right, rows, texts):
    """Are the odd values a few words, such as "sold out", among many different values in half the rows?"""
    odd = np.flatnonzero(~right).tolist()
    if 2 * rows[right].sum() < rows.sum() or len(right) - len(odd) < VALUES_A_WORD * len(odd):
        return False
    return not any(any(map(str.isdecimal, texts[i])) for i in odd)


def _told_mixed(name, right, rows, texts):
    """Return why a column stays text though most of its rows are numbers or dates, or an empty string."""
    share = rows[right].sum() / rows.sum()
    if share < 0.5 or np.count_nonzero(right) <= MOST_CODES:
        return ""
    odd = texts[int(np.flatnonzero(~right)[0])]
    return f"kept as text: {share:.0%} of its values are {name}s, others are not ({odd!r})"


def _numbers_that_are_names(texts, right):
    """Return why numbers are taken for text, or an empty string."""
    for text in texts:
        if LEADING_ZERO.fullmatch(text):
            return f"kept as text for its leading zeros ({text!r})"
    if any(map(LONG.fullmatch, texts)):
        return "kept as text: whole numbers of so many digits are names"
    return ""


def _find_numbers(texts, rows, decimal, thousands):
    form = find_number_form(texts, rows, decimal, thousands)
    infinite = np.array([text.strip().lower() in INFINITIES for text in texts])
    return form, ~np.isnan(form.parse(texts)) | infinite, _told_numbers(form, texts, rows)


def _told_numbers(form, texts, rows):
    """Return words on suffixes and bounds that are read as numbers, or an empty string."""
    told = []
    if form.scale:
        text = next(text for text in texts if form.parse([text]) != replace(form, scale="").parse([text]))
        told.append(f"numbers with suffixes, {text!r} is read as {form.parse([text])[0]:.15g}")
    if form.bounds:
        bound = [text != without_bound(text) for text in texts]
        n_rows, text = int(rows[bound].sum()), texts[bound.index(True)]
        told.append(f"bounds such as {text!r}, in {n_rows} row{'s' * (n_rows > 1)}, are taken as the number itself")
    return "; ".join(told)


def _find_dates(texts, rows, decimal, thousands):
    some = texts[:: -(-len(texts) // 100)]
    if 2 * sum(match_date(text) is not None for text in some) < len(some):
        return None
    matches = list(map(match_date, texts))
    day_first, told = find_day_first(matches, rows.tolist())
    zoned = [match is not None and bool(match.groupdict().get("zone")) for match in matches]
    form = DateForm(day_first, bool(2 * rows[zoned].sum() > rows.sum()))
    why = (
        "" if told else f"it does not tell days from months: the {'day' if day_first else 'month'} is taken to be first"
    )
    return form, ~np.isnat(form.parse(texts)[0]), why


def _find_times(texts, rows, decimal, thousands):
    found = _find_seconds(TimeForm(), texts)
    if found is None:
        return None
    durations = DurationForm().parse(texts)  # hours beyond 23 among them: all are durations
    return None if rows[~np.isnan(durations)].sum() > rows[found[1]].sum() else found


def _find_durations(texts, rows, decimal, thousands):
    return _find_seconds(DurationForm(), texts)


def _find_seconds(form, texts):
    some = texts[:: -(-len(texts) // 100)]
    if 2 * np.count_nonzero(~np.isnan(form.parse(some))) < len(some):
        return None
    return form, ~np.isnan(form.parse(texts)), ""


_FINDERS = {
    "date": _find_dates,
    "time": _find_times,
    "duration": _find_durations,
    "number": _find_numbers,
}


def packed_form(form):
    """Return a form ready for JSON."""
    return None if form is None else {"kind": form.kind, **asdict(form), "words": list(form.words)}


def check_form(form):
    """Raise ValueError where what a coder got from a file for its form is none."""
    if form is not None and type(form) not in FORMS.values():
        raise ValueError(f"there is no form of text {form!r}.")


def unpacked_form(state):
    """Return the form that `packed_form` made this of; raise ValueError where a file holds something else."""
    if state is None:
        return None
    kind = FORMS.get(state.get("kind"))
    fields = {} if kind is None else asdict(kind())
    if kind is NumberForm:
        state = {"scale": "", "bounds": False, **state}  # files of before have neither
    if kind is None or state.keys() != {"kind", *fields}:
        raise ValueError(f"there is no form of text {state!r}.")
    filechecks.listed(state["words"], "words", filechecks.text)
    state = {**state, "words": tuple(state["words"])}
    for name, usual in fields.items():
        if type(state[name]) is not type(usual):
            raise ValueError(f"the form of text {state!r} has no {type(usual).__name__} {name!r}.")
    if state.get("scale", "") not in SCALES:
        raise ValueError(f"the form of text {state!r} has an unknown scale.")
    return kind(**{name: state[name] for name in fields})
