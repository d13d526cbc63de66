"""From the arrays that a user gives to the `WeightedRows` of the engine: checked and converted."""

import numpy as np

from fastbp.engine.user_arrays import as_float_rows, as_table, check_rows, check_same_length, held, sample_weights
from fastbp.engine.weighted_rows import WeightedRows
from fastbp.losses.targets import as_numbers, beside_outputs, prepared_targets


def rows_of(model, x, y, sample_weight=None):
    """Check the user's arrays and convert them; build the model if it is not."""
    x = as_float_rows(held(x), model.dtype, shape=model.engine and model.engine.network.input_shape)
    check_rows(x)
    y = as_table(y)
    check_same_length(len(x), y=y)
    y = as_numbers(y)
    if model.engine is not None:
        return _checked_rows(model, x, y, sample_weight)
    with model._as_before_on_error():
        model.build(x.shape[1:])
        return _checked_rows(model, x, y, sample_weight)


def _checked_rows(model, x, y, sample_weight):
    """Check arrays against the built model; return the `WeightedRows`."""
    network, loss = model.engine.network, model.engine.loss
    network.check_input(x)
    targets = prepared_targets(loss, y, network, model.dtype)
    entries = loss.entries(network.loss_shape)
    weight, mask = _weights(network, x, sample_weight, entries, model.dtype)
    return WeightedRows(x, targets, weight, beside_outputs(y, network.output_shape), mask, entries)


def _weights(network, x, sample_weight, entries, dtype):
    """Return the weights and the mask of the rows' entries, each None where all count the same."""
    weight = mask = None
    if sample_weight is not None:
        axes = network.loss_shape[:-1] if entries > 1 else ()
        weight = sample_weights(sample_weight, len(x), dtype, entries=axes)
    if network.output_masking is not None:
        steps = network.output_mask(x)
        mask = np.repeat(steps, entries // steps.shape[1], axis=1)
        weight = mask.astype(dtype) if weight is None else weight.reshape(mask.shape) * mask
    return weight, mask
