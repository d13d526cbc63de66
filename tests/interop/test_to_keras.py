"""Keras models of fastbp models: the same predictions, the same model again by from_keras, and what is refused."""

import subprocess
import sys
import warnings
from copy import copy

import keras
import numpy as np
import pytest

import fastbp
from fastbp.interop.keras_export import OTHERS
from fastbp.interop.kerassettings import namesakes
from fastbp.layers import LAYERS
from tests.interop.test_keras import filled, keras_model, rows
from tests.interop.test_onnx import CASES as OF_ONNX
from tests.interop.test_onnx import randomize, rows_for
from tests.oracles import ORACLES, shape_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

# The cases whose layers are all in Keras, but for recurrent ones: models of test_keras.py have these.
RECURRENT = ("Bidirectional", "Embedding", "GRU", "LSTM", "Masking", "SimpleRNN")
SAME = namesakes(keras.layers)
CASES = OF_ONNX | {kind: (shape_of(kind), lambda kind=kind: [*map(copy, ORACLES[kind].CASES)]) for kind in ORACLES}
MODELS = [name for name in CASES if name.split()[0] in {*SAME, *OTHERS} - {*RECURRENT}]


def assert_round_trip(ours, x, tolerance=1e-5):
    """Keras predicts the same, and from_keras returns the same settings and weights."""
    theirs = fastbp.to_keras(ours)
    np.testing.assert_allclose(np.asarray(theirs(x)), ours.predict(x), rtol=tolerance, atol=tolerance)
    again = fastbp.from_keras(theirs)
    np.testing.assert_allclose(again.predict(x), ours.predict(x), rtol=1e-6, atol=1e-6)
    assert again.dtype == ours.dtype
    assert [tuple(w.shape) for w in theirs.weights] == [w.shape for w in fastbp.to_keras_weights(ours, theirs)]
    return theirs, again


@pytest.mark.parametrize("name", MODELS)
def test_layers(name):
    shape, layers = CASES[name]
    ours = randomize(fastbp.Sequential(layers(), input_shape=shape, seed=0))
    assert_round_trip(ours, rows_for(name, shape).astype("float32"))


@pytest.mark.parametrize("name", ["activations", "images", "branches", "recurrent", "both ways", "embedding"])
def test_what_came_from_keras_goes_back(name):
    source = filled(keras_model(name))
    ours = fastbp.from_keras(source)
    x = rows(name, "float32")
    theirs, _ = assert_round_trip(ours, x)
    if name != "branches":  # which has a model within the model
        assert [layer.name for layer in theirs.layers if layer.weights] == [w.name for w in source.layers if w.weights]
    assert isinstance(theirs, keras.Sequential) == (name != "branches")


def test_settings_of_training_are_kept():
    layers = [
        fastbp.Conv2D(3, 2, kernel_constraint=fastbp.MaxNorm(1.5), kernel_regularizer="l2"),
        fastbp.DepthwiseConv2D(2, depthwise_regularizer=fastbp.L1(0.3), depthwise_constraint=fastbp.MaxNorm(1.5)),
        fastbp.BatchNormalization(momentum=0.8),
        fastbp.Flatten(),
        fastbp.Dense(2, kernel_constraint=fastbp.MaxNorm(3.0), bias_regularizer=fastbp.L1L2(0.1, 0.2), trainable=False),
        fastbp.Dropout(0.3),
        fastbp.Reshape((2, 1)),
        fastbp.LSTM(2, recurrent_regularizer="l1", dropout=0.1, recurrent_dropout=0.2, activation=fastbp.ELU(0.5)),
    ]
    ours = fastbp.Sequential(layers, input_shape=(6, 6, 2), seed=0)
    _, again = assert_round_trip(ours, np.ones((2, 6, 6, 2), "float32"))
    for before, after in zip(ours.layers, again.layers, strict=True):
        for name, value in vars(before).items():
            if not name.startswith("_") and name != "name" and not name.endswith("_initializer"):
                assert getattr(after, name) == value, f"{type(before).__name__}.{name}"


def test_stateful_layers_keep_their_batch():
    ours = fastbp.Sequential([fastbp.GRU(3, stateful=True, batch_size=4)], input_shape=(3, 2), seed=0)
    theirs, x = fastbp.to_keras(ours), np.ones((4, 3, 2), "float32")
    for _ in range(2):
        np.testing.assert_allclose(np.asarray(theirs(x)), ours.predict(x), rtol=1e-5, atol=1e-6)


def test_every_registered_layer_is_in_keras_or_refused_by_name():
    ours = {name for name in LAYERS if LAYERS[name].__module__.startswith("fastbp.layers.")}
    assert set(SAME) | set(OTHERS) <= ours
    for name in ours - {*SAME, *OTHERS}:
        shape, layers = CASES[name]
        with pytest.raises(ValueError, match=r"is not in Keras\. These are: Activation"):
            fastbp.to_keras(fastbp.Sequential(layers(), input_shape=shape))


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"layer 'dense' \(Dense\): the activation 'gelu_tanh' has no name in Keras"):
        fastbp.to_keras(fastbp.Sequential([fastbp.Dense(2, "gelu_tanh")], input_shape=(2,)))
    with pytest.raises(ValueError, match="needs a built model"):
        fastbp.to_keras(fastbp.Sequential([fastbp.Dense(2)]))
    with pytest.raises(TypeError, match="not int"):
        fastbp.to_keras(1)
    masked = [fastbp.Masking(), fastbp.Dense(2), fastbp.GlobalAveragePooling1D()]
    with pytest.raises(ValueError, match="leave out masked time steps"):
        fastbp.to_keras(fastbp.Sequential(masked, input_shape=(4, 2)))


def test_what_is_left_out_is_said():
    ours = fastbp.Sequential([fastbp.Dense(2, bias_decay_factor=0.0, parametrization="ntk")], input_shape=(3,))
    with pytest.warns(UserWarning, match="dense: bias_decay_factor=0.0; dense: parametrization='ntk'"):
        fastbp.to_keras(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastbp.to_keras(fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,)))


def test_the_error_without_keras_says_what_to_install():
    code = "import sys; sys.modules['keras'] = None; import fastbp; fastbp.to_keras(1)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "pip install keras" in told
