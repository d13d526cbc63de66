"""ProgbarLogger: a line an epoch that stays, with the bar of the one that is running."""

from collections import deque

from fastbp.callbacks.base import Callback
from fastbp.callbacks.screen import compiling_shown, fitted, screen_for, seconds_text
from fastbp.compiler.compiling import working_time

# The time that is left is told by the mean of so many last epochs.
RECENT = 8


class ProgbarLogger(Callback):
    """Show the progress of training on standard output: what ``verbose`` of `fit` asks for.

    Each epoch leaves a line with its seconds, the time left for the epochs to come, and the figures: loss, val_loss,
    the metrics, the learning rate where it changes. What does not fit the line is left out and counted: "(+2)". On a
    terminal and in a notebook the epoch that runs has a bar; a log (standard output that is a file or a pipe) gets the
    lines alone, of 80 columns at most.

    Parameters
    ----------
    bar : bool, default True
        Show a bar where standard output can: ``verbose=1``. False: lines alone, ``verbose=2``.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile("sgd", "mean_squared_error")
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=2, callbacks=[fastbp.ProgbarLogger()], verbose=0)
    epoch 1/2 - ... - loss: 2.726
    epoch 2/2 - ... - loss: 2.6
    """

    follows_one_model = True

    def __init__(self, bar: bool = True):
        self.bar = bar

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._screen, self._rate, self._clock = screen_for(), None, working_time
        self._logs: dict = {}
        self._recent: deque = deque(maxlen=RECENT)
        self._bar = self.bar and self._screen.live
        self._notice = compiling_shown(self._screen, self._bar)
        self._notice.__enter__()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._started = epoch, self._clock()

    def on_stretch_end(self, step: int, logs: dict | None = None) -> None:
        if not self._bar:
            return
        steps, spent = self.params["steps"], self._clock() - self._started
        left = spent / step * (steps - step)
        parts = [f"{self._title()} - {step}/{steps}", f"{seconds_text(left)} left"]
        self._screen.running(fitted(parts, self._figures(self._logs), self._screen.width - 21), step / steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        self._recent.append(self._clock() - self._started)
        parts = [self._title(), seconds_text(self._recent[-1])]
        if (left := self.params["epochs"] - epoch - 1) > 0 and not getattr(self.model, "stop_training", False):
            parts.append(f"{seconds_text(left * sum(self._recent) / len(self._recent))} left")
        self._screen.line(fitted(parts, self._figures(logs), self._screen.width))
        self._logs, self._rate = logs, logs.get("learning_rate", self._rate)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._notice.__exit__(None, None, None)
        self._screen.close()

    def _title(self):
        epochs = self.params["epochs"]
        return f"epoch {self._epoch + 1:{len(str(epochs))}d}/{epochs}"

    def _figures(self, logs):
        """Return the figures as texts, the most important first."""
        rate = logs.get("learning_rate")
        names = [name for name in ("loss", "val_loss") if name in logs]
        for name in logs:
            if name not in names and name != "learning_rate":
                names.append(name)
                if f"val_{name}" in logs and f"val_{name}" not in names:
                    names.append(f"val_{name}")
        if rate is not None and self._rate is not None and rate != self._rate:
            names.append("learning_rate")
        return [f"{name}: {logs[name]:.4g}" for name in names]


def reporters(verbose):
    """Return the callbacks that show what a checked `verbose` asks for."""
    return [] if verbose == 0 else [ProgbarLogger(bar=verbose == 1)]
