"""Numbers as people write them: decimal commas, thousands, currencies, units, per cent, brackets for negative ones.

The whole column decides how it writes numbers: the comma of "1,234" alone may part thousands or decimals, but beside
"12,5" it is a decimal comma.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.tabular.missing_words import Form
from fastbp.tabular.number_suffixes import LEAST_PLAIN, PLAIN_A_BOUND, SCALES, find_scale, without_bound

PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
LEADING_ZERO = re.compile(r"[-+]?0\d+", re.ASCII)
# Whole numbers of so many digits are no exact floats.
LONG = re.compile(r"[-+]?[1-9]\d{16,}", re.ASCII)
INFINITIES = {
    sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in ("inf", "infinity", "1.#inf", "\u221e")
}
_CURRENCY = (
    r"(?:[A-Z]{0,3}[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba\u20aa\u0e3f\u20ab\u20b1\u00a2]|kr\.?|Rs\.?|Fr\.?|z\u0142|"
    r"USD|EUR|GBP|JPY|CHF|CNY|INR|AUD|CAD|NZD|HKD|SGD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|BRL|MXN|ZAR|KRW|TRY|ILS)"
)
_CURRENCIES = re.compile(_CURRENCY)
_DRESSED = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+])?\s?(?P<before>{_CURRENCY})?\s?(?P<inner>[-+])?"
    r"(?P<body>(?:\d[\d.,' ]*|[.,]\d+))(?P<power>[eE][-+]?\d+)?\s?(?P<after>[^\d\s.,'()+-][^\d()+-]{0,9})?"
    r"(?P<last>-)?(?P<close>\))?"
)
_SIGNS = str.maketrans({"\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2018": "'"})

# Pairs (decimal mark, thousands mark), the likelier ones first.  The first of the pairs that read the most rows is
# taken.
CONVENTIONS = (*((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'")),)
# So many different texts are enough to find how a column is written.
TELLING = 20_000


def _body_pattern(decimal, thousands):
    point, mark = re.escape(decimal), re.escape(thousands)
    whole = rf"(?:[1-9]\d{{0,2}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|\d+)" if thousands else r"\d+"
    return re.compile(rf"{whole}(?:{point}\d*)?|{point}\d+")


_BODIES = {convention: _body_pattern(*convention) for convention in CONVENTIONS}


@dataclass(frozen=True)
class NumberForm(Form):
    """How a column writes numbers.

    Parameters
    ----------
    decimal, thousands : str
        The marks; no thousands mark is "".
    unit : str
        A currency, a unit or "%", which values may carry.  Per cent are left as they are: 12 % is 12.
    scale : {"", "magnitudes", "bytes"}
        What suffixes multiply by: 1.2M is 1200000.
    bounds : bool
        Whether "<5" is read as 5.

    Examples
    --------
    >>> NumberForm(",", ".", "\u20ac").parse(["1.234,50 \u20ac", "(3)", "x"]).tolist()
    [1234.5, -3.0, nan]
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scale: str = ""
    bounds: bool = False
    kind: ClassVar[str] = "number"

    def parse(self, texts):
        """Return texts as float64 (k,), NaN where one is no number of this form."""
        return np.array([self._number(text) for text in texts], np.float64)

    def _number(self, text):
        if self.bounds:
            text = without_bound(text)
        if self.decimal == "." and PLAIN.fullmatch(text):
            return float(text)
        parts = _parts(text)
        if parts is None:
            return INFINITIES.get(text.strip().lower(), np.nan)
        sign, body, unit, suffix, power = parts
        if not suffix and unit in SCALES[self.scale]:
            unit, suffix = "", unit
        factor = SCALES[self.scale].get(suffix, np.nan) if suffix else 1.0
        if unit not in ("", self.unit):  # among them that of 1.#INF
            return INFINITIES.get(text.strip().lower(), np.nan)
        if not _BODIES[self.decimal, self.thousands].fullmatch(body):
            return np.nan
        body = body.replace(self.thousands, "") if self.thousands else body
        return float(sign + body.replace(self.decimal, ".") + power) * factor

    def describe(self):
        """Return words for the table of columns."""
        marks = [f"decimal {self.decimal!r}"] * (self.decimal != ".")
        marks += [f"thousands {self.thousands!r}"] * bool(self.thousands) + [repr(self.unit)] * bool(self.unit)
        marks += ["with suffixes"] * bool(self.scale) + ["with bounds"] * self.bounds
        return " ".join(["number", f"({', '.join(marks)})"] if marks else ["number"])


