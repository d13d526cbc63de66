"""Branches, and inputs with several axes: wiring, names, errors, every way of cutting a batch, saving."""

import copy

import numpy as np
import pytest

import fastbp
from fastbp import (
    GRU,
    LSTM,
    Activation,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalMaxPooling1D,
    LayerNormalization,
    Masking,
    MaxPooling2D,
    PReLU,
    Reshape,
    Residual,
    SimpleRNN,
)
from fastbp.engine.cut import Purpose
from fastbp.engine.network import Network
from fastbp.engine.plan import Plan
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near
from tests.reference import autodiff, network
from tests.reference.rng import dropout_masks

# Branches in branches, frozen parts, several axes, shapes in place.
NESTED = [
    Dense(4, activation="tanh"),
    PReLU("ones"),
    Concatenate([[Dense(3, activation="gelu")], [], [Residual([Dense(6), Dropout(0.3), Dense(4)])]]),
    Flatten(),
    Residual([Dense(33, activation="silu"), Reshape((3, 11)), Concatenate([[Dense(4)], [Dense(4)]], axis=1), Flatten(),
              Dense(33, kernel_regularizer="l2")]),
    Concatenate([[Dropout(0.5)], [Residual([Residual([PReLU("random_uniform", alpha_regularizer="l1")])])]]),
    Dense(2),
]  # fmt: skip


def build(layers=NESTED, shape=(3, 5), dtype="float64", optimizer="adam"):
    model = fastbp.Sequential(layers, input_shape=shape, seed=3, dtype=dtype)
    model.compile(optimizer, "mean_squared_error")
    return model


def problem(n=301, shape=(3, 5), outputs=2):
    rng = np.random.default_rng(4)
    return rng.standard_normal((n, *shape)), rng.standard_normal((n, outputs))


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-5)])
def test_nested_branches_have_the_reference_s_gradient(monkeypatch, scheme, dtype, tolerance):
    force(monkeypatch, scheme)
    x, y = problem()
    model = build(dtype=dtype)
    weights, masks = network.weights_of(model), dropout_masks(model, len(x), step=0)
    assert len(masks) == 2
    value, grad = model.value_and_grad(x, y, training=True)
    expected = network.value_and_grad(model.layers, weights, x, y, "mean_squared_error", masks=masks)
    assert value == pytest.approx(expected[0], rel=tolerance)
    assert_near(grad, network.flatten(expected[1]), tolerance)
    _, tape = network.forward(model.layers, weights, x, masks)
    dx, grads = network.backward(tape, y)
    assert_near(model.vjp(x, y, training=True), dx, tolerance)
    assert_near(model.grads, network.flatten(grads), tolerance)


def test_nested_branches_have_jax_s_gradient():
    x, y = problem(n=12)
    model = build()
    value, grad = autodiff.value_and_grad(model, x, y, masks=dropout_masks(model, len(x), step=0))
    found, found_grad = model.value_and_grad(x, y, training=True)
    assert found == pytest.approx(value, rel=1e-12)
    assert_near(found_grad, grad, 1e-12)
    assert fastbp.check_gradients(model, x, y, training=True).max_relative_error < 1e-7


# Of sequences (t, d) and of images (h, w, c): convolutional, recurrent and normalising branches.
SEQUENCES = [
    Residual([LayerNormalization(), GRU(4, return_sequences=True)]),
    Concatenate([[LSTM(3, return_sequences=True)], [Conv1D(2, 3, padding="same", activation="tanh")], []]),
    Concatenate([[GlobalMaxPooling1D()], [SimpleRNN(3, go_backwards=True)], [Flatten(), Dense(2)]]),
    Dense(2),
]
IMAGES = [
    Residual([Conv2D(3, 3, padding="same", activation="gelu"), Conv2D(4, 1)]),
    Concatenate([[Conv2D(2, 1)], [MaxPooling2D(3, strides=1, padding="same"), Conv2D(3, 2, padding="same")], []]),
    Concatenate([[Conv2D(9, 3, padding="same")], [LayerNormalization()]], axis=1),
    Flatten(),
    Dense(2),
]


@pytest.mark.parametrize(("layers", "shape"), [(SEQUENCES, (5, 4)), (IMAGES, (4, 3, 4))], ids=["sequences", "images"])
def test_branches_of_every_kind_have_the_reference_s_gradient(layers, shape):
    x, y = problem(20, shape)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 3e-5)):
        model = build(layers, shape, dtype)
        value, grad = model.value_and_grad(x, y)
        expected = network.value_and_grad(model.layers, network.weights_of(model), x, y, "mean_squared_error")
        assert value == pytest.approx(expected[0], rel=tolerance)
        assert_near(grad, network.flatten(expected[1]), tolerance)


