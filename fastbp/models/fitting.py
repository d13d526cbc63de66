"""`Sequential.fit`: checks its arguments, splits the rows into training and validation, and runs the epochs."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastbp.callbacks.history import History
from fastbp.engine.epochs import fit as fit_epochs
from fastbp.engine.exclusive import changes
from fastbp.engine.user_arrays import class_weights, rows_kept, validation_parts
from fastbp.models.arguments import checked_callbacks, checked_course


@changes
def fit(
    self,
    x: ArrayLike,
    y: ArrayLike,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    validation_split: float = 0.0,
    validation_data: tuple | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: dict | str | None = None,
    shuffle: bool = True,
    callbacks: list | None = None,
    verbose: int | str = "auto",
    initial_epoch: int | None = None,
    steps_per_epoch: int | None = None,
) -> History:
    """Train for a number of epochs, from where the last `fit` stopped.

    Parameters
    ----------
    x : array-like (n, d), or (n, ...) for an input shape with more axes
        C-contiguous rows in the model's dtype are read in place, memory maps too; anything else is
        converted once.
    y : array-like (n,), (n, t), or of the outputs' shape
        Numbers; text, objects and nullable columns do where all of them are numbers. Of outputs with several axes
        each entry of the first ones (a time step) has a target: (n, t, k), or (n, t) for class numbers.
    epochs : int, default 1
        So many more, whose numbers go on from those of the last `fit`, also after `load_model`. With
        `initial_epoch`, as in Keras, the number to train up to.
    batch_size : int, default 32
        The last batch of an epoch may be shorter.
    validation_split : float, default 0
        Share of the rows, the last ones before shuffling, kept for validation.
    validation_data : tuple (x, y) or (x, y, sample_weight), optional
    sample_weight : array-like (n,), or (n, t) for time steps, optional
        Each row's or step's factor on its loss; the loss is divided by the number of rows (of all steps, or of
        those that a mask leaves), as in Keras.
    class_weight : dict {class: weight} or "balanced", optional
        A factor more, for the training rows (or time steps) of each class; a class that is not named weighs 1.
        "balanced": those by which all classes of `y` weigh the same, as in scikit-learn.
    shuffle : bool, default True
        Draw a new order of the rows for every epoch; stateful layers need False.
    callbacks : list of Callback, optional
        Called in this order.
    verbose : {"auto", 0, 1, 2}, default "auto"
        0 shows nothing, 1 (and "auto") a line an epoch and a bar for the one that runs, 2 lines alone: see
        `ProgbarLogger`.
    initial_epoch : int, optional
        The number of the first epoch, from 0, whatever was trained before: ``epochs=10, initial_epoch=4`` trains
        six. Orders of the rows and callbacks go by these numbers.
    steps_per_epoch : int, optional
        So many batches make an epoch, in place of all that the rows have; the next epoch goes on with the batches
        that follow, and behind the last row with a new pass over them. Metrics are those of the rows of the epoch.

    Returns
    -------
    History
        ``history.history["loss"]`` and so on, one value an epoch.

    Raises
    ------
    ValueError
        For data, batches or metrics that do not fit the model or each other, before anything is changed. Where a
        metric of one's own raises, the model is as it was before that epoch.
    TrainingDiverged
        If the loss or a parameter becomes NaN or infinite; the weights of the last good epoch are kept.
    RuntimeError
        If another thread trains the model or predicts with it.

    Notes
    -----
    A batch whose weights sum to zero makes no update: the parameters and the optimizer's state stay as they are,
    penalties, weight decay and momentum included; its loss is 0, and `step` counts it. Moving statistics follow its
    rows, as in Keras.

    Ctrl-C ends training after the running compiled call (about 0.2 s) and returns the history so far; a handler of
    your own for SIGINT is called instead, and where SIGINT is ignored it stays so. Whatever exception ends `fit`,
    of a loss, a callback or a signal's handler, the model is as its last whole update left it, and `step` counts
    the updates. (After `TrainingDiverged` it is as the last good epoch left it.)

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], seed=0)
    >>> model.compile(fastbp.Adam(0.01), "mean_squared_error", metrics=["mae"])
    >>> history = model.fit(x, x.sum(axis=1), epochs=30, validation_split=0.2, verbose=0)
    >>> sorted(history.history)
    ['learning_rate', 'loss', 'mae', 'val_loss', 'val_mae']
    >>> history.history["val_loss"][-1] < history.history["val_loss"][0] / 10
    True
    """
    self._check_compiled("fit")
    course = checked_course(epochs, batch_size, shuffle, verbose, initial_epoch, steps_per_epoch)
    callbacks = checked_callbacks(callbacks)
    if validation_data is not None and validation_split:
        raise ValueError("give validation_data or validation_split, not both.")
    with self._as_before_on_error():
        rows = self._rows(x, y, sample_weight)
        train, validation = _split(self, rows, validation_split, validation_data)
        if class_weight is not None:
            train = class_weighted(self, train, class_weight)
        _check_run(self, train, validation, course)
    self.tell_changes(every=True)
    return self.engine.alone(fit_epochs, self, train, validation, course, callbacks)


def class_weighted(model, rows, weights):
    """Return the rows with the weights {class: weight}, or "balanced", of their classes."""
    classes = (rows.y, len(rows.x), model.dtype, rows.entries, model.engine.loss.link == "softmax")
    return rows.weighted(class_weights(weights, *classes, mask=rows.mask))


def _split(model, rows, validation_split, validation_data):
    """Return the rows to train on and those to validate with (or None)."""
    if validation_data is not None:
        try:
            return rows, model._rows(*validation_parts(validation_data))
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from None
    if not validation_split and not isinstance(validation_split, bool):
        return rows, None
    kept = rows_kept(validation_split, len(rows.x))
    return rows.subset(slice(0, kept)), rows.subset(slice(kept, None))


def _check_run(model, train, validation, course):
    """Raise ValueError where the batches or the metrics of a run do not suit the model."""
    engine = model.engine
    engine.network.check_batches(len(train.x), min(course.batch_size, len(train.x)))
    if engine.network.batch_size is not None and course.shuffled:
        raise ValueError(
            "a stateful layer hands the states of a batch's rows on to the same rows of the next batch, and "
            "shuffle=True mixes them: write shuffle=False."
        )
    engine.check_metrics(train)
    if validation is not None:
        try:
            engine.network.check_batches(len(validation.x), engine.network.batch_size or len(validation.x))
            engine.check_metrics(validation)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from None
