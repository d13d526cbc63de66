"""Convolution over a grid of options, against JAX's own; plans, threads, files, and what is refused."""

import itertools
import pickle

import numpy as np
import pytest

import fastbp
from fastbp import Conv1D, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPooling2D, ZeroPadding2D
from fastbp.engine import limits
from fastbp.engine.cut import Purpose
from fastbp.engine.network import Network
from fastbp.engine.plan import Plan
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near, case_name
from tests.reference import autodiff, network

IMAGES = [
    (Conv2D(6, 5, padding="same"), (12, 12, 1)),  # LeNet-5's first layer, smaller
    (Conv2D(16, 5, activation="relu"), (9, 9, 6)),
    (Conv2D(64, 3, padding="same"), (5, 4, 64)),
    (Conv2D(1, 1), (1, 1, 1)),  # one pixel
    (Conv2D(3, 1, strides=2), (5, 5, 2)),
    (Conv2D(4, 3, strides=5), (13, 11, 2)),  # strides beyond the window
    (Conv2D(4, 2, strides=3, padding="same"), (7, 8, 3)),
    (Conv2D(4, (7, 5), padding="same"), (3, 2, 3)),  # a window larger than the image
    (Conv2D(5, (1, 4), strides=(2, 1)), (5, 6, 9)),
    (Conv2D(7, (4, 1), padding="same", use_bias=False), (6, 3, 5)),
    (Conv2D(25, (3, 2), dilation_rate=(1, 2), activation="tanh"), (6, 7, 3)),
    (Conv2D(4, 3, dilation_rate=3, padding="same"), (8, 5, 2)),
    (Conv2D(4, 2, dilation_rate=2, strides=2), (8, 9, 2)),
    (Conv2D(6, 3, groups=3, padding="same"), (5, 6, 6)),
    (Conv2D(8, 2, groups=8, strides=2), (4, 6, 8)),
    (Conv2D(34, 3, groups=2, dilation_rate=2, activation="gelu"), (6, 5, 10)),
    (Conv2D(5, 3, padding="same", activation="gelu"), (4, 5, 2)),  # z and padded images side by side
    (Conv2D(3, 3, padding="same", activation="softmax"), (4, 5, 2)),
    (Conv2D(3, 2), (130, 129, 1)),  # rows of windows in plenty
    (DepthwiseConv2D(3), (6, 7, 5)),
    (DepthwiseConv2D(3, padding="same", strides=2, activation="gelu"), (6, 7, 9)),
    (DepthwiseConv2D((2, 3), depth_multiplier=3, dilation_rate=2, padding="same"), (6, 7, 4)),
    (DepthwiseConv2D(2, depth_multiplier=2, use_bias=False, strides=3), (8, 7, 20)),
    (DepthwiseConv2D(1), (1, 1, 1)),
    (DepthwiseConv2D(5, padding="same"), (2, 3, 30)),
]
SEQUENCES = [
    (Conv1D(4, 3), (11, 3)),
    (Conv1D(4, 3, padding="causal"), (11, 3)),
    (Conv1D(8, 2, padding="causal", dilation_rate=4, activation="silu"), (9, 2)),
    (Conv1D(4, 3, padding="causal", strides=2), (10, 3)),
    (Conv1D(30, 2, groups=3, padding="same", strides=2), (11, 3)),
    (Conv1D(5, 4, padding="same"), (1, 2)),  # one step
    (Conv1D(2, 9, padding="causal"), (4, 1)),
]
every_case = pytest.mark.parametrize(
    ("layer", "shape"), [pytest.param(*case, id=f"{case_name(case[0])} {case[1]}") for case in IMAGES + SEQUENCES]
)


