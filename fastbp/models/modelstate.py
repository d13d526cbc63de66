"""A `Sequential` as tensors and a description, and back, with the same bits."""

import numpy as np

from fastbp.engine.network import Network
from fastbp.io import filechecks
from fastbp.metrics import resolve
from fastbp.metrics.weighted import Weighted
from fastbp.registry import describe, rebuild
from fastbp.settings.user_warnings import warn


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
            _described_metric(metric, name) for name, metric in engine.metrics if not isinstance(metric, Weighted)
        ]
        if weighted := [metric.given for _, metric in engine.metrics if isinstance(metric, Weighted)]:
            description["weighted_metrics"] = [
                one if isinstance(one, str) else _described_metric(one, resolve(one, engine.loss)[0])
                for one in weighted
            ]
        description["custom_metrics"] = model.custom_metrics
    return tensors, description


def _described_metric(metric, name):
    """Return a metric's settings, or its name, if it has none."""
    return describe(metric) if hasattr(metric, "registered") else name


def model_from(cls, tensors, description, custom_objects):
    """Return the `Sequential` (class `cls`) that `state_of` described."""
    filechecks.settings_in_range(
        [description.get(key) for key in ("layers", "optimizer", "loss", "metrics", "weighted_metrics")]
    )
    layers = [rebuild(layer) for layer in filechecks.listed(description["layers"], "layers", lambda layer, name: None)]
    shape = tuple(filechecks.listed(description["input_shape"], "input_shape", _row_size))
    dtype = filechecks.text(description["dtype"], "dtype", {"float32", "float64"})
    # Before anything of the network's size is made.
    _check_tensors(Network(layers, shape), tensors, dtype)
    model = cls(layers, input_shape=shape, seed=description["seed"], dtype=dtype)
    model.set_weights([tensors[name] for name in model.views])
    engine = model.engine
    if "optimizer" in description and (compiled := _compiled(description, custom_objects)) is not None:
        model.compile(**compiled)
        _copy("optimizer/state", tensors, engine.state)
    engine.step, engine.epoch = (filechecks.whole(description[name], name) for name in ("step", "epoch"))
    return model


def restore(model, tensors, description):
    """Put what `state_of` returned back into a model of the same network, compiled with the same kind of optimizer.

    Parameters, what layers keep beside them, the optimizer's settings and state, the counters and the seed; where these
    do not suit the model, ValueError is raised before anything is changed.
    """
    saved = model_from(
        type(model), tensors, description, dict(model.engine.metrics) | {model.engine.loss.name: model.loss}
    )
    engine, other = model.engine, saved.engine
    filechecks.agree(
        "the layers", [describe(layer) for layer in other.layers], [describe(one) for one in engine.layers]
    )
    filechecks.agree("the input shape", other.network.input_shape, engine.network.input_shape)
    filechecks.agree("the type of numbers", other.dtype.name, engine.dtype.name)
    if other.optimizer is None or type(other.optimizer) is not type(engine.optimizer):
        raise ValueError(f"its optimizer is {other.optimizer!r}, that of the model {engine.optimizer!r}.")
    if other.state.shape != engine.state.shape:
        raise ValueError(f"its optimizer {other.optimizer!r} keeps other numbers than {engine.optimizer!r}.")
    for name, view in engine.views.items():
        view[...] = other.views[name]
    engine.state[:] = other.state
    for name in engine.optimizer.__dict__:
        setattr(engine.optimizer, name, getattr(other.optimizer, name))
    engine.step, engine.epoch, engine.seed = other.step, other.epoch, other.seed


def _row_size(size, name):
    return filechecks.whole(size, name, 1)


def _check_tensors(network, tensors, dtype):
    """Raise ValueError where a file has not just the tensors of a network (and of its optimizer)."""
    placed = {p.name: p.param.shape for p in (*network.params, *network.buffers)}
    for name, shape in placed.items():
        if name not in tensors:
            raise ValueError(f"the tensor {name!r} is missing.")
        filechecks.shaped(tensors[name], name, shape, dtype)


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
        "weighted_metrics": [
            _metric(metric, functions, custom_objects) for metric in description.get("weighted_metrics", [])
        ],
    }


def _metric(described, functions, custom_objects):
    """Return what stands for a metric in `compile`: a name, a function, or an object with settings."""
    if isinstance(described, dict):
        from fastbp.metrics.scoring import SCORES  # which registers them

        return SCORES.resolve(rebuild(described))
    return custom_objects[described] if described in functions else described


def _copy(name, tensors, target):
    """Copy a tensor into an array of the model, checking its shape."""
    if name not in tensors or tensors[name].shape != target.shape:
        found = tensors[name].shape if name in tensors else "nothing"
        raise ValueError(f"the tensor {name!r} should have shape {target.shape}; the file has {found}.")
    np.copyto(target, tensors[name])
