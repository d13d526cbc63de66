"""Layers of tabular networks and ensembles: the NTK parametrisation, factors, cuts, threads, files, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fastbp
from fastbp import (
    Dense,
    Flatten,
    MemberDense,
    ParametricActivation,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    RepeatMembers,
    SameForMembers,
    Scaling,
)
from fastbp.engine.network import Network
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near
from tests.reference import network

BINS = [[-1.0, -0.2, 0.1, 1.0], [-0.5, 0.5], [-1.5, 0.0, 0.3, 0.4, 2.0]]
NETWORKS = {
    "RealMLP": [
        PeriodicEmbedding(8, 4, 0.5, learning_rate_factor=0.1),
        Flatten(),
        Scaling(learning_rate_factor=6),
        Dense(19, parametrization="ntk", kernel_initializer="fan_in_normal"),
        ParametricActivation("mish", learning_rate_factor=0.1),
        Dense(2, parametrization="ntk", kernel_initializer="fan_in_normal", bias_learning_rate_factor=0.1),
    ],
    "TabM": [
        PiecewiseLinearEmbedding(BINS, 5),
        Flatten(),
        RepeatMembers(4),
        Scaling("random_normal"),
        Dense(9, use_bias=False),
        Scaling(use_bias=True, bias_initializer=SameForMembers()),
        ParametricActivation("relu"),
        MemberDense(2),
        Flatten(),
        Dense(2),
    ],
    "packed": [
        RepeatMembers(3),
        Scaling("random_normal", use_bias=True),
        MemberDense(11, activation="gelu", kernel_regularizer="l2"),
        MemberDense(4, activation="tanh"),
        Flatten(),
        Dense(2),
    ],
}
every_network = pytest.mark.parametrize("name", list(NETWORKS))


def build(layers, dtype="float64", optimizer="adam", columns=3):
    model = fastbp.Sequential(layers, input_shape=(columns,), seed=3, dtype=dtype)
    model.compile(optimizer, "mean_squared_error")
    return model


def problem(n=301, columns=3, outputs=2):
    rng = np.random.default_rng(4)
    return rng.standard_normal((n, columns)), rng.standard_normal((n, outputs))


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-5)])
@every_network
def test_every_scheme_has_the_reference_s_gradient(monkeypatch, name, scheme, dtype, tolerance):
    force(monkeypatch, scheme)
    x, y = problem()
    model = build(NETWORKS[name], dtype)
    # A kernel of zeros would hide errors behind it.
    model.params[:] += 0.1 * np.random.default_rng(0).standard_normal(model.params.size)
    weights = network.weights_of(model)
    value, grad = model.value_and_grad(x, y)
    expected = network.value_and_grad(model.layers, weights, x, y, "mean_squared_error")
    assert value == pytest.approx(expected[0], rel=tolerance)
    assert_near(grad, network.flatten(expected[1]), tolerance)
    dx, grads = network.backward(network.forward(model.layers, weights, x)[1], y)
    assert_near(model.vjp(x, y), dx, tolerance)
    assert_near(model.grads, network.flatten(grads), tolerance)


@every_network
def test_same_bits_at_one_and_two_threads(small_work, run_threads, name):
    x, y = problem()
    params = []
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = build(NETWORKS[name], "float32")
        model.fit(x, y, epochs=2, batch_size=100, verbose=0)
        params.append(model.params.copy())
    assert 2 in run_threads.used
    assert params[0].tobytes() == params[1].tobytes()


@every_network
def test_a_saved_model_is_the_same(tmp_path, name):
    x, y = problem(64)
    model = build(NETWORKS[name], "float32")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.layers == model.layers
    assert np.array_equal(again.predict(x), model.predict(x))
    for one in (model, again):
        one.fit(x, y, epochs=1, verbose=0)
    assert np.array_equal(again.params, model.params)


def test_ntk_is_a_network_whose_products_are_divided():
    """Adam and decay on explicit weights w of x @ w / sqrt(d): the same outputs, step after step."""
    x, y = problem(40)
    layers = [Dense(16, "tanh", parametrization="ntk"), Dense(2, parametrization="ntk", kernel_decay_factor=0.5)]
    learning_rate, decay, epsilon = 0.05, 0.3, 1e-14
    model = build(layers, optimizer=fastbp.AdamW(learning_rate, weight_decay=decay, epsilon=epsilon))
    names, scales = list(model.views), [np.sqrt(3), 1, np.sqrt(16), 1]
    p = [jnp.asarray(model.views[name] * scale) for name, scale in zip(names, scales, strict=True)]

    def outputs(p):
        hidden = jnp.tanh(x @ p[0] / np.sqrt(3) + p[1])
        return hidden @ p[2] / np.sqrt(16) + p[3]

    adam = optax.adam(learning_rate, eps=epsilon)
    state = adam.init(p)
    for _ in range(30):
        model.train_on_batch(x, y)
        grads = jax.grad(lambda p: ((outputs(p) - y) ** 2).mean())(p)
        p = [w - learning_rate * decay * factor * w for w, factor in zip(p, (1, 1, 0.5, 1), strict=True)]
        updates, state = adam.update(grads, state)
        p = optax.apply_updates(p, updates)
    assert_near(model.predict(x), outputs(p), 1e-9)


@pytest.mark.parametrize(
    ("layer", "factors"),
    [
        (Dense(4, kernel_learning_rate_factor=2, bias_learning_rate_factor=0.1, kernel_decay_factor=3,
               bias_decay_factor=0), {"kernel": (2, 3), "bias": (0.1, 0)}),
        (Dense(4, kernel_learning_rate_factor=2, kernel_decay_factor=3, parametrization="ntk"),
         {"kernel": (2 / np.sqrt(3), 3 * np.sqrt(3)), "bias": (1, 1)}),
        (Scaling(use_bias=True, learning_rate_factor=6, decay_factor=0.5), {"scale": (6, 0.5), "bias": (6, 0.5)}),
        (ParametricActivation("selu", learning_rate_factor=0.1, decay_factor=0), {"alpha": (0.1, 0)}),
        (PeriodicEmbedding(4, learning_rate_factor=0.1, decay_factor=0.2),
         dict.fromkeys(("kernel", "bias", "frequency", "phase"), (0.1, 0.2))),
        (PiecewiseLinearEmbedding(BINS, learning_rate_factor=0.1, decay_factor=0.2),
         dict.fromkeys(("kernel", "slope", "bias"), (0.1, 0.2))),
    ],
)  # fmt: skip
def test_factors_reach_the_update(layer, factors):
    """A step of SGD with decay: w - rate * factor * (decay * decay factor * w + gradient)."""
    x, y = problem(20)
    rate, decay = 0.01, 0.2
    model = build([layer, Flatten(), Dense(2)], optimizer=fastbp.SGD(rate, weight_decay=decay))
    before = {name: view.copy() for name, view in model.views.items()}
    _, grad = model.value_and_grad(x, y)
    grads = model.engine.network.views(grad)
    model.train_on_batch(x, y)
    for name, (rate_factor, decay_factor) in factors.items():
        name = f"{type(layer).__name__.lower()}/{name}"
        w = before[name] * (1 - rate * rate_factor * decay * decay_factor)
        assert_near(model.views[name], w - rate * rate_factor * grads[name], 1e-13)


def test_initial_values():
    shapes = Network([PeriodicEmbedding(64, 33, 0.25)], (50,))
    views = shapes.views(shapes.initial_params(0, np.dtype("float64")))
    assert 0.98 / 8 < np.abs(views["periodicembedding/kernel"]).max() <= 1 / 8
    assert 0.98 / 8 < np.abs(views["periodicembedding/bias"]).max() <= 1 / 8
    assert abs(views["periodicembedding/frequency"].std() - 0.25) < 0.01
    assert 0.98 * np.pi < np.abs(views["periodicembedding/phase"]).max() <= np.pi
    shapes = Network([PiecewiseLinearEmbedding(BINS, 400)], (3,))
    views = shapes.views(shapes.initial_params(0, np.dtype("float64")))
    assert not views["piecewiselinearembedding/kernel"].any()
    for name in ("slope", "bias"):
        assert 0.98 / 20 < np.abs(views[f"piecewiselinearembedding/{name}"]).max() <= 1 / 20


def test_shares_beyond_the_outer_edges():
    """Unlimited outwards, so that numbers that training did not see stay apart."""
    model = build([PiecewiseLinearEmbedding([[0.0, 1.0, 3.0]], 1)], columns=1)
    for name, value in (("kernel", [[1.0], [10.0]]), ("slope", 0), ("bias", 0)):
        model.views[f"piecewiselinearembedding/{name}"][...] = value
    found = model.predict([[-2.0], [0.5], [1.0], [2.0], [5.0]]).ravel()
    assert found.tolist() == [-2.0, 0.5, 1.0, 6.0, 21.0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_predictions_and_the_training_pass_agree(dtype):
    """Predictions look bins up and make waves feature by feature; training adds shares and keeps what it makes."""
    rng = np.random.default_rng(0)
    bins = [np.sort(rng.standard_normal(n)).tolist() for n in (2, 3, 40, 90)]
    for layers in ([PiecewiseLinearEmbedding(bins, 5), Flatten()], [PeriodicEmbedding(7, 3, 0.5), Flatten()]):
        model = build(layers, dtype, columns=4)
        model.params[:] = rng.standard_normal(model.params.size)
        x = rng.standard_normal((300, 4)) * 2
        x[:2] = [[edges[0] for edges in bins], [edges[-1] for edges in bins]]
        x[2:41, 2], x[2:91, 3] = bins[2][1:], bins[3][1:]
        y = np.zeros_like(model.predict(x))
        in_training, _ = model.value_and_grad(x, y)
        assert_near(
            np.square(model.predict(x).astype("float64")).mean(), in_training, 1e-12 if dtype == "float64" else 1e-5
        )


def test_missing_numbers_stay_missing():
    model = build([PiecewiseLinearEmbedding(BINS, 2)], columns=3)
    found = model.predict([[np.nan, 0.0, 1.0]])[0]
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()


def test_a_frozen_embedding_is_looked_up_in_training_too():
    """Nothing goes back through it: its bins are tabulated there as for predictions."""
    x, y = problem(40)
    layers = [PiecewiseLinearEmbedding(BINS, 3, trainable=False), Flatten(), Dense(2)]
    model = build(layers)
    model.views["piecewiselinearembedding/kernel"][:] = np.random.default_rng(0).standard_normal((8, 3))
    loss, _ = model.value_and_grad(x, y)
    assert_near(np.square(model.predict(x) - y).mean(), loss, 1e-13)


def test_waves_of_large_numbers_are_exact():
    """Whole turns do not lose digits: cos(2 pi * 2**40 * x) of quarters, in float32."""
    model = build([PeriodicEmbedding(1, 2)], "float32", columns=1)
    for name, value in (("kernel", 1), ("bias", 0), ("frequency", 2.0**40), ("phase", 0)):
        model.views[f"periodicembedding/{name}"][...] = value
    x = np.array([[0.25], [2.0**-41], [2.0**-42], [3.0]])
    assert model.predict(x)[:, 0, 1].tolist() == [1.0, -1.0, 0.0, 1.0]


def test_members_of_equal_weights_are_equal():
    x, _ = problem(20)
    model = build([RepeatMembers(3), MemberDense(4, "tanh"), MemberDense(1)])
    for name, view in model.views.items():
        view[:] = np.random.default_rng(len(name)).standard_normal(view.shape[1:])
    out = model.predict(x)
    assert np.array_equal(out[:, 0], out[:, 1])
    single = build([Dense(4, "tanh"), Dense(1)])
    for view, of_members in zip(single.views.values(), model.views.values(), strict=True):
        view[...] = of_members[1]
    assert_near(single.predict(x), out[:, 2], 1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MemberDense(0), r"MemberDense\(units=0\)"),
        (lambda: MemberDense(2, parametrization="mup"), "parametrization='mup'"),
        (lambda: Dense(2, parametrization="mup"), "parametrization='mup'"),
        (lambda: Dense(2, kernel_decay_factor=-1), r"Dense\(kernel_decay_factor=-1\): a factor"),
        (lambda: Scaling(learning_rate_factor=float("nan")), "learning_rate_factor=nan"),
        (lambda: build([MemberDense(2)]), r"\(members, d\); it got shape \(3,\)"),
        (lambda: RepeatMembers(2.0), r"members=2\.0"),
        (lambda: PeriodicEmbedding(0), "n_frequencies=0"),
        (lambda: PeriodicEmbedding(embedding_dim=1), "embedding_dim=1"),
        (lambda: PeriodicEmbedding(frequency_stddev=0), "frequency_stddev=0"),
        (lambda: build([RepeatMembers(2), PeriodicEmbedding()]), r"shape \(2, 3\)"),
        (lambda: PiecewiseLinearEmbedding([[0, 1], [1]]), r"bins\[1\] is \[1.0\]"),
        (lambda: PiecewiseLinearEmbedding([[0, 1, 1, 2, 3]]), r"bins\[0\] is \[0.0, 1.0, 1.0, 2.0\]\.\.\."),
        (lambda: PiecewiseLinearEmbedding([[0, np.inf]]), r"bins\[0\]"),
        (lambda: PiecewiseLinearEmbedding([[0, 1]], embedding_dim=0), "embedding_dim=0"),
        (lambda: build([PiecewiseLinearEmbedding([[0, 1]])]), r"bins of 1 features; .* shape \(3,\)"),
    ],
)  # fmt: skip
def test_wrong_use_names_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
