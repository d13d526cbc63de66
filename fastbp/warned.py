"""Warnings that name the user's line, however many functions of fastbp stand between."""

import sys
import warnings

# Packages whose lines are not the user's.
_BETWEEN = ("fastbp", "contextlib", "numba", "sklearn")


def warn(message, category=UserWarning):
    """Warn of what the line does that called fastbp."""
    frame, level = sys._getframe(1), 2
    while frame is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_between(module):
    return module.partition(".")[0] in _BETWEEN
