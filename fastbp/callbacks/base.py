"""The base of all callbacks: which hooks there are, and when they are called."""

from typing import Any


class Callback:
    """Base of all callbacks: override what you need.

    Whatever begins with ``on_`` and is no hook that is called is told with a warning when training begins.

    Attributes
    ----------
    model : Sequential
        Set before training begins. ``model.stop_training = True`` ends training after the epoch, or after the batch
        where a callback has hooks around batches.
    params : dict
        ``epochs`` (the number of the last one, counted from 1), ``steps`` (the number of batches an epoch) and
        ``metrics`` (the names of all figures).

    Examples
    --------
    >>> import fastbp
    >>> class Print(fastbp.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model: Any = None
    # While an estimator trains: the estimator, whose network `model` is.
    owner: Any = None
    # While `Sequential.fit` runs: the rows that it trains on, checked (`WeightedRows`).
    training_rows: Any = None
    params: dict
    # Names of the attributes that `get_state` returns.
    kept: tuple[str, ...] = ()
    # Does it follow the epochs of one model?  Then a training of several networks side by side refuses it.
    follows_one_model = False

    def set_model(self, model: Any) -> None:
        """Called once before training: sets `model`."""
        self.model = model

    def set_params(self, params: dict) -> None:
        """Called once before training: sets `params`."""
        self.params = params

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Called once before the first epoch."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Called once after the last epoch, also after Ctrl-C or an error."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Called before each epoch (counted from 0; the first of a model that was trained before goes on counting)."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Called after each whole epoch with its losses and metrics."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Called before each batch, counted from 0 in its epoch, where a callback overrides it.

        A hook around batches costs a compiled call and Python's part of it for each batch, some 20 us, where otherwise
        one call runs batches for 0.2 s: small networks train ten times as long. The weights have the same bits.
        """

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Called after each batch, where a callback overrides it; `logs` has the mean ``loss`` of the epoch so far.

        It costs what `on_train_batch_begin` does.
        """

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Called before the validation rows of an epoch are evaluated."""

    def on_test_end(self, logs: dict | None = None) -> None:
        """Called after the validation rows of an epoch are evaluated, with their figures (without ``val_``)."""

    def on_stretch_end(self, step: int, logs: dict | None = None) -> None:
        """Called after each compiled call (about 0.2 s) with the steps done in this epoch."""

    def on_divergence(self, error: ArithmeticError) -> bool:
        """Called where training diverges; where a callback returns True, training ends without the error."""
        return False

    def get_state(self) -> dict:
        """Return what a resumed training needs of the callback: numbers, texts, lists, arrays by name.

        Callbacks of one's own that count or remember override it and `set_state`, so that `BackupAndRestore` gives a
        resumed run what the broken one had.
        """
        return {name: getattr(self, name) for name in self.kept}

    def set_state(self, state: dict) -> None:
        """Take over what `get_state` returned; called after `on_train_begin` of a training that is resumed."""
        for name in self.kept:
            setattr(self, name, state[name])


BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")
# Keras's older names for them, which it still calls.
BATCH_ALIASES = {"on_batch_begin": "on_train_batch_begin", "on_batch_end": "on_train_batch_end"}
HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
