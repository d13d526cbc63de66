"""Models from Keras, and weights to it.  Keras is not imported here: a user with a Keras model has imported it."""

import warnings
from typing import Any

import numpy as np

from fastbp.interop.kerascompile import compile_settings, decay_of, described_compile
from fastbp.interop.kerasgraph import chain_of, kind_of, layers_in_order
from fastbp.interop.kerasmasks import check_masks
from fastbp.interop.kerasmetrics import MASKED
from fastbp.interop.kerassettings import Model, specs_of
from fastbp.models.sequential import Sequential


def from_keras(keras_model: Any, *, input_shape: tuple[int, ...] | None = None, seed: int | None = None) -> Sequential:
    """Return a fastbp model with the layers, settings and weights of a Keras model.

    Parameters
    ----------
    keras_model : keras.Sequential or functional keras.Model
        Built, of Keras 3, with one input and one output. In a functional model branches may part and meet again:
        ``Add()([x, block(x)])`` becomes `Residual`, ``Concatenate()([...])`` of branches that read the same
        `Concatenate`. Models within the model are unfolded.
    input_shape : tuple of int, optional
        Shape of one row, where the Keras model leaves a size open, as in ``keras.Input((None, 12))``.
    seed : int, optional
        The seed of shuffles and dropout masks, as in `Sequential`.

    Returns
    -------
    Sequential
        It has the same dtype, and its layers have the same names; where models within the model repeat a name, later
        layers get a number. It is compiled if the Keras model is, and if fastbp has its optimizer, schedule, loss and
        metrics with all their settings. Else call its `compile`: the error of `fit`, and ``why_not_compiled``, say
        what is missing. Metrics that fastbp has under another definition become objects of
        `fastbp.metrics.scoring`. The optimizer starts anew, and so do stateful layers; initializers are fastbp's
        defaults.

    Raises
    ------
    TypeError
        For an object that is no such model.
    ValueError
        For a model that is not built, a layer or a setting without a counterpart (named, with the layers that have
        one), weights frozen one by one, and where a mask would act in one of the two libraries alone: in a layer, or
        in the loss.

    Notes
    -----
    ``training=...`` in a call within a functional model has no effect, as in Keras's own fit, evaluate and predict.

    Examples
    --------
    >>> import os
    >>> _ = os.environ.setdefault("KERAS_BACKEND", "jax")
    >>> import fastbp, keras, numpy as np
    >>> layers = keras.layers
    >>> theirs = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    >>> ours = fastbp.from_keras(theirs)
    >>> x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    >>> bool(np.allclose(ours.predict(x), np.asarray(theirs(x)), atol=1e-5))
    True
    """
    chain = chain_of(keras_model)
    layers = layers_in_order(chain)
    check_input(keras_model, chain)
    shape, batch_size = shapes_of(keras_model, input_shape)
    settings = Model(batch_size, keras_model.trainable, decay_of(keras_model))
    model = Sequential(specs_of(chain, settings), input_shape=shape, seed=seed, dtype=dtype_of(layers))
    check_masks(model, chain)
    for (name, view), array in zip(weights_in_both(model).items(), arrays_of(layers), strict=True):
        if array.shape != view.shape:
            raise ValueError(f"Keras's weight for {name!r} has shape {array.shape}; fastbp's has {view.shape}.")
        view[...] = array
    if keras_model.compiled:
        try:
            compile_as(model, keras_model, settings)
        except (TypeError, ValueError) as error:
            model.why_not_compiled = f"from_keras did not compile it as the Keras model is: {error}"
    return model


def compile_as(model, keras_model, settings):
    """Compile a model as the Keras model is; raise ValueError where fastbp cannot."""
    optimizer, loss, metrics, weighted = compile_settings(described_compile(keras_model))
    if settings.not_spared and optimizer.weight_decay:
        raise ValueError(
            f"exclude_from_weight_decay spares {settings.not_spared[0]!r}: fastbp spares Dense, Embedding "
            "and recurrent layers only."
        )
    check_masked_metrics(model, [*metrics, *weighted])
    model.compile(optimizer, loss, metrics, weighted)


