"""The loss of the best prediction that is the same for all rows: what a network that learns nothing comes to."""

import numpy as np


def constant_loss(loss, rows):
    """Return it for a loss of fastbp's own whose best constant is known, else None.

    Parameters
    ----------
    loss : Loss
    rows : WeightedRows
    """
    formula = FORMULAS.get(getattr(loss, "name", None))
    if formula is None or type(loss).__module__.partition(".")[0] != "fastbp":
        return None
    targets = rows.targets.astype(np.float64)
    targets = targets.reshape(-1, rows.targets.shape[1] // max(rows.entries, 1))
    weight = np.ones(len(targets)) if rows.weight is None else np.asarray(rows.weight, np.float64).reshape(-1)
    count = len(targets) if rows.mask is None else rows.mask.sum()
    if weight.sum() == 0 or weight.size != len(targets):
        return None
    return float(formula(targets, weight / weight.sum()) * weight.sum() / count)


def _entropy(p):
    p = p[p > 0]
    return -(p * np.log(p)).sum()


def _of_numbers(targets, weight):
    """Entropy of class numbers (n, 1)."""
    return _entropy(np.bincount(targets[:, 0].astype(np.int64), weight))


def _of_one_hot(targets, weight):
    return _entropy(weight @ targets)


def _of_labels(targets, weight):
    """Mean entropy of yes-or-no targets (n, k)."""
    p = np.clip(weight @ targets, 0, 1)
    return np.mean([_entropy(np.array([q, 1 - q])) for q in p])


def _variance(targets, weight):
    return (weight @ (targets - weight @ targets) ** 2).mean()


def _deviation(targets, weight):
    """Mean distance from the weighted median."""
    total = []
    for column in targets.T:
        order = np.argsort(column, kind="stable")
        median = column[order][np.searchsorted(np.cumsum(weight[order]), 0.5).clip(0, len(column) - 1)]
        total.append(weight @ abs(column - median))
    return np.mean(total)


FORMULAS = {
    "sparse_categorical_crossentropy": _of_numbers,
    "categorical_crossentropy": _of_one_hot,
    "binary_crossentropy": _of_labels,
    "mean_squared_error": _variance,
    "mean_absolute_error": _deviation,
}
