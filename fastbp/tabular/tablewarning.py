"""The warning about what was done to a table."""

from fastbp.settings.user_warnings import warn


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
