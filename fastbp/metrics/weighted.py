"""Weighted metrics: what `compile(weighted_metrics=...)` makes of a metric that takes weights."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Weighted:
    """A metric that is given the rows' weights: `function` (y_true, y_pred, sample_weight).

    `given` is what stood in `compile`: a name, a function, or a metric with settings.
    """

    function: Callable
    given: Any

    @property
    def greater_is_better(self):
        """Which way the metric is better, if it says so."""
        return getattr(self.function, "greater_is_better", None)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the metric."""
        return self.function(y_true, y_pred, sample_weight=sample_weight)


def weighted(name, function, given):
    """Return the `Weighted` of a metric, or raise ValueError where it takes no weights."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        parameters = {"sample_weight": None}
    if "sample_weight" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ValueError(
            f"the metric {name!r} takes no weights: a weighted metric is a function of (y_true, y_pred, "
            "sample_weight), or one of fastbp's."
        )
    return Weighted(function, given)
