"""Keras's layers become fastbp's specs.  Most names and values are the same; this module translates the others.

Settings are read from a layer's `get_config()`.  A setting that fastbp does not have must have a value that asks for
nothing; else an error names the layer and the setting.
"""

import dataclasses
import sys
from typing import Any

from fastbp.interop.kerasactivations import activation_object, activation_of
from fastbp.interop.kerasdescribed import check_keras_s, settings_left
from fastbp.interop.kerasgraph import kind_of
from fastbp.interop.kerasweights import check_attached, is_trained, role_of, weights_of
from fastbp.layers import LAYERS, Activation, Bidirectional, Concatenate, Residual
from fastbp.regularizers import L1, L1L2, L2, MaxNorm

# Settings that change neither outputs nor training: seeds and loops are Keras's own, initial values are overwritten.
UNUSED = ("name", "trainable", "dtype", "seed", "unroll", "renorm_momentum")
# Settings that fastbp does not have, with the values that ask for nothing; None always does.  Those that one layer
# alone has stand in its class (`keras_neutral`).
NEUTRAL = {"data_format": "channels_last", "return_state": False}

REGULARIZERS = {"L1": L1, "L2": L2, "L1L2": L1L2}


@dataclasses.dataclass
class Model:
    """Facts of the whole model on which layers' settings depend.

    Attributes
    ----------
    batch_size : int or None
        For stateful layers.
    trainable : bool
        Of the whole model.
    spares : function of a variable
        Does the optimizer leave the variable out of weight decay?
    not_spared : list of str
        Filled here: names of variables that Keras leaves out of weight decay and fastbp cannot.
    """

    batch_size: int | None = None
    trainable: bool = True
    spares: Any = lambda variable: False
    not_spared: list = dataclasses.field(default_factory=list)


def specs_of(chain, model):
    """Return the fastbp layers of a chain of nodes."""
    return [spec_of(node, model) for node in chain]


def spec_of(node, model):
    """Return the fastbp layer of a node."""
    layer, kind = node.layer, kind_of(node.layer)
    try:
        if kind in OTHERS:
            return OTHERS[kind](node, model)
        if has_namesake(kind):
            return LAYERS[kind](**settings_of(layer, LAYERS[kind], node.name, model))
    except (ValueError, TypeError) as error:
        if str(error).startswith("Keras layer "):
            raise
        raise ValueError(f"Keras layer {layer.name!r} ({kind}): {error}") from None
    raise ValueError(
        f"Keras layer {layer.name!r} ({type(layer).__name__}) has no counterpart in fastbp. These have: "
        f"{', '.join(sorted({*namesakes(sys.modules['keras'].layers), *OTHERS}))}."
    )


def has_namesake(kind):
    """Does fastbp itself have a layer of this name?  Its settings then have Keras's names, too."""
    return kind in LAYERS and LAYERS[kind].__module__.startswith("fastbp.")


def namesakes(layers):
    """Return the names in the module keras.layers that fastbp's layers have, too: these convert setting by setting."""
    return [name for name in dir(layers) if has_namesake(name) and name not in OTHERS]


def settings_of(layer, spec, name, model):
    """Return the settings of a Keras layer as those of the class `spec`."""
    fields = {field.name for field in dataclasses.fields(spec)}
    settings = {"name": name}
    for setting, value in left(layer, fields - {"name", "trainable"}).items():
        settings[setting] = converted(layer, setting, value)
    check_attached(layer)
    if "trainable" in fields:
        settings["trainable"] = is_trained(layer, model.trainable)
    if settings.get("stateful"):
        settings["batch_size"] = model.batch_size
    if getattr(layer, "unroll", False):
        # Where Keras writes out the steps, it does not heed this one.
        settings["zero_output_for_mask"] = False
    for variable in filter(model.spares, weights_of(layer)):
        setting = "decay_factor" if kind_of(layer) == "Embedding" else f"{role_of(layer, variable)}_decay_factor"
        if setting in fields:
            settings[setting] = 0.0
        else:
            model.not_spared.append(f"{layer.name}/{variable.name}")
    return settings


