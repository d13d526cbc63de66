"""The values of a model's metrics, from the raw outputs that a run of its engine has left."""

import reprlib

from fastbp.engine.output_activation import apply_activation
from fastbp.engine.weighted_rows import of_entries
from fastbp.metrics.weighted import Weighted


def value_of(name, metric, y, outputs, weight=None):
    """Return a metric's value as a float; `weight`, of each entry, is for weighted ones."""
    value = metric(y, outputs, weight) if isinstance(metric, Weighted) else metric(y, outputs)
    try:
        return float(value)
    except (TypeError, ValueError):
        shown = reprlib.repr(value)
        raise TypeError(f"the metric {name!r} returned {shown}: it must return a number.") from None


def metric_values(engine, rows, outputs):
    """Return {metric: value} for `WeightedRows` and raw outputs (n, k); a fused link is applied first."""
    network = engine.network
    if engine.fused_output:
        entries = outputs.reshape(-1, network.raw_shape[-1])
        outputs = apply_activation(network.output_activation, entries).reshape(outputs.shape)
    outputs = network.finish(outputs).reshape(len(outputs), *network.output_shape)
    y, weight = rows.y, rows.weight
    if rows.mask is not None and not rows.mask.any():
        return {name: float("nan") for name, _ in engine.metrics}
    if rows.mask is not None:
        y, outputs = (of_entries(array, rows.mask, outputs.ndim - 1) for array in (y, outputs))
        weight = weight[rows.mask]
    return {name: value_of(name, function, y, outputs, weight) for name, function in engine.metrics}
