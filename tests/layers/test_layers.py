"""Every registered layer and every setting of it: finite differences, JAX and the NumPy reference.

A layer stands between two dense layers, so that its gradients with respect to its parameters and to its
input are both needed, and alone, where `vjp` asks for the gradient with respect to the model's input.
"""

import dataclasses

import numpy as np
import pytest

import fastbp
from fastbp import (
    L1,
    L1L2,
    L2,
    Activation,
    AlphaDropout,
    AveragePooling1D,
    AveragePooling2D,
    CategoryEmbedding,
    Columns,
    Concatenate,
    Constant,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    LayerNormalization,
    MaxNorm,
    MaxPooling1D,
    MaxPooling2D,
    MemberDense,
    OneHot,
    ParametricActivation,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    PReLU,
    RepeatMembers,
    Reshape,
    Residual,
    RMSNormalization,
    Scaling,
    SpatialDropout1D,
    SpatialDropout2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from fastbp.activations import ACTIVATIONS
from fastbp.layers import LAYERS
from fastbp.layers.base import Layer
from fastbp.layers.core.branches import Fork
from fastbp.layers.core.elementwise import Elementwise
from tests import oracles
from tests.layers import recurrent_cases
from tests.reference import autodiff, network
from tests.reference.rng import dropout_masks

CASES = {
    "Dense": [
        *(Dense(4, activation=name) for name in ACTIVATIONS),
        Dense(5, activation=fastbp.LeakyReLU(0.05)),
        Dense(5, activation=fastbp.ELU(0.7)),
        Dense(1),
        Dense(3, use_bias=False),
        Dense(3, activation="gelu", use_bias=False, kernel_initializer="he_normal"),
        Dense(17, activation="relu", bias_initializer=Constant(0.3), name="wide"),
        Dense(3, activation="tanh", bias_initializer="ones", kernel_regularizer=L2(0.1), bias_regularizer=L1(0.2)),
        Dense(3, kernel_regularizer=L1L2(0.1, 0.3), kernel_constraint=MaxNorm(0.5)),
        Dense(3, activation="tanh", kernel_regularizer=L2(0.1), trainable=False),
        Dense(3, kernel_learning_rate_factor=2, bias_learning_rate_factor=0.1, kernel_decay_factor=0.5),
        Dense(3, bias_decay_factor=0, parametrization="ntk"),
    ],
    "Activation": [*(Activation(name) for name in ACTIVATIONS), Activation("tanh", name="bend")],
    "Dropout": [Dropout(0.0), Dropout(0.2), Dropout(0.9), Dropout(0.5, name="drop")],
    "AlphaDropout": [AlphaDropout(0.0), AlphaDropout(0.3), AlphaDropout(0.9, name="low")],
    "SpatialDropout1D": [SpatialDropout1D(0.0), SpatialDropout1D(0.4), SpatialDropout1D(0.9, name="channels")],
    "SpatialDropout2D": [SpatialDropout2D(0.0), SpatialDropout2D(0.4), SpatialDropout2D(0.9, name="channels")],
    "GaussianNoise": [GaussianNoise(0.0), GaussianNoise(0.3), GaussianNoise(2.0, name="loud")],
    "LayerNormalization": [
        LayerNormalization(),
        LayerNormalization(1, 0.1, gamma_initializer="random_normal", beta_initializer="ones", name="rows"),
        LayerNormalization(gamma_initializer="random_normal", gamma_regularizer=L1(0.1), beta_regularizer=L2(0.2)),
        LayerNormalization(center=False, gamma_constraint=MaxNorm(1.5)),
        LayerNormalization(scale=False, beta_constraint=MaxNorm(0.1)),
        LayerNormalization(center=False, scale=False),
        LayerNormalization(trainable=False),
    ],
    "RMSNormalization": [
        RMSNormalization(),
        RMSNormalization(1, 0.1, name="rows"),
        RMSNormalization(trainable=False),
    ],
    "PReLU": [
        PReLU(),
        PReLU(alpha_initializer=Constant(0.25), name="slopes"),
        PReLU(alpha_initializer=Constant(-0.4), alpha_regularizer=L1L2(0.1, 0.2)),
        PReLU(alpha_initializer=Constant(0.25), trainable=False),
    ],
    "Flatten": [Flatten(), Flatten(name="flat")],
    "Reshape": [Reshape((1, -1)), Reshape((-1, 1, 1), name="column")],
    "Concatenate": [
        Concatenate([[Dense(4, activation="gelu")], []]),
        Concatenate([[], [Dropout(0.4)], [Dense(2)], []], axis=1, name="four"),
        Concatenate([[Concatenate([[Dense(3)], [Residual([PReLU("ones")])]]), Dense(2)], [Dense(2, trainable=False)]]),
        Concatenate([[Reshape((1, -1)), Dense(3)], [Dense(6), Reshape((2, 3))], [Reshape((-1, 1)), Dense(3)]], axis=1),
        Concatenate([[Reshape((1, -1)), Dense(3)], [Dense(6), Reshape((1, 6))]], axis=-1),
    ],
    "Residual": [
        Residual([Dense(7, activation="silu"), Dropout(0.3), Concatenate([[PReLU()], []]), Dense(6)]),
        Residual([PReLU("ones")]),
        Residual([Residual([Dropout(0.5)]), Residual([PReLU(Constant(0.3))])], name="deep"),
    ],
    "Columns": [Columns([0]), Columns(range(1, 4), name="middle"), Columns((5, 0, 5, 2))],
    "Embedding": [
        Embedding(3, 2),
        Embedding(9, 5, "random_normal", name="letters"),
        Embedding(3, 17, learning_rate_factor=0.1, decay_factor=0),
        Embedding(3, 2, embeddings_regularizer=L1L2(0.1, 0.2), embeddings_constraint=MaxNorm(0.5)),
        Embedding(3, 2, mask_zero=True),
        Embedding(4, 2, lazy=True),
        Embedding(3, 2, trainable=False),
    ],
    "CategoryEmbedding": [
        CategoryEmbedding([3] * 6),
        CategoryEmbedding([3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 20], "random_uniform", name="tables"),
        CategoryEmbedding([3] * 6, 2, learning_rate_factor=0.1, decay_factor=0),
        CategoryEmbedding([3] * 6, 2, lazy=True),
        CategoryEmbedding([3] * 6, 2, trainable=False),
    ],
    "OneHot": [OneHot([3] * 6), OneHot([9, 3, 3, 3, 3, 4], name="bits")],
    "Scaling": [
        Scaling(),
        Scaling("random_normal", use_bias=True, bias_initializer="random_normal", name="affine"),
        Scaling("random_signs", learning_rate_factor=6.0, decay_factor=0.5),
        Scaling("random_normal", use_bias=True, trainable=False),
    ],
    "ParametricActivation": [
        *(ParametricActivation(name, Constant(0.7)) for name in ACTIVATIONS),
        ParametricActivation("mish", learning_rate_factor=0.1, decay_factor=0.0, name="bent"),
        ParametricActivation("selu", "random_normal", trainable=False),
    ],
    "RepeatMembers": [RepeatMembers(1), RepeatMembers(5, name="copies")],
    "MemberDense": [
        *(MemberDense(4, activation=name) for name in ACTIVATIONS),
        MemberDense(1, use_bias=False, kernel_initializer="random_normal", name="heads"),
        MemberDense(3, "tanh", bias_initializer="ones", kernel_regularizer=L2(0.1), bias_regularizer=L1(0.2)),
        MemberDense(17, "relu", kernel_learning_rate_factor=2, bias_learning_rate_factor=0.1, kernel_decay_factor=3),
        MemberDense(2, "gelu", bias_decay_factor=0, parametrization="ntk"),
        MemberDense(2, "gelu", trainable=False),
    ],
    "PeriodicEmbedding": [
        PeriodicEmbedding(),
        PeriodicEmbedding(5, 2, 0.7, name="waves"),
        PeriodicEmbedding(17, 9, learning_rate_factor=0.1, decay_factor=0.1),
        PeriodicEmbedding(3, trainable=False),
    ],
    "PiecewiseLinearEmbedding": [
        PiecewiseLinearEmbedding([[-0.5, 0.5], [-1, -0.2, 0.1, 1], [0, 1, 2], [-2, 0], [-0.3, 0.01], [-1, 0, 3]]),
        PiecewiseLinearEmbedding([np.linspace(-1, 1.1, n) for n in (2, 9, 20, 3, 4, 2)], 5, 0.1, 0.2, name="bends"),
        PiecewiseLinearEmbedding([[-0.5, 0.02, 0.5]] * 6, 3, trainable=False),
    ],
    **recurrent_cases.CASES,
    **oracles.CASES,
    # Their windows have tests of their own: here every setting.
    "Conv1D": [
        Conv1D(4, 2),
        Conv1D(6, 3, 2, "causal", 2, 2, "gelu", False, "he_normal", "ones", L2(0.1), L1(0.2), MaxNorm(0.5), False, "w"),
        Conv1D(5, 2, activation="tanh", bias_initializer=Constant(0.3), kernel_regularizer="l2", bias_regularizer="l1"),
    ],
    "Conv2D": [
        Conv2D(4, (2, 1)),
        Conv2D(6, 3, 2, "same", 2, 2, "gelu", False, "he_normal", "ones", L2(0.1), L1(0.2), MaxNorm(0.5), False, "w"),
        Conv2D(5, (2, 1), activation="tanh", bias_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1"),
    ],
    "DepthwiseConv2D": [
        DepthwiseConv2D((2, 1)),
        DepthwiseConv2D(
            3, 2, "same", 3, 2, "gelu", False, "he_normal", "ones", L2(0.1), L1(0.2), MaxNorm(0.5), False, "w"
        ),
        DepthwiseConv2D((2, 1), activation="tanh", bias_initializer="ones", depthwise_regularizer="l2"),
    ],
    "MaxPooling1D": [MaxPooling1D(), MaxPooling1D(3, 1, "same", "coarse")],
    "MaxPooling2D": [MaxPooling2D((2, 1)), MaxPooling2D(3, 1, "same", "coarse")],
    "AveragePooling1D": [AveragePooling1D(), AveragePooling1D(3, 1, "same", "coarse")],
    "AveragePooling2D": [AveragePooling2D((2, 1)), AveragePooling2D(3, 1, "same", "coarse")],
    "GlobalMaxPooling1D": [GlobalMaxPooling1D(), GlobalMaxPooling1D(True, "all")],
    "GlobalMaxPooling2D": [GlobalMaxPooling2D(), GlobalMaxPooling2D(True, "all")],
    "GlobalAveragePooling1D": [GlobalAveragePooling1D(), GlobalAveragePooling1D(True, "all")],
    "GlobalAveragePooling2D": [GlobalAveragePooling2D(), GlobalAveragePooling2D(True, "all")],
    "ZeroPadding1D": [ZeroPadding1D(), ZeroPadding1D((0, 2), "later")],
    "ZeroPadding2D": [ZeroPadding2D(), ZeroPadding2D(((0, 2), (1, 0)), "uneven")],
}
# Layers that take inputs with several axes, and what makes them of a row.
IN_FRONT = {
    **recurrent_cases.IN_FRONT,
    **oracles.IN_FRONT,
    "MemberDense": Reshape((2, 3)),
    "SpatialDropout1D": Reshape((2, 3)),
    "SpatialDropout2D": Reshape((1, 2, 3)),
    **{name: Reshape((3, 2)) for name in CASES if name.endswith(("Conv1D", "Pooling1D", "Padding1D"))},
    **{name: Reshape((3, 1, 2)) for name in CASES if name.endswith(("Conv2D", "Pooling2D", "Padding2D"))},
}
# Layers that take categories: they come first, and get 0, 1 and 2.
CATEGORIES = ("Embedding", "CategoryEmbedding", "OneHot")


def case_name(layer):
    settings = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer) if not f.name.startswith("_")}
    shown = [f"{getattr(value, 'name', value)}" for value in settings.values() if value is not None]
    return f"{type(layer).__name__}({','.join(shown)})"[:80]


