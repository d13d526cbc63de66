"""A `Sequential` as tensors and a description, and back, with the same bits."""

from pathlib import Path

import numpy as np

from fastbp import described
from fastbp._registry import describe, rebuild
from fastbp.losses import Loss
from fastbp.network import Network
from fastbp.saving import ModelFileError, load_tensors
from fastbp.warned import warn


def load_model(path: str | Path, custom_objects: dict | None = None):
    """Read a model file.

    Parameters
    ----------
    path : str or path
        Written by ``save`` of a model.
    custom_objects : dict, optional
        Losses and metrics of one's own by name: files hold no code.

    Returns
    -------
    Sequential, TabularClassifier, TabularRegressor, MLPClassifier or MLPRegressor
        What was saved. Its predictions and its continued training have the bits of the saved one's.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If the file is truncated, damaged, foreign, or of a newer version, or if what it says does not fit together.

    Examples
    --------
    >>> import fastbp, tempfile, pathlib
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "m.fastbp")
    ...     model.save(path)
    ...     again = fastbp.load_model(path)
    >>> bool((again.params == model.params).all())
    True
    """
    _check_custom(custom_objects)
    tensors, description = load_tensors(path)
    kind = description.get("kind")
    try:
        if kind == "sequential":
            from fastbp.sequential import Sequential

            return Sequential.from_state(tensors, description, custom_objects)
        if kind == "estimator":
            from fastbp.estimators import ESTIMATORS

            return ESTIMATORS[description["class"]].from_state(tensors, description, custom_objects)
        if kind == "tabular":
            from fastbp.tabular.model import estimator_from

            return estimator_from(tensors, description)
    except (Warning, ImportError):  # warnings that the user has raised; a broken installation
        raise
    except Exception as error:  # whatever a setting of another type or size leads to
        raise ModelFileError(f"{path} does not describe a whole model: {error or type(error).__name__}") from error
    raise ModelFileError(f"{path} holds a model of unknown kind {kind!r}: upgrade fastbp.")


def state_of(model):
    """Return the tensors and the description of a `Sequential`."""
    engine = model.engine
    tensors = dict(engine.views)
    description = {
        "kind": "sequential",
        "layers": [describe(layer) for layer in engine.layers],
        "input_shape": list(engine.network.input_shape),
        "dtype": engine.dtype.name,
        "seed": engine.seed,
        "step": engine.step,
        "epoch": engine.epoch,
    }
    if engine.loss is not None:
        tensors["optimizer/state"] = engine.state
        description["optimizer"] = describe(engine.optimizer)
        description["loss"] = describe(engine.loss) if hasattr(engine.loss, "registered") else engine.loss.name
        description["metrics"] = [
            describe(metric) if hasattr(metric, "registered") else name for name, metric in engine.metrics
        ]
        description["custom_metrics"] = model.custom_metrics
    return tensors, description


def model_from(cls, tensors, description, custom_objects):
    """Return the `Sequential` (class `cls`) of which `state_of` returned these."""
    described.settings_in_range([description.get(key) for key in ("layers", "optimizer", "loss", "metrics")])
    layers = [rebuild(layer) for layer in described.listed(description["layers"], "layers", lambda layer, name: None)]
    shape = tuple(described.listed(description["input_shape"], "input_shape", _row_size))
    dtype = described.text(description["dtype"], "dtype", {"float32", "float64"})
    # Before anything of the network's size is made.
    _check_tensors(Network(layers, shape), tensors, dtype)
    model = cls(layers, input_shape=shape, seed=description["seed"], dtype=dtype)
    model.set_weights([tensors[name] for name in model.views])
    engine = model.engine
    if "optimizer" in description and (compiled := _compiled(description, custom_objects)) is not None:
        model.compile(**compiled)
        _copy("optimizer/state", tensors, engine.state)
    engine.step, engine.epoch = (described.whole(description[name], name) for name in ("step", "epoch"))
    return model


def _row_size(size, name):
    return described.whole(size, name, 1)


def _check_tensors(network, tensors, dtype):
    """Raise ValueError where a file has not just the tensors of a network (and of its optimizer)."""
    placed = {p.name: p.param.shape for p in (*network.params, *network.buffers)}
    for name, shape in placed.items():
        if name not in tensors:
            raise ValueError(f"the tensor {name!r} is missing.")
        described.shaped(tensors[name], name, shape, dtype)


def _check_custom(custom_objects):
    """Raise TypeError where an object of the user's own is neither a loss nor a metric."""
    for name, value in (custom_objects or {}).items():
        if not isinstance(value, Loss) and not callable(value):
            raise TypeError(
                f"custom_objects[{name!r}] is {value!r}: give a fastbp.CustomLoss object, or a metric's function."
            )


def _compiled(description, custom_objects):
    """Return the arguments of `compile`, or None (with a warning) where an object of one's own is missing."""
    loss, functions = description["loss"], description["custom_metrics"]
    own = [*functions, loss] if isinstance(loss, str) else functions
    if missing := [name for name in own if name not in custom_objects]:
        warn(
            f"the model was trained with {missing[0]!r}, which a file cannot hold: it predicts, and to train it give "
            f"load_model(path, custom_objects={{{missing[0]!r}: ...}}).",
        )
        return None
    return {
        "optimizer": rebuild(description["optimizer"]),
        "loss": custom_objects[loss] if isinstance(loss, str) else rebuild(loss),
        "metrics": [_metric(metric, functions, custom_objects) for metric in description["metrics"]],
    }


def _metric(described, functions, custom_objects):
    """Return what stands for a metric in `compile`: a name, a function, or an object with settings."""
    if isinstance(described, dict):
        from fastbp.scoring import SCORES  # which registers them

        return SCORES.resolve(rebuild(described))
    return custom_objects[described] if described in functions else described


def _copy(name, tensors, target):
    """Copy a tensor into an array of the model, checking its shape."""
    if name not in tensors or tensors[name].shape != target.shape:
        found = tensors[name].shape if name in tensors else "nothing"
        raise ValueError(f"the tensor {name!r} should have shape {target.shape}; the file has {found}.")
    np.copyto(target, tensors[name])
