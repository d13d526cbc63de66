"""R^2 as scikit-learn defines it, without its checks: they would take longer than an epoch of a small fit."""

import numpy as np


def r2(y_true, y_pred, weight=None):
    """Return the mean over outputs of the coefficient of determination.

    Parameters
    ----------
    y_true, y_pred : array (n, k)
    weight : array (n,), optional

    Returns
    -------
    float
        NaN where a prediction is not finite. A constant column counts 1 if predicted exactly, else 0.

    Examples
    --------
    >>> r2(np.array([[0.0], [1.0]]), np.array([[0.0], [0.5]]))
    0.5
    """
    if not np.isfinite(y_pred).all():
        return float("nan")
    y_true, y_pred = y_true.astype(np.float64, copy=False), y_pred.astype(np.float64, copy=False)
    factors = np.ones((len(y_true), 1)) if weight is None else weight[:, None].astype(np.float64, copy=False)
    residual = (factors * (y_true - y_pred) ** 2).sum(axis=0)
    total = (factors * (y_true - (factors * y_true).sum(axis=0) / factors.sum()) ** 2).sum(axis=0)
    constant = total == 0
    shares = 1 - residual / np.where(constant, 1, total)
    shares[constant] = residual[constant] == 0
    return float(shares.mean())
