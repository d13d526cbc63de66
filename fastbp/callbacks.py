"""Callbacks: what users hang on `fit`.  There are hooks around training and epochs and after each compiled call,
a stretch of batches; none around single batches.
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastbp.io.files import is_stream, replace_file, writable
from fastbp.metrics.direction import greater_is_better
from fastbp.schedules import check_numbers
from fastbp.settings.naming import nearest

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
]


class Callback:
    """Base of all callbacks: override what you need.

    Attributes
    ----------
    model : Sequential
        Set before training begins. ``model.stop_training = True`` ends training after the epoch.
    params : dict
        ``epochs``, ``steps`` (the number of batches an epoch) and ``metrics`` (the names of all figures).

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
        """Called once after the last epoch, also after Ctrl-C or an error."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Called before each epoch (counted from 0)."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Called after each whole epoch with its losses and metrics."""

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

    def __init__(self, monitor, mode, min_delta=0.0):
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.best = -np.inf * self._sign

    def check_settings(self):
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

    def check_monitor(self):
        """Raise ValueError where a setting is wrong, or this training does not report the monitored figure."""
        self.check_settings()
        known = self.params["metrics"]
        if self.monitor not in known:
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, which this training does not report."
                f"{nearest(self.monitor, known)} Known: {', '.join(known)}. For val_ figures give validation_data "
                "or validation_split."
            )

    def improved(self, value):
        """Is `value` better than the best so far by more than min_delta?"""
        return self._sign * (value - self.best) > self.min_delta


def _check_epochs(callback, **settings):
    """Raise ValueError where a setting is not a number of epochs."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{type(callback).__name__}({name}={value!r}): it is a number of epochs, at least 0.")


def _check_folder(path):
    """Raise FileNotFoundError where there is no folder to write the file to: before training, not after it."""
    folder = Path(path).parent
    if "{" not in str(folder) and not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}.")
    if "{" not in str(path):
        writable(path)


class EarlyStopping(_Monitor):
    """Stop when a figure has not got better for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    min_delta : float, default 0
        Changes up to this do not count.
    patience : int, default 0
    mode : {"auto", "min", "max"}
        Which direction is better; "auto" tells by the name, of fastbp's own losses and metrics.
    baseline : float, optional
        Only epochs better than this keep training alive.
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
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.baseline, self.restore_best_weights = patience, baseline, restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.best_epoch = self.stopped_epoch = 0
        self.check_settings()

    def check_settings(self):
        super().check_settings()
        _check_epochs(self, patience=self.patience, start_from_epoch=self.start_from_epoch)
        if self.baseline is not None:
            check_numbers(self, baseline="(-inf, inf)")

    def on_train_begin(self, logs=None):
        self.check_monitor()
        self.best, self.best_epoch, self.stopped_epoch = -np.inf * self._sign, 0, 0
        self._waited, self._weights = 0, None

    def on_epoch_end(self, epoch, logs=None):
        value = logs[self.monitor]
        if epoch < self.start_from_epoch:
            return
        improved = self.improved(value)
        if improved or self._weights is None:
            # The first epoch counts as the best, even if its figure is NaN.
            self.best_epoch = epoch
            self._weights = self.model.get_weights() if self.restore_best_weights else ()
        self._waited += 1
        if improved:
            self.best = value
            if self.baseline is None or self._sign * (value - self.baseline) > self.min_delta:
                self._waited = 0
        elif self._waited >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.restore_best_weights and self._weights is not None:
            self.model.set_weights(self._weights)
        self._weights = None


class ModelCheckpoint(_Monitor):
    """Save the model after every epoch, or after the best ones.

    Parameters
    ----------
    filepath : str or path
        May hold places such as ``{epoch:03d}`` (counted from 1) and ``{val_loss:.3f}``.
    monitor : str, default "val_loss"
    mode : {"auto", "min", "max"}
    save_best_only : bool, default False
    """

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", mode: str = "auto", save_best_only: bool = False
    ):
        super().__init__(monitor, mode)
        self.filepath, self.save_best_only = str(filepath), save_best_only
        self.check_settings()

    def check_settings(self):
        if self.save_best_only:  # else nobody asks which figures are better
            super().check_settings()

    def on_train_begin(self, logs=None):
        if self.save_best_only:
            self.check_monitor()
        self._path(0, dict.fromkeys(self.params["metrics"], 0.0))
        _check_folder(self.filepath)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_best_only:
            value = logs[self.monitor]
            if not self.improved(value):
                return
            self.best = value
        self.model.save(self._path(epoch, logs))

    def _path(self, epoch, logs):
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (LookupError, ValueError) as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(f"ModelCheckpoint({self.filepath!r}): {error}. Known: {known}.") from None


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

    Notes
    -----
    It changes the learning rate of the model's own optimizer, ``model.optimizer``, which must be a number, not a
    schedule: no other model is touched.
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
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.check_settings()

    def check_settings(self):
        super().check_settings()
        if not isinstance(self.factor, int | float | np.number) or not 0 < self.factor < 1:
            raise ValueError(f"ReduceLROnPlateau(factor={self.factor!r}): the factor is above 0 and below 1.")
        _check_epochs(self, patience=self.patience, cooldown=self.cooldown)
        check_numbers(self, min_lr="[0, inf)")

    def on_train_begin(self, logs=None):
        self.check_monitor()
        if not isinstance(self.model.optimizer.learning_rate, int | float):
            raise ValueError("ReduceLROnPlateau needs a constant learning rate: the optimizer has a schedule.")
        self.best = -np.inf * self._sign
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch, logs=None):
        value = logs[self.monitor]
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
    """Write the figures of every epoch to a CSV file, one row an epoch, as soon as it ends.

    Parameters
    ----------
    filename : str or path
    separator : str, default ","
    append : bool, default False
        Go on with the file of an earlier training, in place of overwriting it.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, logs=None):
        self._names = None
        if is_stream(self.filename):  # a line an epoch to a pipe, or to /dev/stdout
            return
        _check_folder(self.filename)
        if self.append and self.filename.exists():
            with open(self.filename, newline="") as file:
                self._names = next(csv.reader(file, delimiter=self.separator), None)
        else:
            replace_file(self.filename, b"")

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **(logs or {})}
        with open(self.filename, "a", newline="") as file:
            writer = csv.DictWriter(file, self._names or list(row), delimiter=self.separator, extrasaction="ignore")
            if self._names is None:
                writer.writeheader()
                self._names = writer.fieldnames
            writer.writerow(row)


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
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback({name}={function!r}): it is a function.")
            setattr(self, name, function)


class EpochLines(Callback):
    """A line an epoch, for logs."""

    def on_epoch_end(self, epoch, logs=None):
        figures = " - ".join(f"{name}: {value:.4g}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1}/{self.params['epochs']} - {figures}", flush=True)


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
