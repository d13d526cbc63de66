"""Coders of numbers and dates.

A coder turns one column of a table into columns of the encoded matrix. `read` reads the column, `fit` learns from what
was read (or raises `Useless`), and `surprises` says what training had not seen. `fastbp.tabular.rows_to_float32` writes
the columns: for numbers and dates many at once, by their `scales`, for other coders by `encode`.
"""

import numpy as np

from fastbp.io import filechecks
from fastbp.tabular.columns import Useless, all_missing, column_kind, to_numbers, type_name
from fastbp.tabular.dates import CYCLES, part_of, parts_that_tell, read_times
from fastbp.tabular.errors import TableError
from fastbp.tabular.recognition import check_form, packed_form, unpacked_form
from fastbp.tabular.scaling import robust_scale, robust_scale_of_counts, scaled
from fastbp.tabular.textcolumns import dated, parsed_column


class NumberCoder:
    """Numbers, robustly scaled (see `fastbp.tabular.scaling`), and a plain column that tells the missing ones.

    Parameters
    ----------
    name : str
    scales : list of (median, scale)
        One for each numeric column; empty where all known values are the same.
    indicator : (float, float) or None
        The plain column's values for known and for missing rows; None where training had none missing.
    expects_missing : bool
        Whether missing values are no surprise.
    form : object, optional
        How text wrote the numbers in training (of `fastbp.tabular.recognition`), or what a file keeps of that.
    """

    kind = "number"

    def __init__(self, name, scales, indicator, expects_missing, form=None):
        self.name = name
        self.scales = scales
        self.indicator = indicator
        self.expects_missing = expects_missing
        self.form = unpacked_form(form) if isinstance(form, dict) else form

    @classmethod
    def fit(cls, name, numbers):
        """Learn from float64 numbers (n,), NaN where missing."""
        return cls(name, *_fit_scales([numbers]))

    @property
    def numeric_names(self):
        return [self.name] * len(self.scales)

    @property
    def plain_names(self):
        return [f"{self.name} (missing)"] * (self.indicator is not None)

    @property
    def cardinalities(self):
        return []

    def read(self, column, notes):
        """Return float64 numbers (n,), NaN where missing; words that are numbers, or mean "missing", will do.

        A line is appended to the list `notes` where a few are odd.
        """
        kind = column_kind(column)
        if kind == "text":
            return parsed_column(column, self.form, "number", notes)
        if kind in ("date", "other") and not all_missing(column):
            raise TableError(f"column {self.name!r} held numbers in training and holds {type_name(column)} now.")
        return to_numbers(column)

    def surprises(self, values):
        """Return a list of lines about what training had not seen."""
        n_missing = int(np.count_nonzero(np.isnan(self.columns(values)[0])))
        if self.expects_missing or n_missing == 0:
            return []
        return [f"column {self.name!r}: {missing_in(n_missing)}; taken as {self._middle()}."]

    def columns(self, values):
        """Return the numbers read as a list of vectors (n,), one for each scale."""
        return [values]

    def _middle(self):
        return f"the median {self.scales[0][0]:g}"

    def get_state(self):
        return {**vars(self), "form": packed_form(self.form)}

    def check(self):
        """Raise ValueError where what a file says of the coder is not as `fit` makes it."""
        filechecks.text(self.name, "name")
        check_form(self.form)
        filechecks.listed(self.scales, "scales", _check_scale, *([self._most_scales()] if self.scales else []))
        if self.indicator is not None:
            filechecks.listed(self.indicator, "indicator", filechecks.real, 2)
        if not filechecks.flag(self.expects_missing, "expects_missing") and not self.scales:
            raise ValueError(f"column {self.name!r} has no scale.")

    def _most_scales(self):
        return 1


class DateCoder(NumberCoder):
    """Dates: a linear time and parts of it (see `fastbp.tabular.dates`), each a numeric column.

    Parameters
    ----------
    name, scales, indicator, expects_missing, form
        As of `NumberCoder`; the first scale is the linear time's.
    parts : list of str
    zone : str or None
        The time zone of training.
    """

    kind = "date"

    def __init__(self, name, scales, indicator, expects_missing, parts, zone, form=None):
        super().__init__(name, scales, indicator, expects_missing, form)
        self.parts = parts
        self.zone = zone

    @classmethod
    def fit(cls, name, times, zone):
        """Learn from times (2, n) of `fastbp.tabular.dates.read_times`."""
        parts = parts_that_tell(times)
        return cls(name, *_fit_scales(_date_columns(times, parts)), parts, zone)

    @property
    def numeric_names(self):
        return [f"{self.name} ({part})" for part in ["time", *self.parts]][: len(self.scales)]

    def read(self, column, notes):
        """Return times (2, n); text will do, and whole numbers such as 20240131 where training had text."""
        kind = column_kind(column)
        if kind == "number" and self.form is not None:
            column = dated(column, self.form)
        if kind == "text":
            column = parsed_column(column, self.form, "date", notes)
        return read_times(self.name, column, self.zone)

    def check(self):
        """Raise ValueError where what a file says of the coder is not as `fit` makes it."""
        filechecks.listed(self.parts, "parts", lambda part, name: filechecks.text(part, name, set(CYCLES)))
        if self.zone is not None:
            filechecks.text(self.zone, "zone")
        super().check()

    def _most_scales(self):
        return 1 + len(self.parts)

    def columns(self, values):
        return _date_columns(values, self.parts)

    def _middle(self):
        return f"the median {np.datetime64(int(self.scales[0][0]), 's')}"


def _fit_scales(columns):
    """Return scales, indicator and expects_missing for float64 columns that miss the same rows."""
    missing = np.isnan(columns[0])
    n_missing, n = np.count_nonzero(missing), len(missing)
    if n_missing == n:
        raise Useless("it is empty")
    first = robust_scale(columns[0])
    if first is None and n_missing == 0:
        raise Useless("it has one value only")
    scales = [first, *map(robust_scale, columns[1:])] if first else []
    indicator = None
    if n_missing:
        values = np.array([0.0, 1.0])
        indicator = scaled(values, *robust_scale_of_counts(values, np.array([n - n_missing, n_missing]))).tolist()
    return [list(scale) for scale in scales], indicator, bool(n_missing)


def _check_scale(scale, name):
    _, width = filechecks.listed(scale, name, filechecks.real, 2)
    filechecks.real(width, name, np.finfo(np.float64).smallest_subnormal)


def _date_columns(times, parts):
    return [times[0], *(part_of(times[1], part) for part in parts)]


def missing_in(n_rows):
    """Return a line on missing values that training did not have."""
    return f"missing in {n_rows} row{'s' * (n_rows != 1)} (in none of training)"
