"""Warnings that name the user's line, however many functions of fastbp stand between."""

import sys
import warnings

# Packages whose lines are not the user's.
_BETWEEN = ("fastbp", "contextlib", "joblib", "numba", "sklearn")


def warn(message, category=UserWarning):
    """Warn of what the line does that called fastbp."""
    frame, level = sys._getframe(1), 2
    while frame is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    # In a process of joblib's nobody else is there.
    warnings.warn(message, category, stacklevel=2 if frame is None else level)


def _is_between(module):
    return module.partition(".")[0] in _BETWEEN
