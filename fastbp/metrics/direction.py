"""Which way a figure is better: the metric says so itself, else the name that it ends in.

Losses and metrics have `greater_is_better`, under which their names are found here; so may a metric of a user's, a
function or an object.  The name of any other figure tells by its last word, such as "pixel_error".
"""

from collections.abc import Callable

from fastbp.losses.base import LOSSES
from fastbp.metrics.base import SCORES
from fastbp.metrics.functions import METRIC_NAMES, METRICS
from fastbp.settings.naming import canonical

# Words of no loss or metric in particular.
WORDS = {"loss": False, "error": False, "crossentropy": False, "accuracy": True}


def greater_is_better(figure: str, metrics: list[tuple[str, Callable]] | tuple = ()) -> bool | None:
    """Return whether more of a figure is better; None where nothing tells.

    Parameters
    ----------
    figure : str
        A key of the history: "loss", the name of a metric or one that ends in such a name, or these behind "val_".
    metrics : list of (name, function), optional
        Those of a model: what one of them says of itself goes before its name.

    Examples
    --------
    >>> greater_is_better("val_log_loss"), greater_is_better("acc"), greater_is_better("mine")
    (False, True, None)
    >>> def mine(y_true, y_pred):
    ...     return 0.0
    >>> mine.greater_is_better = True
    >>> greater_is_better("val_mine", [("mine", mine)])
    True
    """
    name = figure.removeprefix("val_")
    own = getattr(dict(metrics).get(name), "greater_is_better", None)
    return _by_name(canonical(name, METRIC_NAMES, "metric") or name) if own is None else bool(own)


def _by_name(name):
    """Return what the longest known name says that a figure's name ends in, or None."""
    import fastbp.metrics.scoring  # noqa: F401 (it registers the metrics with settings)

    families = [*LOSSES.items(), *SCORES.items(), *METRICS.items()]
    known = WORDS | {one: registered.greater_is_better for one, registered in families}
    ends = [one for one in known if name.endswith(one)]
    return known[max(ends, key=len)] if ends else None
