"""Does a loss, do metrics suit the outputs of a network?  Said before anything is trained."""

import numpy as np

from fastbp.engine.weighted_rows import of_entries
from fastbp.metrics import check_metric
from fastbp.metrics.base import Score, check_score
from fastbp.metrics.weighted import Weighted


def _activation_name(network):
    """Return the name of the activation that ends a network."""
    activation = network.output_activation
    return "linear" if activation is None else activation.name


def check_loss(loss, network):
    """Raise ValueError where a loss does not suit the outputs of a network."""
    shape, entries = network.raw_shape, loss.entries(network.loss_shape)
    n_outputs = int(np.prod(shape))
    loss.check_output(_activation_name(network), n_outputs // entries)
    if loss.link == "softmax" and shape[-1] * getattr(loss, "members", entries) != n_outputs:
        raise ValueError(
            f"{loss.name} takes one set of classes for each row (or member: MemberLoss); the outputs have shape "
            f"{shape} (without the batch): end the model in Flatten and Dense."
        )
    network.check_output_mask()
    number = network.output_masking
    if number is not None and loss.whole_rows:
        raise ValueError(
            f"the mask of {network.layers[number].name!r} reaches {loss.name!r}, which takes the outputs of a row as a "
            "whole: end the model in Flatten, behind which every time step counts."
        )


def check_metrics(metrics, network, rows):
    """Raise ValueError where a metric of fastbp does not suit the targets or outputs of `WeightedRows`."""
    shape = network.output_shape
    y, outputs = rows.y[:1], np.zeros((1, *shape))
    if rows.mask is not None:
        y, outputs = (of_entries(array, np.ones_like(rows.mask[:1]), outputs.ndim - 1) for array in (y, outputs))
    for name, metric in metrics:
        function = metric.function if isinstance(metric, Weighted) else metric
        if isinstance(function, Score):
            check_score(name, function, y, outputs)
        else:
            check_metric(name, function, rows.y, shape, _activation_name(network))