def left(layer, mapped):
    """Return the settings of a Keras layer that are among `mapped`; the others must ask for nothing."""
    config = layer.get_config()
    config = {name: value for name, value in config.items() if not name.endswith("_initializer")}
    kind = kind_of(layer)
    own = LAYERS[kind].keras_neutral if has_namesake(kind) else {}
    return settings_left(config, mapped, NEUTRAL | own, UNUSED)


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
        last = 2 if name == "depthwise_constraint" else min(len(kernel.shape) - 1, 1)
        return constraint_of(value, len(kernel.shape), len(kernel.shape) - last)
    if name == "axis" and isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    return value


def regularizer_of(value):
    """Return fastbp's regularizer of a description."""
    check_keras_s(value)
    kind = value["class_name"]
    if kind not in REGULARIZERS:
        raise ValueError(f"the regularizer {kind} has no counterpart; these have: {', '.join(REGULARIZERS)}.")
    names = {field.name for field in dataclasses.fields(REGULARIZERS[kind])}
    factors = settings_left(value["config"], names, {})
    return REGULARIZERS[kind](**{name: float(factor) for name, factor in factors.items()})


def constraint_of(value, dimensions, axes):
    """Return MaxNorm of a description; its norm must be that of a unit's weights, over so many leading axes."""
    check_keras_s(value)
    kind = value["class_name"]
    if kind != "MaxNorm":
        raise ValueError(f"the constraint {kind} has no counterpart; MaxNorm has.")
    config = settings_left(value["config"], ("axis", "max_value"), {})
    over = [config["axis"]] if isinstance(config["axis"], int) else config["axis"]
    if sorted(axis % dimensions for axis in over) != list(range(axes)):
        raise ValueError(f"MaxNorm(axis={config['axis']}): fastbp takes the norm over the axes {list(range(axes))}.")
    return MaxNorm(config["max_value"])


def of_activation_layer(node, model):
    """ReLU, LeakyReLU and ELU."""
    return Activation(activation_object(kind_of(node.layer), node.layer.get_config()), name=node.name)


def of_bidirectional(node, model):
    """Bidirectional: its backward layer is the twin of its forward layer."""
    there, back = node.layer.forward_layer, node.layer.backward_layer
    if kind_of(there) not in ("SimpleRNN", "LSTM", "GRU"):
        raise ValueError(f"it takes SimpleRNN, LSTM or GRU, not {type(there).__name__}.")
    merge_mode = left(node.layer, ("merge_mode", "layer", "backward_layer"))["merge_mode"]
    spec = LAYERS[kind_of(there)]
    settings, of_back = (settings_of(layer, spec, layer.name, model) for layer in (there, back))
    twin = settings | {"name": of_back["name"], "go_backwards": True}
    if kind_of(back) != kind_of(there) or of_back != twin:
        raise ValueError("its backward layer must have the settings of its forward layer, but for go_backwards.")
    # Bidirectional sets what depends on masks, for this layer and its twin.
    settings |= {"name": there.name.removeprefix("forward_"), "zero_output_for_mask": False}
    return Bidirectional(spec(**settings), merge_mode, name=node.name)


def of_add(node, model):
    """Add, where it adds a block's output and the block's input: Residual."""
    left(node.layer, ())
    blocks = [branch for branch in node.branches if branch]
    if len(node.branches) != 2 or len(blocks) != 1:
        raise ValueError("it must add a block's input to the block's output, as Residual does, and nothing else.")
    return Residual(specs_of(blocks[0], model), name=node.name)


def of_concatenate(node, model):
    """Concatenate, where its branches part at one place."""
    branches = [specs_of(branch, model) for branch in node.branches]
    return Concatenate(branches, name=node.name, **left(node.layer, ("axis",)))


OTHERS = {
    "Add": of_add,
    "Bidirectional": of_bidirectional,
    "Concatenate": of_concatenate,
    **dict.fromkeys(("ELU", "LeakyReLU", "ReLU"), of_activation_layer),
}
