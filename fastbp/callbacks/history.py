"""History: the figures of every epoch, which `fit` returns."""

from typing import Any

from fastbp.callbacks.base import Callback


class History(Callback):
    """What `fit` returns: the losses and metrics of every epoch.

    Attributes
    ----------
    history : dict of lists
        ``loss``, the metrics, the same with ``val_`` in front, and ``learning_rate``.
    epoch : list of int
        The epochs' numbers, counted from 0.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile("sgd", "mean_squared_error")
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=3, verbose=0)
    >>> history
    <History of 3 epochs: loss 2.73 -> 2.48>
    >>> len(history.history["loss"]), history.epoch
    (3, [0, 1, 2])
    """

    kept = ("history", "epoch")

    def __init__(self):
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self, axes: Any = None) -> Any:
        """Draw the figures by epoch: the loss, each metric (with that of validation), the learning rate if it changes.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            One for each picture; by default new ones, side by side.

        Returns
        -------
        array of matplotlib Axes

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            Where there is no epoch, or another number of axes.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
        >>> model.compile("sgd", "mean_squared_error", metrics=["mean_absolute_error"])
        >>> history = model.fit(np.eye(4), np.ones(4), epochs=3, verbose=0)
        >>> axes = history.plot()
        >>> [ax.get_ylabel() or ax.get_title() for ax in axes]  # axes[0].figure.savefig("curves.png") keeps them
        ['loss', 'mean_absolute_error']
        """
        from fastbp.callbacks.curves import plot_history

        return plot_history(self, axes)

    def __repr__(self):
        if not self.epoch:
            return "<History of 0 epochs>"
        shown = [f"{name} {v[0]:.3g} -> {v[-1]:.3g}" for name, v in self.history.items() if name != "learning_rate"]
        many = "1 epoch" if len(self.epoch) == 1 else f"{len(self.epoch)} epochs"
        return f"<History of {many}: {', '.join(shown)}>"

    def _repr_html_(self):
        from fastbp.callbacks.curves import history_html

        return history_html(self)