def alone(layer, shape, dtype="float64"):
    """Return a model of the layer, all of whose parameters are random and exact in float32."""
    model = fastbp.Sequential([layer], input_shape=shape, seed=1, dtype=dtype)
    model.compile(loss="mean_squared_error")
    model.params[:] = np.random.default_rng(3).standard_normal(model.params.size).astype(np.float32)
    return model


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@every_case
def test_values_and_gradients_are_jax_s(layer, shape):
    model, single = alone(layer, shape), alone(layer, shape, "float32")
    x = normal(3, *shape)
    dout = normal(3, *model.output_shape, seed=2)
    out, dx, grad = autodiff.vjp(model, x, dout)
    for one, tolerance in ((model, 1e-9), (single, 1e-5)):
        assert_near(one.predict(x), out, tolerance)
        assert_near(one.vjp(x, dout), dx, tolerance)
        assert_near(one.grads, grad, tolerance)


def random_layer(rng):
    """Return a convolution with random settings, and a shape that it fits."""
    kind = rng.choice([Conv1D, Conv2D, DepthwiseConv2D])
    axes = 1 if kind is Conv1D else 2
    kernel, strides, dilation = (tuple(int(i) for i in rng.integers(1, 4, axes)) for _ in range(3))
    groups, of_group = (int(i) for i in rng.integers(1, 4, 2))
    channels = groups * of_group
    settings = {
        "kernel_size": kernel,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": str(rng.choice(["valid", "same", "causal"][: 4 - axes])),
        "activation": str(rng.choice(["linear", "tanh", "gelu"])),
        "use_bias": bool(rng.integers(2)),
    }
    if kind is DepthwiseConv2D:
        settings["depth_multiplier"] = of_group
    else:
        settings |= {"filters": groups * int(rng.integers(1, 14)), "groups": groups}
    shape = tuple(int(i) for i in rng.integers(7, 12, axes))
    return kind(**settings), (*shape, channels), int(rng.choice([1, 2, 33, 70]))


@pytest.mark.parametrize("seed", range(60))
def test_random_settings_have_the_reference_s_gradients(seed):
    """Any batch size: images that one table of windows covers, and more."""
    layer, shape, n = random_layer(np.random.default_rng(seed))
    model = alone(layer, shape)
    x, dout = normal(n, *shape).astype(float), normal(n, *model.output_shape, seed=2).astype(float)
    out, tape = network.forward(model.layers, network.weights_of(model), x)
    dx, grads = network.backward(tape, dout)
    assert_near(model.predict(x), out, 1e-12)
    assert_near(model.vjp(x, dout), dx, 1e-12)
    assert_near(model.grads, network.flatten(grads), 1e-12)


@pytest.mark.parametrize("kernel", [(3, 2), 1])
def test_blocks_of_windows_and_segments(monkeypatch, kernel):
    """However dwindows are cut into blocks, they are the same numbers."""
    layer, shape = Conv2D(5, kernel, padding="same"), (9, 8, 7)
    x, dout = normal(4, *shape), normal(4, 9, 8, 5, seed=2)
    expected = alone(layer, shape).vjp(x, dout)
    for scratch, segment in ((40 * 7, 2048), (64, 2048), (64, 4), (256, 3)):
        monkeypatch.setattr("fastbp.layers.convolution.inputgradient.SCRATCH", scratch)
        monkeypatch.setattr("fastbp.layers.convolution.inputgradient.MOST_SEGMENT", segment)
        monkeypatch.setattr("fastbp.layers.convolution.inputgradient.BLOCK_WINDOWS", 4)
        assert_near(alone(layer, shape).vjp(x, dout), expected, 1e-14)


SGD = {"momentum": 0.0, "nesterov": False}
NETWORK = [
    Conv2D(7, 3, padding="same", activation="gelu", kernel_regularizer="l2"),
    MaxPooling2D(),
    DepthwiseConv2D(
        2, depth_multiplier=2, activation="tanh", depthwise_regularizer="l1", depthwise_constraint=fastbp.MaxNorm(0.4)
    ),
    ZeroPadding2D(),
    Conv2D(9, (2, 3), strides=(1, 2), activation="relu", kernel_constraint=fastbp.MaxNorm(0.7)),
    Flatten(),
    Dense(3, activation="softmax"),
]
SHAPE = (8, 6, 2)