def check_masked_metrics(model, metrics):
    """Raise ValueError where a mask reaches a metric for which Keras counts masked time steps too."""
    if model.engine.network.output_masking is not None:
        for metric in metrics:
            heeds_mask = metric in MASKED if isinstance(metric, str) else metric.heeds_mask
            if not heeds_mask:
                raise ValueError(f"Keras's metric {metric} counts masked time steps, which fastbp's metrics leave out.")


def to_keras_weights(model: Sequential, keras_model: Any) -> list[np.ndarray]:
    """Return the weights of a fastbp model as a list for ``keras_model.set_weights``.

    Parameters
    ----------
    model : Sequential
        Built.
    keras_model : keras.Sequential or functional keras.Model
        Of the same architecture, such as the one that `from_keras` took. It is not changed.

    Returns
    -------
    list of arrays
        Copies, in the order of ``keras_model.weights``. For layers in a row that is ``model.get_weights()``; a
        functional model with branches has an order of its own, and Keras does not count stateful layers' states
        among the weights.

    Raises
    ------
    ValueError
        Where number or shapes of the weights differ.

    Examples
    --------
    >>> import os
    >>> _ = os.environ.setdefault("KERAS_BACKEND", "jax")
    >>> import fastbp, keras
    >>> theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> ours = fastbp.from_keras(theirs)
    >>> ours.params[:] = 0.5
    >>> theirs.set_weights(fastbp.to_keras_weights(ours, theirs))
    """
    variables = [variable for layer in layers_in_order(chain_of(keras_model)) for variable in layer.weights]
    views = weights_in_both(model)
    shapes, wanted = [view.shape for view in views.values()], [tuple(variable.shape) for variable in variables]
    if shapes != wanted:
        raise ValueError(f"the models differ: fastbp's weights have the shapes {shapes}, Keras's have {wanted}.")
    arrays = {id(variable): view.copy() for variable, view in zip(variables, views.values(), strict=True)}
    return [arrays[id(variable)] for variable in keras_model.weights]


def check_input(keras_model, chain):
    """Raise ValueError where Keras would convert the inputs to whole numbers, or to fewer digits."""
    dtype, kinds = keras_model.inputs[0].dtype, [kind_of(layer) for layer in layers_in_order(chain)]
    if dtype not in ("float32", "float64") and "Embedding" not in kinds:
        raise ValueError(
            f"the Keras model casts its inputs to {dtype}, which has no counterpart in fastbp: begin it with "
            'keras.Input(shape, dtype="float32").'
        )


def shapes_of(keras_model, input_shape):
    """Return the shape of a row, and the rows of a batch (or None)."""
    batch_size, *shape = keras_model.input_shape
    shape = tuple(shape) if input_shape is None else input_shape
    if None in shape:
        raise ValueError(
            f"the Keras model takes rows of shape {shape}, and fastbp needs every size: give input_shape=(...) with "
            "numbers for None."
        )
    return shape, batch_size


def dtype_of(layers):
    """Return the dtype that all layers compute in and keep their weights in."""
    parts = [part for layer in layers for part in layer._flatten_layers()]
    if quantized := [part.name for part in parts if part.quantization_mode]:
        raise ValueError(f"Keras layer {quantized[0]!r} is quantized, which has no counterpart in fastbp.")
    if not parts:
        raise ValueError("the Keras model has no layers: a model of fastbp has one at least.")
    dtypes = {dtype: part.name for part in parts for dtype in (part.compute_dtype, part.variable_dtype)}
    if len(dtypes) != 1 or next(iter(dtypes)) not in ("float32", "float64"):
        shown = ", ".join(f"{dtype} ({name!r})" for dtype, name in dtypes.items())
        raise ValueError(f'the Keras layers must all be of dtype "float32" or all of "float64"; they have {shown}.')
    return next(iter(dtypes))


def arrays_of(layers):
    """Return the weights of the layers, one list."""
    with warnings.catch_warnings():
        # Keras 3.15 reads its own variables in a way that NumPy 2 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        return [np.asarray(array) for layer in layers for array in layer.get_weights()]


def weights_in_both(model):
    """Return a model's views without the states of stateful layers, which Keras does not count among the weights."""
    network = model.engine.network
    states = {buffer.name for buffer in network.buffers if network.layers[buffer.layer].spec.stateful}
    return {name: view for name, view in model.views.items() if name not in states}
