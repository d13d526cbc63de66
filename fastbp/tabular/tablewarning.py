"""The warning of tables."""


class TableWarning(UserWarning):
    """What was done to a table that its owner may want to know: columns left out, values taken for missing ..."""
