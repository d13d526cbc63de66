"""Warnings that name the user's line, however many functions of fastbp stand between."""

import sys
import warnings

# Packages and modules whose lines are not the user's: the last ones wrap methods.
_BETWEEN = ("fastbp", "contextlib", "sklearn.base")


def warn(message, category=UserWarning):
    """Warn of what the line does that called fastbp."""
    frame, level = sys._getframe(1), 2
    while frame is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_between(module):
    return module.startswith("fastbp.") or module in _BETWEEN
