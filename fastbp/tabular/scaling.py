"""Robust scaling and the smooth clip, as in RealMLP (Holzmueller et al., 2024, arXiv:2407.04491).

``z = (x - median) / (q75 - q25)``; then ``z / sqrt(1 + (z / 3)^2)``, which lies between -3 and 3.  The quartiles may be
equal: most rows have no capital gain, most words do not occur in a mail.  Then the scale is the median of ``|x -
median|`` over the values that are not the median.  RealMLP takes ``(max - min) / 2`` instead, which brings all but the
largest values next to 0.  With this project's rule, log losses for adult and spambase fell by 0.8 and 3 %.  All of it
is computed in float64.
"""

import numpy as np

# The standard error of a normal column's quartile in so many rows is 0.3 % of its deviation,
# sqrt(1 / 4 * 3 / 4 / n) / 0.318: more rows would cost time and change nothing.
SAMPLE_ROWS = 200_000
LIMIT = 3.0
# 1e6 / sqrt(1 + (1e6 / 3)^2) is 3 in float32: cutting here changes nothing, and infinities stay out of the formula.
FAR = 1e6


def robust_scale(values):
    """Return the median and the scale of values (n,), or None where they do not vary.

    NaN and infinities are left out.  But infinities count as variation: alone, or beside equal values, they give the
    scale 1.  If there are more than `SAMPLE_ROWS` values, the quartiles are those of a sample, always the same one.
    """
    finite = values[np.isfinite(values)]
    infinite = values[np.isinf(values)]
    if len(finite) == 0:
        return (0.0, 1.0) if len(infinite) and infinite.min() < infinite.max() else None
    ordered = np.sort(_sample(finite))
    if finite.min() == finite.max():
        return (float(finite[0]), 1.0) if len(infinite) else None
    return _median_and_scale(ordered.__getitem__, len(ordered), finite, np.ones(len(finite)))


def robust_scale_of_counts(values, counts):
    """Return `robust_scale` of values (k,), where counts (k,) are the rows that have each value (0 for some)."""
    order = np.argsort(values)
    order = order[counts[order] > 0]
    values, counts = values[order], counts[order]
    ends = np.cumsum(counts)
    if values[0] == values[-1]:
        return None
    return _median_and_scale(lambda i: values[np.searchsorted(ends, i, side="right")], ends[-1], values, counts)


def _median_and_scale(at, n, values, counts):
    """at(i) is the i-th smallest of n values, or of a sample; counts are the rows that have each value."""
    q25, median, q75 = (_quantile(at, n, q) for q in (0.25, 0.5, 0.75))
    limits = np.finfo(np.float64)
    with np.errstate(over="ignore"):
        scale = q75 - q25
    scale = scale if scale > 0 else _median_distance(values, counts, median)
    return float(median), float(np.clip(scale, limits.smallest_subnormal, limits.max))


def _median_distance(values, counts, median):
    """Return the median of |values - median| over those values (k,), in counts rows each, that are not the median."""
    others = values != median
    with np.errstate(over="ignore"):
        distances = np.abs(values[others] - median)
    order = np.argsort(distances)
    rows = np.cumsum(counts[others][order])
    return distances[order[np.searchsorted(rows, rows[-1] / 2)]]


def _quantile(at, n, q):
    """Return a quantile, interpolated linearly as in NumPy; between equal neighbours it equals them."""
    place = q * (n - 1)
    below = int(place)
    part = place - below
    a, b = at(below), at(min(below + 1, n - 1))
    return a * (1 - part) + b * part


def _sample(values):
    """Return at most `SAMPLE_ROWS` of the values: one of each stretch, so that sorted tables are sampled evenly."""
    n = len(values)
    if n <= SAMPLE_ROWS:
        return values
    places = np.arange(SAMPLE_ROWS) + np.random.default_rng(0).random(SAMPLE_ROWS)
    return values[(places * (n / SAMPLE_ROWS)).astype(np.int64)]


def scaled(values, median, scale):
    """Return values (n,) scaled and clipped; NaN becomes 0, the median's place, and infinities -3 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> scaled(np.array([5.0, 7.0, np.nan, -np.inf]), 5.0, 2.0).round(2).tolist()
    [0.0, 0.95, 0.0, -3.0]
    """
    with np.errstate(over="ignore"):
        z = (values - median) / scale
    # `np.clip` would double the time of one row.
    np.minimum(np.maximum(z, -FAR, out=z), FAR, out=z)
    z /= np.sqrt(1 + np.square(z / LIMIT))
    z[np.isnan(z)] = 0.0
    return z
