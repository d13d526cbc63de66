"""Whole random networks against JAX, and the ways of getting a gradient or making a step against each other."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import fastbp
from fastbp import Activation, Dense, Dropout, PReLU
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from tests.layers.test_layers import assert_near
from tests.reference import autodiff, network
from tests.reference.rng import dropout_masks

SIZES = st.integers(1, 40)
HIDDEN = sorted(set(ACTIVATIONS) - {"softmax"})
SMOOTH = ["linear", "tanh", "sigmoid", "gelu", "silu", "mish", "softplus", "elu"]


def output_activations(name):
    """Return the activations that may end a model with this loss."""
    if name == "poisson":
        return ["softplus", "sigmoid"]
    link = LOSSES[name].link
    return [link, "linear"] if link else sorted(ACTIVATIONS)


def loss_of(name, activation, smoothing, outputs=3):
    if name == "quantile":
        return fastbp.QuantileLoss((np.arange(outputs) + 0.5) / outputs)
    if LOSSES[name].link is None:
        return LOSSES[name]()
    return LOSSES[name](from_logits=activation == "linear", label_smoothing=smoothing)


def build(layers, columns, loss, dtype="float64", seed=0, optimizer="sgd"):
    model = fastbp.Sequential(layers, input_shape=(columns,), seed=seed, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def both(layers, columns, loss, seed=0):
    """Return the model in float64 and in float32, with the same parameters, none of them 0."""
    double, single = (build(layers, columns, loss, dtype, seed) for dtype in ("float64", "float32"))
    single.params[:] += 0.1 * np.random.default_rng(seed).standard_normal(single.params.size)
    double.params[:] = single.params
    return double, single


@st.composite
def hidden_layers(draw):
    kind = draw(st.sampled_from(["dense", "dense", "dense", "prelu", "activation", "dropout"]))
    if kind == "dense":
        return Dense(draw(SIZES), activation=draw(st.sampled_from(HIDDEN)), use_bias=draw(st.booleans()))
    if kind == "prelu":
        return PReLU("random_uniform", trainable=draw(st.booleans()))
    return Activation(draw(st.sampled_from(HIDDEN))) if kind == "activation" else Dropout(draw(st.floats(0, 0.9)))


@st.composite
def problems(draw):
    """A network, its loss, and rows."""
    name = draw(st.sampled_from(sorted(LOSSES)))
    activation = draw(st.sampled_from(output_activations(name)))
    outputs = draw(st.integers(2 if "categorical" in name else 1, 12))
    last = Dense(outputs, activation=activation, use_bias=draw(st.booleans()))
    loss = loss_of(name, activation, draw(st.sampled_from([0.0, 0.1])), outputs)
    n, seed = draw(st.integers(1, 70)), draw(st.integers(0, 1000))
    return [*draw(st.lists(hidden_layers(), max_size=4)), last], draw(SIZES), n, loss, seed


def data_of(columns, n, loss, outputs, seed):
    """Return x (n, d), y and row weights, exact in float32."""
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal((n, columns)), rng.uniform(0.5, 2, n)
    y = autodiff.random_targets(loss, rng, n, outputs)
    y = y if y.dtype.kind == "i" else y.astype(np.float32)
    return x.astype(np.float32), y, weights.astype(np.float32)


def check_value_and_grad(layers, columns, n, loss, seed):
    double, single = both(layers, columns, loss, seed)
    x, y, weights = data_of(columns, n, loss, double.output_shape[0], seed)
    masks = dropout_masks(double, n, step=0)
    value, grad = autodiff.value_and_grad(double, x, y, weights, masks)
    for model, tolerance in ((double, 1e-10), (single, 2e-5)):
        found, found_grad = model.value_and_grad(x, y, sample_weight=weights, training=True)
        # A value may be a small difference of large terms (hinge, poisson): measured by its terms' size.
        assert found == pytest.approx(value, rel=tolerance, abs=tolerance)
        assert_near(found_grad, grad, tolerance) if np.abs(grad).max() > 1e-30 else assert_zero(found_grad)


def assert_zero(grad):
    assert np.abs(grad).max(initial=0) <= 1e-30


@settings(max_examples=30)
@given(problems())
def test_random_network(problem):
    check_value_and_grad(*problem)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("rows", [1, 33])
def test_every_loss(name, rows):
    activation = output_activations(name)[0]
    for smoothing in (0.0, 0.2):
        loss = loss_of(name, activation, smoothing)
        check_value_and_grad([Dense(7, activation="tanh"), Dense(3, activation=activation)], 4, rows, loss, 2)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_before_squared_error(activation):
    layers = [Dense(9, activation=activation), Dense(5, activation=activation), Dense(3, activation=activation)]
    check_value_and_grad(layers, 6, 11, fastbp.MeanSquaredError(), 5)


@settings(max_examples=12)
@given(problems())
def test_random_vjp(problem):
    layers, columns, n, loss, seed = problem
    double, single = both(layers, columns, loss, seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, columns)).astype(np.float32)
    dout = rng.standard_normal((n, double.output_shape[0])).astype(np.float32)
    out, dx, grad = autodiff.vjp(double, x, dout, dropout_masks(double, n, step=0))
    for model, tolerance in ((double, 1e-10), (single, 2e-5)):
        found = model.vjp(x, dout, training=True)
        for value, expected in ((found, dx), (model.grads, grad)):
            assert_near(value, expected, tolerance) if np.abs(expected).max() > 1e-30 else assert_zero(value)
    if not dropout_masks(double, n, step=0):
        assert_near(double.predict(x), out, 1e-10)
        assert_near(single.predict(x), out, 2e-5)


@settings(max_examples=12)
@given(problems())
def test_random_network_against_the_reference(problem):
    """The NumPy oracle of whole networks agrees with JAX's, so that trajectories may rest on it."""
    layers, columns, n, loss, seed = problem
    model, _ = both(layers, columns, loss, seed)
    rng = np.random.default_rng(seed)
    x, dout = rng.standard_normal((n, columns)), rng.standard_normal((n, model.output_shape[0]))
    weights = network.weights_of(model)
    out, tape = network.forward(model.layers, weights, x)
    dx, grads = network.backward(tape, dout)
    assert_near(model.predict(x), out, 1e-12)
    found = model.vjp(x, dout)
    frozen = autodiff.trainable_entries(model)
    for value, expected in ((found, dx), (model.grads, network.flatten(grads) * frozen)):
        assert_near(value, expected, 1e-10) if np.abs(expected).max() > 1e-30 else assert_zero(value)


