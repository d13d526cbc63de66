"""How a model is built and compiled: shapes and first values, then what training minimises, and how."""

from typing import Any

from fastbp.engine.engine import Engine
from fastbp.engine.exclusive import is_changed_here
from fastbp.losses import LOSSES
from fastbp.models.arguments import checked_metrics, is_count, names_of_functions
from fastbp.models.compiled_settings import Taken
from fastbp.optimizers import OPTIMIZERS


def check_shape(input_shape: tuple[int, ...]) -> None:
    """Raise ValueError for what is no shape of a row."""
    if not isinstance(input_shape, tuple) or not input_shape or not all(map(is_count, input_shape)):
        raise ValueError(f"input_shape={input_shape!r}: it is a tuple of the sizes of one row, such as (10,).")


def build(self, input_shape: tuple[int, ...]) -> None:
    """Fix the shapes and draw the initial parameters; a model that has these shapes already keeps its own.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one row of `x`: ``(d,)`` for a table.

    Raises
    ------
    ValueError
        Where it is no shape of a row, the layers do not take it, or the model has another one.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)])
    >>> model.build((3,))
    >>> model.count_params()
    41
    """
    check_shape(input_shape)
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
        Metrics in which `sample_weight` and `class_weight` count: names, metrics with settings, or functions of
        ``(y_true, y_pred, sample_weight)``. One that stands in `metrics` too is reported as ``"weighted_..."``.

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
