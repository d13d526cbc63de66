"""TerminateOnNaN: training that diverges ends without an error."""

import math

from fastbp.callbacks.base import Callback


class TerminateOnNaN(Callback):
    """End training where the loss becomes NaN or infinite, without the error `TrainingDiverged`.

    The weights are those of the last good epoch, as after the error; `fit` returns the epochs so far and prints why it
    ended.

    Attributes
    ----------
    error : TrainingDiverged or None
        What `fit` would have raised in the last training.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile(fastbp.SGD(1e30), "mean_squared_error")
    >>> stop = fastbp.TerminateOnNaN()
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=9, callbacks=[stop], verbose=0)
    Training ended: training diverged in epoch 2, ...
    >>> len(history.epoch), stop.error.epoch
    (1, 2)
    """

    def __init__(self):
        self.error = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.error = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            print(f"Training ended: the loss of epoch {epoch + 1} is {loss}.", flush=True)
            self.model.stop_training = True

    def on_divergence(self, error: ArithmeticError) -> bool:
        self.error = error
        print(f"Training ended: {error}", flush=True)
        return True