def _parts(text):
    """Return (sign, digits and marks, unit, suffix beside a unit, power) of a dressed number, or None."""
    found = _DRESSED.fullmatch(text.translate(_SIGNS).strip())
    if found is None:
        return None
    before, after = found["before"] or "", (found["after"] or "").strip()
    signs = [mark for mark in (found["sign"], found["inner"], found["last"]) if mark]
    bracketed = bool(found["open"])
    suffix, after = _suffix_and_unit(before, after)
    if bracketed != bool(found["close"]) or len(signs) + bracketed > 1 or (before and after):
        return None
    sign = "-" if bracketed or "-" in signs else ""
    return sign, found["body"].strip(), before or after, suffix, found["power"] or ""


def _suffix_and_unit(before, after):
    """Return the suffix that stands beside a currency, as in $3k and 3k EUR, and what is left behind the number."""
    if before and after in SCALES["magnitudes"]:
        return after, ""
    suffix, _, unit = after.partition(" ")
    return (suffix, unit) if suffix in SCALES["magnitudes"] and _CURRENCIES.fullmatch(unit) else ("", after)


def find_number_form(texts, counts, decimal=None, thousands=None):
    """Return the `NumberForm` that reads the most rows, for texts (k,) that stand in counts (k,) rows.

    decimal and thousands are the marks of the file: conventions that read as many rows are told apart by them.
    """
    if decimal in (None, ".") and all(map(PLAIN.fullmatch, texts)):
        return NumberForm()
    step = -(-len(texts) // TELLING)
    bounds = _are_bounds(texts[::step], counts[::step])
    texts = [without_bound(text) if bounds else text for text in texts[::step]]
    pairs = [(parts, count) for parts, count in zip(map(_parts, texts), counts[::step], strict=True) if parts]
    known = (decimal, thousands)
    # Of conventions that read as many rows the first one is taken: `sorted` keeps their order, but for the known marks.
    likely = sorted(CONVENTIONS, key=lambda pair: -sum(a == b for a, b in zip(pair, known, strict=True)))
    rows = dict.fromkeys(likely, 0)
    for convention in rows:
        body = _BODIES[convention]
        rows[convention] = sum(count for parts, count in pairs if body.fullmatch(parts[1]))
    units = [(parts[2], count) for parts, count in pairs]
    scale = find_scale({parts[3] or parts[2] for parts, _ in pairs if not _is_currency(parts[2]) or parts[3]} - {""})
    if scale:
        units = [(unit, count) for unit, count in units if unit not in SCALES[scale]]
    return NumberForm(*max(rows, key=rows.get), _unit(units), scale, bounds)


def _is_currency(unit):
    return bool(_CURRENCIES.fullmatch(unit))


def _are_bounds(texts, counts):
    """Tell whether some texts are bounds, among many more plain numbers in most rows."""
    bare = [without_bound(text) for text in texts]
    if bare == list(texts):
        return False
    plain = [text == rest and _parts(text) is not None for text, rest in zip(texts, bare, strict=True)]
    n_bounds = sum(text != rest for text, rest in zip(texts, bare, strict=True))
    enough = np.sum(counts, where=plain) >= LEAST_PLAIN * np.sum(counts)
    return bool(enough and sum(plain) >= PLAIN_A_BOUND * n_bounds)


def _unit(pairs):
    """Return the unit that numbers carry: a currency or "%" in most of those with one, or another in all of them."""
    rows = {}
    for unit, count in pairs:
        rows[unit] = rows.get(unit, 0) + count
    bare = rows.pop("", 0)
    if not rows:
        return ""
    unit = max(rows, key=rows.get)
    return unit if not bare or unit == "%" or _CURRENCIES.fullmatch(unit) else ""
