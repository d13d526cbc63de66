"""The task: a target's column, and the rule by which its values tell classification from regression.

- Text, categories and booleans are classes.
- Numbers are a quantity, for regression, if at least one of them is not whole.
- Whole numbers are classes if there are exactly two different ones, or at most `MOST_CLASSES`, each
  standing in `ROWS_A_CLASS` rows on average or more; otherwise they are a quantity.
"""

import numpy as np

from fastbp.tabular.columns import as_frame, column_kind, is_integer, is_missing, take_column, to_numbers
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import factorize, to_texts
from fastbp.tabular.numerals import NumberForm
from fastbp.tabular.recognition import recognise
from fastbp.tabular.textcolumns import typed
from fastbp.tabular.vocabulary import counts_of

MOST_CLASSES = 20
ROWS_A_CLASS = 5
FEWEST_ROWS = 10
# The largest quantity: the squares of larger ones overflow.
LARGEST = 1e150


def split_target(frame, name):
    """Take the target out of a table and drop the rows that have none.

    Parameters
    ----------
    frame : DataFrame
        Of pandas, polars or pyarrow.
    name : str
        The target's column.

    Returns
    -------
    features : narwhals.DataFrame
        The other columns, in the rows where the target is known.
    target : narwhals.Series
    dropped : int
        The number of rows dropped.

    Raises
    ------
    TableError
        There is no such column, or no row has a value in it, or there is no other column.
    """
    frame = as_frame(frame)
    missing = is_missing(take_column(frame, name))
    if missing.all():
        raise TableError(f"the target column {name!r} is empty.")
    if len(frame.columns) == 1:
        raise TableError(f"there is no column beside the target {name!r} to learn from.")
    if missing.any():
        frame = frame.filter((~missing).tolist())
    return frame.drop(name), frame[name], int(missing.sum())


def detect_task(target, form=None):
    """Return the task for a target (a narwhals Series without missing values) and the reason for it.

    Parameters
    ----------
    target : narwhals.Series
    form : object, optional
        How text writes numbers or dates (`fastbp.tabular.recognition`): the rule goes by those.

    Returns
    -------
    task : {"classification", "regression"}
    reason : str

    Raises
    ------
    TableError
        The target has one value only, or values that are neither text nor numbers.

    Examples
    --------
    >>> import narwhals as nw, pandas as pd
    >>> detect_task(nw.from_native(pd.Series(["yes", "no", "no"]), series_only=True))
    ('classification', 'the target is text')
    >>> detect_task(nw.from_native(pd.Series([0.5, 1.0, 2.0]), series_only=True))
    ('regression', 'the target has values that are not whole')
    """
    name, kind = target.name, column_kind(target)
    if kind == "other":
        raise TableError(f"the target column {name!r} holds {target.dtype}: neither text nor numbers.")
    if form is not None and kind == "text":
        kind, values = "number", np.unique(_numbers_in(target, form))
        values = values[~np.isnan(values)]
    elif kind == "text":
        values = set(to_texts(target))
    else:  # floats would confuse whole numbers above 2**53
        values = np.unique(target.to_numpy() if is_integer(target) else to_numbers(target))
    n_values, what = len(values), "whole numbers" if form is None or form.kind == "number" else f"{form.kind}s"
    if n_values == 1:
        raise TableError(f"the target column {name!r} has one value only: there is nothing to learn.")
    if kind in ("text", "boolean"):
        return "classification", f"the target is {kind}"
    if np.any(values != np.round(values)):
        return "regression", "the target has values that are not whole"
    if n_values == 2 or (n_values <= MOST_CLASSES and n_values * ROWS_A_CLASS <= len(target)):
        return "classification", f"the target has {n_values} different {what}"
    return "regression", f"the target has {n_values} different {what} in {len(target)} rows"


def class_values(column, as_text=None):
    """Return the classes of a target's column (a narwhals Series without missing values) as an array (n,).

    Text is an array of objects, and so are dates, as ISO 8601 writes them; other columns become booleans, whole
    numbers (int64, or uint64 where they need it), or floats.

    Parameters
    ----------
    column : narwhals.Series
    as_text : bool, optional
        Whether the classes are text, whatever the column looks like; by default, where it holds text.
    """
    kind = column_kind(column)
    if kind == "text" or as_text:  # numbers in training, words now: let them be reported as unknown classes
        return np.array(to_texts(column), dtype=object)
    if kind == "date":
        return np.array([date.isoformat().removesuffix("T00:00:00") for date in column.to_list()], dtype=object)
    if not isinstance(column, np.ndarray) and is_integer(column):  # floats would confuse those above 2**53
        values = column.to_numpy()
        return values.astype(np.uint64 if values.max() >= 2**63 else np.int64)
    numbers = to_numbers(column)
    if kind == "boolean":
        return numbers.astype(bool)
    whole = np.all(np.isfinite(numbers)) and np.all(np.abs(numbers) < 2**53) and np.all(numbers == np.round(numbers))
    return numbers.astype(np.int64) if whole else numbers


def number_values(column, form=None):
    """Return a target's column (a narwhals Series without missing values) as float64 (n,).

    `form` is the way in which text writes numbers or dates; without it, it is found here.
    """
    if column_kind(column) == "text":
        numbers = _all_numbers_in(column, form)
    elif column_kind(column) == "other":
        first = column.to_list()[0]
        raise TableError(f"the target column {column.name!r} holds {first!r}: regression needs numbers.")
    else:
        numbers = to_numbers(column)
    beyond = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(beyond):
        what = "an infinite value" if np.isinf(numbers[beyond[0]]) else f"{numbers[beyond[0]]:g}, beyond {LARGEST:g}"
        raise TableError(f"the target column {column.name!r} holds {what} in row {row_number(column, beyond[0])}.")
    return numbers


def row_number(column, place):
    """Return a row's number in its file or frame, from 1, by its place in a column from which rows were left out."""
    index = getattr(column.to_native(), "index", None)
    return int(index[place] if hasattr(index, "dtype") and index.dtype.kind == "i" else place) + 1


def _numbers_in(column, form):
    """Return text as float64 (n,) by a form, NaN where it is neither a number nor a date."""
    codes, texts = factorize(column)
    parsed = typed(form, codes, texts, np.zeros(len(texts), bool))
    return parsed if isinstance(parsed, np.ndarray) else to_numbers(parsed)


def _all_numbers_in(column, form):
    codes, texts = factorize(column)
    form = form or recognise(texts, counts_of(codes, texts), kind="number").form or NumberForm()
    numbers = _numbers_in(column, form)
    odd = np.flatnonzero(np.isnan(numbers))
    if len(odd) == 0:
        return numbers
    first = column.to_list()[int(odd[0])]
    what = "" if len(odd) == len(numbers) else f" in row {row_number(column, odd[0])}, which is no {form.kind}"
    raise TableError(f"the target column {column.name!r} holds {first!r}{what}: regression needs numbers.")


def check_learnable(name, values, task):
    """Raise TableError where a target (n,) has too few rows, or too many classes, to be learnt."""
    if len(values) < FEWEST_ROWS:
        raise TableError(f"too few rows: {len(values)} have a target; at least {FEWEST_ROWS} are needed.")
    n_classes = len(np.unique(values))
    if task == "classification" and n_classes > max(2, len(values) // 2):
        raise TableError(
            f"the target column {name!r} has {n_classes} different values in {len(values)} rows: too many to be "
            "classes."
        )
