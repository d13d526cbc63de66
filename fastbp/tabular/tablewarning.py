"""The warning that says what was done to a table."""

import warnings


class TableWarning(UserWarning):
    """Something of a table was left out, taken for something else, or looks as if it were not meant.

    `fit` and `predict` of the tabular estimators warn once a call, with a line for each column.

    Examples
    --------
    >>> import warnings, fastbp
    >>> warnings.filterwarnings("ignore", category=fastbp.TableWarning)
    """


def tell(lines, stacklevel):
    """Warn of the lines, if there are any."""
    if lines:
        warnings.warn("\n".join(lines), TableWarning, stacklevel=stacklevel + 1)
