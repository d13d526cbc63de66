"""Metrics: `functions` of (y_true, y_pred) by name; `scoring` and `confusion` have those with settings, of `base`."""

from fastbp.metrics.functions import METRIC_NAMES, METRICS, check_metric, resolve

__all__ = ["METRICS", "METRIC_NAMES", "check_metric", "resolve"]


def __dir__():
    return __all__
