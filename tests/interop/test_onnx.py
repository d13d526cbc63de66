"""ONNX: every layer in onnxruntime beside the model itself, on random weights; what is refused."""

import numpy as np
import onnxruntime
import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.interop.onnx.activations import EMITTERS as EMITTED
from fastbp.interop.onnx.emitters import EMITTERS, REFUSED
from fastbp.layers import LAYERS
from tests.interop.random_networks import random_network

onnxruntime.set_default_logger_severity(3)


def session(model):
    """Return an onnxruntime session of an exported model."""
    return onnxruntime.InferenceSession(fastbp.to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])


def randomize(model, seed=1):
    """Overwrite all weights: moderate ones, and variances and the like above zero."""
    rng = np.random.default_rng(seed)
    for name, view in model.views.items():
        positive = "variance" in name or "gamma" in name
        view[...] = rng.uniform(0.3, 1.2, view.shape) if positive else rng.normal(0, 0.4, view.shape)
    return model


def assert_same(model, x, tolerance=1e-5):
    """The exported model in onnxruntime gives what `predict` gives, in blocks of rows too."""
    run = session(model)
    x = np.asarray(x, model.dtype)
    expected = model.predict(x)
    for rows in (slice(None), slice(0, 1)):
        (found,) = run.run(None, {"x": x[rows]})
        assert found.dtype == model.dtype
        np.testing.assert_allclose(found, expected[rows], rtol=tolerance, atol=tolerance)


def recurrent(kind, **settings):
    return [kind(4, return_sequences=True, **settings), kind(3, **settings)]


