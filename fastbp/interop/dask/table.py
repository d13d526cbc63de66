"""A table of Dask as partitions of X and y, which are handed to workers."""

import os
from typing import NamedTuple

from fastbp.settings.naming import nearest

ADVICE = 'tables of Dask need it: pip install "fastbp[dask]"'
# The share of a worker thread's memory for the rows of one network, which are held twice: in parts, and joined.
MEMORY_SHARE = 0.25


class DaskTable(NamedTuple):
    """Partitions of X, y and the rows' weights (or Nones), as `dask.delayed` objects.

    target_name: the target's name, or of several the list of them, or None.  columns: the names that all partitions of
    X have, or None of an array.  given: the user's X.
    """

    X: list
    y: list
    weight: list
    target_name: str | list | None
    columns: list | None
    given: object


def import_dask():
    """Return dask, or raise the ImportError that says how to install it."""
    try:
        import dask.array
        import dask.dataframe
    except ImportError as error:
        raise ImportError(f"{ADVICE} ({error})") from None
    return dask


def is_collection(X):
    """Is X a table or an array of Dask?"""
    return import_dask().is_dask_collection(X)


def dask_table(X, y, sample_weight=None):
    """Return the `DaskTable` of X and y, or of a DataFrame and the names of its target and weights."""
    if not is_collection(X):
        raise TypeError(
            f"X is a {type(X).__name__}, no DataFrame or array of Dask: fit fastbp's own estimator to it, or write "
            "dask.dataframe.from_pandas(X, npartitions=8)."
        )
    given = X
    X, y, sample_weight = taken_by_name(X, y, sample_weight)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if not is_collection(value) and not (name == "sample_weight" and value is None):
            raise TypeError(
                f"{name} is a {type(value).__name__}: give a Series or array of Dask, or the name of a column of X."
            )
    parts = {"X": _partitions(X), "y": _partitions(y)}
    parts["sample_weight"] = [None] * len(parts["X"]) if sample_weight is None else _partitions(sample_weight)
    for name, several in parts.items():
        if len(several) != len(parts["X"]):
            raise ValueError(
                f"X has {len(parts['X'])} partitions and {name} {len(several)}: repartition {name} as X is."
            )
    columns = list(X.columns) if hasattr(X, "columns") else None
    return DaskTable(*parts.values(), _name_of(y), columns, given)


def lacking(given):
    """Return what the error of a partition means which has not all columns of a table, or None where each has them."""
    dask = import_dask()
    found = dask.compute(*[dask.delayed(_columns_of)(part) for part in _partitions(given)])
    for place, columns in enumerate(found):
        if (told := other_columns(place, columns, list(given.columns))) is not None:
            return told
    return None


def _columns_of(part):
    return list(part.columns)


def other_columns(place, columns, wanted):
    """Return how the columns of a partition differ from those of the table, or None."""
    lost, extra = [name for name in wanted if name not in columns], [name for name in columns if name not in wanted]
    if not lost and not extra:
        return None
    what = f"lacks column {lost[0]!r}" if lost else f"has a column {extra[0]!r} that the table has not"
    return (
        f"partition {place} {what}: it has {', '.join(map(repr, columns))}. All partitions have the columns of the "
        "table; add it (with missing values), or read the files with the same columns."
    )


def taken_by_name(X, y, sample_weight):
    """Return X without the named columns, and these columns: for tables of Dask and for those in memory."""
    taken = []
    for given in (y, sample_weight):
        names = given if isinstance(given, list) and given and all(isinstance(one, str) for one in given) else [given]
        if not isinstance(names[0], str):
            taken.append(given)
            continue
        if not hasattr(X, "columns"):
            raise TypeError(f"{given!r} is the name of a column, and X an array without names: give the values.")
        for name in names:
            if name not in X.columns:
                raise ValueError(f"there is no column {name!r}.{nearest(name, [str(one) for one in X.columns])}")
        taken.append(X[given])
    named = [name for given in (y, sample_weight) if isinstance(given, str | list) for name in _listed(given)]
    named = [name for name in named if isinstance(name, str)]
    return (X.drop(columns=named) if named else X), *taken


def rows_here(eval_set):
    """Return rows to validate by with their targets, and weights, in memory; None for None."""
    if eval_set is None:
        return None
    if not isinstance(eval_set, tuple) or len(eval_set) not in (2, 3):
        raise ValueError(f"eval_set is a tuple (X, y) or (X, y, sample_weight), not {type(eval_set).__name__}.")
    return import_dask().compute(*taken_by_name(*(*eval_set, None)[:3]))


def _listed(given):
    return given if isinstance(given, list) else [given]


def _name_of(y):
    """Return a target's name, the names of its columns, or None."""
    if hasattr(y, "columns"):
        names = list(y.columns)
        return names if len(names) > 1 else names[0]
    return getattr(y, "name", None) if hasattr(y, "to_delayed") and not hasattr(y, "chunks") else None


def _partitions(collection):
    """Return the partitions of a collection, each with all columns."""
    if hasattr(collection, "rechunk") and collection.ndim == 2:
        collection = collection.rechunk({1: -1})
    delayed = collection.to_delayed()
    return delayed if isinstance(delayed, list) else delayed.ravel().tolist()


def active_client():
    """Return the client of `distributed` that this thread would use, or None."""
    try:
        from distributed import get_client

        return get_client()
    except (ImportError, ValueError):
        return None


def memory_of_a_task(client):
    """Return the bytes that a task may take: a thread's part of the smallest worker, or of this machine."""
    if client is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (os.cpu_count() or 1)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [worker["memory_limit"] / worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return min(limits, default=float("inf"))


def finished(tasks, client):
    """Yield what delayed tasks return, in the order in which they end; without a client, when all have ended."""
    if client is None:
        yield from import_dask().compute(*tasks)
        return
    from distributed import as_completed

    futures = client.compute(tasks)
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        client.cancel(futures)
