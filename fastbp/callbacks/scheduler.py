"""LearningRateScheduler: a learning rate for each epoch, by a function of one's own."""

import inspect
import math
from collections.abc import Callable

import numpy as np

from fastbp.callbacks.base import Callback


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch, as a function says.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, with the epoch from 0 and the rate so far; it returns
        the new rate, a number of at least 0.
    verbose : int, default 0
        1 prints each rate.

    Raises
    ------
    TypeError, ValueError
        Before training, where `schedule` is no function or the optimizer has a schedule already; in training, where it
        returns no learning rate.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile(fastbp.SGD(0.1), "mean_squared_error")
    >>> halve = fastbp.LearningRateScheduler(lambda epoch, rate: rate / 2)
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=2, callbacks=[halve], verbose=0)
    >>> history.history["learning_rate"]
    [0.05, 0.025]
    """

    follows_one_model = True

    def __init__(self, schedule: Callable, verbose: int = 0):
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler(schedule={schedule!r}): it is a function of (epoch, learning_rate)."
            )
        self.schedule, self.verbose = schedule, verbose

    def on_train_begin(self, logs: dict | None = None) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        if not isinstance(getattr(optimizer, "learning_rate", None), int | float):
            raise ValueError("LearningRateScheduler needs a constant learning rate: the optimizer has a schedule.")
        self._arguments = _n_arguments(self.schedule)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(*(epoch, optimizer.learning_rate)[: self._arguments])
        if not isinstance(rate, int | float | np.number) or isinstance(rate, bool) or not 0 <= rate < math.inf:
            raise ValueError(
                f"LearningRateScheduler: the schedule returned {rate!r} for epoch {epoch}: no learning rate."
            )
        optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {float(rate):.6g}.", flush=True)


def _n_arguments(schedule):
    """Return whether a schedule takes the epoch alone (1), or the rate so far as well (2)."""
    try:
        parameters = inspect.signature(schedule).parameters.values()
    except (TypeError, ValueError):
        return 2
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return min(sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters), 2)
