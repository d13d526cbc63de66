"""Columns become numbers: a table as the float32 matrix that a network reads.

The rules, fitted on the training rows:

- Numbers are scaled robustly and clipped smoothly into (-3, 3) (`fastbp.tabular.scaling`).  A missing value is 0, the
  median's place; a column with missing values in training also gets a plain column "name (missing)".  Infinities
  land at the ends, beside the largest values: a ratio with a zero in its denominator means just that, and a value
  beyond float32 must not make a table unusable.
- Dates become a linear time and parts of it that tell more; these are treated as numbers (`fastbp.tabular.dates`).
- Text that is numbers or dates, however written, is read as such (`fastbp.tabular.recognition`), in later rows too.
- Other text, categories, booleans, and whole numbers by the rule of `fastbp.tabular.coders.is_category`, become one-hot
  columns, scaled and clipped as the numbers are (of two values, one column), or, where they have more than 8 values,
  a column of codes for a trained embedding (`fastbp.tabular.vocabulary`).
- Left out, with a reason: empty columns, columns with one value only, text that is different in nearly each row,
  and columns that hold none of these types.
"""

from __future__ import annotations

import numpy as np

from fastbp.engine.threads import get_num_threads
from fastbp.io import filechecks
from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.coders import CODERS, chosen_categories, fit_coder
from fastbp.tabular.columns import Useless, as_table, nearest_name
from fastbp.tabular.encoder_repr import html_of, line_of
from fastbp.tabular.errors import TableError
from fastbp.tabular.numeric import DateCoder, NumberCoder
from fastbp.tabular.rows_to_float32 import widths_of, write
from fastbp.tabular.sparsetable import SparseTable
from fastbp.tabular.tablewarning import tell

# Columns with at least so many rows are read and encoded by several threads, because NumPy releases Python's lock.
THREAD_ROWS = 10_000
# Rising numbers in fewer rows are no sign of an id.
FEWEST_RISING_ROWS = 20


