"""What is to be learnt: a target's column, and the rule that tells classification from regression by its values.

- Text, categories and booleans are classes.
- Numbers of which one at least is not whole are a quantity: regression.
- Whole numbers are classes if there are exactly two different ones, or at most `MOST_CLASSES`, each
  standing in `ROWS_A_CLASS` rows on average or more; otherwise they are a quantity.
"""

import numpy as np

from fastbp.tabular.columns import as_frame, column_kind, is_missing, take_column, to_numbers
from fastbp.tabular.factorize import to_texts
from fastbp.tabular.reading import TableError

MOST_CLASSES = 20
ROWS_A_CLASS = 5
FEWEST_ROWS = 10


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


def detect_task(target):
    """Return the task for a target (a narwhals Series without missing values) and the reason for it.

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
    values = set(to_texts(target)) if kind == "text" else np.unique(to_numbers(target))
    n_values = len(values)
    if n_values == 1:
        raise TableError(f"the target column {name!r} has one value only: there is nothing to learn.")
    if kind in ("text", "boolean"):
        return "classification", f"the target is {kind}"
    if np.any(values != np.round(values)):
        return "regression", "the target has values that are not whole"
    if n_values == 2 or (n_values <= MOST_CLASSES and n_values * ROWS_A_CLASS <= len(target)):
        return "classification", f"the target has {n_values} different whole numbers"
    return "regression", f"the target has {n_values} different whole numbers in {len(target)} rows"


def class_values(column, as_text=None):
    """Return the classes of a target's column (a narwhals Series without missing values) as an array (n,).

    Text is an array of objects; other columns become booleans, whole numbers (int64), or floats.

    Parameters
    ----------
    column : narwhals.Series
    as_text : bool, optional
        Whether the classes are text, whatever the column looks like; by default, where it holds text.
    """
    kind = column_kind(column)
    if kind == "text" or as_text:  # numbers in training, words now: let them be reported as unknown classes
        return np.array(to_texts(column), dtype=object)
    numbers = to_numbers(column)
    if kind == "boolean":
        return numbers.astype(bool)
    whole = np.all(np.isfinite(numbers)) and np.all(np.abs(numbers) < 2**53) and np.all(numbers == np.round(numbers))
    return numbers.astype(np.int64) if whole else numbers


def number_values(column):
    """Return a target's column (a narwhals Series without missing values) as float64 (n,)."""
    if column_kind(column) not in ("number", "boolean", "date"):
        first = column.to_list()[0]
        raise TableError(f"the target column {column.name!r} holds {first!r}: regression needs numbers.")
    numbers = to_numbers(column)
    if not np.isfinite(numbers).all():
        raise TableError(f"the target column {column.name!r} holds an infinite value.")
    return numbers


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
