"""Callbacks: what users hang on `fit`.  There are hooks around training and epochs, none around batches:
a stretch of batches is one compiled call.
"""

import csv
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


class Callback:
    """Base of all callbacks: override what you need.

    Attributes
    ----------
    model : Sequential
        Set before training begins. ``model.stop_training = True`` ends training after the epoch.
    params : dict
        ``epochs`` and ``steps``, the number of batches an epoch.

    Examples
    --------
    >>> import fastbp
    >>> class Print(fastbp.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model = None
    params: dict

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Called once before the first epoch."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Called once after the last epoch, also after Ctrl-C."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Called before each epoch (counted from 0)."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Called after each epoch with its losses and metrics."""

    def on_stretch_end(self, step: int, logs: dict | None = None) -> None:
        """Called after each compiled call (about 0.2 s) with the steps done in this epoch."""


class History(Callback):
    """What `fit` returns: the losses and metrics of every epoch.

    Attributes
    ----------
    history : dict of lists
        ``loss``, the metrics, the same with ``val_`` in front, and ``learning_rate``.
    epoch : list of int
    """

    def __init__(self):
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class _Monitor(Callback):
    """A callback that watches whether one figure gets better."""

    def __init__(self, monitor, mode, min_delta):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'mode={mode!r}: it is "auto", "min" or "max".')
        rising = mode == "max" or (mode == "auto" and not monitor.endswith(_FALLING))
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self._sign = 1.0 if rising else -1.0
        self.best = -np.inf * self._sign

    def value(self, logs):
        """Return the monitored figure of this epoch."""
        if self.monitor not in (logs or {}):
            known = ", ".join(sorted(logs or {}))
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, which this training does not report. Known: {known}. "
                "Give validation_data or validation_split, or another monitor."
            )
        return logs[self.monitor]

    def improved(self, value):
        """Is `value` better than the best so far by more than min_delta?"""
        return self._sign * (value - self.best) > self.min_delta


# Figures that are better when they are smaller.
_FALLING = ("loss", "error", "crossentropy", "poisson", "hinge", "huber")


class EarlyStopping(_Monitor):
    """Stop when a figure has not got better for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    min_delta : float, default 0
        Changes up to this do not count.
    patience : int, default 0
    mode : {"auto", "min", "max"}
        Which direction is better; "auto" tells by the name.
    restore_best_weights : bool, default False
        Put the parameters of the best epoch back, also when training ends before patience does.
    start_from_epoch : int, default 0
        Epochs before it are not watched.

    Attributes
    ----------
    stopped_epoch : int
        0 if it did not stop training.
    best : float
    best_epoch : int
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best_weights = patience, restore_best_weights
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs=None):
        self.best, self.best_epoch, self.stopped_epoch = -np.inf * self._sign, 0, 0
        self._waited, self._weights = 0, None

    def on_epoch_end(self, epoch, logs=None):
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self._weights is None or self.improved(value):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            self._weights = self.model.params.copy() if self.restore_best_weights else ()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.restore_best_weights and self._weights is not None:
            self.model.params[:] = self._weights


class ModelCheckpoint(_Monitor):
    """Save the model after every epoch, or after the best ones.

    Parameters
    ----------
    filepath : str or path
        May hold ``{epoch:03d}`` and ``{val_loss:.3f}``-like places.
    monitor : str, default "val_loss"
    mode : {"auto", "min", "max"}
    save_best_only : bool, default False
    """

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", mode: str = "auto", save_best_only: bool = False
    ):
        super().__init__(monitor, mode, 0.0)
        self.filepath, self.save_best_only = str(filepath), save_best_only

    def on_epoch_end(self, epoch, logs=None):
        if self.save_best_only:
            value = self.value(logs)
            if not self.improved(value):
                return
            self.best = value
        self.model.save(self.filepath.format(epoch=epoch + 1, **(logs or {})))


class ReduceLROnPlateau(_Monitor):
    """Multiply the learning rate by `factor` when a figure has not got better for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    factor : float, default 0.1
    patience : int, default 10
    mode : {"auto", "min", "max"}
    min_delta : float, default 1e-4
    cooldown : int, default 0
        Epochs to wait after a reduction before watching again.
    min_lr : float, default 0
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau(factor={factor!r}): the factor is above 0 and below 1.")
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr

    def on_train_begin(self, logs=None):
        if not isinstance(self.model.optimizer.learning_rate, int | float):
            raise ValueError("ReduceLROnPlateau needs a constant learning rate: the optimizer has a schedule.")
        self.best = -np.inf * self._sign
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch, logs=None):
        value = self.value(logs)
        if self._cooling > 0:
            self._cooling -= 1
            self._waited = 0
        if self.improved(value):
            self.best, self._waited = value, 0
        elif self._cooling == 0:
            self._waited += 1
            optimizer = self.model.optimizer
            if self._waited >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self._waited, self._cooling = 0, self.cooldown


class CSVLogger(Callback):
    """Write the figures of every epoch to a CSV file, one row an epoch.

    Parameters
    ----------
    filename : str or path
        Overwritten, whole after every epoch.
    separator : str, default ","
    """

    def __init__(self, filename: str | Path, separator: str = ","):
        self.filename, self.separator = Path(filename), separator

    def on_train_begin(self, logs=None):
        self._rows = []

    def on_epoch_end(self, epoch, logs=None):
        self._rows.append({"epoch": epoch, **(logs or {})})
        descriptor, temporary = tempfile.mkstemp(dir=self.filename.parent, suffix=".tmp")
        with os.fdopen(descriptor, "w", newline="") as file:
            writer = csv.DictWriter(file, list(self._rows[0]), delimiter=self.separator)
            writer.writeheader()
            writer.writerows(self._rows)
        os.replace(temporary, self.filename)


class LambdaCallback(Callback):
    """Call functions of one's own.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable (epoch, logs), optional
    on_train_begin, on_train_end : callable (logs), optional
    """

    def __init__(
        self,
        on_epoch_begin: Callable | None = None,
        on_epoch_end: Callable | None = None,
        on_train_begin: Callable | None = None,
        on_train_end: Callable | None = None,
    ):
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
        }
        for name, function in hooks.items():
            if function is not None:
                setattr(self, name, function)


class ProgressBar(Callback):
    """A tqdm bar over all steps, with the figures of the last epoch."""

    def on_train_begin(self, logs=None):
        from tqdm.auto import tqdm

        total = self.params["epochs"] * self.params["steps"]
        self._bar = tqdm(total=total, unit="step", file=sys.stderr, dynamic_ncols=True)
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}", refresh=False)

    def on_stretch_end(self, step, logs=None):
        self._bar.update(self._done(step) - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: f"{value:.4g}" for name, value in (logs or {}).items()}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(self._done(self.params["steps"]) - self._bar.n)

    def on_train_end(self, logs=None):
        self._bar.close()

    def _done(self, step):
        return self._epoch * self.params["steps"] + step
