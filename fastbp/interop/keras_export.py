"""to_keras: a fastbp model as a Keras model.  Settings are translated by the rules of `kerassettings`, backwards."""

import dataclasses
from typing import Any

from fastbp.activations import ELU, LeakyReLU
from fastbp.engine.layer_ownership import walk
from fastbp.interop.keras import to_keras_weights
from fastbp.interop.kerasgraph import chain_of
from fastbp.interop.kerasmasks import check_masks
from fastbp.interop.kerassettings import namesakes
from fastbp.layers import Concatenate, Residual
from fastbp.layers.core.branches import Fork
from fastbp.models.sequential import Sequential
from fastbp.settings.user_warnings import warn

# Layers that Keras has under another name, or with other settings, beside those with the same name.
OTHERS = ("Bidirectional", "Concatenate", "Residual")
# Settings that Keras's layers do not have.  TRAINING ones are left out; ELSEWHERE ones go to keras.Input.
TRAINING = ("lazy", "parametrization")
ELSEWHERE = ("batch_size",)


def to_keras(model: Sequential) -> Any:
    """Return a Keras model with the layers, settings and weights of a fastbp model.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    keras.Sequential or keras.Model
        A functional model where there are branches (`Residual`, `Concatenate`). It has the same dtype and layers of
        the same names, with their regularizers and constraints; frozen layers stay frozen. It is not compiled, and its
        initializers are Keras's defaults. `from_keras` turns it into the same fastbp model again.

    Raises
    ------
    ImportError
        Where Keras is not installed.
    ValueError
        For a model that is not built, a layer or an activation that Keras does not have (named, with the layers that
        it has), and where a mask would act in one of the two libraries alone.

    Warns
    -----
    UserWarning
        Where settings of training that Keras does not have are left out: a parameter's own factor on the learning rate
        or the decay, `parametrization`, `lazy`.

    Examples
    --------
    >>> import os
    >>> _ = os.environ.setdefault("KERAS_BACKEND", "jax")
    >>> import fastbp, numpy as np
    >>> ours = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(4,), seed=0)
    >>> theirs = fastbp.to_keras(ours)
    >>> x = np.ones((5, 4), "float32")
    >>> bool(np.allclose(ours.predict(x), np.asarray(theirs(x)), atol=1e-5))
    True
    """
    keras = imported()
    if not isinstance(model, Sequential):
        raise TypeError(f"to_keras takes a fastbp.Sequential, not {type(model).__name__}.")
    if model.engine is None:
        raise ValueError("to_keras needs a built model: give input_shape=(d,), or call fit or build first.")
    model.tell_changes()
    network = model.engine.network
    x = keras.Input(network.input_shape, batch_size=network.batch_size, dtype=model.dtype.name)
    values, chain = Walk(keras, model).run(x)
    branched = any(isinstance(spec, Residual | Concatenate) for spec in walk(model.engine.layers))
    theirs = keras.Model(x, values) if branched else keras.Sequential([x, *chain])
    check_masks(model, chain_of(theirs))
    theirs.set_weights(to_keras_weights(model, theirs))
    tell_left_out(model)
    return theirs


def imported():
    """Return Keras, or raise ImportError with what to do."""
    try:
        import keras
    except ImportError as error:
        raise ImportError(
            "to_keras needs Keras and one of its backends: pip install keras jax, and set the environment variable "
            f"KERAS_BACKEND to jax before Keras is imported ({error})."
        ) from None
    return keras


