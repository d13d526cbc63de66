"""Callbacks of a tabular training, which hear of the epochs of each network; several networks train at a time."""

from threading import Lock

import numpy as np

from fastbp.callbacks.base import BATCH_HOOKS
from fastbp.callbacks.callbacklist import CallbackList
from fastbp.models.arguments import checked_callbacks

WITHOUT = (*BATCH_HOOKS, "on_test_begin", "on_test_end", "on_stretch_end")


def checked_observers(callbacks, n_jobs=None):
    """Return callbacks as a list; raise if one of them needs a single model, or if joblib's workers train."""
    callbacks = checked_callbacks(callbacks)
    if callbacks and n_jobs is not None:
        raise ValueError(
            f"n_jobs={n_jobs} has joblib's workers train the networks, whose epochs callbacks cannot follow: leave out "
            "callbacks, or n_jobs (threads of this process then train several networks at a time)."
        )
    for callback in callbacks:
        if callback.follows_one_model:
            name = type(callback).__name__
            raise ValueError(
                f"{name} follows the epochs of one model; a tabular estimator trains several networks at a time, keeps "
                "the best epoch of each, and ends by time_limit. Callbacks that watch or note (CSVLogger, TensorBoard, "
                "History, one of your own) do."
            )
    return callbacks


class Observers:
    """The callbacks of one tabular training; they are called one at a time, though several threads report.

    Parameters
    ----------
    callbacks : list of Callback
    metric : str
        What the best epochs are chosen by.
    """

    def __init__(self, callbacks, metric):
        self._callbacks, self._metric, self._lock = callbacks, f"val_{metric}", Lock()
        self._list = CallbackList([], None, {})

    def __bool__(self):
        """Are there callbacks?"""
        return bool(self._callbacks)

    def begin(self, plan):
        """Tell that training begins: networks train as a `Plan` says."""
        names = ["network", "loss", "learning_rate", self._metric]
        params = {"epochs": plan.epochs, "steps": plan.n_steps, "metrics": names}
        self._list = CallbackList(self._callbacks, None, params, WITHOUT)
        self._list.begin()

    def end(self):
        """Tell that training is over."""
        self._list.end()

    def epoch_begins(self, number, network, epoch):
        """Tell that an epoch of a network begins."""
        self._tell("on_epoch_begin", network, epoch, {"network": number})

    def epoch_ends(self, number, network, epoch, loss, rate, value):
        """Tell the figures of an epoch; `value` is NaN where the network was not scored after it."""
        logs = {"network": number, "loss": loss, "learning_rate": rate, self._metric: value}
        self._tell("on_epoch_end", network, epoch, logs)

    def _tell(self, hook, network, *arguments):
        with self._lock:
            for callback in self._callbacks:
                callback.set_model(network)
            self._list.tell(hook, *arguments)


class NetworkObserver:
    """Tells `Observers` of the epochs of one network."""

    def __init__(self, observers, number, network):
        self._observers, self._number, self._network = observers, number, network

    def epoch_begins(self, epoch):
        self._observers.epoch_begins(self._number, self._network, epoch)

    def epoch_ends(self, epoch, learner, score):
        """Tell the figures of an epoch (from 0); return whether a callback ends the network's training.

        `score` is that of the validation rows where the network was scored after this epoch, else None.
        """
        value = float("nan") if score is None else learner.objective.natural(score)
        self._observers.epoch_ends(
            self._number, self._network, epoch, float(np.concatenate(learner.losses).mean()), learner.rate, value
        )
        return self._network.stop_training