def test_branches_with_sums_over_the_batch_and_masks():
    """BatchNormalization in several branches, and a mask that goes on into all of them."""
    layers = [
        Masking(),
        Concatenate([[Dense(3), BatchNormalization()], [BatchNormalization(), GRU(2, return_sequences=True)]]),
        Residual([BatchNormalization(), LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)]),
        SimpleRNN(2),
    ]
    x, y = problem(12, (5, 4))
    x[::2, 3:] = 0
    assert fastbp.check_gradients(build(layers, (5, 4)), x, y, training=True).max_relative_error < 1e-7


def test_same_bits_at_one_and_two_threads(small_work, run_threads):
    x, y = problem()
    params = []
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = build(dtype="float32")
        model.fit(x, y, epochs=2, batch_size=100, verbose=0)
        params.append(model.params.copy())
    assert 2 in run_threads.used
    assert params[0].tobytes() == params[1].tobytes()


def test_a_saved_model_is_the_same(tmp_path):
    x, y = problem(n=64)
    model = build(dtype="float32")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.layers == model.layers
    assert list(again.views) == list(model.views)
    assert np.array_equal(again.predict(x), model.predict(x))
    for one in (model, again):
        one.fit(x, y, epochs=1, verbose=0)
    assert np.array_equal(again.params, model.params)


