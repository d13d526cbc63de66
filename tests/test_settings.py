"""Settings that are changed: what is assigned is checked at once, compile takes it and keeps the weights."""

import copy
import warnings

import numpy as np
import pytest

import fastbp
from fastbp import (
    GRU,
    LSTM,
    Activation,
    AlphaDropout,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GaussianNoise,
    GlobalMaxPooling1D,
    LayerNormalization,
    MaxPooling2D,
    ParametricActivation,
    PReLU,
    Residual,
    RMSNormalization,
    Scaling,
    SimpleRNN,
)
from fastbp.layers import LAYERS

X = np.random.default_rng(0).normal(size=(24, 4))
Y = np.random.default_rng(1).normal(size=24)


def model_of(*layers, shape=(4,), optimizer="sgd", loss="mean_squared_error", compiled=True, dtype="float64"):
    model = fastbp.Sequential(list(layers), input_shape=shape, seed=0, dtype=dtype)
    if compiled:
        model.compile(optimizer, loss)
    return model


def compile_quietly(model, optimizer="sgd", loss="mean_squared_error"):
    """Compile where the new initializers are said to come too late."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the initial values of")
        model.compile(optimizer, loss)


# What is assigned to layers


# Layers of every kind: shape of a row, and settings with values that may be assigned after the weights are drawn.
ANY = {"kernel_regularizer": "l2", "bias_regularizer": fastbp.L1(0.1), "trainable": False, "name": "another"}
RECURRENT = ANY | {"activation": "sigmoid", "recurrent_regularizer": "l2", "go_backwards": True, "dropout": 0.5}
CHANGES = {
    "Dense": (lambda: Dense(3, "tanh"), (4,), ANY | {"activation": "gelu", "kernel_constraint": fastbp.MaxNorm(0.5)}),
    "MemberDense": (lambda: fastbp.MemberDense(3, "tanh"), (2, 4), ANY | {"activation": "gelu"}),
    "Conv1D": (lambda: Conv1D(3, 2), (5, 2), ANY | {"activation": "tanh", "padding": "causal", "strides": 2}),
    "Conv2D": (lambda: Conv2D(3, 2), (5, 5, 2), ANY | {"activation": "gelu", "padding": "same"}),
    "DepthwiseConv2D": (lambda: DepthwiseConv2D(2), (5, 5, 2), {"activation": "gelu", "depthwise_regularizer": "l2"}),
    "SimpleRNN": (lambda: SimpleRNN(3), (5, 2), RECURRENT),
    "LSTM": (lambda: LSTM(3), (5, 2), RECURRENT | {"recurrent_activation": "hard_sigmoid"}),
    "GRU": (lambda: GRU(3), (5, 2), RECURRENT | {"return_sequences": True}),
    "Bidirectional": (lambda: Bidirectional(GRU(3)), (5, 2), {"merge_mode": "mul", "trainable": False}),
    "BatchNormalization": (
        BatchNormalization,
        (4,),
        {"trainable": False, "momentum": 0.5, "epsilon": 0.5, "gamma_regularizer": "l2"},
    ),
    "LayerNormalization": (LayerNormalization, (4,), {"trainable": False, "epsilon": 0.5, "beta_regularizer": "l1"}),
    "RMSNormalization": (RMSNormalization, (4,), {"trainable": False, "epsilon": 0.5}),
    "Scaling": (Scaling, (4,), {"trainable": False, "learning_rate_factor": 0.5, "decay_factor": 0.5}),
    "PReLU": (PReLU, (4,), {"trainable": False, "alpha_regularizer": "l2"}),
    "ParametricActivation": (lambda: ParametricActivation("mish"), (4,), {"activation": "tanh", "trainable": False}),
    "Activation": (lambda: Activation("tanh"), (4,), {"activation": "gelu"}),
    "Dropout": (lambda: Dropout(0.1), (4,), {"rate": 0.5}),
    "AlphaDropout": (lambda: AlphaDropout(0.1), (4,), {"rate": 0.5}),
    "GaussianNoise": (lambda: GaussianNoise(0.1), (4,), {"stddev": 0.5}),
    "SpatialDropout1D": (lambda: fastbp.SpatialDropout1D(0.1), (5, 2), {"rate": 0.5}),
    "SpatialDropout2D": (lambda: fastbp.SpatialDropout2D(0.1), (5, 5, 2), {"rate": 0.5}),
    "MaxPooling1D": (lambda: fastbp.MaxPooling1D(2, 1, "same"), (4, 2), {"pool_size": 3}),
    "MaxPooling2D": (lambda: MaxPooling2D(2, 1, "same"), (4, 4, 2), {"pool_size": 3}),
    "AveragePooling1D": (lambda: fastbp.AveragePooling1D(2, 1, "same"), (4, 2), {"pool_size": 3}),
    "AveragePooling2D": (lambda: fastbp.AveragePooling2D(2, 1, "same"), (4, 4, 2), {"pool_size": 3}),
    "Concatenate": (lambda: Concatenate([[Dense(3)], [Dense(3)]]), (2, 4), {"axis": 1, "trainable": False}),
    "Residual": (lambda: Residual([Dense(4)]), (4,), {"trainable": False}),
}


def around(layer, shape):
    """Return a model in which the layer gets gradients and has weights of another layer before it."""
    layers = [Dense(shape[-1]), layer, *([GlobalMaxPooling1D()] if type(layer).__name__ == "GRU" else [])]
    layers = layers[:2] if type(layer).__name__ == "GRU" else layers
    return model_of(*layers, shape=shape, compiled=False)


def outputs(model, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, *model.engine.network.input_shape))
    return x, rng.normal(size=(6, *model.output_shape))


def every_change():
    return [(kind, setting, value) for kind, (_, _, values) in CHANGES.items() for setting, value in values.items()]


@pytest.mark.parametrize(("kind", "setting", "value"), every_change(), ids=str)
def test_compile_takes_a_setting_as_a_new_model_has_it(kind, setting, value):
    """After a step, with warm runners: outputs, gradients, a step and the file are those of a model made so."""
    make, shape, _ = CHANGES[kind]
    layer = make()
    changed = around(layer, shape)
    changed.compile("sgd", "mean_squared_error")
    changed.train_on_batch(*outputs(changed))
    changed.predict(outputs(changed)[0])
    setattr(layer, setting, value)
    changed.compile("sgd", "mean_squared_error")
    made = make()
    setattr(made, setting, value)
    made = copy.deepcopy(made)
    fresh = around(made, shape)
    assert [view.shape for view in fresh.views.values()] == [view.shape for view in changed.views.values()]
    assert list(fresh.views) == list(changed.views)
    fresh.set_weights(changed.get_weights())
    fresh.compile("sgd", "mean_squared_error")
    x, y = outputs(fresh)
    for training in (False, True):
        (loss, grad), (right, right_grad) = (m.value_and_grad(x, y, training=training) for m in (changed, fresh))
        assert loss == right
        np.testing.assert_array_equal(grad, right_grad)
    for model in (changed, fresh):
        model.train_on_batch(x, y)
    np.testing.assert_array_equal(changed.predict(x), fresh.predict(x))
    for one, other in zip(changed.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert changed.get_state()[1]["layers"] == fresh.get_state()[1]["layers"]


def test_every_kind_of_layer_with_settings_to_change_is_tried():
    fixed = {  # only shapes and data, or nothing at all
        *("CategoryEmbedding", "Columns", "Embedding", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "Masking", "MemberMean", "OneHot", "PeriodicEmbedding"),
        *("PiecewiseLinearEmbedding", "RepeatMembers", "Reshape", "ZeroPadding1D", "ZeroPadding2D"),
    }
    ours = {name for name, cls in LAYERS.items() if cls.__module__.startswith("fastbp.")}
    assert ours == fixed | set(CHANGES)
