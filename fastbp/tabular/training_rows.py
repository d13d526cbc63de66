"""A user's weights, targets, groups and times of rows become what training takes."""

import numpy as np
from sklearn.utils.validation import _check_sample_weight, _num_samples

from fastbp.engine.user_arrays import real_array
from fastbp.tabular.folds import separation
from fastbp.tabular.groups_and_times import taken_columns
from fastbp.tabular.network_training import Part


def set_apart(X, groups, time, eval_set):
    """Return X without the column that names the groups, the `Separation` of its rows, and notes on their times."""
    if eval_set is not None and not (groups is None and time is None):
        raise ValueError("give eval_set, or groups and time: with eval_set no rows of X are set apart.")
    X, groups, time = taken_columns(X, groups, time)
    notices = []
    return X, separation(_num_samples(X), groups, time, notices), notices


def checked_weight(sample_weight, y):
    """Return weights (n,) in float64, or None."""
    if sample_weight is None:
        return None
    weight = real_array(sample_weight, "sample_weight")
    return _check_sample_weight(weight, y, dtype=np.float64, ensure_non_negative=True)


def part_of(x, targets, weight):
    """Return rows for the core: their weights, in float32, have the mean 1."""
    return Part(x, targets, None if weight is None else (weight / weight.mean()).astype(np.float32))
