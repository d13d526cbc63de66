"""BackupAndRestore: a training that was broken off goes on where its last whole epoch ended."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.callbacks.base import Callback
from fastbp.io.files import writable
from fastbp.io.saving import load_tensors, save_tensors

FILE = "backup.fastbp"
_STATES = "callbacks"


class BackupAndRestore(Callback):
    """Keep what a training needs to go on, after each epoch; a `fit` that finds it goes on from there.

    A process that was killed, or a machine that went down, loses the epoch under way. Run the same program again: `fit`
    restores the weights, the optimizer's state and learning rate, the counters, the seed, and what the callbacks
    remember (the best figure, the epochs waited, the history), and ends with the same bits as an unbroken run.

    Parameters
    ----------
    backup_dir : str or path
        A folder for this training alone; it is made where there is none.
    save_freq : {"epoch"}
        When to save.
    delete_checkpoint : bool, default True
        Remove the backup when training has ended as it should: after the last epoch, or because a callback stopped it.
        After Ctrl-C or an error it stays.

    Raises
    ------
    ValueError
        Before training, where the backup is of another network; nothing is changed.

    Notes
    -----
    ``epochs`` of the resumed `fit` are those of the broken one: what it had done counts. Arrays, batch size and
    callbacks must be the same ones; of those only the network and the number of callbacks are checked.

    Examples
    --------
    >>> import fastbp, numpy as np, tempfile
    >>> x, y = np.eye(4), np.ones(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    ...     model.compile("sgd", "mean_squared_error")
    ...     history = model.fit(x, y, epochs=3, callbacks=[fastbp.BackupAndRestore(folder)], verbose=0)
    """

    follows_one_model = True

    def __init__(self, backup_dir: str | Path, save_freq: str = "epoch", delete_checkpoint: bool = True):
        if save_freq != "epoch":
            raise ValueError(f'BackupAndRestore(save_freq={save_freq!r}): a backup is made after each epoch, "epoch".')
        if not str(backup_dir):
            raise ValueError("BackupAndRestore(backup_dir=''): it is the name of a folder.")
        self.backup_dir, self.save_freq, self.delete_checkpoint = Path(backup_dir), save_freq, delete_checkpoint
        # The first epoch of the training, also where it was resumed since; `fit` sets it.
        self.first_epoch = 0
        self._made_folder, self._over = False, False
        self.callbacks: list = []

    @property
    def path(self) -> Path:
        """The file of the backup."""
        return self.backup_dir / FILE

    def restore(self, model: Any, callbacks: list) -> tuple | None:
        """Restore a model from the backup, if there is one; return (its first epoch, the callbacks' states), or None.

        Parameters
        ----------
        model : Sequential
        callbacks : list of Callback
            All of the training, whose states the next backups hold.
        """
        self.callbacks = list(callbacks)
        if not hasattr(model, "_restore_state"):
            raise ValueError(
                "BackupAndRestore keeps a training of Sequential.fit; estimators have warm_start and save."
            )
        if not self.path.exists():
            return None
        tensors, description = load_tensors(self.path)
        states = description.pop(_STATES, None)
        kinds = [type(callback).__name__ for callback in self.callbacks]
        if not isinstance(states, dict) or states["kinds"] != kinds:
            found = states["kinds"] if isinstance(states, dict) else None
            raise ValueError(
                f"{self.path} is the backup of a training with other callbacks ({found}, now {kinds}): use these, or "
                "remove it to begin anew."
            )
        own = {name: tensors.pop(name) for name in list(tensors) if name.startswith(f"{_STATES}/")}
        try:
            model._restore_state(tensors, description)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is not the backup of this training: {error} Remove it to begin anew."
            ) from None
        self._made_folder = states["made_folder"]
        return states["first_epoch"], [_unpacked(state, own) for state in states["states"]]

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._over = False
        self._made_folder = self._made_folder or not self.backup_dir.exists()
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        writable(self.path)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._over = epoch + 1 >= self.params["epochs"]

    def save(self) -> None:
        """Write the backup: after all callbacks have seen the epoch."""
        tensors, description = self.model.get_state()
        arrays, states = dict(tensors), []
        for number, callback in enumerate(self.callbacks):
            states.append(_packed(callback.get_state(), f"{_STATES}/{number}", arrays))
        kinds = [type(callback).__name__ for callback in self.callbacks]
        description[_STATES] = {
            "kinds": kinds,
            "first_epoch": self.first_epoch,
            "made_folder": self._made_folder,
            "states": states,
        }
        save_tensors(self.path, arrays, description)

    def on_train_end(self, logs: dict | None = None) -> None:
        if not self.delete_checkpoint or not (self._over or self.model.stop_training):
            return
        self.path.unlink(missing_ok=True)
        if self._made_folder and not any(self.backup_dir.iterdir()):
            shutil.rmtree(self.backup_dir, ignore_errors=True)


def _packed(value, name, arrays):
    """Return a callback's state as JSON can hold it; arrays go to `arrays`, under names that begin with `name`."""
    if isinstance(value, dict):
        return {"dict": {key: _packed(entry, f"{name}/{key}", arrays) for key, entry in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_packed(entry, f"{name}/{i}", arrays) for i, entry in enumerate(value)]}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    value = value.item() if isinstance(value, np.generic) else value
    try:
        json.dumps(value)
    except TypeError:
        raise TypeError(
            f"a callback's get_state returned {value!r}: numbers, texts, lists, dicts and arrays do."
        ) from None
    return {"value": value}


def _unpacked(state, arrays):
    """Return the state that `_packed` turned into `state`."""
    ((kind, content),) = state.items()
    if kind == "dict":
        return {key: _unpacked(entry, arrays) for key, entry in content.items()}
    if kind == "list":
        return [_unpacked(entry, arrays) for entry in content]
    return arrays[content] if kind == "array" else content


def backup_of(callbacks):
    """Return the `BackupAndRestore` among callbacks, or None; there is one at most."""
    found = [callback for callback in callbacks if isinstance(callback, BackupAndRestore)]
    if len(found) > 1:
        raise ValueError("there are two BackupAndRestore callbacks: one keeps all that a training needs.")
    return found[0] if found else None
