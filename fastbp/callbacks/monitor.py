"""What callbacks share that watch whether one figure gets better."""

import numpy as np

from fastbp.callbacks.base import Callback
from fastbp.metrics.direction import greater_is_better
from fastbp.schedules import check_numbers
from fastbp.settings.naming import nearest


class Monitor(Callback):
    """A callback that watches whether one figure gets better."""

    listed = False

    def __init__(self, monitor, mode, min_delta=0.0):
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.best = -np.inf * self._sign

    def check_settings(self) -> None:
        """Raise ValueError where a setting is out of its range: at first, and before each training."""
        owner, monitor = type(self).__name__, self.monitor
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f'{owner}(mode={self.mode!r}): it is "auto", "min" or "max".')
        if not isinstance(monitor, str):
            raise ValueError(f"{owner}(monitor={monitor!r}): it is the name of a figure.")
        if self.mode == "auto" and self._rises is None:
            raise ValueError(f'{owner}(monitor={monitor!r}): is more of it better? Say mode="max", or mode="min".')
        check_numbers(self, min_delta="(-inf, inf)")
        self.min_delta = abs(self.min_delta)

    @property
    def _sign(self):
        """1 where more of the monitored figure is better, else -1."""
        return 1.0 if self.mode == "max" or (self.mode == "auto" and self._rises) else -1.0

    @property
    def _rises(self):
        """Is more of the monitored figure better?  None: nothing tells."""
        engine = getattr(self.model, "engine", None)
        return greater_is_better(str(self.monitor), getattr(engine, "metrics", ()))

    def check_monitor(self) -> None:
        """Raise ValueError where a setting is wrong, or this training does not report the monitored figure."""
        self.check_settings()
        known = self.params["metrics"]
        if self.monitor not in known:
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, which this training does not report."
                f"{nearest(self.monitor, known)} Known: {', '.join(known)}. For val_ figures give validation_data "
                "or validation_split."
            )

    def improved(self, value: float) -> bool:
        """Is `value` better than the best so far by more than min_delta?"""
        return self._sign * (value - self.best) > self.min_delta


def check_epochs(callback, **settings):
    """Raise ValueError where a setting is not a number of epochs."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{type(callback).__name__}({name}={value!r}): it is a number of epochs, at least 0.")
