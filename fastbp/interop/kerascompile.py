"""What a Keras model was compiled with -> optimizer, loss and metrics of fastbp, or ValueError where it has none."""

import dataclasses
import re

import numpy as np

from fastbp.losses import LOSSES
from fastbp.metrics import METRIC_NAMES
from fastbp.optimizers import OPTIMIZERS
from fastbp.schedules import SCHEDULES

ABBREVIATIONS = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "acc": "accuracy"}
# Settings that matter only beside another one, or to Keras's own loops.
UNUSED = ("name", "dtype", "ema_momentum")
NOTHING = (None, False, "sum_over_batch_size", -1)


def compile_settings(config):
    """Return optimizer, loss and metrics of a Keras model's `get_compile_config()`."""
    if config.get("loss_weights") is not None or config.get("weighted_metrics"):
        raise ValueError("loss_weights and weighted_metrics have no counterpart in fastbp.")
    metrics = [name_of(metric) for metric in config.get("metrics") or []]
    if unknown := [name for name in metrics if name not in METRIC_NAMES]:
        raise ValueError(f"the metric {unknown[0]!r} has no counterpart in fastbp.")
    return optimizer_of(config["optimizer"]), loss_of(config["loss"]), metrics


def optimizer_of(described):
    """Return fastbp's optimizer of a description."""
    config = dict(described["config"])
    if isinstance(rate := config.get("learning_rate"), dict):
        config["learning_rate"] = schedule_of(rate)
    elif rate is not None:
        # Keras keeps it in float32: 0.001 has become 0.0010000000475.
        config["learning_rate"] = float(str(np.float32(rate)))
    return made(OPTIMIZERS, described["class_name"].lower(), config)


def schedule_of(described):
    """Return fastbp's schedule of a description."""
    return made(SCHEDULES, snake_case(described["class_name"]), described["config"])


def loss_of(value):
    """Return fastbp's loss of a name or a description."""
    config = value.get("config") if isinstance(value, dict) else None
    config = config if isinstance(config, dict) else {}
    if config and value["class_name"] == "Huber" and "delta" not in config:
        raise ValueError("the description of Keras's Huber object leaves out its delta.")
    return made(LOSSES, name_of(value), config)


def made(registry, name, config):
    """Return the object of a registry that has the settings of `config`."""
    if name not in registry:
        raise ValueError(f"the {registry.kind} {name!r} has no counterpart in fastbp.")
    names = {field.name for field in dataclasses.fields(registry[name])}
    for setting, value in config.items():
        if setting not in names and setting not in UNUSED and value not in NOTHING:
            raise ValueError(f"{name}'s {setting}={value!r} has no counterpart in fastbp.")
    return registry[name](**{setting: value for setting, value in config.items() if setting in names})


def name_of(value):
    """Return fastbp's name of a loss or a metric: of a name, of a function's or of an object's description."""
    if isinstance(value, dict) and "class_name" in value:
        value = value["config"] if isinstance(value["config"], str) else value["class_name"]
    name = snake_case(value) if isinstance(value, str) else repr(value)
    return ABBREVIATIONS.get(name.lower(), name)


def snake_case(name):
    """Return "mean_squared_error" for "MeanSquaredError"; names in lower or upper case stay as they are."""
    return name if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