MASKED = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 1, 0, 1]]
)
CASES = {
    "Activation": ((5,), lambda: [fastbp.Dense(5), fastbp.Activation("softmax")]),
    "AlphaDropout": ((5,), lambda: [fastbp.Dense(5), fastbp.AlphaDropout(0.2)]),
    "AveragePooling1D": ((7, 2), lambda: [fastbp.AveragePooling1D(3, 2, padding="same")]),
    "AveragePooling2D": ((7, 6, 2), lambda: [
        fastbp.AveragePooling2D((3, 2), 2, padding="same"), fastbp.AveragePooling2D(2),
    ]),
    "BatchNormalization": ((4, 3), lambda: [
        fastbp.BatchNormalization(epsilon=0.1), fastbp.BatchNormalization(scale=False),
    ]),
    "Bidirectional": ((5, 3), lambda: [
        fastbp.Bidirectional(fastbp.LSTM(4, return_sequences=True)),
        fastbp.Bidirectional(fastbp.GRU(4, return_sequences=True), "mul"),
        fastbp.Bidirectional(fastbp.SimpleRNN(4, return_sequences=True), "ave"),
        fastbp.Bidirectional(fastbp.GRU(3), "sum"),
    ]),
    "CategoryEmbedding": ((2,), lambda: [fastbp.CategoryEmbedding([3, 4], [2, 5])]),
    "Columns": ((4,), lambda: [fastbp.Columns([2, 0])]),
    "Concatenate": ((4, 3), lambda: [
        fastbp.Concatenate([[fastbp.Dense(2), fastbp.Dense(3)], []], axis=1), fastbp.Dense(2),
    ]),
    "Conv1D": ((9, 4), lambda: [
        fastbp.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"),
        fastbp.Conv1D(4, 2, strides=2, padding="same", groups=2, use_bias=False), fastbp.Conv1D(3, 2),
    ]),
    "Conv2D": ((9, 8, 2), lambda: [
        fastbp.Conv2D(4, (3, 2), strides=2, padding="same", activation="tanh"),
        fastbp.Conv2D(6, 2, groups=2, dilation_rate=(2, 1)), fastbp.Conv2D(2, 1, activation="softmax"),
    ]),
    "Dense": ((4, 3), lambda: [fastbp.Dense(6, "relu"), fastbp.Dense(2, use_bias=False)]),
    "DepthwiseConv2D": ((7, 6, 3), lambda: [
        fastbp.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2, activation="elu"),
    ]),
    "Dropout": ((5,), lambda: [fastbp.Dense(5), fastbp.Dropout(0.2)]),
    "Embedding": ((5,), lambda: [
        fastbp.Embedding(3, 4, mask_zero=True), fastbp.GRU(3, return_sequences=True), fastbp.LSTM(2),
    ]),
    "Flatten": ((3, 4, 2), lambda: [fastbp.Flatten(), fastbp.Dense(2)]),
    "GRU": ((5, 3), lambda: [*recurrent(fastbp.GRU), fastbp.Reshape((3, 1)), fastbp.GRU(2, go_backwards=True)]),
    "GRU without bias": ((5, 3), lambda: recurrent(fastbp.GRU, use_bias=False)),
    "GRU before": ((5, 3), lambda: recurrent(fastbp.GRU, reset_after=False, activation="relu")),
    "GRU masked": ((5, 3), lambda: [fastbp.Masking(), *recurrent(fastbp.GRU, zero_output_for_mask=True)]),
    "GRU other": ((5, 3), lambda: recurrent(fastbp.GRU, activation="elu", reset_after=False, go_backwards=True)),
    "GaussianNoise": ((5,), lambda: [fastbp.Dense(5), fastbp.GaussianNoise(0.2)]),
    "GlobalAveragePooling1D": ((7, 2), lambda: [fastbp.GlobalAveragePooling1D(keepdims=True)]),
    "GlobalAveragePooling2D": ((7, 6, 2), lambda: [fastbp.GlobalAveragePooling2D()]),
    "GlobalMaxPooling1D": ((7, 2), lambda: [fastbp.GlobalMaxPooling1D()]),
    "GlobalMaxPooling2D": ((7, 6, 2), lambda: [fastbp.GlobalMaxPooling2D(keepdims=True)]),
    "LSTM": ((5, 3), lambda: [*recurrent(fastbp.LSTM), fastbp.Reshape((3, 1)), fastbp.LSTM(2, go_backwards=True)]),
    "LSTM masked": ((5, 3), lambda: [fastbp.Masking(), *recurrent(fastbp.LSTM, go_backwards=True, use_bias=False)]),
    "LSTM other": ((5, 3), lambda: recurrent(fastbp.LSTM, recurrent_activation="hard_sigmoid")),
    "LayerNormalization": ((4, 3), lambda: [
        fastbp.LayerNormalization(epsilon=0.1), fastbp.LayerNormalization(center=False),
    ]),
    "Masking": ((5, 3), lambda: [
        fastbp.Masking(), fastbp.Dense(3), fastbp.Bidirectional(fastbp.GRU(3, return_sequences=True)),
    ]),
    "MaxPooling1D": ((7, 2), lambda: [fastbp.MaxPooling1D(3, 2, padding="same"), fastbp.MaxPooling1D(2)]),
    "MaxPooling2D": ((7, 6, 2), lambda: [fastbp.MaxPooling2D(3, 2, padding="same"), fastbp.MaxPooling2D()]),
    "MemberDense": ((5,), lambda: [
        fastbp.RepeatMembers(3), fastbp.MemberDense(4, "tanh"), fastbp.MemberDense(2, use_bias=False),
    ]),
    "MemberMean": ((5,), lambda: [fastbp.RepeatMembers(3), fastbp.MemberDense(4, "softmax"), fastbp.MemberMean()]),
    "OneHot": ((2,), lambda: [fastbp.OneHot([3, 4]), fastbp.Dense(2)]),
    "PReLU": ((4, 3), lambda: [fastbp.PReLU()]),
    "ParametricActivation": ((4, 3), lambda: [fastbp.ParametricActivation("mish")]),
    "PeriodicEmbedding": ((3,), lambda: [fastbp.PeriodicEmbedding(5, 3)]),
    "PiecewiseLinearEmbedding": ((3,), lambda: [
        fastbp.PiecewiseLinearEmbedding([[-1, 0, 0.5], [0, 1], [-2, -1, 1, 3]], 4),
    ]),
    "RMSNormalization": ((4, 3), lambda: [fastbp.RMSNormalization(epsilon=0.1)]),
    "RepeatMembers": ((5,), lambda: [fastbp.RepeatMembers(3)]),
    "Reshape": ((6,), lambda: [fastbp.Reshape((-1, 2)), fastbp.Dense(3)]),
    "Residual": ((4,), lambda: [fastbp.Residual([fastbp.Dense(6, "relu"), fastbp.Dense(4)])]),
    "Scaling": ((4,), lambda: [fastbp.Scaling(), fastbp.Scaling(use_bias=True)]),
    "SimpleRNN": ((5, 3), lambda: [*recurrent(fastbp.SimpleRNN, activation="relu"), fastbp.Dense(2)]),
    "SimpleRNN masked": ((5, 3), lambda: [fastbp.Masking(), *recurrent(fastbp.SimpleRNN, activation="linear")]),
    "SoftmaxBlocks": ((4,), lambda: [fastbp.Dense(6), fastbp.SoftmaxBlocks((2, 1, 3))]),
    "SpatialDropout1D": ((4, 3), lambda: [fastbp.SpatialDropout1D(0.2), fastbp.Dense(3)]),
    "SpatialDropout2D": ((4, 3, 2), lambda: [fastbp.SpatialDropout2D(0.2), fastbp.Dense(3)]),
    "ZeroPadding1D": ((4, 3), lambda: [fastbp.ZeroPadding1D((2, 1))]),
    "ZeroPadding2D": ((4, 3, 2), lambda: [fastbp.ZeroPadding2D(((1, 0), (0, 2)))]),
}  # fmt: skip