class TableEncoder:
    """Learn from training rows how a table becomes a matrix, and do it to any rows.

    Parameters
    ----------

    Attributes
    ----------
    n_numeric, n_plain, n_codes : int
        The matrix's three groups of columns, in this order: numbers (for numeric embeddings), one-hot and indicator
        columns, and codes for embeddings.
    cardinalities : list of int
        The number of codes of each column of codes: 0 is a missing (or unseen) value, 1 the most frequent category.
    feature_names_in : list of str
        The names of the columns of training.
    feature_names_out : list of str
        The names of the matrix's columns.
    dropped : dict {str: str}
        Columns that are left out, and why.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"age": [20, 40, None, 60], "pet": ["cat", "dog", "cat", "cat"]})
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.feature_names_out, encoder.n_numeric, encoder.n_plain, encoder.n_codes
    (['age', 'age (missing)', 'pet=dog'], 1, 2, 0)
    >>> encoder.transform(table)[1].round(1)
    array([0. , 0. , 2.4], dtype=float32)
    """

    def __init__(self):
        self.dropped = {}
        self.feature_names_in = []
        self._named = True
        self._coders = []
        self._notes, self._rising = [], []

    def __repr__(self):
        return line_of(self)

    def _repr_html_(self):
        return html_of(self)

    def fit(self, frame, *, categorical_features=None):
        """Learn from the rows of a table; return the encoder.

        Parameters
        ----------
        frame : DataFrame of pandas, polars or pyarrow; array or list of rows
        categorical_features : None, "from_dtype", or list of str, int or bool
            Which columns of numbers are categories: by the rule (None), none ("from_dtype"), or those named, at these
            positions, or with a True in a list for all columns. Text, categories and booleans always are.

        Raises
        ------
        TableError
            The table is empty or none, two columns have one name, or no column is left to learn from.
        """
        for _ in self._fitted(*as_table(frame), categorical_features):
            pass
        return self

    def fit_transform(self, frame, *, categorical_features=None):
        """Return ``fit(frame).transform(frame)``, for which the frame is read once."""
        table, named = as_table(frame)
        fitted = self._fitted(table, named, categorical_features)
        if isinstance(table, SparseTable):  # its columns are made dense once more in place of being held
            for _ in fitted:
                pass
            return self._encoded(table, self._places(table, named))[0]
        values = {coder.name: values for coder, values in fitted}
        return self._written(len(table), lambda coder, told: values.pop(coder.name))[0]

    def _fitted(self, table, named, categorical_features):
        """Fit one coder after the other; yield each with the values it read."""
        names = list(table.columns)
        categorical = chosen_categories(categorical_features, names)
        coders, dropped, notes, rising = [], {}, [], []
        for name in names:
            try:
                coder, values = fit_coder(name, table[name], categorical.get(name), notes)
            except Useless as reason:
                dropped[name] = str(reason)
                continue
            coders.append(coder)
            if isinstance(coder, NumberCoder) and is_rising(values):
                rising.append(name)
            yield coder, values
        if not coders:
            raise TableError("no column is left to learn from. " + " ".join(_reasons(dropped)))
        self.feature_names_in, self._named, self._coders, self.dropped = names, named, coders, dropped
        self._notes, self._rising = notes, rising

    def transform(self, frame, notices=None, notes=None):
        """Encode rows.

        Parameters
        ----------
        frame : DataFrame, array or list of rows
            A DataFrame's columns are found by name, in any order, as scikit-learn's ColumnTransformer does it: others
            are ignored, and so is the absence of columns that were left out. Where these rows or training's were no
            DataFrame, columns are found by position, and must be as many as in training.
        notices : list, optional
            A line is appended for each column with unseen categories or unexpected missing values.
        notes : list, optional
            A line is appended for each column with odd text. By default `notices` takes it, or else a warning.

        Returns
        -------
        numpy.ndarray
            (n, n_numeric + n_plain + n_codes) float32, finite, in C order.

        Raises
        ------
        TableError
            A column is missing, or holds another type than in training.
        """
        if not self._coders:
            raise TableError("this TableEncoder is not fitted: call fit first.")
        table, named = as_table(frame)
        matrix, odd, surprises = self._encoded(table, self._places(table, named), with_surprises=notices is not None)
        if notices is None and notes is None:
            tell(odd)
        else:
            (notices if notes is None else notes).extend(odd)
        if notices is not None:
            notices += surprises
        return matrix

    def _encoded(self, table, places, with_surprises=False):
        """Return the encoded rows of a table whose columns are at these places, and lines as `write` does."""
        if isinstance(table, SparseTable):
            table.check_encoded(self.n_numeric + self.n_plain + self.n_codes)
            columns = None
        else:
            columns = {name: table[place] for name, place in places.items()}

        def values_of(coder, told):
            return _read_column(coder, columns[coder.name] if columns else table[places[coder.name]], told)

        return self._written(len(table), values_of, with_surprises)

    def _written(self, n_rows, values_of, with_surprises=False):
        n_threads = get_num_threads() if n_rows >= THREAD_ROWS else 1
        return write(self._coders, n_rows, values_of, n_threads, with_surprises)

    def _places(self, table, named):
        """Return {column that is read: its name in a table}."""
        if named and self._named:
            _check_names(table.columns, self.columns)
            return {name: name for name in self.columns}
        if len(table.columns) != len(self.feature_names_in):
            raise TableError(
                f"X has {len(table.columns)} features, but TableEncoder is expecting {len(self.feature_names_in)} "
                "features as input."
            )
        places = dict(zip(self.feature_names_in, table.columns, strict=True))
        return {name: places[name] for name in self.columns}

    def column_of(self, frame, name):
        """Return what a table has for training's column `name`: by its name, or by its place; None: nothing."""
        table, named = as_table(frame)
        if named and self._named:
            return table[name] if name in table.columns else None
        return table[table.columns[self.feature_names_in.index(name)]]

    @property
    def n_numeric(self):
        """The number of numeric columns."""
        return sum(widths_of(coder)[0] for coder in self._coders)

    @property
    def n_plain(self):
        """The number of plain columns."""
        return sum(widths_of(coder)[1] for coder in self._coders)

    @property
    def n_codes(self):
        """The number of columns of codes."""
        return len(self.cardinalities)

    @property
    def cardinalities(self):
        """The number of codes of each column of codes."""
        return [size for coder in self._coders for size in coder.cardinalities]

    @property
    def feature_names_out(self):
        """The names of the matrix's columns."""
        coders = self._coders
        return [
            *(name for coder in coders for name in coder.numeric_names),
            *(name for coder in coders for name in coder.plain_names),
            *(coder.name for coder in coders for _ in coder.cardinalities),
        ]

    @property
    def coders(self):
        """The coders of the columns that `transform` reads, in the table's order."""
        return list(self._coders)

    @property
    def columns(self):
        """The names of the columns that `transform` reads."""
        return [coder.name for coder in self._coders]

    @property
    def named(self):
        """Did training's table have names of its own for its columns?"""
        return self._named

    @property
    def text_columns(self):
        """The names of the columns that are read as text."""
        return [coder.name for coder in self._coders if isinstance(coder, CategoryCoder) and coder.is_text]

    @property
    def forms(self):
        """How text wrote columns that are no text: {name: form}, forms of `fastbp.tabular.recognition`."""
        return {coder.name: coder.form for coder in self._coders if coder.form is not None}

    def adopt_forms(self, forms):
        """Take over how a file wrote the columns that this encoder was given as numbers or dates."""
        for coder in self._coders:
            coder.form = forms.get(coder.name, coder.form)

    @property
    def kinds(self):
        """What the columns hold: {name: "number", "date" or "category"}."""
        return {coder.name: coder.kind for coder in self._coders}

    @property
    def notices(self):
        """Lines on what was left out, folded or guessed; a loaded encoder does not know the guesses."""
        lines = [*_reasons(self.dropped), *self._notes]
        for coder in self._coders:
            if isinstance(coder, CategoryCoder) and coder.vocabulary.rare:
                kept = len(coder.vocabulary.texts)
                lines.append(f"column {coder.name!r}: its {kept} most frequent categories are kept, the rest is one.")
        return lines

    @property
    def doubts(self):
        """Lines on columns that the user may not have meant to give; known after `fit` only."""
        return [
            f"column {name!r} is a whole number that rises from row to row: it looks like an id or a row number. Leave "
            "it out, unless it tells something about the target."
            for name in self._rising
        ]

    def get_state(self):
        """Return (tensors, description): numpy arrays by name, and what is left, ready for JSON."""
        tensors, coders = {}, []
        for i, coder in enumerate(self._coders):
            state = coder.get_state()
            arrays = {field: value for field, value in state.items() if isinstance(value, np.ndarray)}
            tensors |= {f"{i}/{field}": array for field, array in arrays.items()}
            rest = {field: value for field, value in state.items() if field not in arrays}
            coders.append({"coder": coder.kind, "arrays": sorted(arrays), "settings": rest})
        description = {
            "coders": coders,
            "feature_names_in": self.feature_names_in,
            "named": self._named,
            "dropped": self.dropped,
        }
        return tensors, description

    @classmethod
    def from_state(cls, tensors, description):
        """Return the encoder that `get_state` described."""
        encoder = cls()
        names = filechecks.listed(description["feature_names_in"], "feature_names_in", filechecks.text)
        encoder.feature_names_in, encoder._named = names, filechecks.flag(description["named"], "named")
        encoder.dropped = description["dropped"]
        for i, part in enumerate(description["coders"]):
            arrays = {field: np.array(tensors[f"{i}/{field}"]) for field in part["arrays"]}
            encoder._coders.append(CODERS[part["coder"]](**part["settings"], **arrays))
            encoder._coders[-1].check()
        encoder._check_names()
        return encoder

    def _check_names(self):
        """Raise ValueError where the columns of a file are not some of its features, each named once."""
        names, used = self.feature_names_in, self.columns
        for one in (names, used):
            if not one or len(set(one)) != len(one):
                raise ValueError("there are no features, or two of one name.")
        if unknown := set(used) - set(names):
            raise ValueError(f"there is no feature {min(unknown)!r}.")
        for name, reason in self.dropped.items():
            filechecks.text(reason, f"why {name!r} was dropped")


