"""The error of tables."""


class TableError(ValueError):
    """What is wrong with a table, in one line for the person who brought it."""
