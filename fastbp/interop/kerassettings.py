"""Keras's layers -> fastbp's specs: mostly the same names and values, so what differs stands here.

Settings are read from a layer's `get_config()`.  One that fastbp does not have must ask for nothing; else an error
names the layer and the setting.
"""

import dataclasses

from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.interop.kerasgraph import kind_of
from fastbp.layers import LAYERS, Activation, Bidirectional, Concatenate, Residual
from fastbp.regularizers import L1, L1L2, L2, MaxNorm

# What sets no layer's outputs or training apart: initial values are overwritten, seeds and loops are Keras's own.
UNUSED = ("name", "trainable", "dtype", "seed", "unroll", "renorm_momentum")
# Of settings that fastbp does not have, the values that ask for nothing.
NOTHING = (None, False, "channels_last")

SAME = (
    *("Activation", "AlphaDropout", "AveragePooling1D", "AveragePooling2D", "BatchNormalization", "Conv1D", "Conv2D"),
    *("Dense", "DepthwiseConv2D", "Dropout", "Embedding", "Flatten", "GRU", "GaussianNoise", "GlobalAveragePooling1D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "LSTM", "LayerNormalization", "Masking"),
    *("MaxPooling1D", "MaxPooling2D", "PReLU", "RMSNormalization", "Reshape", "SimpleRNN", "SpatialDropout1D"),
    *("SpatialDropout2D", "ZeroPadding1D", "ZeroPadding2D"),
)
REGULARIZERS = {"L1": L1, "L2": L2, "L1L2": L1L2}


def specs_of(chain, batch_size=None):
    """Return the fastbp layers of a chain of Keras layers; batch_size is for stateful ones."""
    return [spec_of(node, batch_size) for node in chain]


def spec_of(node, batch_size):
    """Return the fastbp layer of a node."""
    layer, kind = node.layer, kind_of(node.layer)
    try:
        if kind in SAME:
            return LAYERS[kind](**settings_of(layer, LAYERS[kind], batch_size))
        if kind in OTHERS:
            return OTHERS[kind](node, batch_size)
    except ValueError as error:
        raise ValueError(f"Keras layer {layer.name!r} ({kind}): {error}") from None
    raise ValueError(
        f"Keras layer {layer.name!r} ({type(layer).__name__}) has no counterpart in fastbp. These have: "
        f"{', '.join(sorted([*SAME, *OTHERS]))}."
    )


def settings_of(layer, spec, batch_size):
    """Return the settings of a Keras layer as those of the class `spec`."""
    names = {field.name for field in dataclasses.fields(spec)}
    settings = {"name": layer.name}
    if "trainable" in names:
        settings["trainable"] = layer.trainable
    for name, value in layer.get_config().items():
        if name in UNUSED or name.endswith("_initializer"):
            continue
        if name in names:
            settings[name] = converted(layer, name, value)
        elif not any(value is nothing or value == nothing for nothing in NOTHING):
            raise ValueError(f"{name}={value!r} has no counterpart in fastbp.")
    if settings.get("stateful"):
        settings["batch_size"] = batch_size
    return settings


def converted(layer, name, value):
    """Return the value of a setting as fastbp has it."""
    if value is None:
        return None
    if name.endswith("activation"):
        return activation_of(value)
    if name.endswith("_regularizer"):
        return regularizer_of(value)
    if name.endswith("_constraint"):
        kernel = layer.kernel if name == "depthwise_constraint" else getattr(layer, name.removesuffix("_constraint"))
        return constraint_of(value, len(kernel.shape) - (2 if name == "depthwise_constraint" else 1))
    if name == "axis" and isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    return value


def activation_of(value):
    """Return fastbp's activation of a name, or of a Keras layer's description."""
    if isinstance(value, dict):
        return activation_object(value["class_name"], value["config"])
    return ACTIVATIONS.resolve(value)


def activation_object(kind, config):
    """Return the activation of one of Keras's layers that are nothing else."""
    if kind == "LeakyReLU":
        return LeakyReLU(config["negative_slope"])
    if kind == "ELU":
        return ELU(config["alpha"])
    if kind == "ReLU" and config["max_value"] is None and not config["threshold"]:
        return LeakyReLU(config["negative_slope"]) if config["negative_slope"] else ACTIVATIONS.resolve("relu")
    if kind == "Softmax" and config["axis"] in (-1, [-1], (-1,)):
        return ACTIVATIONS.resolve("softmax")
    raise ValueError(f"the activation {kind} with {config} has no counterpart in fastbp.")


def regularizer_of(value):
    """Return fastbp's regularizer of a description."""
    kind, factors = value["class_name"], value["config"]
    if kind not in REGULARIZERS:
        raise ValueError(f"the regularizer {kind} has no counterpart; these have: {', '.join(REGULARIZERS)}.")
    return REGULARIZERS[kind](**{name: float(factor) for name, factor in factors.items()})


def constraint_of(value, axes):
    """Return MaxNorm of a description, if it takes the norm over so many leading axes: that of what a unit reads."""
    kind, config = value["class_name"], value["config"]
    if kind != "MaxNorm":
        raise ValueError(f"the constraint {kind} has no counterpart; MaxNorm has.")
    over = [config["axis"]] if isinstance(config["axis"], int) else sorted(config["axis"])
    if over != list(range(axes)):
        raise ValueError(f"MaxNorm(axis={config['axis']}): fastbp takes the norm over the axes {list(range(axes))}.")
    return MaxNorm(config["max_value"])


def of_activation_layer(node, batch_size):
    """ReLU, LeakyReLU, ELU and Softmax."""
    return Activation(activation_object(kind_of(node.layer), node.layer.get_config()), name=node.layer.name)


def of_bidirectional(node, batch_size):
    """Bidirectional: its backward layer is the twin of its forward layer."""
    there, back = node.layer.forward_layer, node.layer.backward_layer
    if kind_of(there) not in ("SimpleRNN", "LSTM", "GRU"):
        raise ValueError(f"it takes SimpleRNN, LSTM or GRU, not {type(there).__name__}.")
    spec = LAYERS[kind_of(there)]
    settings, of_back = (settings_of(layer, spec, batch_size) for layer in (there, back))
    twin = settings | {"name": of_back["name"], "go_backwards": True}
    if kind_of(back) != kind_of(there) or of_back != twin:
        raise ValueError("its backward layer must have the settings of its forward layer, but for go_backwards.")
    # As its twin, the layer gets what depends on masks from Bidirectional.
    settings |= {"name": there.name.removeprefix("forward_"), "zero_output_for_mask": False}
    return Bidirectional(spec(**settings), node.layer.merge_mode, name=node.layer.name)


def of_add(node, batch_size):
    """Add of a block and what the block reads: Residual."""
    blocks = [branch for branch in node.branches if branch]
    if len(node.branches) != 2 or len(blocks) != 1:
        raise ValueError("it must add a block's input to the block's output, as Residual does, and nothing else.")
    return Residual(specs_of(blocks[0], batch_size), name=node.layer.name)


def of_concatenate(node, batch_size):
    """Concatenate of branches that part at one place."""
    branches = [specs_of(branch, batch_size) for branch in node.branches]
    return Concatenate(branches, axis=node.layer.get_config()["axis"], name=node.layer.name)


OTHERS = {
    "Add": of_add,
    "Bidirectional": of_bidirectional,
    "Concatenate": of_concatenate,
    **dict.fromkeys(("ELU", "LeakyReLU", "ReLU", "Softmax"), of_activation_layer),
}