def is_rising(numbers):
    """Are the numbers of a column whole, and each larger than the one before it, in so many rows that it is no chance?

    Examples
    --------
    >>> import numpy as np
    >>> is_rising(np.arange(892.0)), is_rising(np.arange(892.0) / 2), is_rising(np.arange(5.0))
    (True, False, False)
    """
    if numbers.ndim > 1 or len(numbers) < FEWEST_RISING_ROWS:
        return False
    # Most columns fall somewhere within their first rows, so these are looked at first.
    return all(bool((np.diff(part) > 0).all() and (part == np.floor(part)).all()) for part in (numbers[:64], numbers))


def _read_column(coder, column, told):
    """Return the values of a column; lines on how its text was read are appended to `told`."""
    # A vector of numbers is converted later, when it is scaled together with others.
    if isinstance(column, np.ndarray) and isinstance(coder, NumberCoder) and not isinstance(coder, DateCoder):
        return column
    try:
        return coder.read(column, told)
    except Useless as reason:
        raise TableError(f"column {coder.name!r} cannot be used: {reason}.") from None


def _reasons(dropped):
    return [f"column {name!r} is left out: {reason}." for name, reason in dropped.items()]


def _check_names(names, wanted):
    known = set(names)
    absent = [name for name in wanted if name not in known]
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        free = [name for name in names if name not in wanted]
        raise TableError(f"column {absent[0]!r} is missing{more}.{nearest_name(absent[0], free)}")
