"""The warning that says what was done to a table."""

import sys
import warnings

# Warnings show the line of the user's that called, not one in these.
LIBRARIES = frozenset({"fastbp", "sklearn", "joblib"})


class TableWarning(UserWarning):
    """Something of a table was left out, taken for something else, or looks as if it were not meant.

    `fit`, `predict`, `predict_proba` and `score` of the tabular estimators warn once a call, with a line for each
    column, at the line of the caller's.

    Examples
    --------
    >>> import warnings, fastbp
    >>> warnings.filterwarnings("ignore", category=fastbp.TableWarning)
    """


def tell(lines):
    """Warn of the lines, each once, if there are any."""
    if lines:
        warn("\n".join(dict.fromkeys(lines)), TableWarning)


def warn(message, category=UserWarning):
    """Warn at the nearest line of the call that is outside of this library and scikit-learn's."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
        frame, level = frame.f_back, level + 1
    # In a process of joblib's nobody else is there.
    warnings.warn(message, category, stacklevel=2 if frame is None else level)
