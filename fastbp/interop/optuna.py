"""A callback for optuna: trials that fall behind are pruned while they train."""

import math

from fastbp.callbacks.base import Callback

__all__ = ["PruningCallback"]


class PruningCallback(Callback):
    """Report a figure of each epoch to an optuna trial, and end training where optuna prunes the trial.

    Parameters
    ----------
    trial : optuna.trial.Trial
    monitor : str, default "val_loss"
        A figure that training reports. Whether less or more of it is better says the study's ``direction``.

    Raises
    ------
    ImportError
        Without optuna.
    ValueError
        Before training, where training does not report the figure.
    optuna.TrialPruned
        In training, where the trial is pruned: `fit` ends with it, the model as its last whole epoch left it, and
        ``study.optimize`` takes note.

    Notes
    -----
    The step that is reported is the epoch. Of a tabular estimator, whose networks have the same settings and other
    rows, the first network's epochs are reported, those after which it is scored.

    Examples
    --------
    >>> import fastbp, numpy as np, optuna
    >>> from fastbp.interop.optuna import PruningCallback
    >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> def objective(trial):
    ...     model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    ...     rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    ...     model.compile(fastbp.SGD(rate), "mean_squared_error")
    ...     callbacks = [PruningCallback(trial)]
    ...     history = model.fit(x, x, epochs=5, validation_split=0.2, callbacks=callbacks, verbose=0)
    ...     return history.history["val_loss"][-1]
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(objective, n_trials=3)
    >>> len(study.trials)
    3
    """

    def __init__(self, trial, monitor: str = "val_loss"):
        try:
            from optuna import TrialPruned
        except ImportError:
            raise ImportError('PruningCallback is for optuna: pip install "fastbp[interop]", or optuna') from None
        if not hasattr(trial, "should_prune"):
            raise TypeError(f"PruningCallback(trial={trial!r}): it is the trial that optuna gives to an objective.")
        self.trial, self.monitor, self._pruned = trial, monitor, TrialPruned

    def on_train_begin(self, logs=None):
        known = self.params["metrics"]
        if self.monitor not in known:
            raise ValueError(
                f"PruningCallback monitors {self.monitor!r}, which this training does not report. Known: "
                f"{', '.join(known)}."
            )

    def on_epoch_end(self, epoch, logs=None):
        value = logs[self.monitor]
        if logs.get("network", 0) != 0 or math.isnan(value):
            return
        self.trial.report(float(value), epoch)
        if self.trial.should_prune():
            raise self._pruned(f"{self.monitor} is {value:.6g} after epoch {epoch + 1}.")