def test_oracles_know_every_row():
    assert set(autodiff.ACTIVATIONS) == set(ACTIVATIONS)
    assert set(autodiff.LOSSES) == set(LOSSES)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"vector_jacobian"}))
def test_finite_differences_of_every_loss(name):
    activation = output_activations(name)[0]
    layers = [Dense(5, activation="tanh"), Dropout(0.3), Dense(3, activation=activation)]
    model = build(layers, 4, loss_of(name, activation, 0.1), seed=1)
    x, y, _ = data_of(4, 9, model.loss, 3, seed=1)
    assert fastbp.check_gradients(model, x, y, training=True).max_relative_error < 1e-7


# The ways to the same numbers.

LAYERS = [Dense(6, activation="tanh", kernel_regularizer="l2"), PReLU("ones"), Dense(3, activation="softmax")]


def classifier(optimizer="adam", dtype="float64", layers=LAYERS, metrics=None):
    model = fastbp.Sequential(layers, input_shape=(5,), seed=4, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics)
    return model


def rows(n=40):
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 5)), rng.integers(0, 3, n)


def test_gradient_is_a_flat_copy_in_keras_order():
    x, y = rows()
    model = classifier()
    names = ["dense/kernel", "dense/bias", "prelu/alpha", "dense_1/kernel", "dense_1/bias"]
    shapes = [(5, 6), (6,), (6,), (6, 3), (3,)]
    assert [(name, view.shape) for name, view in model.views.items()] == list(zip(names, shapes, strict=True))
    value, grad = model.value_and_grad(x, y)
    assert grad.shape == (model.count_params(),) == (sum(math.prod(shape) for shape in shapes),)
    assert grad.dtype == model.dtype
    assert np.array_equal(grad, model.grads)
    assert not np.shares_memory(grad, model.grads)
    kept = grad.copy()
    model.value_and_grad(x[:7], y[:7])
    assert np.array_equal(grad, kept)
    # Each part is the derivative by its view: move one entry of each.
    start = 0
    for name, shape in zip(names, shapes, strict=True):
        view = model.views[name]
        assert np.shares_memory(view, model.params)
        view.flat[-1] += 1e-6
        above, _ = model.value_and_grad(x, y)
        view.flat[-1] -= 1e-6
        start += math.prod(shape)
        assert (above - value) / 1e-6 == pytest.approx(grad[start - 1], abs=1e-5)


def test_value_is_evaluate_s():
    x, y = rows()
    model = classifier()
    assert model.value_and_grad(x, y)[0] == pytest.approx(model.evaluate(x, y), rel=1e-13)
    weights = np.linspace(0, 2, len(x))
    value, _ = model.value_and_grad(x, y, sample_weight=weights)
    assert value == pytest.approx(model.evaluate(x, y, sample_weight=weights), rel=1e-13)


