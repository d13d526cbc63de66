"""Sequential: a stack of layers with Keras's way of compiling, fitting, evaluating and predicting."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.callbacks.history import History
from fastbp.engine.data import (
    as_float_rows,
    as_table,
    check_rows,
    check_same_length,
    class_weights,
    held,
    real_array,
    rows_kept,
    sample_weights,
    validation_parts,
)
from fastbp.engine.epochs import fit
from fastbp.engine.exclusive import changes, check_free, is_changed_here
from fastbp.engine.rows import Rows
from fastbp.engine.specs import check_owners, check_places, handle, own, walk
from fastbp.engine.state import Engine
from fastbp.explain.explainable import Explainable
from fastbp.io import saving
from fastbp.losses import LOSSES
from fastbp.losses.targets import as_numbers, beside_outputs, prepared_targets
from fastbp.models.arguments import (
    checked_callbacks,
    checked_course,
    checked_layers,
    checked_metrics,
    checked_seed,
    checked_verbose,
    is_count,
    names_of_functions,
)
from fastbp.models.diagram import diagram
from fastbp.models.longpredict import predict_with_bar
from fastbp.models.modelstate import model_from, restore, state_of
from fastbp.models.shown import html_of, line_of
from fastbp.models.summary import summary_text
from fastbp.models.taken import Taken
from fastbp.models.weightsfile import read_weights, write_weights
from fastbp.optimizers import OPTIMIZERS

_NEW = "make a new model, of copy.deepcopy(model.layers)"
_COMPILE = "call compile, which keeps the weights"
# What is not assigned to, and what to do instead.
_FIXED = {"dtype": _NEW, "seed": _NEW, "optimizer": _COMPILE, "loss": _COMPILE}


class Sequential(Explainable):
    """A stack of layers, trained by backpropagation.

    Parameters
    ----------
    layers : list of layers
        `Dense`, `Dropout`, `Activation`, ...: all stand in `fastbp.layers`. They hold settings; the model holds the
        weights. So the same list may make several models, each with weights of its own.
    input_shape : tuple of int, optional
        Shape of one row, ``(d,)``, or with more axes: build at once. Otherwise the first `fit` (or `build`) tells.
    seed : int, optional
        Of the initial parameters, the shuffles and the dropout masks: the same seed gives the same bits, at
        any number of threads. None draws one.
    dtype : {"float32", "float64"}

    Raises
    ------
    TypeError
        Where `layers` is no list of layers.
    ValueError
        Where one layer that has weights stands twice, or comes from the `layers` of a built model (the new model would
        draw new weights); where `dtype` or `seed` is none.

    Attributes
    ----------
    layers : list of layers
        What is assigned to their settings (``model.layers[0].trainable = False``) is checked at once, and takes effect
        at the next `compile`, which keeps all weights. Until then `fit` and the other methods warn that a change waits.
        What would change the weights' shapes (`units`) is an error there.
    trainable : bool
        Of all layers: set it, and `compile`.
    optimizer : optimizer object
        The model's own copy of what `compile` was given: ``model.optimizer.learning_rate = 0.01`` holds from the next
        update on.
    params : array (P,)
        All parameters, one flat vector, writable.
    grads : array (P,)
        The last gradient, in the same layout.
    views : dict of arrays
        ``views["dense/kernel"]``: a parameter in its shape, a view into `params`; and what layers keep beside their
        parameters, such as ``views["batchnormalization/moving_mean"]``.
    step : int
        Number of updates since `compile`.
    custom_metrics : list of str
        Names of the metrics that were given as functions: files do not hold these.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = fastbp.Sequential([fastbp.Dense(16, activation="tanh"), fastbp.Dense(1)], seed=0)
    >>> model.compile(optimizer=fastbp.Adam(0.02), loss="mean_squared_error")
    >>> history = model.fit(x, x[:, 0] ** 2, epochs=100, batch_size=16, verbose=0)
    >>> history.history["loss"][-1] < 0.01
    True
    """

    def __init__(
        self,
        layers: list,
        *,
        input_shape: tuple[int, ...] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
    ):
        layers = checked_layers(layers)
        check_places(layers)
        check_owners(layers)
        self.layers = [handle(layer, self) for layer in layers]
        if not any(dtype == known for known in ("float32", "float64", np.float32, np.float64)):
            raise ValueError(f'dtype={dtype!r}: it is "float32" or "float64".')
        self._dtype = np.dtype(dtype)
        self._seed = checked_seed(seed)
        self.stop_training = False
        self.engine: Any = None
        self._compiled: tuple | None = None
        self._taken: Taken | None = None
        self.why_not_compiled = ""
        self.custom_metrics: list[str] = []
        if input_shape is not None:
            self.build(input_shape)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Fix the shapes and draw the initial parameters; a model that has these shapes already keeps its own.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one row of `x`: ``(d,)`` for a table.
        """
        if not isinstance(input_shape, tuple) or not input_shape or not all(map(is_count, input_shape)):
            raise ValueError(f"input_shape={input_shape!r}: it is a tuple of the sizes of one row, such as (10,).")
        input_shape = tuple(int(size) for size in input_shape)
        if self.engine is not None:
            if input_shape == self.engine.network.input_shape:
                return
            raise ValueError(f"the model is built for input_shape={self.engine.network.input_shape}: make a new one.")
        taken = self._taken or Taken(self._checked_layers())
        engine = Engine(taken.layers, input_shape, self.seed, self.dtype)
        if self._compiled is not None:
            engine.compile(*self._compiled)
        self.engine, self._taken = engine, taken

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: list | None = None,
        weighted_metrics: list | None = None,
    ) -> None:
        """Choose what training minimises, how, and what it reports.

        Parameters
        ----------
        optimizer : str or optimizer object, default "rmsprop"
        loss : str or loss object
            Names are those of Keras, its short ones too ("mse", "bce"); case does not count ("Adam").
        metrics : list of str or functions, optional
            Names (``"accuracy"``, ``"mean_absolute_error"``, ...: all stand in `fastbp.metrics.METRIC_NAMES`) or
            functions of ``(y_true, y_pred)``: the outputs, and targets in their shape (class numbers in that without
            the last axis); where a mask reaches the outputs, the time steps that count. Weights do not count in them.
        weighted_metrics : list of str or functions, optional
            Metrics in which `sample_weight` and `class_weight` count: names, or functions of ``(y_true, y_pred,
            sample_weight)``. One that stands in `metrics` too is reported as ``"weighted_..."``.

        Raises
        ------
        ValueError
            For unknown names, and for a loss that does not suit the last layer; where layers were changed so that
            weights would be lost, and while `fit` runs. The model is then as it was.

        Notes
        -----
        Compiling anew forgets the optimizer's state, not the parameters: these stay, and so do moving statistics.

        This is when a model takes its layers' settings: what is set later waits for the next `compile`, and methods
        warn of it. Optimizer and loss are copied, so that models do not share them; the copy is `optimizer`, and what
        is assigned to that one holds from the next update on.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(4, "tanh"), fastbp.Dense(1)], input_shape=(2,), seed=0)
        >>> model.compile("adam", "mean_squared_error")
        >>> kernel = model.views["dense/kernel"].copy()
        >>> model.layers[0].trainable = False
        >>> model.compile(fastbp.Adam(0.01), "mean_squared_error")
        >>> loss = model.train_on_batch(np.eye(2), np.ones(2))
        >>> bool((model.views["dense/kernel"] == kernel).all())
        True
        >>> model.optimizer.learning_rate = 0.001
        """
        if loss is None:
            raise ValueError('compile needs a loss, for example loss="mean_squared_error".')
        if is_changed_here(self.engine):
            raise ValueError(
                "compile was called while fit runs, which goes on with what it began with: set model.stop_training = "
                "True, and compile after it."
            )
        loss = LOSSES.resolve(loss)
        taken = Taken(self._checked_layers(), OPTIMIZERS.resolve(optimizer), loss)
        compiled = taken.optimizer, taken.loss, checked_metrics(metrics, loss, weighted_metrics)
        if self.engine is not None:
            self.engine.compile(*compiled, taken.layers)
            taken.layers = self.engine.layers  # where nothing was changed, those that it has
        self._compiled, self._taken = compiled, taken
        self.custom_metrics = names_of_functions(metrics, compiled[2])

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
        """
        self._check_compiled("fit")
        course = checked_course(epochs, batch_size, shuffle, verbose, initial_epoch, steps_per_epoch)
        callbacks = checked_callbacks(callbacks)
        if validation_data is not None and validation_split:
            raise ValueError("give validation_data or validation_split, not both.")
        with self._as_before_on_error():
            rows = self._rows(x, y, sample_weight)
            train, validation = self._split(rows, validation_split, validation_data)
            if class_weight is not None:
                train = self._class_weighted(train, class_weight)
            self._check_run(train, validation, course)
        self.tell_changes(every=True)
        return self.engine.alone(fit, self, train, validation, course, callbacks)

    def _class_weighted(self, rows, weights):
        """Return the rows with the weights {class: weight}, or "balanced", of their classes."""
        classes = (rows.y, len(rows.x), self.dtype, rows.entries, self.engine.loss.link == "softmax")
        return rows.weighted(class_weights(weights, *classes, mask=rows.mask))

    def _split(self, rows, validation_split, validation_data):
        """Return the rows to train on and those to validate with (or None)."""
        if validation_data is not None:
            try:
                return rows, self._rows(*validation_parts(validation_data))
            except ValueError as error:
                raise ValueError(f"validation_data: {error}") from None
        if not validation_split and not isinstance(validation_split, bool):
            return rows, None
        kept = rows_kept(validation_split, len(rows.x))
        return rows.part(slice(0, kept)), rows.part(slice(kept, None))

    def _check_run(self, train, validation, course):
        """Raise ValueError where the batches or the metrics of a run do not suit the model."""
        engine = self.engine
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

    @contextmanager
    def _as_before_on_error(self):
        """Leave a model that was not built so if its data turn out not to suit it."""
        engine = self.engine
        try:
            yield
        except BaseException:
            self.engine = engine
            raise

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        verbose: int | str = 0,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss (penalties included) and the metrics on `x` and `y`.

        Stateful layers see the rows batch after batch, as in training.

        Parameters
        ----------
        x : array-like (n, d)
        y : array-like (n,), (n, t), or of the outputs' shape
        sample_weight : array-like (n,), or (n, t) for time steps, optional
        verbose : {0, "auto", 1, 2}, default 0
            All but 0 print the figures.
        return_dict : bool, default False

        Returns
        -------
        float, list of float or dict
            The loss alone without metrics, else ``[loss, *metrics]``; a dict if asked for.
        """
        self._check_compiled("evaluate")
        verbose = checked_verbose(verbose)
        rows = self._rows(x, y, sample_weight)
        self.engine.check_metrics(rows)
        self.tell_changes()
        figures = self.engine.evaluate(rows)
        if verbose:
            print(" - ".join(f"{name}: {value:.4g}" for name, value in figures.items()))
        if return_dict:
            return figures
        return _loss_or_list(figures)

    def predict(self, x: ArrayLike, *, verbose: int | str = 0) -> np.ndarray:
        """Return the outputs for `x`; stateful layers see it batch after batch, as in training.

        Parameters
        ----------
        x : array-like (n, d)
        verbose : {0, "auto", 1, 2}, default 0
            1 (and "auto") shows a bar while it takes long, 2 lines.

        Returns
        -------
        array (n, k), in the model's dtype
            Probabilities after a softmax or sigmoid.
        """
        engine = self._built("predict")
        x = as_float_rows(held(x), self.dtype, shape=engine.network.input_shape)
        engine.network.check_input(x)
        self.tell_changes()
        if verbose != 0:
            return predict_with_bar(engine, x, checked_verbose(verbose))
        return engine.predict(x)

    def train_on_batch(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float | list[float]:
        """Make one update on one batch.

        Parameters
        ----------
        x : array-like (n, d)
        y : array-like (n,), (n, t), or of the outputs' shape
        sample_weight : array-like (n,), or (n, t) for time steps, optional

        Returns
        -------
        float or list of float
            The loss before the update, or ``[loss, *metrics]``.

        Raises
        ------
        ValueError
            For data that does not fit the model.
        ArithmeticError
            If the loss is not finite; no update is made.
        """
        self._check_compiled("train_on_batch")
        rows = self._rows(x, y, sample_weight)
        self.engine.check_metrics(rows)
        self.tell_changes()
        return _loss_or_list(self.engine.train_on(rows))

    def value_and_grad(
        self, x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, training: bool = False
    ) -> tuple[float, np.ndarray]:
        """Return the mean loss with penalties, and its gradient.

        Parameters
        ----------
        x : array-like (n, d)
        y : array-like (n,), (n, t), or of the outputs' shape
        sample_weight : array-like (n,), or (n, t) for time steps, optional
        training : bool, default False
            True draws the dropout masks of the next step, and moves the moving statistics as a step does.

        Returns
        -------
        loss : float
        grad : array (P,)
            A new array in the layout of `params`; zero for layers that are not trainable. It is also in `grads`.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0, dtype="float64")
        >>> model.compile(loss="mean_squared_error")
        >>> loss, grad = model.value_and_grad(np.eye(2), np.zeros(2))
        >>> grad.shape == model.params.shape
        True
        """
        self._check_compiled("value_and_grad")
        rows = self._rows(x, y, sample_weight)
        self.tell_changes()
        return self.engine.gradient(rows, training), self.grads.copy()

    def vjp(self, x: ArrayLike, dout: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Return dx, the gradient of ``sum(model(x) * dout)``; that of the parameters goes to `grads`.

        Parameters
        ----------
        x : array-like (n, d)
        dout : array-like (n, k)
            Gradient of some scalar with respect to the model's outputs.
        training : bool, default False
            True draws the dropout masks of the next step, and moves the moving statistics as a step does.

        Returns
        -------
        dx : array (n, d)
        """
        engine = self._built("vjp")
        x = as_float_rows(held(x), self.dtype, shape=engine.network.input_shape)
        check_rows(x)
        engine.network.check_input(x)
        dout = as_float_rows(held(dout), self.dtype, "dout", engine.network.output_shape)
        check_same_length(len(x), dout=dout)
        self.tell_changes()
        return engine.vjp(x, dout, training)

    def apply_gradients(self, grad: ArrayLike | None = None) -> None:
        """Make one optimizer step with `grad`, or with `grads`.

        Parameters
        ----------
        grad : array-like (P,), optional
            In the layout of `params`. Clipping, weight decay and constraints apply; penalties are expected
            to be in `grad` already (`value_and_grad` adds them).

        Raises
        ------
        ValueError
            If `grad` has another shape, or an entry that is not finite; no update is made.
        """
        self._check_compiled("apply_gradients")
        engine = self._built("apply_gradients")
        grad = self.grads if grad is None else real_array(grad, "grad").astype(self.dtype, copy=False)
        if grad.shape != self.params.shape:
            raise ValueError(f"grad has shape {grad.shape}; the parameters have {self.params.shape}.")
        if not np.isfinite(grad).all():
            place = int(np.flatnonzero(~np.isfinite(grad))[0])
            raise ValueError(f"grad[{place}] is {grad[place]}: no update was made.")
        self.tell_changes()
        engine.apply_gradients(grad)

    def reset_states(self) -> None:
        """Set the states that stateful layers keep from batch to batch to zero: other sequences begin.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.GRU(2, stateful=True, batch_size=3)], input_shape=(4, 1), seed=0)
        >>> x = np.ones((3, 4, 1))
        >>> first, second = model.predict(x), model.predict(x)
        >>> model.reset_states()
        >>> bool((first == second).any()), bool((model.predict(x) == first).all())
        (False, True)
        """
        self._built("reset_states").reset_states()

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of `views` in Keras's order and shapes: each layer's kernel and bias, its moving statistics."""
        return [view.copy() for view in self.views.values()]

    def set_weights(self, weights: list) -> None:
        """Overwrite the parameters, and what layers keep beside them.

        Parameters
        ----------
        weights : list of arrays
            As `get_weights` returns them.

        Raises
        ------
        ValueError
            For another number of arrays, or other shapes; nothing is changed.
        """
        views = self.views
        if len(weights) != len(views):
            raise ValueError(f"set_weights takes {len(views)} arrays ({', '.join(views)}), not {len(weights)}.")
        named = zip(views, weights, strict=True)
        arrays = [real_array(weight, f"the weight for {name!r}").astype(self.dtype) for name, weight in named]
        for (name, view), array in zip(views.items(), arrays, strict=True):
            if array.shape != view.shape:
                raise ValueError(f"the weight for {name!r} has shape {array.shape}; it must have {view.shape}.")
        for view, array in zip(views.values(), arrays, strict=True):
            view[...] = array

    def save_weights(self, path: str | Path, note: dict | None = None) -> None:
        """Write the weights alone to a safetensors file, by the names of `views`: what `load_weights` reads.

        The tensors are named ``"LAYER/kernel"``, ``"LAYER/bias"``, ``"LAYER/moving_mean"`` and so on, where a layer
        without a name of its own is ``"dense"``, ``"dense_1"`` ...; any safetensors library reads them.

        Parameters
        ----------
        path : str or path
            The file appears whole or not at all.
        note : dict, optional
            Ready for JSON, for the file's description.

        Examples
        --------
        >>> import fastbp, tempfile, pathlib
        >>> from safetensors.numpy import load_file
        >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "w.safetensors")
        ...     model.save_weights(path)
        ...     sorted((name, array.shape) for name, array in load_file(path).items())
        [('dense/bias', (1,)), ('dense/kernel', (2, 1))]
        """
        engine = self._built("save_weights")
        check_free(engine)
        write_weights(engine.views, path, note)

    def load_weights(self, path: str | Path) -> None:
        """Overwrite the weights with those of a file: of `save_weights`, of `save`, or any safetensors file.

        Parameters
        ----------
        path : str or path
            Its tensors bear the names of `views`. Optimizer, counters and seed stay as they are.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        ModelFileError
            If it is no whole safetensors file.
        ValueError
            For a weight that is missing, that the model does not have, of another shape, or not finite; nothing is
            changed.
        """
        engine = self._built("load_weights")
        check_free(engine)
        self.set_weights(read_weights(engine.views, path))

    def count_params(self) -> int:
        """Return the number of parameters, moving statistics and the like included, as in Keras."""
        return sum(view.size for view in self.views.values())

    def summary(self) -> None:
        """Print the layers with their output shapes, parameters and multiply-adds a row, the totals and the memory.

        Multiply-adds are those of products, forward.
        """
        print(self._summary())

    def plot(self, path: str | Path | None = None):
        """Draw the network: its layers from the input down, branches side by side, with shapes and parameters.

        Parameters
        ----------
        path : str or path, optional
            Where to write the picture: "net.svg" or "net.html".

        Returns
        -------
        Diagram
            A notebook shows it; its `svg` is the picture, and `save` writes it to a file.

        Examples
        --------
        >>> import fastbp
        >>> model = fastbp.Sequential([fastbp.Dense(4, "relu"), fastbp.Dense(1)], input_shape=(3,), seed=0)
        >>> model.plot().svg.startswith("<svg")
        True
        """
        drawn = diagram(self._built("plot").network)
        if path is not None:
            drawn.save(path)
        return drawn

    def __repr__(self):
        return line_of(self)

    def _repr_html_(self):
        return html_of(self)

    def _summary(self):
        """Return the text of `summary`."""
        engine = self._built("summary")
        self.tell_changes()
        return summary_text(engine)

    def card(self, *, license: str | None = None, date: str | None = None) -> str:
        """Return a model card: its shapes, layers, training, versions and limits, as Markdown.

        Parameters
        ----------
        license, date : str, optional
            Of the model: files keep neither, so that the same training gives the same bytes.

        Returns
        -------
        str
        """
        from fastbp.models.card import network_card

        self._built("card")
        self.tell_changes()
        return network_card(self, license=license, date=date)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file: layers, parameters, optimizer with its state, seed and step.

        Parameters
        ----------
        path : str or path
            The file appears whole or not at all. One that is there keeps its mode, and a symbolic link its target;
            other hard links to it keep the old content.

        Raises
        ------
        OSError
            Where there is no such folder, or the path is a folder, a pipe or a device, or write-protected.
        """
        saving.save_tensors(path, *self.get_state())

    def _restore_state(self, tensors, description):
        """Take over what `get_state` of a model of the same network returned."""
        restore(self, tensors, description)
        vars(self)["_seed"] = self.engine.seed

    def get_state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        engine = self._built("save")
        check_free(engine)
        self.tell_changes(every=True)
        if engine.optimizer is not None:
            engine.check_state()
        return state_of(self)

    @classmethod
    def from_state(
        cls, tensors: dict[str, np.ndarray], description: dict, custom_objects: dict | None = None
    ) -> "Sequential":
        """Return the model of which `get_state` returned these."""
        return model_from(cls, tensors, description, custom_objects or {})

    @property
    def dtype(self) -> np.dtype:
        """Of parameters and outputs; fixed."""
        return self._dtype

    @property
    def seed(self) -> int:
        """What parameters, shuffles and masks are drawn by; fixed."""
        return self._seed

    @property
    def params(self) -> np.ndarray:
        """All parameters, one flat vector (P,), writable in place."""
        return self._built("params").params

    @property
    def grads(self) -> np.ndarray:
        """The last gradient (P,), in the layout of `params`."""
        return self._built("grads").grads

    @property
    def views(self) -> dict[str, np.ndarray]:
        """The parameters, and what layers keep beside them, by name and in their shapes; writable in place."""
        return self._built("views").views

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of outputs."""
        return self._built("output_shape").network.output_shape

    @property
    def step(self) -> int:
        """Number of updates since `compile`."""
        return self._built("step").step

    @property
    def trainable(self) -> bool:
        """Is any layer trained?  What is assigned is set in every layer, and takes effect at the next `compile`."""
        return any(layer.trainable for layer in walk(self.layers) if type(layer).gradient is not None)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    @property
    def optimizer(self):
        """The model's own copy of the optimizer of `compile`."""
        self._check_compiled("optimizer")
        return self._compiled[0]

    @property
    def loss(self):
        """The loss object of `compile`."""
        self._check_compiled("loss")
        return self._taken.given_loss

    def __setattr__(self, name, value):
        if name in _FIXED:
            raise AttributeError(f"a model's {name} is not assigned to: {_FIXED[name]}.")
        super().__setattr__(name, value)

    def __setstate__(self, state):
        self.__dict__ |= state
        for layer in self.layers:
            own(layer, self)

    def tell_changes(self, every=False):
        """Warn of settings that were changed and wait for `compile`: once, or (`every`) each time."""
        self._taken.tell_changes(self.layers, self.engine, every)

    def _checked_layers(self):
        """Return the layers, checked: until the model is built their list may change."""
        layers = checked_layers(self.layers)
        check_places(layers)
        if self.engine is not None:
            self._taken.check_same_layers(layers, built=True)
        return layers

    def _built(self, what):
        if self.engine is None:
            raise ValueError(f"{what} needs a built model: give input_shape=(d,), or call fit or build first.")
        return self.engine

    def _check_compiled(self, what):
        if self._compiled is None:
            why = f" {self.why_not_compiled}" if self.why_not_compiled else ""
            raise ValueError(f"{what} needs a compiled model: call compile(optimizer=..., loss=...) first.{why}")

    def _rows(self, x, y, sample_weight=None):
        """Check the user's arrays and convert them; build the model if it is not."""
        x = as_float_rows(held(x), self.dtype, shape=self.engine and self.engine.network.input_shape)
        check_rows(x)
        y = as_table(y)
        check_same_length(len(x), y=y)
        y = as_numbers(y)
        if self.engine is not None:
            return self._rows_of(x, y, sample_weight)
        with self._as_before_on_error():
            self.build(x.shape[1:])
            return self._rows_of(x, y, sample_weight)

    def _rows_of(self, x, y, sample_weight):
        """Check arrays against the built model; return the `Rows`."""
        network, loss = self.engine.network, self.engine.loss
        network.check_input(x)
        targets = prepared_targets(loss, y, network, self.dtype)
        entries = loss.entries(network.loss_shape)
        weight, mask = self._weights(x, sample_weight, entries)
        return Rows(x, targets, weight, beside_outputs(y, network.output_shape), mask, entries)

    def _weights(self, x, sample_weight, entries):
        """Return the weights and the mask of the rows' entries, each None where all count the same."""
        network, weight, mask = self.engine.network, None, None
        if sample_weight is not None:
            axes = network.loss_shape[:-1] if entries > 1 else ()
            weight = sample_weights(sample_weight, len(x), self.dtype, entries=axes)
        if network.output_masking is not None:
            steps = network.output_mask(x)
            mask = np.repeat(steps, entries // steps.shape[1], axis=1)
            weight = mask.astype(self.dtype) if weight is None else weight.reshape(mask.shape) * mask
        return weight, mask


def _loss_or_list(figures):
    """Return the loss alone, or the list of loss and metrics, as Keras does."""
    values = list(figures.values())
    return values if len(values) > 1 else values[0]
