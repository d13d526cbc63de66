"""Keras's activations, which are names or layers, become fastbp's."""

from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.interop.kerasdescribed import check_keras_s, settings_left

LAYER_SETTINGS = ("name", "dtype", "trainable")


def activation_of(value):
    """Return fastbp's activation of a name, or of a Keras layer's description."""
    if not isinstance(value, dict):
        return ACTIVATIONS.resolve(value)
    if not isinstance(value["config"], dict) or value["class_name"] == "__lambda__":
        name = value["config"] if isinstance(value["config"], str) else "a lambda"
        raise ValueError(f"the activation {name} is a function of your own: it has no counterpart in fastbp.")
    check_keras_s(value)
    return activation_object(value["class_name"], value["config"])


def activation_object(kind, config):
    """Return the activation of a Keras layer that is nothing but an activation, such as ReLU."""
    if kind == "Activation":
        return activation_of(settings_left(config, ("activation",), {}, LAYER_SETTINGS)["activation"])
    if kind == "LeakyReLU":
        return LeakyReLU(settings_left(config, ("negative_slope",), {}, LAYER_SETTINGS)["negative_slope"])
    if kind == "ELU":
        return ELU(settings_left(config, ("alpha",), {}, LAYER_SETTINGS)["alpha"])
    if kind == "ReLU":
        neutral = {"threshold": 0.0}
        slope = settings_left(config, ("negative_slope",), neutral, LAYER_SETTINGS)["negative_slope"]
        return LeakyReLU(slope) if slope else ACTIVATIONS.resolve("relu")
    if kind == "Softmax":
        axis = settings_left(config, ("axis",), {}, LAYER_SETTINGS)["axis"]
        if axis not in (-1, [-1], (-1,)):
            raise ValueError(f"axis={axis}: fastbp's softmax takes the last axis, -1.")
        return ACTIVATIONS.resolve("softmax")
    raise ValueError(f"the activation layer {kind} has no counterpart in fastbp.")
