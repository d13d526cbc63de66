"""BatchNormalization against its formula in JAX, its statistics, and what a layer with buffers and segments needs.

LayerNormalization and RMSNormalization have their cases in tests/layers/test_layers.py.
"""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastbp
from fastbp import (
    L1,
    L2,
    Activation,
    BatchNormalization,
    Concatenate,
    Constant,
    Dense,
    Dropout,
    Flatten,
    LayerNormalization,
    MaxNorm,
    Reshape,
    Residual,
    RMSNormalization,
)
from fastbp.engine import limits
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan
from fastbp.layers import LAYERS
from tests.layers.test_layers import assert_near

RANDOM = {"gamma_initializer": "random_normal", "beta_initializer": "random_normal"}
CASES = [
    BatchNormalization(),
    BatchNormalization(1, 0.5, 0.1, **RANDOM, name="rows"),
    BatchNormalization(momentum=0, **RANDOM, gamma_regularizer=L1(0.1), beta_regularizer=L2(0.2)),
    BatchNormalization(momentum=1.0, **RANDOM, gamma_constraint=MaxNorm(0.5), beta_constraint=MaxNorm(0.3)),
    BatchNormalization(center=False, gamma_initializer="random_normal"),
    BatchNormalization(scale=False, beta_initializer="random_normal"),
    BatchNormalization(center=False, scale=False),
    BatchNormalization(moving_mean_initializer=Constant(0.3), moving_variance_initializer=Constant(2.0)),
    BatchNormalization(**RANDOM, moving_mean_initializer="ones", trainable=False),
]
every_case = pytest.mark.parametrize("layer", CASES, ids=lambda layer: str(CASES.index(layer)))
SHAPES = [(6,), (5, 3), (4, 6, 2), (7, 7, 300)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
NAME = "batchnormalization"


def build(layers, shape=(6,), dtype="float64", optimizer="sgd", loss="mean_squared_error"):
    model = fastbp.Sequential(layers, input_shape=shape, seed=3, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def problem(n=13, shape=(6,), outputs=3):
    """Return x with means and variances of all sizes, and y, both exact in float32."""
    rng = np.random.default_rng(1)
    x = rng.normal(rng.normal(0, 3, shape[-1]), rng.uniform(0.5, 3, shape[-1]), (n, *shape))
    return x.astype(np.float32).astype(float), rng.normal(size=(n, outputs)).astype(np.float32).astype(float)


def normalized(x, gamma, beta, mean, variance, epsilon):
    return (x - mean) / jnp.sqrt(variance + epsilon) * gamma + beta


def moments(x):
    axes = tuple(range(x.ndim - 1))
    return x.mean(axes), x.var(axes)


def formula(layer, params, buffers, x, training):
    """Return the layer's output in JAX; params and buffers are flat."""
    c = x.shape[-1]
    gamma, params = (params[:c], params[c:]) if layer.scale else (1.0, params)
    beta = params[:c] if layer.center else 0.0
    batch = training and layer.trainable
    mean, variance = moments(x) if batch else (buffers[:c], buffers[c:])
    return normalized(x, gamma, beta, mean, variance, layer.epsilon)


def test_every_setting_has_a_case():
    for field in dataclasses.fields(BatchNormalization):
        assert len({repr(getattr(layer, field.name)) for layer in CASES}) > 1, f"no case sets {field.name}"


@every_case
@every_shape
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n", [1, 5, 150])
def test_vjp_is_jax_s(layer, shape, training, n):
    """In float64 to 1e-11, in float32 to a few units in the last place; 150 rows make slices of several chunks."""
    if layer.axis == 1 and len(shape) > 1:
        return
    x, _ = problem(n, shape)
    dout = np.random.default_rng(2).normal(size=x.shape).astype(np.float32).astype(float)
    models = build([layer], shape), build([layer], shape, "float32")
    models[0].params[:] = models[1].params
    models[0].engine.buffers[:] = models[1].engine.buffers
    arrays = (jnp.asarray(a, float) for a in (models[0].params, x))
    buffers = models[0].engine.buffers.copy()
    _, pull = jax.vjp(lambda p, x: formula(layer, p, buffers, x, training), *arrays)
    grad, dx = pull(jnp.asarray(dout))
    for model, tolerance in zip(models, (1e-11, 3e-6), strict=True):
        found = model.vjp(x, dout, training=training)
        # Of a single entry a channel the gradient vanishes: what is left of it is rounding.
        scale = max(np.abs(dx).max(), 1e-3)
        assert np.abs(found - dx).max() <= tolerance * scale
        if layer.trainable and grad.size:
            assert_near(model.grads, grad, 10 * tolerance)
        assert layer.trainable or not model.grads.any()


@every_case
@every_shape
def test_prediction_takes_the_moving_statistics(layer, shape):
    if layer.axis == 1 and len(shape) > 1:
        return
    x, _ = problem(50, shape)
    model = build([layer], shape)
    model.vjp(x, x, training=True)
    expected = formula(layer, model.params, model.engine.buffers, x, False)
    assert_near(model.predict(x), expected, 1e-12)
    assert np.array_equal(model.predict(x)[:3], model.predict(x[:3]))


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_finite_differences(layer, training):
    x, y = problem()
    layers = [Dense(6, activation="tanh"), layer, Dense(3, bias_initializer="random_normal")]
    model = build(layers)
    buffers = model.engine.buffers.copy()
    assert fastbp.check_gradients(model, x, y, training=training).max_relative_error < 1e-7
    assert np.array_equal(model.engine.buffers, buffers)


def test_finite_differences_in_the_twin_of_a_float32_model():
    x, y = problem()
    layers = [Dense(6, activation="tanh"), BatchNormalization(**RANDOM), Dense(3)]
    model = fastbp.Sequential(layers, seed=0)
    model.compile(loss="mean_squared_error")
    fastbp.check_gradients(model, x, y, training=True)
    model.views[f"{NAME}/moving_variance"][:] = 9.0
    assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-6


@every_shape
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_moving_statistics_are_keras_s(shape, momentum):
    """Of biased variances; moved by training steps and by passes with training=True, not by others."""
    x, _ = problem(40, shape)
    layer = BatchNormalization(momentum=momentum)
    model = build([layer, Flatten(), Dense(1)], shape, optimizer=fastbp.SGD(0.0))
    mean, variance = np.zeros(shape[-1]), np.ones(shape[-1])
    views = model.views
    y = np.zeros(40)
    for call in (model.train_on_batch, lambda x, y: model.value_and_grad(x, y, training=True)):
        call(x, y)
        batch = moments(x)
        mean = momentum * mean + (1 - momentum) * batch[0]
        variance = momentum * variance + (1 - momentum) * batch[1]
        assert_near(views[f"{NAME}/moving_mean"], mean, 1e-12)
        assert_near(views[f"{NAME}/moving_variance"], variance, 1e-12)
    buffers = model.engine.buffers.copy()
    for call in (model.evaluate, model.value_and_grad, lambda x, y: model.predict(x)):
        call(x, y)
        assert np.array_equal(model.engine.buffers, buffers)


@pytest.mark.parametrize(("mean", "tolerance"), [(0, 5e-7), (30, 1e-6), (1e4, 1e-4)])
def test_large_means_do_not_cost_digits(mean, tolerance):
    """E[x^2] - E[x]^2 would leave no digit of a variance of 1 beside a mean of 10,000 in float32.

    What is lost there is what the mean's last place (0.001) takes from distances between the means of blocks.
    """
    x = np.random.default_rng(0).normal(mean, 1, (3000, 4)).astype(np.float32)
    model = build([BatchNormalization(momentum=0.0)], (4,), "float32")
    model.vjp(x, x, training=True)
    mean, variance = moments(x.astype(float))
    assert np.abs(model.views[f"{NAME}/moving_mean"] - mean).max() < 2e-7 * max(np.abs(mean).max(), 1)
    assert np.abs(model.views[f"{NAME}/moving_variance"] / variance - 1).max() < tolerance


def test_a_frozen_layer_is_as_at_prediction():
    x, y = problem(64)
    model = build([Dense(6), BatchNormalization(trainable=False), Dense(3)], optimizer="adam")
    before = {name: view.copy() for name, view in model.views.items()}
    model.fit(x, y, epochs=2, verbose=0)
    for name, view in model.views.items():
        assert np.array_equal(view, before[name]) == name.startswith(NAME), name
    assert model.value_and_grad(x, y, training=True)[0] == model.value_and_grad(x, y)[0]


BLOCKS = [
    Dense(20),
    BatchNormalization(**RANDOM),
    Activation("relu"),
    Concatenate([[Dense(8), BatchNormalization()], [Residual([BatchNormalization(), Dense(20)]), Dropout(0.2)]]),
    BatchNormalization(trainable=False),
    Dense(3),
]


@pytest.mark.parametrize("rows", [33, 150, 700])
def test_the_same_bits_at_any_number_of_threads(run_threads, small_work, rows):
    """A short last batch, several slices of several chunks, branches."""
    x, y = problem(1000)
    found = []
    for threads in (1, 2, 3):
        run_threads(threads)
        model = build(BLOCKS, dtype="float32", optimizer=fastbp.Adam(0.01, global_clipnorm=1.0))
        model.fit(x, y, epochs=2, batch_size=rows, verbose=0)
        found.append((model.params.tobytes(), model.engine.buffers.tobytes(), model.vjp(x, y, training=True).tobytes()))
        assert set(run_threads.used) == ({threads} if threads > 1 else set())
    assert found[0] == found[1] == found[2]


def test_any_chunks_give_the_same_gradient(monkeypatch):
    x, y = problem(301)
    whole = build(BLOCKS).value_and_grad(x, y, training=True)
    for constants in ({"MAX_SLICES": 1}, {"MAX_SLICES": 2}, {"SLICE_MULTIPLY_ADDS": 1}, {"WORKSPACE_BYTES": 1}):
        with monkeypatch.context() as patch:
            for name, value in constants.items():
                patch.setattr(limits, name, value)
            value, grad = build(BLOCKS).value_and_grad(x, y, training=True)
        assert value == pytest.approx(whole[0], rel=1e-12)
        assert_near(grad, whole[1], 1e-11)


def test_plans_have_two_rows_for_it_in_training_alone():
    network = build([Dense(6), BatchNormalization(), Dense(3)]).engine.network
    training = Plan(network, 3000, 3, np.float32, Purpose(training=True))
    assert training.names == ["dense", NAME, NAME, "dense_1"]
    assert training.segments.tolist() == [0, 2, 4]
    assert not training.sliced
    assert training.n_slices <= limits.MAX_SLICES
    assert (training.items["layer"] != 1).all()
    prediction = Plan(network, 3000, 3, np.float32, Purpose(training=False))
    assert prediction.names == ["dense", NAME, "dense_1"]
    assert prediction.segments.tolist() == [0, 3]
    assert prediction.sliced
    frozen = build([Dense(6), BatchNormalization(trainable=False), Dense(3)]).engine.network
    assert Plan(frozen, 3000, 3, np.float32, Purpose(training=True)).n_segments == 1


def test_regions_of_slices_do_not_overlap():
    made = Plan(build(BLOCKS).engine.network, 700, 3, np.float32, Purpose(training=True))
    rows = [row for row in made.table if row["slice_stride"]]
    starts = sorted({int(row["slice_work"]) for row in rows})
    ends = {int(row["slice_work"]): int(row["slice_work"] + made.n_slices * row["slice_stride"]) for row in rows}
    outs = [(int(row["out"]), int(row["out"] + row["n_out"] * made.region_rows)) for row in made.table]
    for start in starts:
        assert ends[start] <= made.work_size
        assert all(end <= start or ends[start] <= first for first, end in outs)
        assert all(other == start or other >= ends[start] or ends[other] <= start for other in starts)


def trained(epochs=3, dtype="float32"):
    x, y = problem(200)
    model = build(BLOCKS, dtype=dtype, optimizer="adam")
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model, x, y


@pytest.mark.parametrize("how", ["file", "pickle", "deepcopy"])
def test_resumed_training_has_the_same_bits(tmp_path, how):
    model, x, y = trained()
    if how == "file":
        model.save(tmp_path / "m.fastbp")
        again = fastbp.load_model(tmp_path / "m.fastbp")
    else:
        again = pickle.loads(pickle.dumps(model)) if how == "pickle" else copy.deepcopy(model)
    assert list(again.views) == list(model.views)
    assert np.array_equal(again.predict(x), model.predict(x))
    assert np.shares_memory(again.views[f"{NAME}/moving_mean"], again.engine.buffers)
    for one in (model, again):
        one.fit(x, y, epochs=2, batch_size=64, verbose=0)
    assert np.array_equal(again.params, model.params)
    assert np.array_equal(again.engine.buffers, model.engine.buffers)
    assert np.array_equal(model.params, trained(5)[0].params)


def test_weights_have_keras_s_order():
    model = build([Dense(4), BatchNormalization(), Dense(2)])
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert list(model.views) == [
        "dense/kernel",
        "dense/bias",
        *(f"{NAME}/{name}" for name in names),
        "dense_1/kernel",
        "dense_1/bias",
    ]
    weights = [np.full_like(w, i) for i, w in enumerate(model.get_weights())]
    model.set_weights(weights)
    assert (model.views[f"{NAME}/moving_mean"] == 4).all()
    assert (model.engine.buffers == [4] * 4 + [5] * 4).all()
    assert model.params.size == 6 * 4 + 4 + 8 + 8 + 2
    assert model.count_params() == model.params.size + 8


def test_summary_counts_moving_statistics_as_not_trainable(capsys):
    build([Dense(4), BatchNormalization()]).summary()
    text = capsys.readouterr().out
    assert "params 44: 36 trainable, 8 not" in text


def test_a_batch_without_update_leaves_the_statistics():
    x, y = problem()
    model = build([BatchNormalization(), Dense(3)], dtype="float32")
    before = model.engine.buffers.copy()
    with pytest.raises(ArithmeticError, match="no update"):
        model.train_on_batch(x, np.full_like(y, 1e30))
    assert np.array_equal(model.engine.buffers, before)


def test_divergence_puts_the_statistics_back():
    x, y = problem(64)
    model = build([Dense(4), BatchNormalization(), Dense(3)], dtype="float32", optimizer=fastbp.SGD(0.01))
    model.fit(x, y, epochs=1, verbose=0)
    before = model.params.copy(), model.engine.buffers.copy()
    y[60:] = 1e30
    with pytest.raises(fastbp.TrainingDiverged):
        model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert np.array_equal(model.params, before[0])
    assert np.array_equal(model.engine.buffers, before[1])


def test_it_learns_what_it_cannot_without():
    """Badly scaled inputs."""
    x, _ = problem(400)
    x = x * [1e3, 1e-3, 1, 1, 1e2, 1e-2]
    y = np.tanh((x - x.mean(0)) / x.std(0)).sum(1)
    model = build([BatchNormalization(), Dense(16, activation="tanh"), Dense(1)], optimizer=fastbp.Adam(0.01))
    model.fit(x, y, epochs=60, batch_size=40, verbose=0)
    assert model.evaluate(x, y) < 0.1 * y.var()


@pytest.mark.parametrize("kind", [BatchNormalization, LayerNormalization, RMSNormalization])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0}, "epsilon=0"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"axis": 0}, "axis=0"),
        ({"axis": 1}, "axis=1"),
        ({"momentum": 1.5}, r"momentum=1\.5"),
        ({"gamma_initializer": "onse"}, "ones"),
    ],
)
def test_wrong_settings_name_the_value(kind, settings, message):
    if not set(settings) <= {field.name for field in dataclasses.fields(kind)}:
        return
    with pytest.raises(ValueError, match=message):
        build([kind(**settings)], (4, 3))