class Walk:
    """The layers of a network made in Keras, one after the other."""

    def __init__(self, keras, model):
        self.keras, self.dtype, self.network = keras, model.dtype.name, model.engine.network
        placed = self.network.layers
        # Keras's Bidirectional makes its two layers itself: they are skipped.
        self.within = {source.layer for one in placed if kind_of(one.spec) == "Bidirectional" for source in one.sources}

    def run(self, x):
        """Return the output tensor for an input, and the layers."""
        values, chain = {-1: x}, []
        for number, placed in enumerate(self.network.layers):
            sources = [source.layer for source in placed.sources]
            if isinstance(placed.spec, Fork):
                values[number] = values[sources[0]]
            elif number not in self.within:
                layer, inputs = self.made(placed), [values[source] for source in sources if source in values]
                if kind_of(placed.spec) == "Bidirectional":
                    inputs = [values[self.network.layers[sources[0]].sources[0].layer]]
                values[number] = layer(inputs if len(inputs) > 1 else inputs[0])
                chain.append(layer)
        return values[self.network.output.layer], chain

    def made(self, placed):
        """Return the Keras layer of a placed one."""
        kind = kind_of(placed.spec)
        try:
            if kind in {*namesakes(self.keras.layers), *OTHERS}:
                return self.layer_of(kind, placed.spec, placed.name)
        except ValueError as error:
            raise ValueError(f"layer {placed.name!r} ({kind}): {error}") from None
        known = ", ".join(sorted({*namesakes(self.keras.layers), *OTHERS}))
        raise ValueError(f"layer {placed.name!r} ({type(placed.spec).__name__}) is not in Keras. These are: {known}.")

    def layer_of(self, kind, spec, name):
        """Return the Keras layer of a spec."""
        layers, shared = self.keras.layers, {"name": name, "dtype": self.dtype}
        if kind == "Residual":
            return layers.Add(**shared)
        if kind == "Concatenate":
            return layers.Concatenate(spec.axis, **shared)
        if kind == "Bidirectional":
            name = spec.layer.name or f"{name}_layer"
            return layers.Bidirectional(self.layer_of(kind_of(spec.layer), spec.layer, name), spec.merge_mode, **shared)
        if kind == "Activation":
            return self.activation_layer(spec.activation, shared)
        return getattr(layers, kind)(**self.settings(spec), **shared)

    def settings(self, spec):
        """Return the settings of a spec as Keras has them."""
        found = {}
        for field in dataclasses.fields(spec):
            name, value = field.name, getattr(spec, field.name)
            if name == "name" or name in (*TRAINING, *ELSEWHERE) or name.endswith(("_factor", "_initializer")):
                continue
            if not field.init or value is None:
                continue
            found[name] = self.converted(spec, name, value)
        return found

    def converted(self, spec, name, value):
        """Return the value of a setting as Keras has it."""
        if name.endswith("activation"):
            return self.activation(value)
        if name.endswith("_regularizer"):
            described = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return getattr(self.keras.regularizers, type(value).__name__)(**described)
        if name.endswith("_constraint"):
            return self.keras.constraints.MaxNorm(value.max_value, axis=norm_axes(spec, name))
        return value

    def activation(self, activation):
        """Return the name of an activation, or a layer where it has a setting of its own."""
        kind = activation.registered[1]
        if activation == type(activation)() and kind != "gelu_tanh" and hasattr(self.keras.activations, kind):
            return kind
        return self.activation_layer(activation, {})

    def activation_layer(self, activation, shared):
        """Return the Keras layer of an activation."""
        kind = activation.registered[1]
        if isinstance(activation, LeakyReLU):
            return self.keras.layers.LeakyReLU(negative_slope=activation.negative_slope, **shared)
        if isinstance(activation, ELU):
            return self.keras.layers.ELU(alpha=activation.alpha, **shared)
        if kind == "gelu_tanh" or not hasattr(self.keras.activations, kind):
            raise ValueError(f"the activation {kind!r} has no name in Keras.")
        return self.keras.layers.Activation(kind, **shared)


def kind_of(spec):
    """Return the name under which a layer is registered; None of a fork, and of a layer of the user's own."""
    if not hasattr(spec, "registered") or not type(spec).__module__.startswith("fastbp."):
        return None
    return spec.registered[1]


def norm_axes(spec, name):
    """Return the axes over which a constraint takes a norm: all but the last of a kernel, the only one of a vector."""
    if name == "depthwise_constraint":
        return [0, 1]
    if name == "kernel_constraint":
        return list(range(getattr(spec, "axes", 0) + 1))
    return [0]


def tell_left_out(model):
    """Warn of settings of training that Keras does not have."""
    found = [
        f"{placed.name}: {field.name}={getattr(placed.spec, field.name)!r}"
        for placed in model.engine.network.layers
        if hasattr(placed.spec, "registered")
        for field in dataclasses.fields(placed.spec)
        if (field.name in TRAINING or field.name.endswith("_factor"))
        and getattr(placed.spec, field.name) != field.default
    ]
    if found:
        warn(f"to_keras leaves out settings of training that Keras does not have: {'; '.join(found)}.")
