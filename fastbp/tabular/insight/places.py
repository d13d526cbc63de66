"""The places of a user's columns in the encoded matrix, and the typical row."""

import numpy as np

from fastbp.tabular.categories import CategoryCoder


def places_of(encoder):
    """Return {column that is used: the places (m,) of its columns in an encoded row}."""
    found, group_starts = {}, [0, encoder.n_numeric, encoder.n_numeric + encoder.n_plain]
    for coder in encoder.coders:
        places = []
        for group, width in enumerate((len(coder.numeric_names), len(coder.plain_names), len(coder.cardinalities))):
            places += range(group_starts[group], group_starts[group] + width)
            group_starts[group] += width
        found[coder.name] = np.array(places)
    return found


def typical_row(encoder):
    """Return an encoded row (d,) float32: numbers and dates at their medians, categories at the most frequent one."""
    row = np.zeros(encoder.n_numeric + encoder.n_plain + encoder.n_codes, np.float32)
    places = places_of(encoder)
    for coder in encoder.coders:
        own = places[coder.name]
        if not isinstance(coder, CategoryCoder):
            row[own[len(coder.scales) :]] = coder.indicator[:1] if coder.indicator else []
        elif coder.table is None:
            row[own] = 1  # the code of the most frequent one
        elif coder.table.shape[1] > 1:
            row[own] = coder.table[1]
        # Of two categories the more frequent one is 0, the median.
    return row
