"""Integrated gradients: what each input contributes on the straight way from one row to another.

    contribution_j = (z_j - start_j) * integral of dF/dz_j over the way       (Sundararajan et al., 2017)

The contributions sum to F(z) - F(start). Where activations have kinks (relu, selu) no rule is exact: the way is cut
into panels of 4 Gauss-Legendre points, and rows whose sum is off get four times as many panels, up to `PANELS[-1]`.
What is left is spread in proportion to the contributions' sizes, and reported.
"""

from typing import NamedTuple

import numpy as np

PANELS = (4, 16, 64)
POINTS = 4
# Rows times points that are differentiated in one call.
BLOCK = 4096


class Integrated(NamedTuple):
    """Contributions (k, n, ...) of z's numbers to k outputs, which sum to the difference, and how far off (n, k)."""

    values: np.ndarray
    error: np.ndarray


def integrate(function, start, end, tolerance):
    """Return the `Integrated` contributions on the way from rows `start` to rows `end`.

    Parameters
    ----------
    function : object
        With ``value(z)`` -> (n, k) float64, and ``gradients(z)`` -> (k, n, ...): of each output by z.
    start, end : (n, ...)
    tolerance : float or (k,)
        How far a sum of contributions may be off before the way is cut finer.
    """
    gain = function.value(end) - function.value(start)
    values, error = _panels(function, start, end, gain, PANELS[0])
    for n_panels in PANELS[1:]:
        off = np.flatnonzero((np.abs(error) > tolerance).any(axis=1))
        if not len(off):
            break
        finer, finer_error = _panels(function, start[off], end[off], gain[off], n_panels)
        values[:, off], error[off] = finer, finer_error
    _spread(values, error)
    return Integrated(values, error)


def _panels(function, start, end, gain, n_panels):
    """Return contributions (k, n, ...) by a rule of so many panels, and gain (n, k) minus their sums."""
    places, weights = _rule(n_panels)
    step = max(BLOCK // len(places), 1)
    parts = [
        _integral(function, start[first : first + step], end[first : first + step], places, weights)
        for first in range(0, len(start), step)
    ]
    values = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return values, gain - values.reshape(*values.shape[:2], -1).sum(axis=2).T


def _rule(n_panels):
    """Return places in (0, 1) and weights that sum to 1."""
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    places = (np.arange(n_panels)[:, None] + (points + 1) / 2) / n_panels
    return places.ravel(), np.tile(weights / 2 / n_panels, n_panels)


def _integral(function, start, end, places, weights):
    """Return contributions (k, n, ...) float64."""
    way = end - start
    shape = (len(places), *[1] * way.ndim)
    points = (start + places.reshape(shape).astype(way.dtype) * way).reshape(-1, *way.shape[1:])
    gradients = function.gradients(points)
    k = len(gradients)
    spread = gradients.reshape(k, len(places), -1)
    mean = np.stack([weights @ one for one in spread.astype(np.float64)])
    return mean.reshape(k, *way.shape) * way


def _spread(values, error):
    """Add what is left, error (n, k), to contributions (k, n, ...), in place, in proportion to their sizes."""
    flat = values.reshape(*values.shape[:2], -1)
    sizes = np.abs(flat)
    total = sizes.sum(axis=2, keepdims=True)
    n = flat.shape[2]
    shares = np.divide(sizes, total, out=np.full_like(sizes, 1 / n), where=total > 0)
    flat += shares * error.T[:, :, None]
