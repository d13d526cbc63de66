"""Partial dependence: the mean prediction where one column has the same value in all rows (Friedman, 2001).

The values are taken from rows of the table, so that columns of any type in any table will do.
"""

import numpy as np

from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.columns import is_missing

# The mean is taken over so many rows of the table, evenly spread.
MOST_ROWS = 1000


def listed(column):
    """Return a column's values as a list."""
    return column.tolist() if isinstance(column, np.ndarray) else column.to_list()


def grid_rows(coder, column, n_points):
    """Return rows (g,) that hold the grid's values: rising numbers or dates, or categories, frequent ones first.

    A row with a missing value comes last, if there is one.
    """
    missing = np.asarray(is_missing(column), bool)
    known = np.flatnonzero(~missing)
    if isinstance(coder, CategoryCoder):
        rows = _of_categories(column, known, n_points)
    else:
        rows = _of_numbers(coder, column, known, n_points)
    return np.append(rows, np.flatnonzero(missing)[:1]).astype(np.int64)


def _of_categories(column, known, n_points):
    values = listed(column)
    texts = np.array([str(values[row]) for row in known], str)
    _, first, counts = np.unique(texts, return_index=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:n_points]
    return known[first[frequent]]


def _of_numbers(coder, column, known, n_points):
    """Return the rows nearest to evenly spread quantiles from the 5th to the 95th percentile, each value once."""
    values = coder.columns(coder.read(column, []))[0]
    known = known[np.isfinite(values[known])]
    if not len(known):
        return known
    order = known[np.argsort(values[known], kind="stable")]
    distinct = np.unique(values[order])
    if len(distinct) <= n_points:
        return order[np.searchsorted(values[order], distinct)]
    ends = np.quantile(values[order], [0.05, 0.95])
    inner = order[(values[order] >= ends[0]) & (values[order] <= ends[1])]
    chosen = _one_of_each(values, inner[np.linspace(0, len(inner) - 1, n_points).round().astype(int)])
    if 2 * len(chosen) > n_points:
        return chosen
    # One value stands in most rows: evenly spread over the different values.
    some = distinct[np.linspace(0, len(distinct) - 1, n_points).round().astype(int)]
    return order[np.searchsorted(values[order], some)]


def _one_of_each(values, rows):
    return rows[np.unique(values[rows], return_index=True)[1]]


def mean_predictions(predicted, x, places, rows):
    """Return the mean predictions (g, k) over rows x (n, d): each of `rows` (g,) in turn gives them its `places`.

    predicted is a callable, x (n, d) -> (n, k).
    """
    some = x[np.linspace(0, len(x) - 1, min(MOST_ROWS, len(x))).round().astype(int)]
    found = []
    for row in rows:
        some[:, places] = x[row, places]
        found.append(predicted(some).mean(axis=0))
    return np.array(found)