def rows_for(name, shape, n=6):
    """Return rows for a case; sequences have steps of zeros."""
    rng = np.random.default_rng(0)
    if name in ("CategoryEmbedding", "Embedding", "OneHot"):
        return rng.integers(0, 3, (n, *shape))
    x = rng.normal(size=(n, *shape))
    return x * MASKED[:, :, None] if shape == (5, 3) else x


@pytest.mark.parametrize("name", CASES)
def test_layers_in_onnxruntime(name):
    shape, layers = CASES[name]
    model = randomize(fastbp.Sequential(layers(), input_shape=shape, seed=0))
    assert_same(model, rows_for(name, shape))


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed):
    assert_same(*random_network(seed))


@pytest.mark.parametrize("name", ["Conv2D", "Dense", "GRU", "LSTM masked", "PeriodicEmbedding"])
def test_float64_models(name):
    """Where onnxruntime has an operator in float32 alone, that is what is computed."""
    shape, layers = CASES[name]
    model = randomize(fastbp.Sequential(layers(), input_shape=shape, seed=0, dtype="float64"))
    assert_same(model, rows_for(name, shape), 1e-6 if name == "Conv2D" else 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(dtype):
    x = np.linspace(-6, 6, 35).reshape(5, 7)
    layers = [[fastbp.Activation(name)] for name in EMITTED] + [[fastbp.Activation(fastbp.LeakyReLU(0.3))]]
    model = fastbp.Sequential([fastbp.Concatenate(layers)], input_shape=(7,), dtype=dtype)
    assert_same(model, x, 1e-5 if dtype == "float32" else 1e-6)
    ours = {name: one for name, one in ACTIVATIONS.items() if one.__module__ == "fastbp.activations"}
    assert EMITTED.keys() == {name for name, one in ours.items() if one.emit_onnx is None}


def test_an_activation_of_one_s_own(monkeypatch):
    leaky = fastbp.LeakyReLU(0.3)
    model = fastbp.Sequential([fastbp.Dense(2, leaky)], input_shape=(3,), seed=0)
    monkeypatch.setattr(type(leaky), "__module__", "mine")
    with pytest.raises(ValueError, match="'leaky_relu' is a function of your own: give its class `emit_onnx`, or"):
        fastbp.to_onnx(model)
    monkeypatch.setattr(type(leaky), "emit_onnx", lambda graph, x, alpha: graph.add("LeakyRelu", x, alpha=alpha))
    assert_same(model, rows_for("Dense", (3,)), 1e-5)


def test_parts_of_one_s_own_are_refused(monkeypatch):
    monkeypatch.setattr(type(ACTIVATIONS.resolve("mish")), "__module__", "mine")
    model = fastbp.Sequential([fastbp.Dense(2, "mish")], input_shape=(2,))
    with pytest.raises(
        ValueError, match=r"layer 'dense' \(Dense\) has no ONNX: the activation 'mish' is a function of"
    ):
        fastbp.to_onnx(model)
    monkeypatch.setattr(fastbp.PReLU, "__module__", "mine")
    with pytest.raises(ValueError, match=r"layer 'prelu' \(PReLU\) has no ONNX: it is a layer of your own"):
        fastbp.to_onnx(fastbp.Sequential([fastbp.PReLU()], input_shape=(2,)))


def test_every_registered_layer_has_an_emitter_or_a_reason_and_a_case():
    ours = {name for name in LAYERS if LAYERS[name].__module__.startswith("fastbp.layers.")}
    of_their_own = {name for name in ours if LAYERS[name].emit_onnx is not None}  # test_oracles.py
    assert ours == EMITTERS.keys() | REFUSED.keys() | of_their_own
    assert not EMITTERS.keys() & of_their_own
    assert not EMITTERS.keys() & REFUSED.keys()
    assert EMITTERS.keys() <= CASES.keys()
    assert all(len(reason) > 20 for reason in REFUSED.values())
