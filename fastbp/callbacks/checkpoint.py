"""ModelCheckpoint: the model in a file after each epoch, or after the best ones."""

from pathlib import Path

import numpy as np

from fastbp.callbacks.folders import check_folder
from fastbp.callbacks.monitor import Monitor
from fastbp.io.saving import ModelFileError, noted, save_tensors
from fastbp.schedules import check_numbers
from fastbp.settings.user_warnings import warn

# What a file says of the figure by which it was the best.
NOTE = "checkpoint"


class ModelCheckpoint(Monitor):
    """Save the model after every epoch, or after the best ones.

    In an estimator it saves the estimator, with its labels, which `fastbp.load_model` reads.

    Parameters
    ----------
    filepath : str or path
        May hold places such as ``{epoch:03d}`` (counted from 1; a model that was trained before goes on counting) and
        ``{val_loss:.3f}``.
    monitor : str, default "val_loss"
    mode : {"auto", "min", "max"}
    save_best_only : bool, default False
    save_weights_only : bool, default False
        Write what ``model.load_weights`` reads, in place of what `fastbp.load_model` does.
    initial_value_threshold : float, optional
        With `save_best_only`: only what is better than this is saved.

    Raises
    ------
    ValueError
        Before training: for a `monitor` or places of `filepath` that the training does not report.
    FileNotFoundError
        Before training, where there is no such folder.

    Notes
    -----
    With `save_best_only`, a file that is there already and tells its `monitor` (a checkpoint of an earlier training) is
    only replaced by a better one; a warning tells so. With ``initial_value_threshold=numpy.inf`` (``-numpy.inf`` where
    more is better) it is replaced by the first epoch. In that manner the best is also kept from one `fit` to the next.

    Examples
    --------
    >>> import fastbp
    >>> best = fastbp.ModelCheckpoint("best-{epoch:02d}.fastbp", save_best_only=True)
    """

    kept = ("best",)
    follows_one_model = True

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        mode: str = "auto",
        save_best_only: bool = False,
        save_weights_only: bool = False,
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode)
        self.filepath, self.save_best_only, self.save_weights_only = str(filepath), save_best_only, save_weights_only
        self.initial_value_threshold = initial_value_threshold
        self.check_settings()
        if initial_value_threshold is not None:
            self.best = initial_value_threshold

    def check_settings(self) -> None:
        if self.save_best_only:  # else nobody asks which figures are better
            super().check_settings()
        if self.initial_value_threshold is not None:
            if not self.save_best_only:
                raise ValueError(
                    f"ModelCheckpoint(initial_value_threshold={self.initial_value_threshold!r}): it is for "
                    "save_best_only=True; otherwise every epoch is saved."
                )
            if self.initial_value_threshold not in (np.inf, -np.inf):
                check_numbers(self, initial_value_threshold="(-inf, inf)")

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.save_best_only:
            self.check_monitor()
        self._path(0, dict.fromkeys(self.params["metrics"], 0.0))
        check_folder(self.filepath)
        if self.save_best_only and "{" not in self.filepath and self.initial_value_threshold is None:
            self._heed_earlier_file()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        note, logs = None, logs or {}
        if self.save_best_only:
            value = logs[self.monitor]
            if not self.improved(value):
                return
            self.best = value
            note = {"monitor": self.monitor, "value": float(value)}
        path = self._path(epoch, logs)
        model = self.owner or self.model
        if self.save_weights_only:
            self.model.save_weights(path, note and {NOTE: note})
        elif note is None:
            model.save(path)
        else:
            tensors, description = model.get_state()
            save_tensors(path, tensors, description | {NOTE: note})

    def _heed_earlier_file(self):
        """Take over the best figure of a file that an earlier training has left."""
        try:
            note = noted(self.filepath).get(NOTE)
        except FileNotFoundError:
            return
        except (ModelFileError, OSError):
            note = None
        value = note.get("value") if isinstance(note, dict) and note.get("monitor") == self.monitor else None
        if type(value) not in (int, float) or np.isnan(value):
            if np.isinf(self.best):
                warn(
                    f"{self.filepath} is there already and does not tell its {self.monitor}: the first epoch of this "
                    "training will replace it. Give initial_value_threshold to replace it by a better one only."
                )
            return
        if self.improved(value):
            self.best = value
            warn(
                f"{self.filepath} holds a model with {self.monitor} {value:.6g}: only a better one will replace it. "
                f"With initial_value_threshold={-self._sign * np.inf} the first epoch would."
            )

    def _path(self, epoch, logs):
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (LookupError, ValueError) as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(f"ModelCheckpoint({self.filepath!r}): {error}. Known: {known}.") from None