def build(dtype="float32", optimizer="adam"):
    model = fastbp.Sequential(NETWORK, input_shape=SHAPE, seed=4, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def problem(rows=101):
    return normal(rows, *SHAPE), np.random.default_rng(1).integers(0, 3, rows)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_scheme_has_the_reference_s_gradient(monkeypatch, scheme):
    """Kernels are cut into items along their first axis, and chunks leave their padding behind."""
    force(monkeypatch, scheme)
    x, y = problem()
    model = build("float64")
    value, grad = model.value_and_grad(x, y)
    arguments = model.layers, network.weights_of(model), x.astype(float), y, "sparse_categorical_crossentropy"
    expected = network.value_and_grad(*arguments)
    assert value == pytest.approx(expected[0], rel=1e-12)
    assert_near(grad, network.flatten(expected[1]), 1e-12)


def test_training_is_the_reference_s():
    """Steps with penalties, and a constraint that bounds the norm of every filter."""
    x, y = problem()
    model = build("float64", fastbp.SGD(0.1))
    weights = network.weights_of(model)
    batches = [(x[i : i + 40].astype(float), y[i : i + 40], None, None) for i in (0, 40, 80)]
    losses, path = network.train(
        model.layers, weights, batches, "sparse_categorical_crossentropy", "sgd", SGD, [0.1] * len(batches)
    )
    history = model.fit(x, y, epochs=1, batch_size=40, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(np.average(losses, weights=[40, 40, 21]), rel=1e-10)
    assert_near(model.params, path[-1], 1e-10)
    kernel = model.views["conv2d_1/kernel"]
    norms = np.sqrt((kernel**2).sum((0, 1, 2)))
    assert norms.max() == pytest.approx(0.7)
    norms = np.sqrt((model.views["depthwiseconv2d/kernel"] ** 2).sum((0, 1)))
    assert norms.shape == (7, 2)
    assert 0.3 < norms.max() <= 0.4 * (1 + 1e-12)  # 0.58 without the constraint


@pytest.mark.parametrize("partial_bytes", [limits.PARTIAL_BYTES, 0], ids=["sliced", "whole batch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_at_any_number_of_threads(small_work, run_threads, monkeypatch, partial_bytes, dtype):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", partial_bytes)
    x, y = problem()
    results = []
    for n in (1, 2):
        run_threads(n)
        model = build(dtype)
        model.fit(x, y, epochs=2, batch_size=64, verbose=0)
        parts = [model.params, model.predict(x), model.vjp(x, np.ones((len(x), 3)))]
        results.append(b"".join(part.tobytes() for part in parts))
        assert set(run_threads.used) == ({n} if n > 1 else set())
    assert results[0] == results[1]


def test_files_and_pickles(tmp_path):
    x, y = problem()
    model = build()
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.fastbp")
    twins = [fastbp.load_model(tmp_path / "m.fastbp"), pickle.loads(pickle.dumps(model))]
    assert all(twin.layers == model.layers for twin in twins)
    model.fit(x, y, epochs=1, verbose=0)
    for twin in twins:
        twin.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_array_equal(twin.params, model.params)
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))


def test_finite_differences_through_the_whole_network():
    x, y = problem(5)
    assert fastbp.check_gradients(build("float64"), x, y).max_relative_error < 1e-7


def test_summary_tells_shapes_and_arithmetic(capsys):
    layers = [
        Conv2D(6, 5, padding="same"),
        MaxPooling2D(),
        Conv2D(16, 5, groups=2),
        DepthwiseConv2D(3, strides=2, depth_multiplier=2),
        Flatten(),
    ]
    fastbp.Sequential(layers, input_shape=(28, 28, 1)).summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:7]]
    assert [(line[2:-2], line[-2:]) for line in lines] == [
        (["(n,", "28,", "28,", "6)"], ["156", f"{28 * 28 * 25 * 6:,}"]),
        (["(n,", "14,", "14,", "6)"], ["0", "0"]),
        (["(n,", "10,", "10,", "16)"], [f"{25 * 3 * 16 + 16:,}", f"{100 * 25 * 3 * 16:,}"]),
        (["(n,", "4,", "4,", "32)"], [f"{9 * 32 + 32}", f"{16 * 9 * 32:,}"]),
        (["(n,", "512)"], ["0", "0"]),
    ]


