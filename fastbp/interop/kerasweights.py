"""The variables of a Keras layer: which ones are trained, and which regularizers and constraints they have.

Keras reads a variable's own `trainable`, `regularizer` and `constraint`.  They are copied from the layer's settings
when the layer is built.  The settings may be changed later, without effect.
"""

from fastbp.interop.kerasgraph import kind_of

# {variable: how a setting's name begins}: "recurrent_kernel" has the setting "recurrent_regularizer".
ROLES = {"recurrent_kernel": "recurrent"}


def role_of(layer, variable):
    """Return what the layer's settings call a variable: "kernel", "recurrent", "bias" and so on."""
    if kind_of(layer) == "DepthwiseConv2D" and variable.name == "kernel":
        return "depthwise"
    return ROLES.get(variable.name, variable.name)


def weights_of(layer):
    """Return the variables of a layer that training may change: all but moving statistics."""
    return [variable for variable in layer.weights if not variable.name.startswith("moving_")]


def is_trained(layer, model_trained):
    """Return whether a layer's variables are trained; raise ValueError where fastbp cannot say which are."""
    flags = {bool(variable.trainable) for variable in weights_of(layer)} or {bool(layer.trainable)}
    if len(flags) > 1:
        raise ValueError("some of its weights are trainable, others are not: fastbp freezes whole layers.")
    trained = flags.pop() and model_trained
    if kind_of(layer) == "BatchNormalization" and trained != layer.trainable:
        raise ValueError(
            f"trainable={layer.trainable} decides how it normalizes, and its weights are trainable={trained}, because "
            "they or the model were frozen apart from it: freeze the layer itself, or not."
        )
    return trained


def check_attached(layer):
    """Raise ValueError where a variable has another regularizer or constraint than the layer's settings say."""
    for variable in layer.weights:
        for kind in ("regularizer", "constraint"):
            setting = f"{role_of(layer, variable)}_{kind}"
            if getattr(variable, kind, None) is not getattr(layer, setting, None):
                raise ValueError(
                    f"{setting}={getattr(layer, setting, None)!r} was set after Keras made the weights, which it does "
                    "not heed. Build the model again with it, as keras.models.clone_model does."
                )