def layer_norm(x, epsilon):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon)


def rms_norm(x, epsilon):
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + epsilon)


@pytest.mark.parametrize(("kind", "rule"), [(LayerNormalization, layer_norm), (RMSNormalization, rms_norm)])
@pytest.mark.parametrize("shape", [(1,), (7,), (16,), (65,), (3, 130), (2, 2, 5)], ids=str)
def test_rows_of_all_lengths(kind, rule, shape):
    """Rows shorter than a vector, between, and longer than four."""
    x, _ = problem(9, shape)
    dout = np.random.default_rng(2).normal(size=x.shape).astype(np.float32).astype(float)
    expected, pull = jax.vjp(lambda x: rule(x, 1e-2), jnp.asarray(x))
    for dtype, tolerance in (("float64", 1e-12), ("float32", 3e-6)):
        model = build([kind(epsilon=1e-2)], shape, dtype)
        assert np.abs(model.predict(x) - expected).max() < 10 * tolerance
        assert np.abs(model.vjp(x, dout, training=True) - pull(jnp.asarray(dout))[0]).max() < 30 * tolerance


def test_a_layer_that_sums_has_its_kernels():
    """Whoever sets `whole_batch` brings the two kernels more."""
    for kind in LAYERS.values():
        assert (kind.sum_forward is None) == (kind.finish_backward is None)
    assert BatchNormalization.sum_forward is not None


