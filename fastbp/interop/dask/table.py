"""A table of Dask as partitions of X and y that workers are handed, and what runs on them."""

import os
from typing import NamedTuple

from fastbp.settings.naming import nearest

ADVICE = 'tables of Dask need it: pip install "fastbp[dask]"'
# Of the memory of a worker's thread, what the rows of one network may take, twice: in parts, and together.
MEMORY_SHARE = 0.25


class DaskTable(NamedTuple):
    """Partitions of X and y, as `dask.delayed` objects, in pairs; whether columns have names; the target's name."""

    X: list
    y: list
    named: bool
    target_name: str | None


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


def dask_table(X, y):
    """Return the `DaskTable` of X and y, or of a DataFrame and the name of its target."""
    dask = import_dask()
    if not is_collection(X):
        raise TypeError(
            f"X is a {type(X).__name__}, no DataFrame or array of Dask: fit fastbp's own estimator to it, or write "
            "dask.dataframe.from_pandas(X, npartitions=8)."
        )
    named = isinstance(X, dask.dataframe.DataFrame)
    if isinstance(y, str):
        if not named:
            raise TypeError(f"y={y!r} is the name of a column, and X an array without names: give the targets.")
        if y not in X.columns:
            raise ValueError(f"there is no column {y!r}.{nearest(y, [str(name) for name in X.columns])}")
        X, y = X.drop(columns=[y]), X[y]
    if not is_collection(y):
        raise TypeError(f"y is a {type(y).__name__}: give a Series or array of Dask, or the name of a column of X.")
    table = DaskTable(_partitions(X), _partitions(y), named, getattr(y, "name", None) if named else None)
    if len(table.X) != len(table.y):
        raise ValueError(f"X has {len(table.X)} partitions and y {len(table.y)}: repartition y as X is.")
    return table


def _partitions(collection):
    """Return the partitions of a collection, each with all columns."""
    if hasattr(collection, "rechunk") and collection.ndim == 2:
        collection = collection.rechunk({1: -1})
    delayed = collection.to_delayed()
    return delayed if isinstance(delayed, list) else delayed.ravel().tolist()


def client():
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