@pytest.mark.parametrize(
    ("layers", "same"),
    [
        ([Residual([Dense(4)])], lambda x, w: x + x @ w[1][0] + w[1][1]),
        ([Concatenate([[], [Reshape((2, 2)), Flatten()]])], lambda x, w: np.hstack([x, x])),
        ([Residual([Dropout(0.5)])], lambda x, w: x + x),
        ([Flatten(), Dropout(0.5), Reshape((4,))], lambda x, w: x),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_small_networks_are_their_formula(layers, same, training):
    model = build(layers, (4,))
    x, _ = problem(20, (4,))
    weights = network.weights_of(model)
    out = same(x, weights)
    assert_near(model.predict(x), out, 1e-14)
    if not training or not dropout_masks(model, 20, 0):
        dout = np.random.default_rng(0).standard_normal(out.shape)
        _, expected, _ = autodiff.vjp(model, x, dout)
        assert_near(model.vjp(x, dout, training=training), expected, 1e-13)
    loss = model.evaluate(x, np.zeros_like(out))
    assert loss == pytest.approx((out**2).mean(), rel=1e-12)


def test_names_and_views():
    assert list(build().views)[:6] == [
        "dense/kernel", "dense/bias", "prelu/alpha", "dense_1/kernel", "dense_1/bias", "dense_2/kernel"
    ]  # fmt: skip
    named = [Residual([Dense(4, name="inner")], name="block")]
    assert list(build(named, (4,)).views) == ["inner/kernel", "inner/bias"]
    with pytest.raises(ValueError, match="two layers are named 'inner'"):
        build([Dense(4, name="inner"), *named], (4,))


def test_one_spec_may_not_stand_in_two_branches():
    """It would look as if the branches shared weights; copies say that they do not."""
    spec = Dense(3)
    with pytest.raises(ValueError, match=r"one Dense object stands twice in the model.*copy.deepcopy"):
        build([Concatenate([[spec], [spec]])], (4,))
    model = build([Concatenate([[spec], [copy.deepcopy(spec)]])], (4,))
    assert list(model.views) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def test_summary_shows_the_layers_of_branches_but_no_forks(capsys):
    model = build()
    model.summary()
    shown = capsys.readouterr().out
    assert "\n    dense_2      Dense        (n, 3, 6)" in shown
    assert "\nconcatenate      Concatenate  (n, 3, 11)" in shown
    assert "fork" not in shown


def test_frozen_branches_have_no_gradient():
    x, y = problem(40, (4,))
    model = build([Concatenate([[Dense(3, trainable=False)], [Dense(2)]]), Dense(2)], (4,))
    _, grad = model.value_and_grad(x, y)
    weights = model.params.copy()
    model.fit(x, y, epochs=2, verbose=0)
    frozen = np.concatenate([model.views[name].ravel() for name in ("dense/kernel", "dense/bias")]).size
    assert not grad[:frozen].any()
    assert np.abs(grad[frozen:]).min() > 0
    assert np.array_equal(model.params[:frozen], weights[:frozen])
    assert (model.params[frozen:] != weights[frozen:]).all()


def test_nothing_before_the_first_trained_layer_runs_backward():
    layers = [Dense(4, trainable=False), Residual([Activation("tanh")]), Dense(3), Dense(2)]
    made = Plan(Network(layers, (4,)), 32, 2, "float32", Purpose(training=True))
    runs = {name: bool(row["backward"]) for name, row in zip(made.names, made.table, strict=True)}
    assert runs == {"dense": False, "residual/fork": False, "activation": False, "residual": False,
                    "dense_1": True, "dense_2": True}  # fmt: skip


def test_reshaping_takes_no_row_and_no_room():
    plain = Plan(Network([Dense(6), Dense(2)], (4,)), 32, 2, "float32", Purpose(training=True))
    layers = [Dense(6), Reshape((2, 3)), Flatten(), Dense(2), Reshape((1, -1)), Flatten()]
    shaped = Plan(Network(layers, (4,)), 32, 2, "float32", Purpose(training=True))
    assert shaped.names == plain.names
    assert shaped.work_size == plain.work_size


@pytest.mark.parametrize("activation", ["softmax", "gelu"])
def test_dense_on_the_last_axis_is_dense_on_rows(activation):
    x, y = problem(20, (3, 5), 12)
    deep = build([Dense(4, activation=activation), Flatten()], (3, 5))
    flat = build([Dense(4, activation=activation)], (5,))
    assert deep.views["dense/kernel"].shape == (5, 4)
    assert np.array_equal(deep.predict(x), flat.predict(x.reshape(60, 5)).reshape(20, 12))
    loss, grad = deep.value_and_grad(x, y)
    flat_loss, flat_grad = flat.value_and_grad(x.reshape(60, 5), y.reshape(60, 4))
    assert loss == pytest.approx(flat_loss, rel=1e-13)
    assert_near(grad, flat_grad, 1e-13)


def test_outputs_with_several_axes_take_targets_of_their_shape():
    x, y = problem(20, (3, 5), 12)
    model = build([Dense(4)], (3, 5))
    assert model.output_shape == (3, 4)
    assert model.predict(x).shape == (20, 3, 4)
    assert model.evaluate(x, y.reshape(20, 3, 4)) == model.evaluate(x, y)
    assert model.vjp(x, y.reshape(20, 3, 4)).shape == x.shape


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Residual(Dense(3)), TypeError, "Residual is a list of layers"),
        (lambda: Residual([]), ValueError, "at least one layer"),
        (lambda: Residual(["Dense"]), TypeError, "holds 'Dense'"),
        (lambda: Concatenate([Dense(3), Dense(3)]), TypeError, "a branch of Concatenate is a list of layers"),
        (lambda: Concatenate([[Dense(3)]]), ValueError, "two branches or more, not 1"),
        (lambda: Concatenate([[], []], axis=0), ValueError, "axis=0"),
        (lambda: Concatenate([[], []], axis=1.0), ValueError, r"axis=1\.0"),
        (lambda: build([Concatenate([[], []], axis=2)], (4,)), ValueError, r"axis=2.*\(4,\), \(4,\)"),
        (lambda: build([Concatenate([[Dense(2)], [Reshape((2, 2))]])], (4,)), ValueError, r"\(2,\), \(2, 2\)"),
        (lambda: build([Residual([Dense(3)])], (4,)), ValueError, r"shape \(4,\) and shape \(3,\) differ"),
        (lambda: Reshape(3), ValueError, "target_shape=3"),
        (lambda: Reshape((-1, -1)), ValueError, "one may be -1"),
        (lambda: Reshape((2, 0)), ValueError, r"\(2, 0\)"),
        (lambda: build([Reshape((3, -1))], (4,)), ValueError, "4 entries"),
        (lambda: build().predict(np.zeros((7, 15))), ValueError, r"must have 3 dimensions, \(rows, 3, 5\).*\(7, 15\)"),
        (lambda: build().predict(np.zeros((7, 5, 3))), ValueError, r"rows of shape \(5, 3\); the model takes \(3, 5\)"),
        (lambda: build().fit(np.full((7, 3, 5), np.inf), np.zeros((7, 2))), ValueError, r"x\[0, 0, 0\] is inf"),
    ],
)  # fmt: skip
def test_wrong_use_names_the_value(make, error, message):
    with pytest.raises(error, match=message):
        make()
