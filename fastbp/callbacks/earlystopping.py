"""EarlyStopping: end training where a figure gets no better."""

from typing import Any

import numpy as np

from fastbp.callbacks.monitor import Monitor, check_epochs
from fastbp.schedules import check_numbers


class EarlyStopping(Monitor):
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
        Counted from 0, as the epochs that callbacks are told.

    Raises
    ------
    ValueError
        Where a setting is out of its range; at the beginning of a training also where it does not report the figure.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = x[:, 0] + np.random.default_rng(1).normal(size=200)
    >>> model = fastbp.Sequential([fastbp.Dense(32, "relu"), fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.Adam(0.01), "mse")
    >>> stop = fastbp.EarlyStopping(patience=5, restore_best_weights=True)
    >>> history = model.fit(x, y, epochs=500, validation_split=0.25, callbacks=[stop], verbose=0)
    >>> len(history.history["loss"]) < 500, stop.stopped_epoch - stop.best_epoch
    (True, 5)
    """

    kept = ("best", "best_epoch", "stopped_epoch", "_waited", "_watched", "_weights")
    follows_one_model = True

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

    def check_settings(self) -> None:
        super().check_settings()
        check_epochs(self, patience=self.patience, start_from_epoch=self.start_from_epoch)
        if self.baseline is not None:
            check_numbers(self, baseline="(-inf, inf)")

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.check_monitor()
        self.best, self.best_epoch, self.stopped_epoch = -np.inf * self._sign, 0, 0
        self._waited, self._watched = 0, 0
        self._weights: Any = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        value = logs[self.monitor]
        self._watched += 1
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
        elif self._waited >= self.patience and self._watched > 1:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.restore_best_weights and self._weights is not None:
            self.model.set_weights(self._weights)
        self._weights = None