def test_fans_are_those_of_a_convolution():
    model = fastbp.Sequential([Conv2D(40, 5)], input_shape=(9, 9, 8), seed=0)
    limit = np.sqrt(6 / (25 * 8 + 25 * 40))
    assert 0.99 * limit < np.abs(model.views["conv2d/kernel"]).max() <= limit


def test_items_follow_the_work_at_all_positions():
    """A kernel of few parameters and many positions is still cut, so that threads can share its gradient."""
    cut = Plan(Network([Conv2D(16, 5)], (64, 64, 6)), 512, 1, "float32", Purpose(training=True, keep_batch=True))
    assert [(item["first"], item["end"]) for item in cut.items if item["block"] == 0] == [(i, i + 1) for i in range(5)]


def test_a_network_of_images_is_sliced():
    """LeNet-5: its activations are many times its parameters, so gradients are made while they are in the cache."""
    layers = [
        *(Conv2D(6, 5, padding="same"), MaxPooling2D(), Conv2D(16, 5), MaxPooling2D(), Flatten()),
        *(Dense(120), Dense(84), Dense(10)),
    ]
    made = Plan(Network(layers, (28, 28, 1)), 128, 1, "float32", Purpose(training=True))
    assert made.sliced
    # There is nothing to compute in phase 2, so no kernel is cut into rows too few for a tile.
    assert [item["end"] for item in made.items if item["columns"] in (5 * 6, 5 * 6 * 16)] == [5, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(0, 3), "filters=0"),
        (lambda: Conv2D(4, (3, 0)), r"kernel_size=\(3, 0\)"),
        (lambda: Conv2D(4, (3, 3, 3)), "3 sizes, not 2"),
        (lambda: Conv1D(4, 3, strides=0), "strides=0"),
        (lambda: Conv2D(4, 3, dilation_rate=1.5), "dilation_rate=1.5"),
        (lambda: Conv2D(4, 3, padding="causal"), "padding='causal'"),
        (lambda: Conv1D(4, 3, padding="full"), '"valid" or "same" or "causal"'),
        (lambda: Conv2D(4, 3, groups=3), "groups=3"),
        (lambda: Conv2D(4, 3, activation="rely"), "relu"),
        (lambda: Conv2D(4, 3, kernel_regularizer="l3"), "l3"),
        (lambda: DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier=0"),
        (lambda: alone(Conv2D(4, 3), (784,)), "Reshape"),
        (lambda: alone(Conv1D(4, 3), (8, 8, 1)), r"not \(n, 8, 8, 1\)"),
        (lambda: alone(Conv2D(4, 3), (2, 8, 1)), "covers 3 entries, the input has 2"),
        (lambda: alone(Conv1D(4, 3, dilation_rate=4), (8, 1)), "covers 9 entries"),
        (lambda: alone(Conv2D(4, 3, groups=2), (8, 8, 3)), "3 channels"),
    ],
)
def test_wrong_settings_name_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cases_cover_every_padding_at_every_kind():
    kinds = itertools.product((Conv1D, Conv2D, DepthwiseConv2D), ("valid", "same"))
    for kind, padding in [*kinds, (Conv1D, "causal")]:
        assert any(type(layer) is kind and layer.padding == padding for layer, _ in IMAGES + SEQUENCES)
