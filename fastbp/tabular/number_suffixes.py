"""Suffixes that stand for thousands and more (1.2M, 3k, 10 KB), and signs of bounds (<5, >=100), beside numbers."""

import re

# {kind of suffixes: {suffix: factor}}.
SCALES = {
    "": {},
    "magnitudes": {
        **dict.fromkeys(("k", "K"), 1e3),
        **dict.fromkeys(("m", "M", "mn", "mln", "Mio"), 1e6),
        **dict.fromkeys(("b", "B", "bn", "Mrd"), 1e9),
        **dict.fromkeys(("t", "T", "tn"), 1e12),
    },
    "bytes": {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
}
# A column needs one of these: "5m" alone may be five metres, "3B" a flat; beside "12k" they are millions and billions.
_TELLING = {"magnitudes": {"k", "K", "M", "mn", "mln", "Mio", "bn", "Mrd"}, "bytes": {"kB", "KB", "MB", "GB", "TB"}}
_BOUND = re.compile("\\s*(?:[<>]=?|[\u2264\u2265~\u2248])\\s*(?=[-+\\d.,$\u20ac\u00a3\u00a5])")
# Bounds are numbers if this share of the rows holds plain numbers, and if there are so many different ones for each
# bound. Otherwise they are the ends of classes: <5, 5-10, >10.
LEAST_PLAIN, PLAIN_A_BOUND = 0.5, 3


def find_scale(suffixes):
    """Return which of `SCALES` the suffixes of a column (a set) are of; "" where they are units.

    Examples
    --------
    >>> find_scale({"k", "M"}), find_scale({"kg"}), find_scale({"MB", "GB"})
    ('magnitudes', '', 'bytes')
    """
    for scale, telling in _TELLING.items():
        if suffixes & telling and suffixes <= SCALES[scale].keys():
            return scale
    return ""


def without_bound(text):
    """Return a text without the sign of a bound before its number.

    Examples
    --------
    >>> without_bound("<= 5"), without_bound("<none>")
    ('5', '<none>')
    """
    found = _BOUND.match(text)
    return text[found.end() :] if found else text
