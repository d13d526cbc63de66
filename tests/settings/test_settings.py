"""Settings that are changed: what is assigned is checked at once, compile takes it and keeps the weights."""

import copy
import dataclasses
import json
from functools import partial

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
    Columns,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
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
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS
from fastbp.settings.validation import Settings
from tests.oracles import ORACLES, shape_of

X = np.random.default_rng(0).normal(size=(24, 4))
Y = np.random.default_rng(1).normal(size=24)


def model_of(*layers, shape=(4,), optimizer="sgd", loss="mean_squared_error", compiled=True, dtype="float64"):
    model = fastbp.Sequential(list(layers), input_shape=shape, seed=0, dtype=dtype)
    if compiled:
        model.compile(optimizer, loss)
    return model


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
    **{kind: (partial(dataclasses.replace, of.CASES[0]), shape_of(kind), of.CHANGES) for kind, of in ORACLES.items()},
}


def around(layer, shape):
    """Return a model whose layer has another one with weights before it."""
    return model_of(Dense(shape[-1]), layer, shape=shape, compiled=False)


def made_with(layer, setting, value):
    """Return a layer that was constructed with the setting."""
    if setting in {field.name for field in dataclasses.fields(layer)}:
        return dataclasses.replace(layer, **{setting: value})
    # A setting of the layers within.
    if isinstance(layer, Bidirectional):
        return dataclasses.replace(layer, layer=dataclasses.replace(layer.layer, **{setting: value}))
    if isinstance(layer, Residual):
        return Residual([dataclasses.replace(one, **{setting: value}) for one in layer.layers])
    return Concatenate([[dataclasses.replace(one, **{setting: value}) for one in branch] for branch in layer.branches])


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
    fresh = around(made_with(make(), setting, value), shape)
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
        *("PiecewiseLinearEmbedding", "RepeatMembers", "Reshape", "SoftmaxBlocks", "ZeroPadding1D", "ZeroPadding2D"),
    }
    ours = {name for name, cls in LAYERS.items() if cls.__module__.startswith("fastbp.")}
    assert ours == fixed | set(CHANGES)


BAD = [-1.0, np.nan, "no", None, True, object(), [1]]


def settings_objects():
    optimizers = [cls() for cls in OPTIMIZERS.values()]
    return [*(make() for make, _, _ in CHANGES.values()), Embedding(5, 2), Columns([0]), Flatten(), *optimizers]


def outcome(call):
    """Return what the call returns, and its error's class and text."""
    try:
        return call(), None
    except (TypeError, ValueError) as error:
        return None, (type(error), str(error))


@pytest.mark.parametrize("settings", settings_objects(), ids=lambda settings: type(settings).__name__)
def test_assignments_are_checked_as_construction_is(settings):
    for field in dataclasses.fields(settings):
        for value in BAD:
            one, before = copy.deepcopy(settings), copy.deepcopy(settings)
            made, right = outcome(lambda: dataclasses.replace(before, **{field.name: value}))  # noqa: B023
            _, found = outcome(lambda: setattr(one, field.name, value))  # noqa: B023
            assert found == right
            assert repr(one) == repr(before if made is None else made)


def frozen_objects():
    schedules = [fastbp.ExponentialDecay(0.1, 5, 0.5), fastbp.CosineDecay(0.1, 5), fastbp.OneCycle(0.1, 5)]
    losses = [cls() for name, cls in LOSSES.items() if cls.__module__.startswith("fastbp.")]
    return [*schedules, *losses, fastbp.L2(), fastbp.MaxNorm(), Dense(1).kernel_initializer, Dense(1, "elu").activation]


@pytest.mark.parametrize("settings", frozen_objects(), ids=lambda settings: type(settings).__name__)
def test_what_is_put_into_settings_never_changes(settings):
    for name in [field.name for field in dataclasses.fields(settings)] or ["anything"]:
        with pytest.raises(AttributeError, match=rf"{name} cannot be changed: put a new object in its place, such as "):
            setattr(settings, name, 0.5)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1.0, ValueError, r"Adam\(learning_rate=-1.0\): it must be a number in"),
        (None, ValueError, r"Adam\(learning_rate=None\): it must be a number in"),
        (True, ValueError, r"Adam\(learning_rate=True\): it must be a number in"),
        ("0.1", TypeError, r"Adam\(learning_rate='0.1'\): it is a number or a schedule object"),
        (np.sqrt, TypeError, r"it is a number or a schedule object"),
    ],
    ids=str,
)
def test_a_learning_rate_that_is_none(value, error, message):
    model = model_of(Dense(1), optimizer="adam")
    for make in (lambda: fastbp.Adam(value), lambda: setattr(model.optimizer, "learning_rate", value)):
        with pytest.raises(error, match=message):
            make()
    assert model.optimizer == fastbp.Adam()


def test_numpy_s_numbers_are_numbers():
    model = model_of(Dense(1), optimizer=fastbp.SGD(0.1))
    model.optimizer.learning_rate = np.float32(0.05)
    assert type(model.optimizer.learning_rate) is float
    assert json.dumps(model.get_state()[1]["optimizer"])
    plain = model_of(Dense(1), optimizer=fastbp.SGD(float(np.float32(0.05))))
    callback = fastbp.ReduceLROnPlateau("loss", patience=1)  # takes constant rates alone
    for each in (model, plain):
        each.fit(X, Y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.params, plain.params)


def test_numpy_s_numbers_that_are_assigned_are_python_s():
    """In settings of one's own too, which check nothing."""

    @dataclasses.dataclass
    class Own(Settings):
        size: int = 1
        sizes: tuple = ()

    own = Own()
    own.size, own.sizes = np.int8(100), (np.int8(100), np.float32(0.5))
    assert [type(value) for value in (own.size, *own.sizes)] == [int, int, float]
    assert own.size * 2 == 200


@pytest.mark.parametrize(
    ("settings", "name", "hint"),
    [
        (Dense(1), "trainabel", "Did you mean 'trainable'"),
        (Dense(1), "rate", "It has: units"),
        (fastbp.Adam(), "learning_rat", "Did you mean 'learning_rate'"),
        (fastbp.SGD(), "lr", "It has: learning_rate"),
    ],
    ids=str,
)
def test_settings_that_are_not_there(settings, name, hint):
    with pytest.raises(AttributeError, match=f"has no setting '{name}'.*{hint}"):
        setattr(settings, name, 0.1)


def test_settings_that_only_go_together():
    optimizer = fastbp.SGD(clipvalue=1.0)
    with pytest.raises(ValueError, match="clipvalue or global_clipnorm, not both"):
        optimizer.global_clipnorm = 1.0
    optimizer.clipvalue = None
    optimizer.global_clipnorm = 1.0
    assert optimizer == fastbp.SGD(global_clipnorm=1.0)
