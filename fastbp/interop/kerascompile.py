"""What a Keras model was compiled with -> optimizer, loss and metrics of fastbp, or ValueError where it has none."""

import dataclasses
import re
import warnings

import numpy as np

from fastbp.interop.kerasdescribed import check_keras_s, settings_left
from fastbp.interop.kerasmetrics import metrics_of
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS
from fastbp.schedules import SCHEDULES

ABBREVIATIONS = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "bce": "binary_crossentropy"}
COMPILED = ("optimizer", "loss", "metrics", "weighted_metrics")
# Settings that fastbp does not have, with the values that ask for nothing; None always asks for nothing.
NEUTRAL = {
    "optimizer": {},
    "loss": {"reduction": "sum_over_batch_size", "axis": -1},
    "schedule": {},
}
# Settings that act only together with another one, or in Keras's own loops.
UNUSED = ("name", "dtype")
LOOPS = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")


def compile_settings(config):
    """Return optimizer, loss, metrics and weighted metrics of a Keras model's `get_compile_config()`."""
    if config.get("loss_weights") is not None:
        raise ValueError("loss_weights have no counterpart in fastbp.")
    described = settings_left(config, COMPILED, {}, LOOPS)
    loss = loss_of(described["loss"])
    metrics, weighted = (metrics_of(described.get(name), loss) for name in ("metrics", "weighted_metrics"))
    return optimizer_of(described["optimizer"]), loss, metrics, weighted


def described_compile(keras_model):
    """Return `get_compile_config()`; raise where it is incomplete, or an object is not of Keras's own classes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            described = keras_model.get_compile_config()
    except Exception as error:  # whatever an object of the user's own raises
        raise ValueError(f"Keras cannot describe what it was compiled with: {error}") from None
    if not described:
        raise ValueError("Keras does not describe what it was compiled with.")
    given = getattr(getattr(keras_model, "_compile_config", None), "config", {})
    for value in parts_of([given.get("loss"), given.get("metrics"), given.get("weighted_metrics")]):
        module = value.__module__ if hasattr(value, "__name__") else type(value).__module__
        if not isinstance(value, str) and module.split(".")[0] != "keras":
            name = getattr(value, "__name__", type(value).__name__)
            raise ValueError(f"{name} of {module} is not one of Keras's own: it has no counterpart in fastbp.")
    if isinstance(described["loss"], dict) and isinstance(described["loss"].get("config"), dict):
        # Such as the axis of a crossentropy, which its description leaves out.
        hidden = getattr(given.get("loss"), "_fn_kwargs", {})
        settings_left({name: hidden[name] for name in hidden.keys() & {"axis"}}, (), NEUTRAL["loss"])
    return described


def parts_of(value):
    """Yield the entries of nested lists and dicts, without None."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from parts_of(part)
    elif value is not None:
        yield value


def decay_of(keras_model):
    """Return a function that tells whether the model's optimizer spares a variable its weight decay."""
    optimizer = getattr(keras_model, "optimizer", None)
    if getattr(optimizer, "weight_decay", None) and hasattr(optimizer, "_use_weight_decay"):
        return lambda variable: not optimizer._use_weight_decay(variable)
    return lambda variable: False


def optimizer_of(described):
    """Return fastbp's optimizer of a description."""
    check_keras_s(described)
    config = dict(described["config"])
    if isinstance(rate := config.get("learning_rate"), dict):
        config["learning_rate"] = schedule_of(rate)
    elif rate is not None:
        # Keras keeps the rate in float32: 0.001 has become 0.0010000000475.
        config["learning_rate"] = float(str(np.float32(rate)))
    if not config.get("use_ema"):
        config = {name: value for name, value in config.items() if not name.startswith("ema_")}
    return made(OPTIMIZERS, described["class_name"].lower(), config)


def schedule_of(described):
    """Return fastbp's schedule of a description."""
    if described["class_name"] == "__lambda__" or not isinstance(described["config"], dict):
        raise ValueError("a learning rate that is a function of your own has no counterpart in fastbp.")
    check_keras_s(described)
    return made(SCHEDULES, snake_case(described["class_name"]), described["config"])


def loss_of(value):
    """Return fastbp's loss of a name or a description."""
    config = {}
    if isinstance(value, dict) and "class_name" in value:
        check_keras_s(value)
        config = value["config"] if isinstance(value["config"], dict) else {}
        if config and value["class_name"] == "Huber" and "delta" not in config:
            raise ValueError("the description of Keras's Huber object leaves out its delta.")
        # Another name of Keras's for the same.
        config = config | ({"reduction": "sum_over_batch_size"} if config.get("reduction") == "mean" else {})
    return made(LOSSES, name_of(value), config)


def made(registry, name, config):
    """Return the object of a registry that has the settings of `config`."""
    if name not in registry or not registry[name].__module__.startswith("fastbp."):
        raise ValueError(f"the {registry.kind} {name!r} has no counterpart in fastbp.")
    names = {field.name for field in dataclasses.fields(registry[name])}
    try:
        return registry[name](**settings_left(config, names, NEUTRAL[registry.kind], UNUSED))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def name_of(value):
    """Return fastbp's name of a loss that Keras gives by name, as a function or by an object's description."""
    if isinstance(value, dict) and "class_name" in value:
        value = value["config"] if isinstance(value["config"], str) else value["class_name"]
    name = snake_case(value) if isinstance(value, str) else repr(value)
    return ABBREVIATIONS.get(name.lower(), name)


def snake_case(name):
    """Return "mean_squared_error" for "MeanSquaredError"; names in lower or upper case stay as they are."""
    return name if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
