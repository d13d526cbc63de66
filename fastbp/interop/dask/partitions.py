"""The tasks of Dask's workers on a partition, which is a pandas table or an array."""

from __future__ import annotations

import numpy as np

from fastbp.engine.threads import limit_threads
from fastbp.interop.dask.summary import Summary, summary_of
from fastbp.interop.dask.table import other_columns
from fastbp.tabular.checkpoint import digest
from fastbp.tabular.joblib_tasks import worker_threads
from fastbp.tabular.network_training import Part
from fastbp.tabular.onenetwork import new_network, train_network
from fastbp.tabular.time_limit import pace_of_a_worker
from fastbp.tabular.training_rows import checked_weight


def summarised(place, model, is_classes, columns, X, y, weight):
    """Return the `Summary` of a partition's target; an error names the partition."""
    if columns is not None and (told := other_columns(place, list(X.columns), columns)) is not None:
        raise ValueError(told)
    for name, column in (("y", y), ("sample_weight", weight)):
        if column is not None and len(X) != len(column):
            raise ValueError(f"partition {place}: X has {len(X)} rows and {name} {len(column)}.")
    if not len(y):
        return Summary(0)
    try:
        y = model._checked_target(y)
        # A partition whose rows have no weight is as good as an empty one.
        weight = np.zeros(len(y)) if weight is not None and not np.any(weight) else checked_weight(weight, y)
        return summary_of(y, is_classes, weight)
    except ValueError as error:
        raise ValueError(f"partition {place}: {error}") from None


def digested(place, X, y, weight):
    """Return a digest of a partition's rows, by which a checkpoint knows its table."""
    return digest(*(_digestible(part) for part in (X, y, weight)))


def _digestible(part):
    if part is None or isinstance(part, np.ndarray):
        return part if part is None or part.dtype != object else part.tolist()
    import pandas as pd

    return pd.util.hash_pandas_object(part, index=False).to_numpy()


def raw_rows(place, draw, model, X, y, weight):
    """Return a partition's rows to validate by with targets and weights, and its rows to learn the encoding from."""
    X, y, weight = _with_weight(X, y, weight)
    valid, encoding, _ = draw.rows(len(X), place, ())
    if not len(valid):
        return _rows(X, valid), None, None, _rows(X, encoding)
    return _rows(X, valid), model._checked_target(_rows(y, valid)), _weights(weight, valid), _rows(X, encoding)


def network_rows(place, draw, model, fitted, networks, X, y, weight):
    """Return, for each of some networks, a `Part` with those of its rows that lie in this partition."""
    X, y, weight = _with_weight(X, y, weight)
    _, _, drawn = draw.rows(len(X), place, networks)

    def part_of(rows):
        return _part(*fitted, model, _rows(X, rows), _rows(y, rows), _weights(weight, rows)) if len(rows) else None

    return [part_of(rows) for rows in drawn]


def _part(encoder, target, model, X, y, weight):
    targets = target.encode(model._checked_target(y))
    with limit_threads(worker_threads()):
        return Part(encoder.transform(X, []), targets, target.weigh(targets, weight))


def _with_weight(X, y, weight):
    """Return the rows that have a weight; weights are float64, or None."""
    if weight is None:
        return X, y, None
    weight = np.asarray(weight, np.float64)
    kept = np.flatnonzero(weight > 0)
    return (X, y, weight) if len(kept) == len(weight) else (_rows(X, kept), _rows(y, kept), weight[kept])


def _weights(weight, rows):
    return None if weight is None else weight[rows]


def _rows(table, rows):
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def gathered(parts):
    """Return the rows of several partitions as one `Part`."""
    x, targets, weights = zip(*[part for part in parts if part is not None], strict=True)
    weight = None if weights[0] is None else np.concatenate(weights)
    weight = weight if weight is None else (weight / weight.mean()).astype(np.float32)
    return Part(np.concatenate(x), np.concatenate(targets), weight)


def trained(number, given, plan, deadline, valid, parts):
    """Train a network on the rows that the partitions give.

    Return its number, its state, what was `Learned`, and whether the clock cut it short.
    """
    pace = pace_of_a_worker(deadline)
    if number and pace.stop():
        return number, None, None, True
    part = gathered(parts)
    rows = np.arange(len(part.x))
    with limit_threads(worker_threads()):
        network, learned = train_network(
            new_network(given, part, rows, number),
            given,
            part,
            rows,
            valid,
            plan,
            pace.stop,
            lambda share: None,
        )
    return number, network.get_state(), learned._replace(outputs=None), pace.stop()


def predicted(X, model, method, empty):
    """Return a partition's predictions in the form of `empty`, the predictions of no rows, with X's index, if any."""
    if not len(X):
        return empty
    values = getattr(model, method)(X)
    return values if isinstance(empty, np.ndarray) else framed(values, X.index, empty)


def framed(values, index, like):
    """Return values (n,) or (n, k) as a Series or DataFrame with names and types `like` another."""
    import pandas as pd

    if values.ndim == 1:
        return pd.Series(values, index, dtype=like.dtype, name=like.name)
    return pd.DataFrame(values, index, columns=like.columns)