def test_vjp_of_the_loss_s_gradient_is_the_gradient():
    x, y = rows()
    model = classifier(layers=[LAYERS[1], Dense(3, activation="softmax")])
    probabilities = model.predict(x)
    dout = -np.eye(3)[y] / probabilities / len(x)
    _, grad = model.value_and_grad(x, y)
    model.vjp(x, dout)
    np.testing.assert_allclose(model.grads, grad, rtol=1e-10, atol=1e-14)


def test_vjp_leaves_penalties_out():
    x, _ = rows()
    plain = classifier(layers=[Dense(3, activation="softmax")])
    penalised = classifier(layers=[Dense(3, activation="softmax", kernel_regularizer="l1_l2", bias_regularizer="l2")])
    for model in (plain, penalised):
        model.vjp(x, np.ones((len(x), 3)))
    assert np.array_equal(plain.grads, penalised.grads)


@pytest.mark.parametrize(
    "optimizer",
    [
        fastbp.Adam(0.01),
        fastbp.SGD(0.1, momentum=0.9, clipvalue=0.01),
        fastbp.RMSprop(0.01, global_clipnorm=0.1),
        fastbp.AdamW(0.01, 0.1),
        fastbp.Nadam(fastbp.CosineDecay(0.01, 10)),
    ],
    ids=lambda optimizer: optimizer.name,
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_way_to_step_has_the_same_bits(optimizer, dtype):
    """train_on_batch, value_and_grad with apply_gradients (given or kept), and fit."""
    x, y = rows()
    constrained = [Dense(6, activation="relu", kernel_constraint="max_norm"), Dropout(0.2), *LAYERS]
    on_batch, applied, kept, fitted = (classifier(optimizer, dtype, constrained) for _ in range(4))
    for _ in range(5):
        loss = on_batch.train_on_batch(x, y)
        value, grad = applied.value_and_grad(x, y, training=True)
        assert value == loss
        applied.grads[:] = 99
        applied.apply_gradients(grad)
        kept.value_and_grad(x, y, training=True)
        kept.apply_gradients()
    fitted.fit(x, y, epochs=5, batch_size=40, shuffle=False, verbose=0)
    for model in (applied, kept, fitted):
        assert np.array_equal(model.params, on_batch.params)
        assert np.array_equal(model.engine.state, on_batch.engine.state)
        assert model.step == 5


def test_train_on_batch_reports_metrics_of_the_forward_pass():
    x, y = rows()
    model = classifier(metrics=["accuracy"])
    accuracy = (model.predict(x).argmax(1) == y).mean()
    loss, _ = model.value_and_grad(x, y)
    assert model.train_on_batch(x, y) == pytest.approx([loss, accuracy])


def test_frozen_entries_of_grads_are_zero_after_every_call():
    x, y = rows()
    frozen = [Dense(6, activation="tanh", trainable=False), Dense(3, activation="softmax")]
    model = classifier(layers=frozen)
    part = slice(0, 36)
    weights = model.params[part].copy()
    calls = {
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "fit": lambda: model.fit(x, y, verbose=0),
        "value_and_grad": lambda: model.value_and_grad(x, y),
        "vjp": lambda: model.vjp(x, np.ones((len(x), 3))),
    }
    for name, run in calls.items():
        run()
        assert not model.grads[part].any(), name
        assert model.grads[36:].any(), name
    # Whatever a caller wrote there, the parameters stay, and the next gradient is zero again.
    model.apply_gradients(np.ones(model.count_params()))
    assert np.array_equal(model.params[part], weights)
    assert not model.value_and_grad(x, y)[1][part].any()


def test_predictions_do_not_depend_on_how_rows_are_batched():
    rng = np.random.default_rng(0)
    for activation in sorted(ACTIVATIONS):
        layers = [Dense(33, activation=activation), PReLU("random_normal"), Dense(5, activation=activation)]
        for dtype in ("float32", "float64"):
            model = build(layers, 7, "mean_squared_error", dtype)
            x = rng.standard_normal((101, 7)).astype(dtype)
            whole = model.predict(x)
            assert np.array_equal(np.concatenate([model.predict(x[i : i + 1]) for i in range(101)]), whole)
            assert np.array_equal(np.concatenate([model.predict(part) for part in np.split(x, [1, 4, 50])]), whole)


def test_predictions_beyond_one_plan_s_rows():
    x = np.random.default_rng(0).standard_normal((10_001, 5)).astype(np.float32)
    model = classifier(dtype="float32")
    whole = model.predict(x)
    assert np.array_equal(np.concatenate([model.predict(part) for part in np.array_split(x, 7)]), whole)
    expected, _ = network.forward(model.layers, network.weights_of(model), x.astype(float))
    assert_near(whole, expected, 2e-6)


def test_no_rows_predict_nothing():
    assert classifier().predict(np.zeros((0, 5))).shape == (0, 3)
