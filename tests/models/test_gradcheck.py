"""check_gradients: passes on right gradients, names the worst entry of wrong ones, changes nothing."""

import numba
import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(9, 3)), RNG.normal(size=9)


def model_with(loss="mean_squared_error", layers=None):
    layers = layers or [fastbp.Dense(4, activation="tanh"), fastbp.Dropout(0.4), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(3,), seed=0, dtype="float64")
    model.compile(optimizer="sgd", loss=loss)
    return model


@pytest.mark.parametrize("training", [False, True])
def test_right_gradients_pass_and_leave_the_model_as_it_was(training):
    model = model_with()
    before = model.params.copy()
    result = fastbp.check_gradients(model, X, Y, training=training)
    assert result.max_relative_error < 1e-8
    assert result.worst.startswith("dense")
    np.testing.assert_array_equal(model.params, before)
    np.testing.assert_array_equal(model.grads, model.value_and_grad(X, Y, training=training)[1])
    assert model.step == 0
    assert "relative error" in str(result)


@numba.njit
def wrong(y_true, y_pred, dout):
    dout[0] = 3 * (y_pred[0] - y_true[0])
    return (y_pred[0] - y_true[0]) ** 2


@numba.njit
def half_nan(y_true, y_pred, dout):
    dout[0] = 2 * (y_pred[0] - y_true[0])
    dout[1] = np.nan
    return (y_pred[0] - y_true[0]) ** 2


def test_a_wrong_gradient_is_named():
    with pytest.raises(AssertionError, match=r"worst entry dense(_1)?/(kernel|bias)\[\d.*\]: gradient .* difference"):
        fastbp.check_gradients(model_with(fastbp.CustomLoss(wrong)), X, Y)


def test_a_nan_among_right_entries_is_not_passed_over():
    model = model_with(fastbp.CustomLoss(half_nan), [fastbp.Dense(2, use_bias=False)])
    with pytest.raises(AssertionError, match=r"worst entry dense/kernel\[0, 1\]: gradient nan"):
        fastbp.check_gradients(model, X, Y)


def test_frozen_layers_are_left_out():
    model = model_with(layers=[fastbp.Dense(2, trainable=False), fastbp.Dense(1)])
    assert fastbp.check_gradients(model, X, Y).worst.startswith("dense_1")


@pytest.mark.parametrize("input_shape", [(3,), None])
def test_a_float32_model_is_checked_in_float64(input_shape):
    layers = [fastbp.Dense(4, activation="gelu"), fastbp.Dropout(0.4), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=input_shape, seed=3)
    model.compile(loss="mean_squared_error")
    result = fastbp.check_gradients(model, X, Y, training=True)
    assert result.max_relative_error < 1e-8
    np.testing.assert_allclose(
        result.grad, model.value_and_grad(X, Y, training=True)[1].flat[_number(model, result)], 1e-4
    )
    model.compile(loss=fastbp.CustomLoss(wrong))
    with pytest.raises(AssertionError, match="worst entry"):
        fastbp.check_gradients(model, X, Y)


def _number(model, result):
    """The place of a result's entry in the flat vector."""
    name, _, entry = result.worst.rstrip("]").partition("[")
    start = next(placed.start for placed in model.engine.network.params if placed.name == name)
    return start + int(np.ravel_multi_index([int(i) for i in entry.split(",")], model.views[name].shape))


def test_a_large_model_is_checked_at_so_many_entries(monkeypatch):
    model = model_with(layers=[fastbp.Dense(40), fastbp.Dense(1)])
    calls = []
    value_and_grad = model.value_and_grad
    monkeypatch.setattr(model, "value_and_grad", lambda *a, **k: calls.append(1) or value_and_grad(*a, **k))
    fastbp.check_gradients(model, X, Y, entries=10)
    assert 15 <= len(calls) <= 21


def test_bad_arguments_are_refused():
    model = fastbp.Sequential([fastbp.Dense(1)])
    model.compile(loss="mean_squared_error")
    with pytest.raises(ValueError, match="x must have 2 dimensions"):
        fastbp.check_gradients(model, X[:, 0], Y)
    with pytest.raises(ValueError, match="entries=0"):
        fastbp.check_gradients(model, X, Y, entries=0)
