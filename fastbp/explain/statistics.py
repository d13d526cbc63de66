"""What goes on in a model's layers: their outputs, their weights and the gradients of these, as a table."""

from __future__ import annotations

import numpy as np

from fastbp.explain.subnetwork import layer_names, part_to

# The table's columns, in this order.
COLUMNS = ("mean", "std", "min", "max", "zeros", "constant", "weights", "gradient", "ratio")


def layer_statistics(engine, x, grads=None):
    """Return a DataFrame with a row for each layer, in the order of a forward pass.

    Parameters
    ----------
    engine : Engine
    x : (n, ...)
    grads : (P,), optional
        The gradient of the parameters.
    """
    import pandas as pd

    names = layer_names(engine)
    weights, gradients = engine.network.views(engine.params), {}
    if grads is not None:
        gradients = engine.network.views(grads)
    rows = [_of_outputs(part_to(engine, name).predict(x)) + _of_weights(name, weights, gradients) for name in names]
    return pd.DataFrame(rows, index=pd.Index(names, name="layer"), columns=list(COLUMNS))


def _of_outputs(outputs):
    """Return the mean, deviation, least and largest output, the share of zeros, and that of units that never change."""
    units = outputs.reshape(len(outputs), -1)
    constant = (units == units[:1]).all(axis=0).mean() if len(units) > 1 else np.nan
    figures = outputs.mean(dtype=np.float64), outputs.std(dtype=np.float64), outputs.min(), outputs.max()
    return (*map(float, figures), float((outputs == 0).mean()), float(constant))


def _of_weights(name, weights, gradients):
    """Return the root mean square of a layer's parameters, of their gradients, and the ratio of the two."""

    def size(views):
        own = [view.ravel().astype(np.float64) for key, view in views.items() if key.rpartition("/")[0] == name]
        return float(np.sqrt(np.mean(np.concatenate(own) ** 2))) if own else np.nan

    weight, gradient = size(weights), size(gradients)
    with np.errstate(divide="ignore", invalid="ignore"):
        return weight, gradient, float(np.divide(gradient, weight))
