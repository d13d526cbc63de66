"""Facts of an encoder's columns for programs without fastbp: codes of categories, changes of clocks."""

import numpy as np

from fastbp.tabular.vocabulary import TWINS

# An exported model holds the changes of clocks in these years.
FIRST_YEAR, LAST_YEAR = "1900", "2100"
SIX_HOURS = 21_600
AS_NUMBER = {"True": 1.0, "False": 0.0}


def known_codes(coder):
    """Return ({text: code}, the code of others) of a category."""
    vocabulary = coder.vocabulary
    twins = [TWINS[text] for text in vocabulary.texts if text in TWINS]
    texts = list(dict.fromkeys([*vocabulary.texts, *twins]))
    other = len(vocabulary) - 1 if vocabulary.rare else 0
    return dict(zip(texts, vocabulary.codes_of(texts).tolist(), strict=True)), other


def known_numbers(coder):
    """Return ({number: code}, the code of others) of a category that is numbers, or booleans: 1.0 and 0.0."""
    codes, other = known_codes(coder)
    return {AS_NUMBER[text] if text in AS_NUMBER else float(text): code for text, code in codes.items()}, other


def changes_of(zone):
    """Return a zone's first offset from UTC in seconds, and the times (m,) and sizes (m,) of its changes, float64."""
    import pandas as pd

    def offsets(seconds):
        times = pd.DatetimeIndex(seconds.astype("M8[s]")).tz_localize("UTC").tz_convert(zone).tz_localize(None)
        return times.to_numpy().astype("M8[s]").astype(np.int64) - seconds

    ends = np.array([FIRST_YEAR, LAST_YEAR], "M8[s]").astype(np.int64)
    grid = np.arange(*ends, SIX_HOURS)
    shown = offsets(grid)
    places = np.flatnonzero(np.diff(shown))
    low, high = grid[places], grid[places + 1]
    while (high - low > 1).any():
        middle = (low + high) // 2
        before = offsets(middle) == shown[places]
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return int(shown[0]), high.astype(np.float64), np.diff(shown)[places].astype(np.float64)
