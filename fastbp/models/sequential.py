"""Sequential: a stack of layers with Keras's way of compiling, fitting, evaluating and predicting.

The class holds a model's settings and its engine. What it does stands in the files beside this one, as functions whose
first argument is the model: the class takes them as its methods.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.engine.exclusive import check_free
from fastbp.engine.layer_ownership import check_owners, check_places, handle, own, walk
from fastbp.explain.explainable import Explainable
from fastbp.io import saving
from fastbp.models import compiling, describing, fitting, predicting, singlesteps, weights
from fastbp.models.arguments import checked_layers, checked_seed
from fastbp.models.compiled_settings import Taken
from fastbp.models.model_repr import html_of, line_of
from fastbp.models.modelstate import model_from, restore, state_of
from fastbp.models.user_data import rows_of

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
        All parameters, one flat vector, writable. As long as you hold it, one of `views` or anything made of them, each
        `predict` packs large weights anew; else it keeps them packed. So hold it as long as you write.
    grads : array (P,)
        The last gradient, in the same layout.
    views : dict of arrays
        ``views["dense/kernel"]``: a parameter in its shape, a view into `params`; and what layers keep beside their
        parameters, such as ``views["batchnormalization/moving_mean"]``.
    step : int
        Number of updates since `compile`.
    custom_metrics : list of str
        Names of the metrics that were given as functions: files do not hold these.

    Raises
    ------
    TypeError
        Where `layers` is no list of layers.
    ValueError
        Where one layer that has weights stands twice, or comes from the `layers` of a built model (the new model would
        draw new weights); where `dtype` or `seed` is none.

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

    build, compile = compiling.build, compiling.compile
    fit = fitting.fit
    evaluate, predict = predicting.evaluate, predicting.predict
    train_on_batch, value_and_grad = singlesteps.train_on_batch, singlesteps.value_and_grad
    vjp, apply_gradients = singlesteps.vjp, singlesteps.apply_gradients
    get_weights, set_weights = weights.get_weights, weights.set_weights
    save_weights, load_weights = weights.save_weights, weights.load_weights
    count_params = weights.count_params
    summary, _summary = describing.summary, describing._summary
    plot, card = describing.plot, describing.card
    _rows = rows_of

    def __repr__(self):
        return line_of(self)

    def _repr_html_(self):
        return html_of(self)

    @contextmanager
    def _as_before_on_error(self):
        """Leave a model that was not built so if its data turn out not to suit it."""
        engine = self.engine
        try:
            yield
        except BaseException:
            self.engine = engine
            raise

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
        ValueError
            Where the model is not built.

        Examples
        --------
        >>> import fastbp, numpy as np, tempfile
        >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
        >>> path = f"{tempfile.mkdtemp()}/model.fastbp"
        >>> model.save(path)
        >>> bool((fastbp.load_model(path).predict(np.eye(2)) == model.predict(np.eye(2))).all())
        True
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
        """Return the model that `get_state` described."""
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
        """All parameters, one flat vector (P,), writable by whoever holds it, not by an address or a weak reference."""
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
    def optimizer(self) -> Any:
        """The model's own copy of the optimizer of `compile`."""
        self._check_compiled("optimizer")
        return self._compiled[0]  # type: ignore[index]

    @property
    def loss(self) -> Any:
        """The loss object of `compile`."""
        self._check_compiled("loss")
        return self._taken.given_loss  # type: ignore[union-attr]

    def __setattr__(self, name, value):
        if name in _FIXED:
            raise AttributeError(f"a model's {name} is not assigned to: {_FIXED[name]}.")
        super().__setattr__(name, value)

    def __setstate__(self, state):
        self.__dict__ |= state
        for layer in self.layers:
            own(layer, self)

    def tell_changes(self, every: bool = False) -> None:
        """Warn of settings that were changed and wait for `compile`: once, or (`every`) each time."""
        if self._taken is not None:
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
