"""ReduceLROnPlateau: a smaller learning rate where a figure gets no better."""

import numpy as np

from fastbp.callbacks.monitor import Monitor, check_epochs
from fastbp.schedules import check_numbers


class ReduceLROnPlateau(Monitor):
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

    Raises
    ------
    ValueError
        Where a setting is out of its range; at the beginning of a training also where the training does not report the
        figure, or the optimizer has a schedule.

    Notes
    -----
    It changes the learning rate of the model's own optimizer, ``model.optimizer``, which must be a number, not a
    schedule: no other model is touched.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.SGD(0.1), "mse")
    >>> slower = fastbp.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2)
    >>> history = model.fit(x, x[:, 0], epochs=60, callbacks=[slower], verbose=0)
    >>> model.optimizer.learning_rate < 0.1
    True
    """

    kept = ("best", "_waited", "_cooling")
    follows_one_model = True

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

    def check_settings(self) -> None:
        super().check_settings()
        if not isinstance(self.factor, int | float | np.number) or not 0 < self.factor < 1:
            raise ValueError(f"ReduceLROnPlateau(factor={self.factor!r}): the factor is above 0 and below 1.")
        check_epochs(self, patience=self.patience, cooldown=self.cooldown)
        check_numbers(self, min_lr="[0, inf)")

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.check_monitor()
        if not isinstance(self.model.optimizer.learning_rate, int | float):
            raise ValueError("ReduceLROnPlateau needs a constant learning rate: the optimizer has a schedule.")
        self.best = -np.inf * self._sign
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
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
