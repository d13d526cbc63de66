"""The two parts of a `TableEncoder`, fitted: all columns of numbers, and each column of text."""

import numpy as np

from fastbp.tabular.columns import column_kind, to_numbers, to_texts
from fastbp.tabular.reading import MISSING_WORDS, TableError

# Standardised values beyond it say nothing but "far out", and would drown the other columns.
CLIP = 10.0


class NumberColumns:
    """All columns of numbers.  statistics (3, d): the medians, means and deviations, in the columns' units.

    missing (d,): were there missing values in training?  unsurprising: names of further columns where missing
    values are no news (see `TableEncoder.expect`).
    """

    def __init__(self, names, statistics, missing, unsurprising=()):
        self.names = names
        self.statistics = statistics
        self.missing = missing
        self.unsurprising = list(unsurprising)

    @classmethod
    def fit(cls, names, columns):
        """Learn from float64 arrays (n,) with NaN where a value is missing."""
        rows = [_statistics(column) for column in columns]
        missing = [bool(np.isnan(column).any()) for column in columns]
        return cls(names, np.array(rows, np.float64).reshape(-1, 3).T.copy(), missing)

    @property
    def width(self):
        """The number of columns of the matrix."""
        return len(self.names) + sum(self.missing)

    @property
    def feature_names_out(self):
        """The names of the columns of the matrix."""
        return self.names + [f"{n} (missing)" for n, m in zip(self.names, self.missing, strict=True) if m]

    def transform(self, out, frame, notices):
        """Overwrite out (n, width)."""
        indicator = len(self.names)
        for i, (name, expected) in enumerate(zip(self.names, self.missing, strict=True)):
            median, mean, scale = self.statistics[:, i]
            numbers = finite(name, _as_numbers(frame[name]))
            gone = np.isnan(numbers)
            numbers[gone] = median
            with np.errstate(over="ignore"):  # 1.7e308 over a scale of 1e-3 is cut off like the rest
                out[:, i] = np.clip((numbers - mean) / scale, -CLIP, CLIP)
            if expected:
                out[:, indicator] = gone
                indicator += 1
            elif gone.any() and name not in self.unsurprising:
                notices.append(f"column {name!r}: {_missing_in(int(gone.sum()))}; taken as the median {median:g}.")


class TextColumn:
    """One column of text.  The attributes are its part of the description.

    unsurprising: further categories, and None for a missing one, that are no news (see `TableEncoder.expect`).
    """

    def __init__(self, name, categories, other, missing, unsurprising=()):
        self.name = name
        self.categories = categories
        self.other = other
        self.missing = missing
        self.unsurprising = list(unsurprising)

    @property
    def width(self):
        """The number of columns of the matrix."""
        return len(self.categories) + self.other + self.missing

    @property
    def feature_names_out(self):
        """The names of the columns of the matrix."""
        names = [f"{self.name}={category}" for category in self.categories]
        return names + [f"{self.name} (other)"] * self.other + [f"{self.name} (missing)"] * self.missing

    def transform(self, out, frame, notices):
        """Set the ones of out (n, width), which is all zero on entry."""
        texts = to_texts(frame[self.name])
        n_categories = len(self.categories)
        codes = {category: code for code, category in enumerate(self.categories)}
        codes[None] = self.width - 1 if self.missing else -1
        unseen = n_categories if self.other else -1
        code = np.fromiter((codes.get(text, unseen) for text in texts), np.int64, len(texts))
        rows = np.flatnonzero(code >= 0)
        out[rows, code[rows]] = 1.0
        if not self.other and (new := set(texts) - codes.keys() - set(self.unsurprising)):
            few = ", ".join(map(repr, sorted(new)[:3])) + (" ..." if len(new) > 3 else "")
            notices.append(f"column {self.name!r}: training did not see {few}; taken as none of its categories.")
        if not self.missing and None not in self.unsurprising and (n_missing := texts.count(None)):
            notices.append(f"column {self.name!r}: {_missing_in(n_missing)}; taken as none of its categories.")


def _statistics(column):
    """Return median, mean and deviation of a column with NaN, safe for values from 5e-324 to 1.7e308."""
    largest = np.nanmax(np.abs(column)) or 1.0
    scaled = column / largest  # the squares of 1e200 overflow, those of 1e-200 vanish
    median = np.nanmedian(scaled)
    scaled[np.isnan(scaled)] = median
    scale = scaled.std() * largest
    # All known values are the same one: only the indicator tells anything.
    constant = scaled.max() == scaled.min()
    return median * largest, scaled.mean() * largest, 1.0 if constant else max(scale, np.finfo(np.float64).tiny)


def _as_numbers(column):
    """Return a column that held numbers in training; words that are numbers, or mean "missing", will do."""
    kind = column_kind(column)
    if kind == "other":
        raise TableError(f"column {column.name!r} held numbers in training and holds {column.dtype} now.")
    if kind != "text":
        return to_numbers(column)
    texts = to_texts(column)
    numbers = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if text is not None and text not in MISSING_WORDS:
            try:
                numbers[row] = float(text)
            except ValueError:
                message = f"column {column.name!r} held numbers in training and holds {text!r} in row {row + 1} now."
                raise TableError(message) from None
    return numbers


def _missing_in(n_rows):
    return f"missing in {n_rows} row{'s' * (n_rows != 1)} (in none of training)"


def finite(name, numbers):
    """Return `numbers`; raise `TableError` where one is infinite."""
    infinite = np.isinf(numbers)
    if infinite.any():
        raise TableError(f"column {name!r} holds an infinite value in row {np.argmax(infinite) + 1}.")
    return numbers