def test_reshaped_inputs_have_the_same_statistics():
    """(n, h, w, c) is as (n * h * w, c)."""
    x, _ = problem(12, (4, 6, 2))
    images, rows = build([BatchNormalization()], (4, 6, 2)), build([BatchNormalization()], (2,))
    flat = build([Reshape((4, 6, 2)), BatchNormalization()], (48,))
    dx = images.vjp(x, x**2, training=True)
    assert_near(rows.vjp(x.reshape(-1, 2), x.reshape(-1, 2) ** 2, training=True).reshape(x.shape), dx, 1e-11)
    assert np.array_equal(flat.vjp(x.reshape(12, -1), x**2, training=True).reshape(x.shape), dx)


@pytest.mark.parametrize("kind", [BatchNormalization, LayerNormalization, fastbp.GroupNormalization])
def test_a_constraint_bounds_the_norm_of_the_whole_vector(kind):
    """As Keras's MaxNorm does, whose axis is 0."""
    limits = {"gamma_constraint": MaxNorm(1.5), "beta_constraint": MaxNorm(1e-3)}
    settings = {"groups": 2} if kind is fastbp.GroupNormalization else {}
    model = fastbp.Sequential([kind(**settings, **limits), Dense(1)], input_shape=(6,), seed=0, dtype="float64")
    model.compile(fastbp.SGD(0.5), "mean_squared_error")
    x = np.random.default_rng(0).normal(size=(16, 6))
    gradient = model.value_and_grad(x, x[:, :1], training=True)[1]
    model.train_on_batch(x, x[:, :1])
    gamma, beta = (model.engine.network.params[i] for i in (0, 1))
    for placed, start, limit in ((gamma, 1.0, 1.5), (beta, 0.0, 1e-3)):
        stepped = start - 0.5 * gradient[placed.start : placed.stop]
        expected = stepped * np.minimum(limit / np.linalg.norm(stepped), 1.0)
        np.testing.assert_allclose(model.params[placed.start : placed.stop], expected, rtol=1e-12)
        assert np.linalg.norm(stepped) > limit
