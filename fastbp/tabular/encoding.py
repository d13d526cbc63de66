"""Columns become numbers: a table as the float32 matrix that a network reads.

The rules, fitted on the training rows:

- Numbers, booleans and dates are standardised: ``(value - mean) / deviation``, cut off at +-10.
  A missing value is replaced by the median; a column with missing values in training also gets an
  indicator column "name (missing)" of 0 and 1.
- Text becomes one 0/1 column for each of its `MOST_CATEGORIES` most frequent categories, "name=value".
  The rest is folded into "name (other)".  Missing values in training get "name (missing)".
- Left out with a notice: columns with one value only, empty ones, text that is different in each row
  (a name or a number of a file), and columns that hold neither numbers nor text.

What training did not see: a new category counts as "(other)" where there is one, and is 0 in all columns
of its own otherwise; a missing number is the median, a missing text is 0 in all of its columns.
An infinite value is always an error.
"""

from collections import Counter

import numpy as np

from fastbp.tabular.coders import NumberColumns, TextColumn, finite
from fastbp.tabular.columns import as_frame, column_kind, nearest_name, to_numbers, to_texts
from fastbp.tabular.reading import TableError

MOST_CATEGORIES = 64


class TableEncoder:
    """Learn from training rows how a table becomes a matrix, and do it to any rows.

    Attributes
    ----------
    notices : list of str
        What `fit` left out or folded, one line each.
    feature_names_out : list of str
        The names of the matrix's columns.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"age": [20, 40, None, 60], "pet": ["cat", "dog", "cat", "cat"]})
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.feature_names_out
    ['age', 'age (missing)', 'pet=cat', 'pet=dog']
    >>> encoder.transform(table).round(2).tolist()[2]
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self):
        self.notices = []
        self._numbers = NumberColumns([], np.zeros((3, 0)), [])
        self._texts = []

    def fit(self, frame):
        """Learn from the rows of a DataFrame (pandas, polars or pyarrow); return the encoder.

        Raises
        ------
        TableError
            A value is infinite, or no column is left to learn from.
        """
        frame = as_frame(frame)
        self.notices, self._texts, names, columns = [], [], [], []
        for name in frame.columns:
            kind = column_kind(frame[name])
            if kind == "other":
                self.notices.append(f"column {name!r} is left out: it holds {frame[name].dtype}.")
            elif kind == "text":
                self._add_text(name, to_texts(frame[name]))
            elif self._varies(name, numbers := finite(name, to_numbers(frame[name]))):
                names.append(name)
                columns.append(numbers)
        self._numbers = NumberColumns.fit(names, columns)
        if not self.feature_names_out:
            raise TableError("no column is left to learn from. " + " ".join(self.notices))
        return self

    def fit_transform(self, frame):
        """Return ``fit(frame).transform(frame)``."""
        return self.fit(frame).transform(frame)

    def expect(self, frame):
        """Take no more notice of values that occur in these rows, which training keeps out; return the encoder.

        What they become does not change: a category or a missing value of validation rows alone is all zeros,
        or the median.
        """
        frame = as_frame(frame)
        for name, missing in zip(self._numbers.names, self._numbers.missing, strict=True):
            if not missing and np.isnan(to_numbers(frame[name])).any():
                self._numbers.unsurprising.append(name)
        for text in self._texts:
            text.unsurprising = sorted(set(to_texts(frame[text.name])) - set(text.categories), key=str)
        return self

    def transform(self, frame, notices=None):
        """Encode rows.

        Parameters
        ----------
        frame : DataFrame
            With the columns of training, in any order; others are ignored.
        notices : list, optional
            A line is appended for each column with unseen categories or unexpected missing values.

        Returns
        -------
        numpy.ndarray
            (n, k) float32, the columns named by `feature_names_out`.

        Raises
        ------
        TableError
            A column is missing, holds words where training saw numbers, or holds an infinite value.
        """
        frame = as_frame(frame)
        notices = [] if notices is None else notices
        _check_names(frame.columns, self.columns)
        out = np.zeros((len(frame), len(self.feature_names_out)), np.float32)
        start = self._numbers.width
        self._numbers.transform(out[:, :start], frame, notices)
        for text in self._texts:
            stop = start + text.width
            text.transform(out[:, start:stop], frame, notices)
            start = stop
        return out

    @property
    def feature_names_out(self):
        """The names of the matrix's columns."""
        return sum((part.feature_names_out for part in self._texts), self._numbers.feature_names_out)

    @property
    def columns(self):
        """The names of the columns that `transform` reads."""
        return self._numbers.names + self.text_columns

    @property
    def text_columns(self):
        """The names of the columns that are read as text."""
        return [text.name for text in self._texts]

    def get_state(self):
        """Return (tensors, description): numpy arrays by name, and what is left, ready for JSON."""
        numbers = self._numbers
        description = {
            "numbers": [{"name": n, "missing": m} for n, m in zip(numbers.names, numbers.missing, strict=True)],
            "unsurprising": numbers.unsurprising,
            "texts": [vars(text) for text in self._texts],
        }
        return {"median_mean_scale": numbers.statistics}, description

    @classmethod
    def from_state(cls, tensors, description):
        """Return the encoder that `get_state` described."""
        encoder, numbers = cls(), description["numbers"]
        names, missing = [c["name"] for c in numbers], [c["missing"] for c in numbers]
        encoder._numbers = NumberColumns(
            names, np.array(tensors["median_mean_scale"]), missing, description["unsurprising"]
        )
        encoder._texts = [TextColumn(**fields) for fields in description["texts"]]
        return encoder

    def _varies(self, name, numbers):
        missing = np.isnan(numbers)
        if missing.all():
            self.notices.append(f"column {name!r} is left out: it is empty.")
            return False
        if not missing.any() and np.all(numbers == numbers[0]):
            self.notices.append(f"column {name!r} is left out: it has one value only.")
            return False
        return True

    def _add_text(self, name, texts):
        counts = Counter(texts)
        n_missing = counts.pop(None, 0)
        if not counts:
            self.notices.append(f"column {name!r} is left out: it is empty.")
        elif len(counts) == 1 and not n_missing:
            self.notices.append(f"column {name!r} is left out: it has one value only.")
        elif len(counts) > 1 and len(counts) == len(texts) - n_missing:
            self.notices.append(f"column {name!r} is left out: its text is different in each row.")
        else:
            ranked = sorted(counts, key=lambda category: (-counts[category], category))
            folded = len(ranked) > MOST_CATEGORIES
            if folded:
                self.notices.append(
                    f"column {name!r} has {len(ranked)} categories: the {MOST_CATEGORIES} most frequent are kept, "
                    "the rest is folded into one."
                )
            self._texts.append(TextColumn(name, sorted(ranked[:MOST_CATEGORIES]), folded, n_missing > 0))


def _check_names(names, wanted):
    absent = [name for name in wanted if name not in names]
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        free = [name for name in names if name not in wanted]
        raise TableError(f"column {absent[0]!r} is missing{more}.{nearest_name(absent[0], free)}")
