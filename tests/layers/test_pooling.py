"""Pooling and zero padding over a grid of options, against JAX's own; ties, NaN, and what is refused."""

import numpy as np
import pytest

import fastbp
from fastbp import (
    AveragePooling1D,
    AveragePooling2D,
    Conv2D,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
    Reshape,
    ZeroPadding1D,
    ZeroPadding2D,
)
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near, case_name
from tests.reference import autodiff, network

IMAGES = [
    (settings, shape)
    for settings, shape in [
        ({}, (6, 8, 3)),
        ({}, (7, 5, 6)),  # odd sizes: a row and a column belong to no window
        ({"padding": "same"}, (7, 5, 2)),
        ({"pool_size": 3, "strides": 2}, (7, 9, 5)),  # windows overlap
        ({"pool_size": 3, "strides": 2, "padding": "same"}, (6, 5, 9)),
        ({"pool_size": (1, 3), "strides": (2, 4)}, (5, 11, 2)),  # strides beyond the window
        ({"pool_size": (4, 5), "strides": 1, "padding": "same"}, (3, 2, 3)),  # a window larger than the image
        ({"pool_size": 1}, (1, 1, 1)),
        ({"pool_size": (2, 3)}, (4, 6, 17)),
    ]
]
SEQUENCES = [
    ({}, (8, 3)),
    ({"pool_size": 3, "padding": "same"}, (10, 1)),
    ({"pool_size": 3, "strides": 1}, (5, 8)),
    ({"pool_size": 2, "strides": 5}, (13, 2)),
]
CASES = [
    *((kind(**settings), shape) for kind in (MaxPooling2D, AveragePooling2D) for settings, shape in IMAGES),
    *((kind(**settings), shape) for kind in (MaxPooling1D, AveragePooling1D) for settings, shape in SEQUENCES),
    (GlobalMaxPooling2D(), (5, 4, 7)),
    (GlobalAveragePooling2D(), (5, 4, 7)),
    (GlobalMaxPooling2D(keepdims=True), (1, 1, 3)),
    (GlobalAveragePooling2D(keepdims=True), (3, 2, 33)),
    (GlobalMaxPooling1D(), (9, 2)),
    (GlobalAveragePooling1D(keepdims=True), (1, 2)),
    (ZeroPadding1D(), (4, 3)),
    (ZeroPadding1D((0, 2)), (4, 3)),
    (ZeroPadding2D(), (3, 2, 5)),
    (ZeroPadding2D(((1, 0), (2, 3))), (3, 2, 5)),
    (ZeroPadding2D((0, 2)), (3, 2, 1)),
]
every_case = pytest.mark.parametrize(
    ("layer", "shape"), [pytest.param(*case, id=f"{case_name(case[0])} {case[1]}") for case in CASES]
)


def alone(layer, shape, dtype="float64"):
    model = fastbp.Sequential([layer], input_shape=shape, dtype=dtype)
    model.compile(loss="mean_squared_error")
    return model


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@every_case
def test_values_and_gradients_are_jax_s(layer, shape):
    model, single = alone(layer, shape), alone(layer, shape, "float32")
    x = normal(3, *shape)
    dout = normal(3, *model.output_shape, seed=2)
    out, dx, _ = autodiff.vjp(model, x, dout)
    for one, tolerance in ((model, 1e-9), (single, 1e-5)):
        assert_near(one.predict(x), out, tolerance)
        assert_near(one.vjp(x, dout), dx, tolerance)


@pytest.mark.parametrize("channels", range(1, 20))
@pytest.mark.parametrize("kind", [MaxPooling2D, AveragePooling2D])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_edges_of_vectors(kind, channels, dtype):
    """Lanes beyond the channels reach neither the next row of an image nor the next image."""
    for settings in ({}, {"padding": "same"}, {"strides": 3}, {"strides": 1}, {"pool_size": (1, 3)}):
        layer, shape = kind(**settings), (6, 5, channels)
        model = alone(layer, shape, dtype)
        for n in (1, 37):
            x, dout = normal(n, *shape), normal(n, *model.output_shape, seed=2)
            out, tape = network.forward(model.layers, [[]], x.astype(float))
            dx, _ = network.backward(tape, dout.astype(float))
            tolerance = 1e-13 if dtype == "float64" else 1e-6
            assert_near(model.predict(x), out, tolerance)
            assert_near(model.vjp(x, dout), dx, tolerance)


