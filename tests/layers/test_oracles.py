"""Layers with a file in tests/oracles: what build refuses, Keras's layer of the name, threads, files."""

import dataclasses

import keras
import numpy as np
import pytest
from keras.src.applications.convnext import LayerScale

import fastbp
from tests.interop import test_c, test_onnx
from tests.layers.test_layers import assert_near, case_name
from tests.oracles import ORACLES, shape_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
every_case = pytest.mark.parametrize(
    ("kind", "layer"), [pytest.param(k, one, id=case_name(one)) for k, of in ORACLES.items() for one in of.CASES]
)
every_kind = pytest.mark.parametrize("kind", ORACLES)
REFUSED = [(kind, *refused) for kind, of in ORACLES.items() for refused in of.REFUSED]
THEIRS = {"LayerScale": LayerScale}  # beside those of keras.layers
# What Keras's layer of a name has otherwise: settings of fastbp alone, and where weights start.
OURS = ("trainable", "learning_rate_factor", "decay_factor")


@pytest.mark.parametrize(("kind", "make", "shape", "message"), REFUSED)
def test_what_is_refused(kind, make, shape, message):
    with pytest.raises(ValueError, match=f"(?s){kind}.*{message}"):
        make() if shape is None else fastbp.Sequential([make], input_shape=shape)


def keras_layer(layer):
    """Return Keras's layer of the name, with the settings that stand in the case."""
    kind = type(layer).__name__
    settings = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    settings = {name: value for name, value in settings.items() if name not in OURS and value is not None}
    for name, value in settings.items():
        if name.endswith("_initializer"):
            settings[name] = "zeros"  # weights are drawn below
        elif name.endswith("_regularizer"):
            settings[name] = keras.regularizers.get({"class_name": type(value).__name__, "config": vars(value)})
        elif name.endswith("_constraint"):
            settings[name] = keras.constraints.MaxNorm(value.max_value, axis=0)
    theirs = THEIRS.get(kind) or getattr(keras.layers, kind)
    theirs = theirs(**settings)
    if kind in THEIRS:
        theirs.trainable = layer.trainable
    return theirs


@every_case
def test_keras_s_layer_of_the_name(kind, layer):
    """It converts, setting by setting, and computes the same."""
    if kind not in THEIRS and not hasattr(keras.layers, kind):
        pytest.skip("Keras has none")
    if kind == "LayerScale" and layer.projection_dim is None:
        layer = dataclasses.replace(layer, projection_dim=shape_of(kind)[-1])
    theirs = keras.Sequential([keras.Input(shape_of(kind)), made := keras_layer(layer)])
    rng = np.random.default_rng(0)
    theirs.set_weights([rng.uniform(0.5, 2, variable.shape) for variable in theirs.weights])
    ours = fastbp.from_keras(theirs)
    found, (converted,) = dataclasses.asdict(layer), ours.layers
    for name, value in found.items():
        if name.endswith("_initializer") or name in OURS or (name == "groups" and value == -1):
            continue  # initializers are not read; Keras writes the number of channels in the place of -1
        expected = made.name if name == "name" else value
        assert dataclasses.asdict(converted)[name] == expected or isinstance(value, tuple), name
    x = rng.standard_normal((7, *shape_of(kind))).astype(np.float32)
    assert_near(ours.predict(x), np.asarray(theirs(x)), 2e-6)


def trained(layer, kind, n=200):
    """Return a model with the layer, after an epoch."""
    layers = [fastbp.Dense(int(np.prod(shape_of(kind))), "tanh"), fastbp.Reshape(shape_of(kind)), layer]
    model = fastbp.Sequential([*layers, fastbp.Flatten(), fastbp.Dense(1)], input_shape=(6,), seed=1)
    model.compile(fastbp.AdamW(0.05), "mean_squared_error")
    x = np.random.default_rng(0).standard_normal((n, 6)).astype(np.float32)
    model.fit(x, x[:, :1] ** 2, batch_size=96, epochs=1, verbose=0)
    return model, x


@every_kind
def test_same_bits_at_one_and_two_threads(kind, run_threads, small_work):
    results = []
    for threads in (1, 2):
        run_threads(threads)
        model, x = trained(ORACLES[kind].CASES[0], kind)
        results.append((model.params.copy(), model.predict(x)))
    assert 2 in run_threads.used
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


@every_kind
def test_a_file_holds_it(kind, tmp_path):
    model, x = trained(ORACLES[kind].CASES[1], kind, 32)
    model.save(tmp_path / "m.fastbp")
    loaded = fastbp.load_model(tmp_path / "m.fastbp")
    assert loaded.layers == model.layers
    assert np.array_equal(loaded.predict(x), model.predict(x))
    x, y = x[:8], x[:8, :1]
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)
    assert np.array_equal(loaded.params, model.params)


@every_kind
def test_onnx_and_c(kind, tmp_path):
    """In onnxruntime and compiled; or the reason why there is none."""
    rng = np.random.default_rng(0)
    for case, layer in enumerate(ORACLES[kind].CASES):
        model = test_onnx.randomize(fastbp.Sequential([layer], input_shape=shape_of(kind), seed=0))
        x = rng.standard_normal((5, *shape_of(kind)))
        test_onnx.assert_same(model, x)
        if isinstance(layer.emit_c, str):
            with pytest.raises(ValueError, match=f"has no C: {layer.emit_c}"):
                fastbp.to_c(model, tmp_path / "net.c")
        elif case < 2 or kind == "Softmax":
            (folder := tmp_path / str(case)).mkdir()
            test_c.assert_same(model, x, folder)
