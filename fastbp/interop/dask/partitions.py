"""What Dask's workers do with a partition, a pandas table or an array."""

import numpy as np

from fastbp.engine.threads import limit_threads
from fastbp.interop.dask.summary import summary_of
from fastbp.tabular.joblib_tasks import worker_threads
from fastbp.tabular.learner import Part
from fastbp.tabular.onenetwork import new_network, train_network
from fastbp.tabular.time_limit import pace_of_a_worker


def summarised(place, model, is_classes, X, y):
    """Return the `Summary` of a partition's target; an error names the partition."""
    if len(X) != len(y):
        raise ValueError(f"partition {place}: X has {len(X)} rows and y {len(y)}.")
    if not len(y):
        return summary_of(np.zeros(0), is_classes)
    try:
        return summary_of(model._checked_target(y), is_classes)
    except ValueError as error:
        raise ValueError(f"partition {place}: {error}") from None


def raw_rows(place, draw, model, X, y):
    """Return a partition's rows to validate by with their targets, and its rows to learn the encoding from."""
    valid, encoding, _ = draw.rows(len(X), place, ())
    return _rows(X, valid), model._checked_target(_rows(y, valid)) if len(valid) else None, _rows(X, encoding)


def network_rows(place, draw, model, fitted, networks, X, y):
    """Return for each of some networks the `Part` of its rows that a partition has."""
    encoder, target = fitted
    _, _, drawn = draw.rows(len(X), place, networks)
    return [_part(encoder, target, model, _rows(X, rows), _rows(y, rows)) if len(rows) else None for rows in drawn]


def _part(encoder, target, model, X, y):
    targets = target.encode(model._checked_target(y))
    with limit_threads(worker_threads()):
        return Part(encoder.transform(X, []), targets, target.weigh(targets, None))


def _rows(table, rows):
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def gathered(parts):
    """Return the rows of several partitions as one `Part`."""
    x, targets, weights = zip(*[part for part in parts if part is not None], strict=True)
    weight = None if weights[0] is None else np.concatenate(weights)
    weight = weight if weight is None else (weight / weight.mean()).astype(np.float32)
    return Part(np.concatenate(x), np.concatenate(targets), weight)


def trained(number, given, plan, deadline, valid, parts):
    """Train a network on the rows that the partitions give; return its number, its state and what was `Learned`."""
    pace = pace_of_a_worker(deadline)
    if number and pace.stop():
        return number, None, None
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
    return number, network.get_state(), learned._replace(outputs=None)


def predicted(X, model, method, empty):
    """Return a partition's predictions in the shape of `empty`, those of no rows: with X's index where it has one."""
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