every_layer = pytest.mark.parametrize("layer", [layer for cases in CASES.values() for layer in cases], ids=case_name)
# MemberMean and SoftmaxBlocks act on predictions alone (tests/losses/test_member.py and test_joint.py there); rows of
# a BatchNormalization depend on each other (test_normalization.py).
ELSEWHERE = ("MemberMean", "SoftmaxBlocks", "BatchNormalization")
every_kind = pytest.mark.parametrize("name", [name for name in LAYERS if name not in ELSEWHERE])


def between(layer):
    front = [] if type(layer).__name__ in CATEGORIES else [Dense(6, activation="tanh")]
    return [*front, *alone(layer), Flatten(), Dense(3, bias_initializer="random_normal")]


def alone(layer):
    front = IN_FRONT.get(type(layer).__name__, [])
    return [*(front if isinstance(front, list) else [front]), layer]


def build(layers, dtype="float64", columns=6):
    model = fastbp.Sequential(layers, input_shape=(columns,), seed=3, dtype=dtype)
    model.compile(loss="mean_squared_error")
    return model


def problem(layer=None, n=13, columns=6, outputs=3):
    """Return x that suits the layer, and y, both exact in float32."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((n, columns)), rng.standard_normal((n, outputs))
    if type(layer).__name__ in CATEGORIES:
        x = rng.integers(0, 3, (n, columns))
    return x.astype(np.float32), y.astype(np.float32)


def assert_near(value, expected, tolerance):
    """Compare with the largest expected entry as the measure."""
    expected = np.asarray(expected, np.float64)
    assert np.shape(value) == expected.shape
    assert np.abs(value - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-300)


@every_kind
def test_has_cases_and_references(name):
    assert name in CASES, f"write tests/oracles/{name.lower()}.py, as the docstring of tests/oracles says"
    assert name in network.LAYERS
    assert name in autodiff.LAYERS
    assert all(type(layer) is LAYERS[name] for layer in CASES[name])


@every_kind
def test_every_setting_has_a_case(name):
    for field in dataclasses.fields(LAYERS[name]):
        values = [repr(getattr(layer, field.name)) for layer in CASES[name]]
        assert len(set(values)) > 1, f"no case of {name} sets {field.name}"


@every_layer
def test_finite_differences(layer):
    x, y = problem(layer)
    model = build(between(layer))
    result = fastbp.check_gradients(model, x, y, training=True)
    assert result.max_relative_error < 1e-7


@every_layer
def test_gradient_is_jax_s(layer):
    x, y = problem(layer)
    model, single = build(between(layer)), build(between(layer), "float32")
    # The same numbers in both, exact in float32.
    model.params[:] = single.params
    value, grad = autodiff.value_and_grad(model, x, y, masks=dropout_masks(model, len(x), step=0))
    for one, tolerance in ((model, 1e-10), (single, 2e-5)):
        found, found_grad = one.value_and_grad(x, y, training=True)
        assert found == pytest.approx(value, rel=tolerance)
        assert_near(found_grad, grad, tolerance)


@every_layer
def test_vjp_is_jax_s(layer):
    model, single = build(alone(layer)), build(alone(layer), "float32")
    model.params[:] = single.params
    x, _ = problem(layer)
    dout = np.random.default_rng(2).standard_normal((len(x), *model.output_shape)).astype(np.float32)
    _, dx, grad = autodiff.vjp(model, x, dout, dropout_masks(model, len(x), step=0))
    for one, tolerance in ((model, 1e-10), (single, 2e-5)):
        assert_near(one.vjp(x, dout, training=True), dx, tolerance)
        if grad.size:
            assert_near(one.grads, grad, tolerance)


@every_layer
def test_gradient_is_the_reference_s(layer):
    x, y = problem(layer)
    model = build(between(layer))
    value, grad = model.value_and_grad(x, y, training=True)
    masks = dropout_masks(model, len(x), step=0)
    arguments = model.layers, network.weights_of(model), x.astype(float), y.astype(float), "mean_squared_error"
    expected = network.value_and_grad(*arguments, masks=masks)
    assert value == pytest.approx(expected[0], rel=1e-12)
    assert_near(grad, network.flatten(expected[1]), 1e-12)


@every_layer
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_prediction(layer, dtype):
    x, _ = problem(layer)
    model = build(between(layer), dtype)
    expected, _ = network.forward(model.layers, network.weights_of(model), x.astype(float))
    assert_near(model.predict(x), expected, 1e-13 if dtype == "float64" else 3e-6)


@every_layer
def test_a_nan_in_a_row_stays_in_it(layer):
    """A bad row is seen in the outputs, and no other row is."""
    if type(layer).__name__ in CATEGORIES:
        return  # refused
    x, _ = problem(layer)
    model = build(alone(layer), "float32")
    clean = model.predict(x)
    x[4] = np.nan
    outputs = build(alone(layer), "float32").predict(x)
    around = type(layer).__name__.startswith("ZeroPadding") & (clean[4] == 0)
    assert np.isnan(outputs[4][~around]).all()
    assert np.array_equal(np.delete(outputs, 4, axis=0), np.delete(clean, 4, axis=0))


@pytest.mark.parametrize(
    ("layers", "frozen"),
    [
        ([Dense(4, trainable=False), Dense(3)], "dense"),
        ([Dense(4), Dense(3, kernel_regularizer="l2", trainable=False)], "dense_1"),
        ([Dense(3), PReLU("ones", trainable=False)], "prelu"),
    ],
)
def test_frozen_layers_have_no_gradient_and_stay(layers, frozen):
    x, y = problem()
    model = build(layers)
    model.compile(fastbp.AdamW(0.1, weight_decay=0.1), "mean_squared_error")
    weights = model.params.copy()
    model.vjp(x, y)
    of_vjp = model.grads.copy()
    _, grad = model.value_and_grad(x, y)
    model.fit(x, y, epochs=2, verbose=0)
    for placed in model.engine.network.params:
        part = slice(placed.start, placed.stop)
        stays = placed.name.startswith(f"{frozen}/")
        assert (np.abs(grad[part]).max() == 0) == stays
        assert (np.abs(of_vjp[part]).max() == 0) == stays
        assert np.array_equal(model.params[part], weights[part]) == stays


def test_a_model_without_trainable_parameters_trains():
    x, y = problem()
    model = build([Dense(3, trainable=False), Dropout(0.5)])
    weights = model.params.copy()
    model.fit(x, y, epochs=1, verbose=0)
    assert np.array_equal(model.params, weights)
    assert not model.value_and_grad(x, y)[1].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "units=0"),
        (lambda: Dense(2.5), r"units=2\.5"),
        (lambda: Dense(True), "units=True"),
        (lambda: Dense(3, activation="rely"), "relu"),
        (lambda: Dense(3, kernel_regularizer="l3"), "l3"),
        (lambda: Activation("tahn"), "tanh"),
        (lambda: Dropout(1.0), r"rate=1\.0"),
        (lambda: Dropout(-0.1), r"rate=-0\.1"),
        (lambda: Dropout(float("nan")), "rate=nan"),
        (lambda: build([Dense(3, name="a"), Dense(3, name="a")]), "'a'"),
    ],
)
def test_wrong_settings_name_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_count_up_and_specs_are_shared_unchanged():
    shared = Dense(3, activation="relu")
    before = repr(shared)
    first, second = build([shared, Dense(3)]), build([Dense(2), shared])
    assert list(first.views) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert second.views["dense_1/kernel"].shape == (2, 3)
    assert repr(shared) == before


def test_layers_are_registered_once():
    registered = {cls for cls in LAYERS.values() if cls.__module__.startswith("fastbp.")}  # loads them all
    derived = {*Layer.__subclasses__(), *Elementwise.__subclasses__()}
    ours = {cls for cls in derived if cls.__module__.startswith("fastbp.")}
    assert registered == ours - {Fork, Elementwise}
