"""Calibration of probabilities: the temperature that corrects them, and a measure of the errors that are left.

Temperature scaling (Guo et al., 2017, arXiv:1706.04599): ``p ** (1 / T)``, normalised.  It keeps the order of the
classes; T above 1 makes probabilities more modest, T below 1 more sure.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp.kernels import arraymath
from fastbp.kernels.repeatable import dot

LOWEST, HIGHEST = 0.2, 5.0
# The prior of log(T) is normal with this deviation.  Mean change of the log loss on new rows in %, with half of the
# logarithm that was found (default preset; 11 sets of 150 training rows, 10 of 600, 8 of 2,500):
#     deviation    0.1    0.15    0.25     0.4      10
#     150 rows   -0.23   -0.24   -0.13    0.18    4.11
#     600 rows   -0.26   -0.32   -0.36   -0.37   -0.38
#     2,500      -0.33   -0.34   -0.35   -0.35   -0.35
PRIOR_DEVIATION = 0.15
# The temperature is found by rows with at most so many probabilities in all.  For 20,000 rows of 1,000 classes that
# takes 0.02 s and gives 1.272; all rows take 1.1 s and give 1.289.
MOST_PROBABILITIES = 2**21
# So many probabilities are tempered at once, in place.
BLOCK = 2**20
# Probabilities that float32 rounded to 0 count as its smallest number: their logarithm is -87, not minus infinity.
SMALLEST = np.finfo(np.float32).tiny


def tempered(probabilities, temperature):
    """Return ``p ** (1 / temperature)``, normalised, for probabilities (n, k) of any float type.

    Examples
    --------
    >>> import numpy as np
    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    p = arraymath.log(np.maximum(probabilities, SMALLEST))
    p /= p.dtype.type(temperature)
    p -= p.max(axis=1, keepdims=True)
    p = arraymath.exp(p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def temper(probabilities, temperature):
    """Overwrite probabilities (n, k) with `tempered` ones."""
    size = max(BLOCK // probabilities.shape[1], 1)
    for first in range(0, len(probabilities), size):
        rows = slice(first, first + size)
        probabilities[rows] = tempered(probabilities[rows], temperature)


def temper_blocks(probabilities, blocks, temperatures):
    """Overwrite blocks of probabilities (n, k), slices of columns, with `tempered` ones, and return all of them."""
    for block, temperature in zip(blocks, temperatures, strict=True):
        probabilities[:, block] = tempered(probabilities[:, block], temperature)
    return probabilities


def fit_temperature(probabilities, targets, weight=None):
    """Return the temperature for probabilities of rows that were not trained on.

    It minimises the log loss of the tempered probabilities, summed over rows, plus ``log(T)^2 / (2 s^2)``, s =
    `PRIOR_DEVIATION`: few rows leave T near 1.

    Parameters
    ----------
    probabilities : (n, k)
        Rows with NaN are left out. Of more than `MOST_PROBABILITIES` numbers each second row, third row ... is taken.
    targets : (n,) int or (n, k)
        The true classes, or their probabilities.
    weight : (n,), optional

    Returns
    -------
    float
        From 0.2 to 5; 1.0 where there are no rows.
    """
    # scipy is not needed to import this, nor to predict.
    from scipy.optimize import minimize_scalar

    every = -(-probabilities.size // MOST_PROBABILITIES)
    if every > 1:
        probabilities, targets = probabilities[::every], targets[::every]
        weight = None if weight is None else weight[::every]
    known = np.isfinite(probabilities).all(axis=1)
    if not known.any():
        return 1.0
    log_p = arraymath.log(np.maximum(probabilities[known], SMALLEST))
    log_p -= _of_targets(log_p, targets[known])
    weight = np.ones(len(log_p)) if weight is None else np.asarray(weight, np.float64)[known]
    # Rows with different weights hold less information than as many rows of equal weight.
    share, n_rows = weight / weight.sum(), weight.sum() ** 2 / np.square(weight).sum()

    def loss(log_temperature):
        # -log of the true class's share = log(sum over classes of exp((log p - log p[true]) / T))
        ratios = log_p / log_p.dtype.type(math.exp(log_temperature))
        top = ratios.max(axis=1)
        ratios = arraymath.exp(ratios - top[:, None])
        mean = dot(share, top + arraymath.log(ratios.sum(axis=1)))
        return mean + log_temperature**2 / (2 * PRIOR_DEVIATION**2 * n_rows)

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    return float(math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x))


def _of_targets(log_p, targets):
    """Return log p[true] of log_p (n, k), or its mean over targets t: sum(t log p), as (n, 1)."""
    if targets.ndim == 1:
        return np.take_along_axis(log_p, targets[:, None], axis=1)
    return (log_p * targets).sum(axis=1, keepdims=True).astype(log_p.dtype)


class Reliability(NamedTuple):
    """Rows by how sure the prediction was.

    Attributes
    ----------
    edges : (b + 1,)
        Bins of the predicted class's probability: above one edge, up to the next.
    rows : (b,) int
    confidence, accuracy : (b,)
        Means of each bin; NaN of an empty one.
    error : float
        The expected calibration error: the mean over rows of their bin's ``|accuracy - confidence|``.
    """

    edges: np.ndarray
    rows: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def reliability(probabilities, codes, n_bins=10):
    """Return the `Reliability` of probabilities (n, k) for true classes (n,), in bins of the same width.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.array([[0.9, 0.1]] * 10)
    >>> round(reliability(sure, np.array([0] * 7 + [1] * 3)).error, 3)
    0.2
    """
    edges = np.linspace(0, 1, n_bins + 1)
    confidence, hits = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == codes
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    rows = np.bincount(places, minlength=n_bins)
    sums = [np.bincount(places, values, n_bins) for values in (confidence, hits)]
    error = np.abs(sums[1] - sums[0]).sum() / len(codes)
    with np.errstate(invalid="ignore"):
        return Reliability(edges, rows, sums[0] / rows, sums[1] / rows, float(error))
