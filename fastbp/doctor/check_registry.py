"""The checks that there are: a function is one by the decorator above it.

A check takes a `Patient` and yields findings, made by `found`.  Its name is the function's.  It says what it needs:
"rows" (data), "history" (the curves of a training).
"""

from typing import Any, NamedTuple

from fastbp.doctor.finding import Finding


class Check(NamedTuple):
    """One check: its function and what it looks at."""

    function: Any
    needs: tuple[str, ...]


CHECKS: dict[str, Check] = {}


def check(*needs):
    """Decorator: register a check that needs some of "rows" and "history"."""

    def add(function):
        CHECKS[function.__name__] = Check(function, needs)
        return function

    return add


def found(name, severity, layer, figure, *, text, normal, remedy):
    """Return a `Finding` with its texts on one line each."""
    return Finding(name, severity, layer, float(figure), *(" ".join(part.split()) for part in (text, normal, remedy)))
