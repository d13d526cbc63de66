"""Groups and times of rows, of any type, become whole numbers by which rows are set apart."""

from typing import NamedTuple

import numpy as np

from fastbp.tabular.columns import as_frame, column_kind, is_integer, is_missing, take_column, to_numbers, type_name
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import factorize
from fastbp.tabular.recognition import recognise
from fastbp.tabular.textcolumns import typed
from fastbp.tabular.vocabulary import counts_of


class Given(NamedTuple):
    """The values of an argument, its name, and the column of X if it named one."""

    values: object
    argument: str
    column: str | None = None

    @property
    def name(self):
        """What messages call the values."""
        return self.argument if self.column is None else f"column {self.column!r} ({self.argument})"

    def place(self, row):
        """Return what messages call the value of a row, counted from 0."""
        return f"{self.argument}[{row}]" if self.column is None else f"{self.name}, row {row + 1},"


def taken_columns(X, groups, time):
    """Return X without the column that `groups` names, and `groups` and `time` as `Given` values, or None.

    Raises
    ------
    TableError
        X has no such column, or none with a name.
    """
    given = {}
    for argument, values in (("groups", groups), ("time", time)):
        given[argument] = None if values is None else Given(values, argument)
        if not isinstance(values, str):
            continue
        if not hasattr(X, "columns"):
            raise TableError(f"{argument}={values!r} names a column, but the columns of X have no names.")
        try:
            column = take_column(as_frame(X), values)
        except TableError as error:
            raise TableError(f"{argument}: {error}") from None
        given[argument] = Given(column.to_pandas(), argument, values)
    if isinstance(groups, str):
        X = as_frame(X).drop(groups).to_native()
    return X, given["groups"], given["time"]


def group_codes(given, n):
    """Return a number for each group, (n,) int64."""
    import pandas as pd

    return _several(*pd.factorize(_series(given, n)), given)


def time_ranks(given, n):
    """Return the ranks (n,) int64 of times, and a list of notes on how text was read."""
    import pandas as pd

    column = as_frame(_series(given, n).to_frame("time"))["time"]
    column, notes = as_ordered(column, given.name)
    whole = not isinstance(column, np.ndarray) and is_integer(column)
    values = column.to_numpy() if whole else to_numbers(column)  # floats would confuse whole numbers above 2**53
    return _several(*pd.factorize(values, sort=True), given), notes


def as_ordered(column, name, index=None):
    """Return values that may be text as a narwhals Series, or a vector, of numbers or dates, and notes on that.

    Messages call the column `name`, and its rows by the numbers of `index`, from 0, or else by their places.

    Raises
    ------
    TableError
        It holds neither, or a text that is not like the others.
    """
    kind = column_kind(column)
    if kind == "other":
        raise TableError(f"{name} cannot be ordered: it holds {type_name(column)}. Give numbers or dates.")
    if kind != "text":
        return column, []
    codes, texts = factorize(column)
    counts = counts_of(codes, texts)
    form, _, why = recognise(texts, counts)
    if form is None:  # 007 is a number for once
        form, why = recognise(texts, counts, kind="number").form, ""
    if form is None or np.isnan(form.parse(texts) if form.kind == "number" else 0.0).all():
        raise TableError(f"{name} cannot be ordered: it holds {texts[codes[0]]!r}. Give numbers or dates.")
    values = typed(form, codes, texts, np.zeros(len(texts), bool))
    if (unread := is_missing(values)).any():
        place = int(np.argmax(unread))
        row = 1 + (place if index is None else index[place])
        raise TableError(f"{name} holds {texts[codes[place]]!r} in row {row}, which is no {form.kind}.")
    return values, [f"{name}: {why}."] * bool(why)


def _series(given, n):
    """Return the values as a pandas Series (n,) with an index of its own and without missing values."""
    import pandas as pd

    values = given.values
    shape = getattr(values, "shape", None)
    if not hasattr(values, "__len__") or (shape is not None and len(shape) != 1):
        what = repr(values) if shape is None else f"of the shape {tuple(shape)}"
        raise TableError(f"{given.name} is {what}: give one value for each row, or the name of a column.")
    if hasattr(values, "to_pandas"):  # of polars or pyarrow
        values = values.to_pandas()
    values = pd.Series(values).reset_index(drop=True)
    if len(values) != n:
        raise TableError(f"{given.name} has {len(values)} values for {n} rows.")
    if values.isna().any():
        raise TableError(f"{given.place(int(np.argmax(values.isna())))} is missing: leave that row out.")
    return values


def _several(codes, distinct, given):
    if len(distinct) < 2:
        raise TableError(f"{given.name} has one value only: no rows can be set apart by it.")
    return codes.astype(np.int64)
