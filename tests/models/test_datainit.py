"""Initial values that depend on the training data: against NumPy, layer by layer."""

import numpy as np
import pytest

import fastbp
from fastbp import Concatenate, Dense, Dropout, MemberDense, PReLU, RepeatMembers
from fastbp.initializers import MinusRandomProducts, UnitVariance

ADAPTED = {"kernel_initializer": "unit_variance", "bias_initializer": "minus_random_products"}


def data(n=500, d=4):
    rng = np.random.default_rng(0)
    return rng.normal(rng.uniform(-3, 3, d), rng.uniform(0.1, 9, d), (n, d))


def build(layers, dtype="float64", seed=3):
    return fastbp.Sequential(layers, input_shape=(4,), seed=seed, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_every_layer_sees_the_adapted_layers_before_it(dtype, tolerance):
    x = data()
    layers = [Dense(9, **ADAPTED), PReLU("ones"), Dropout(0.5), Dense(7, "tanh"), Dense(3, **ADAPTED)]
    model = build(layers, dtype)
    untouched = {name: view.copy() for name, view in model.views.items()}
    fastbp.initialize_from_data(model, x)
    v = {name: view.astype(np.float64) for name, view in model.views.items()}
    z = x @ v["dense/kernel"]
    np.testing.assert_allclose(z.std(0), 1, rtol=tolerance)
    hidden = np.tanh((z + v["dense/bias"]) @ v["dense_1/kernel"] + v["dense_1/bias"])
    np.testing.assert_allclose((hidden @ v["dense_2/kernel"]).std(0), 1, rtol=tolerance)
    for name in ("prelu/alpha", "dense_1/kernel", "dense_1/bias"):
        assert np.array_equal(model.views[name], untouched[name])
    # Columns keep their directions.
    ratio = v["dense/kernel"] / untouched["dense/kernel"]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=tolerance * 10)


def test_biases_lie_within_minus_the_products():
    x = data()
    model = build([Dense(200, **ADAPTED)])
    fastbp.initialize_from_data(model, x)
    z = x @ model.views["dense/kernel"]
    bias = model.views["dense/bias"]
    assert (bias >= -z.max(0)).all()
    assert (bias <= -z.min(0)).all()
    # The mean of 5 exponential weights' squares is 2 / 6: the variance of the sum.
    assert abs((bias + z.mean(0)).var() - 1 / 3) < 0.1
    assert abs((bias + z.mean(0)).mean()) < 0.15


def test_one_row_for_each_bias():
    products = np.arange(12.0).reshape(4, 3)
    bias = MinusRandomProducts(rows=1).adapt(products, np.random.default_rng(0))
    assert np.isclose(products, -bias).any(axis=0).all()


def test_members_and_branches():
    x = data()
    model = build([RepeatMembers(3), MemberDense(5, **ADAPTED), Concatenate([[MemberDense(2, **ADAPTED)], []])])
    fastbp.initialize_from_data(model, x)
    for i in range(3):
        z = x @ model.views["memberdense/kernel"][i]
        np.testing.assert_allclose(z.std(0), 1, rtol=1e-12)
        z = (z + model.views["memberdense/bias"][i]) @ model.views["memberdense_1/kernel"][i]
        np.testing.assert_allclose(z.std(0), 1, rtol=1e-12)
    assert len({view.tobytes() for view in model.views["memberdense/bias"]}) == 3


def test_the_last_axis_counts_as_in_dense():
    x = data().reshape(250, 2, 4)
    model = fastbp.Sequential([Dense(6, use_bias=False, kernel_initializer=UnitVariance())], seed=0, dtype="float64")
    fastbp.initialize_from_data(model, x)
    np.testing.assert_allclose(model.predict(x).reshape(500, 6).std(0), 1, rtol=1e-12)


def test_same_seed_same_values():
    x, layers = data(), [Dense(9, **ADAPTED), Dense(3, **ADAPTED)]
    models = [build(layers, seed=seed) for seed in (3, 3, 4)]
    for model in models:
        fastbp.initialize_from_data(model, x)
    assert np.array_equal(models[0].params, models[1].params)
    assert not np.array_equal(models[0].params, models[2].params)
    biases = models[0].views["dense/bias"], models[0].views["dense_1/bias"]
    assert not np.array_equal(biases[0][:3], biases[1])


def test_constant_inputs_leave_a_finite_kernel():
    model = build([Dense(3, **ADAPTED)])
    fastbp.initialize_from_data(model, np.zeros((10, 4)))
    assert np.isfinite(model.params).all()


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="rows=0"):
        MinusRandomProducts(rows=0)
    with pytest.raises(ValueError, match="x has 3 columns; the model takes 4"):
        fastbp.initialize_from_data(build([Dense(3)]), np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"x\[1, 2\] is nan"):
        fastbp.initialize_from_data(build([Dense(3)]), np.where(np.arange(20).reshape(5, 4) == 6, np.nan, 0.0))
