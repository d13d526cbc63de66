"""Writing the encoded matrix: numbers many columns at once, categories one column after the other."""

from itertools import chain

import numpy as np

from fastbp.engine.threads import map_in_threads
from fastbp.tabular.numeric import NumberCoder
from fastbp.tabular.scaling import scaled

# So many numbers are scaled at once: 7 ns a number.  Half a million at once take 19 ns, because each temporary array is
# new memory.  One row of 300 columns takes 0.05 ms; column by column it would take 2.5.
BLOCK = 16 * 1024


def write(coders, n_rows, values_of, n_threads, with_surprises=False):
    """Return encoded rows (n, d) float32, finite, in C order, lines on odd text, and lines on what is new to coders.

    Parameters
    ----------
    coders : list
    n_rows : int
    values_of : callable
        (coder, list to which lines on how it was read are appended) -> what it read of the table; called once for
        each, perhaps in several threads. Values are held no longer than they are needed.
    n_threads : int
    with_surprises : bool, default False
        Tell what training had not seen as well.
    """
    widths = [widths_of(coder) for coder in coders]
    firsts = _firsts(widths)
    # Written column by column, and turned at the end (0.04 us a row of 28): threads that write neighbouring columns
    # of the same rows would wait for each other's cache lines.
    out = np.empty((sum(map(sum, widths)), n_rows), np.float32)

    def write_some(places):
        some = [coders[place] for place in places]
        told = [[] for _ in some]
        values = [values_of(coder, own) for coder, own in zip(some, told, strict=True)]
        odd = [(place, line) for place, own in zip(places, told, strict=True) for line in own]
        surprises = _surprises(places, some, values) if with_surprises else []
        if isinstance(some[0], NumberCoder):
            _write_numbers(out, some, values, [firsts[place] for place in places])
        else:
            views = [out[first : first + n].T for first, n in zip(firsts[places[0]], widths[places[0]], strict=True)]
            some[0].encode(values[0], *views)
        return odd, surprises

    bundles = _bundles(coders, n_rows)
    if n_threads > 1:
        lines = map_in_threads(write_some, [(some,) for some in bundles], n_threads)
    else:
        lines = list(map(write_some, bundles))
    odd, surprises = (
        [line for _, line in sorted(chain(*some), key=lambda told: told[0])] for some in zip(*lines, strict=True)
    )
    return np.ascontiguousarray(out.T), odd, surprises


def widths_of(coder):
    """Return how many numeric columns, plain ones and columns of codes a coder writes."""
    return len(coder.numeric_names), len(coder.plain_names), len(coder.cardinalities)


def _firsts(widths):
    """Return the first columns (numeric, plain, of codes) of each coder: the groups stand one after the other."""
    sizes = np.array(widths).T
    ends = np.cumsum(sizes).reshape(sizes.shape)
    return (ends - sizes).T.tolist()


def _bundles(coders, n_rows):
    """Return the places of coders that are worked off together: lists of numbers' coders, others alone."""
    size = max(BLOCK // n_rows, 1)
    numbers = [place for place, coder in enumerate(coders) if isinstance(coder, NumberCoder)]
    others = [[place] for place, coder in enumerate(coders) if not isinstance(coder, NumberCoder)]
    return [numbers[first : first + size] for first in range(0, len(numbers), size)] + others


def _surprises(places, coders, values):
    """Return a list of (place, line) about what training had not seen."""
    if isinstance(coders[0], NumberCoder) and not np.isnan(np.concatenate([np.atleast_2d(v)[0] for v in values])).any():
        return []
    return [
        (place, line) for place, coder, own in zip(places, coders, values, strict=True) for line in coder.surprises(own)
    ]


def _write_numbers(out, coders, values, firsts):
    """Overwrite the numeric and the plain columns of coders of numbers and dates in out (d, n)."""
    columns, scales, rows = [], [], []
    for coder, own, (numeric, plain, _) in zip(coders, values, firsts, strict=True):
        vectors = coder.columns(own)
        columns += vectors[: len(coder.scales)]
        scales += coder.scales
        rows += range(numeric, numeric + len(coder.scales))
        if coder.indicator is not None:
            out[plain] = np.array(coder.indicator, np.float32)[np.isnan(vectors[0]).astype(np.int64)]
    if not columns:
        return
    medians, widths = np.array(scales, np.float64).T[:, :, None]
    step = max(BLOCK // len(columns), 1)
    for first in range(0, out.shape[1], step):
        block = np.concatenate([column[first : first + step] for column in columns], dtype=np.float64)
        out[rows, first : first + step] = scaled(block.reshape(len(columns), -1), medians, widths)