@pytest.mark.parametrize("settings", [{}, {"pool_size": 3, "strides": 2}, {"pool_size": 3, "strides": 1}])
def test_the_first_of_several_largest_entries_gets_the_gradient(settings):
    """As in JAX: images of zeros and ones have ties in nearly all windows."""
    layer, shape = MaxPooling2D(**settings), (8, 9, 3)
    model = alone(layer, shape)
    x = np.random.default_rng(0).integers(0, 2, (5, *shape)).astype(float)
    dout = normal(5, *model.output_shape)
    _, dx, _ = autodiff.vjp(model, x, dout)
    assert_near(model.vjp(x, dout), dx, 1e-12)


@pytest.mark.parametrize(
    "layer", [MaxPooling2D(), MaxPooling2D(3, 1, "same"), AveragePooling2D(), GlobalMaxPooling2D()]
)
@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_nan_is_seen_wherever_it_stands_in_a_window(layer, place):
    x = np.zeros((1, 2, 2, 3), np.float32)
    x[0, *place, 1] = np.nan
    outputs = alone(layer, x.shape[1:], "float32").predict(x).reshape(-1, 3)
    assert np.isnan(outputs[0, 1])
    assert not np.isnan(outputs[:, [0, 2]]).any()


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("pooling", [MaxPooling2D(3, 2, "same"), AveragePooling2D(2)], ids=str)
def test_every_scheme_has_the_reference_s_gradient(monkeypatch, scheme, pooling):
    force(monkeypatch, scheme)
    layers = [Reshape((7, 5, 2)), Conv2D(6, 2, activation="tanh"), pooling, GlobalMaxPooling2D(), Flatten()]
    model = fastbp.Sequential(layers, input_shape=(70,), seed=0, dtype="float64")
    model.compile("sgd", "mean_squared_error")
    x, y = normal(75, 70).astype(float), normal(75, 6, seed=1).astype(float)
    _, grad = model.value_and_grad(x, y)
    expected = network.value_and_grad(model.layers, network.weights_of(model), x, y, "mean_squared_error")
    assert_near(grad, network.flatten(expected[1]), 1e-12)


def test_finite_differences():
    layers = [Conv2D(3, 2, activation="tanh"), AveragePooling2D(2, 1, "same"), MaxPooling2D(3, 2), Flatten()]
    model = fastbp.Sequential(layers, input_shape=(8, 7, 2), seed=0, dtype="float64")
    model.compile("sgd", "mean_squared_error")
    x = normal(4, 8, 7, 2)
    y = normal(4, *model.output_shape, seed=1)
    assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxPooling2D(0), "pool_size=0"),
        (lambda: MaxPooling2D((2, 2, 2)), "3 sizes, not 2"),
        (lambda: AveragePooling1D(2, strides=-1), "strides=-1"),
        (lambda: MaxPooling2D(padding="causal"), "padding='causal'"),
        (lambda: ZeroPadding1D(-1), "padding=-1"),
        (lambda: ZeroPadding1D((1, 2, 3)), r"padding=\(1, 2, 3\)"),
        (lambda: ZeroPadding2D(((1, 2), 3)), "two pairs"),
        (lambda: ZeroPadding2D(1.5), r"padding=1\.5"),
        (lambda: alone(MaxPooling2D(), (784,)), "Reshape"),
        (lambda: alone(MaxPooling2D(3), (2, 8, 1)), "covers 3 entries, the input has 2"),
        (lambda: alone(GlobalMaxPooling1D(), (2, 8, 1)), r"not \(n, 2, 8, 1\)"),
        (lambda: alone(ZeroPadding2D(), (8, 1)), r"not \(n, 8, 1\)"),
    ],
)
def test_wrong_settings_name_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
