"""Models from Keras and weights to it: the same predictions, training that goes on, and what is refused."""

import jax
import keras
import numpy as np
import pytest
from keras import layers
from keras.optimizers import schedules
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.interop.kerascompile import compile_settings
from fastbp.interop.kerassettings import OTHERS, namesakes
from tests.layers.test_layers import assert_near
from tests.oracles import ORACLES

TOLERANCES = {"float32": 1e-5, "float64": 1e-9}
MASKED_STEPS = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 1, 0, 1]]


# Keras 3.15 reads its own variables in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def both(kind, merge_mode, **settings):
    return layers.Bidirectional(kind(4, **settings), merge_mode)


def graph():
    """A residual block around an Inception-style one, with a model within the model."""

    def conv(filters, size, **settings):
        return layers.Conv2D(filters, size, padding="same", **settings)

    x = keras.Input((6, 5, 2))
    stem = keras.Sequential([conv(6, 3, activation="relu"), layers.BatchNormalization()])(x)
    towers = [
        conv(2, 1)(stem),
        conv(3, 3)(conv(2, 1, activation="tanh")(stem)),
        conv(1, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(stem)),
    ]
    joined = layers.Concatenate()(towers)
    out = layers.Add()([layers.LayerNormalization()(joined), stem])
    out = layers.Concatenate(axis=1)([out, conv(6, 2)(out)])
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(out)))


MODELS = {
    "activations": ((6,), lambda: [
        *(layers.Dense(7, name) for name in ACTIVATIONS if name != "gelu_tanh"),
        layers.Dense(5, use_bias=False), layers.Activation("tanh"), layers.PReLU(), layers.Dropout(0.3), layers.ReLU(),
        layers.Dense(5), layers.ReLU(negative_slope=0.3), layers.LeakyReLU(0.1), layers.GaussianNoise(0.1),
        layers.ELU(0.7), layers.AlphaDropout(0.1), layers.Dense(4, layers.LeakyReLU(0.05)), layers.Softmax(),
    ]),
    "normalization": ((4, 3), lambda: [
        layers.BatchNormalization(epsilon=0.1), layers.Dense(6, "relu"), layers.LayerNormalization(epsilon=0.01),
        layers.Dense(5), layers.RMSNormalization(), layers.BatchNormalization(momentum=0.8, scale=False),
        layers.LayerNormalization(center=False), layers.BatchNormalization(trainable=False),
        layers.GlobalAveragePooling1D(),
    ]),
    "images": ((9, 8, 3), lambda: [
        layers.ZeroPadding2D(((1, 0), (0, 2))), layers.Conv2D(6, 3, strides=2, padding="same"),
        layers.Conv2D(8, (3, 2), groups=2, dilation_rate=2, padding="same", activation="relu", use_bias=False),
        layers.SpatialDropout2D(0.2), layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.MaxPooling2D(3, strides=1, padding="same"), layers.AveragePooling2D(2), layers.Conv2D(5, 2),
        layers.GlobalMaxPooling2D(keepdims=True), layers.Flatten(), layers.Dense(4), layers.Reshape((2, 2, 1)),
        layers.DepthwiseConv2D((2, 1), use_bias=False), layers.GlobalAveragePooling2D(),
    ]),
    "sequences": ((11, 3), lambda: [
        layers.ZeroPadding1D((0, 2)), layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
        layers.SpatialDropout1D(0.2), layers.MaxPooling1D(2, strides=1), layers.Conv1D(5, 2, strides=2),
        layers.AveragePooling1D(2, padding="same"), layers.GlobalMaxPooling1D(), layers.Dense(2),
    ]),
    "recurrent": ((5, 3), lambda: [
        layers.Masking(), layers.LSTM(4, return_sequences=True, dropout=0.2),
        layers.GRU(5, return_sequences=True, recurrent_dropout=0.2),
        layers.GRU(4, return_sequences=True, reset_after=False, zero_output_for_mask=True),
        layers.SimpleRNN(3, activation="relu", return_sequences=True), layers.LSTM(3, go_backwards=True),
    ]),
    "both ways": ((5, 3), lambda: [
        layers.Masking(), both(layers.LSTM, "concat", return_sequences=True),
        both(layers.GRU, "sum", return_sequences=True, use_bias=False),
        both(layers.SimpleRNN, "mul", return_sequences=True), both(layers.GRU, "ave", reset_after=False),
    ]),
    "embedding": ((5,), lambda: [
        layers.Embedding(9, 4, mask_zero=True, embeddings_regularizer="l2"), layers.GRU(3, return_sequences=True),
        layers.Dropout(0.1), layers.LSTM(3),
    ]),
    "branches": ((6, 5, 2), graph),
}  # fmt: skip


def keras_model(name):
    """Return a new Keras model of `MODELS`."""
    shape, make = MODELS[name]
    made = make()
    return keras.Sequential([keras.Input(shape), *made]) if isinstance(made, list) else made


@pytest.fixture
def floatx(monkeypatch):
    """Return a function that sets the dtype of Keras's layers, and what its functions compute in.

    With JAX as backend Keras computes tanh, means and much else of float64 arrays in float32, by a table of its own.
    """
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")

    def set_dtype(dtype):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)

    yield set_dtype
    set_dtype("float32")


def filled(model):
    """Return the Keras model, all of whose weights are random numbers above zero, exact in float32, or small."""
    rng = np.random.default_rng(1)
    model.set_weights([
        rng.uniform(0.2, 1, variable.shape).astype(np.float32) if "moving" in variable.path or "gamma" in variable.path
        else (rng.standard_normal(variable.shape) / np.sqrt(variable.shape[0])).astype(np.float32)
        for variable in model.weights
    ])  # fmt: skip
    return model


def rows(name, dtype, n=6):
    """Return inputs for a model of `MODELS`."""
    rng, shape = np.random.default_rng(0), MODELS[name][0]
    if name == "embedding":
        return rng.integers(0, 9, (n, *shape)).astype(dtype)
    x = rng.standard_normal((n, *shape))
    if shape == (5, 3):
        x *= np.array(MASKED_STEPS)[:, :, None]
    return x.astype(np.float32).astype(dtype)


def outputs_of(model):
    """Return f(x): the Keras model's predictions, compiled as a whole and once for all weights."""

    @jax.jit
    def run(trainable, others, x):
        return model.stateless_call(trainable, others, x, training=False)[0]

    def predict(x):
        variables = model.trainable_variables, model.non_trainable_variables
        return np.asarray(run(*([v.value for v in group] for group in variables), x))

    return predict


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_agree_and_after_training_in_fastbp_too(name, dtype, floatx):
    floatx(dtype)
    theirs, x = filled(keras_model(name)), rows(name, dtype)
    ours = fastbp.from_keras(theirs, seed=0)
    assert ours.dtype == dtype
    outputs = outputs_of(theirs)
    expected = outputs(x)
    assert np.ptp(expected) > 0.01
    assert_near(ours.predict(x), expected, TOLERANCES[dtype])
    ours.compile(fastbp.SGD(0.1), "mean_squared_error")
    ours.train_on_batch(x, np.ones_like(expected))
    assert np.abs(ours.predict(x) - expected).max() > 1e-4
    theirs.set_weights(fastbp.to_keras_weights(ours, theirs))
    assert_near(ours.predict(x), outputs(x), TOLERANCES[dtype])


def test_every_layer_that_has_a_counterpart_is_in_a_model():
    found = {type(layer).__name__ for name in MODELS for layer in keras_model(name).layers}
    of_their_own = {kind for kind in ORACLES if hasattr(layers, kind)}  # test_oracles.py
    assert (found | of_their_own) - {"InputLayer", "Sequential"} == {*namesakes(layers), *OTHERS}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "branches"])
def test_layers_in_a_row_have_keras_s_list_of_weights(name):
    theirs = filled(keras_model(name))
    ours = fastbp.from_keras(theirs)
    for found, expected in zip(ours.get_weights(), theirs.weights, strict=True):
        assert np.array_equal(found, np.asarray(expected.value))
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]


def mlp(**settings):
    stack = [layers.Dense(8, activation="tanh", **settings), layers.BatchNormalization(), layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *stack, layers.Softmax()])


def test_training_goes_on():
    """An epoch without shuffling makes the same weights in both; loss and metric are the same too."""
    theirs = mlp(kernel_regularizer=keras.regularizers.L1L2(0.001, 0.02))
    theirs.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    ours = fastbp.from_keras(theirs)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 4)).astype("float32"), rng.integers(0, 3, 40)
    expected = theirs.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    history = ours.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    for found, variable in zip(ours.get_weights(), theirs.weights, strict=True):
        assert_near(found, np.asarray(variable.value), 1e-5)
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=1e-5)


COMPILED = [
    (("adam", "mse"), (fastbp.Adam(), fastbp.MeanSquaredError(), [])),
    (
        (keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipvalue=2.0), "huber"),
        (fastbp.SGD(0.1, 0.9, True, clipvalue=2.0), fastbp.Huber(), []),
    ),
    (
        (
            keras.optimizers.AdamW(schedules.ExponentialDecay(0.1, 10, 0.5), global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            ["accuracy", keras.metrics.MeanAbsoluteError(), keras.losses.mean_squared_error],
        ),
        (
            fastbp.AdamW(fastbp.ExponentialDecay(0.1, 10, 0.5), global_clipnorm=1.0),
            fastbp.SparseCategoricalCrossentropy(from_logits=True),
            ["accuracy", "mean_absolute_error", "mean_squared_error"],
        ),
    ),
    (
        (keras.optimizers.SGD(0.1, clipnorm=1.0, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3), "mse"),
        (
            fastbp.SGD(0.1, clipnorm=1.0, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3),
            fastbp.MeanSquaredError(),
            [],
        ),
    ),
    (("rmsprop", keras.losses.mean_absolute_error, ["mae"]), (
        fastbp.RMSprop(), fastbp.MeanAbsoluteError(), ["mean_absolute_error"]
    )),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), COMPILED, ids=lambda case: str(case[1])[:20])
def test_compile_settings(theirs, ours):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    model.compile(*theirs[:2], metrics=theirs[2] if len(theirs) > 2 else None)
    assert compile_settings(model.get_compile_config()) == (*ours, [])
    assert fastbp.from_keras(model).optimizer == ours[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "ftrl", "loss": "mse"}, "ftrl"),
        ({"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "loss": "mse"}, "lossscale"),
        ({"optimizer": "sgd", "loss": {"dense": "mse"}}, "the loss"),
        ({"optimizer": keras.optimizers.SGD(schedules.PolynomialDecay(0.1, 9)), "loss": "mse"}, "polynomial_decay"),
        ({"optimizer": "sgd", "loss": "log_cosh"}, "log_cosh"),
        ({"optimizer": "sgd", "loss": keras.losses.Huber(0.5)}, "delta"),
        ({"optimizer": "sgd", "loss": keras.losses.MeanSquaredError(reduction="sum")}, "reduction='sum'"),
        ({"optimizer": "sgd", "loss": "mse", "metrics": ["cosine_similarity"]}, "cosine_similarity"),
        ({"optimizer": "sgd", "loss": "mse", "weighted_metrics": ["cosine_similarity"]}, "cosine_similarity"),
    ],
)
def test_what_was_compiled_with_something_else_is_not_compiled(settings, message):
    theirs = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    theirs.compile(**settings)
    with pytest.raises(ValueError, match=message):
        compile_settings(theirs.get_compile_config())
    with pytest.raises(ValueError, match="fit needs a compiled model"):
        fastbp.from_keras(theirs).fit(np.ones((3, 2)), np.ones((3, 2)))


def test_settings_of_training_are_kept():
    theirs = keras.Sequential([
        keras.Input((6, 6, 2)),
        layers.Conv2D(3, 2, kernel_constraint=keras.constraints.MaxNorm(1.5, [0, 1, 2]), kernel_regularizer="l2"),
        layers.DepthwiseConv2D(
            2, depthwise_regularizer="l1", depthwise_constraint=keras.constraints.MaxNorm(1.5, [0, 1])
        ),
        layers.Flatten(),
        layers.Dense(2, trainable=False, kernel_constraint=keras.constraints.MaxNorm(3.0)), layers.Reshape((2, 1)),
        layers.LSTM(2, recurrent_regularizer="l1", dropout=0.1, recurrent_dropout=0.2),
    ])  # fmt: skip
    conv, channels, _, dense, _, lstm = fastbp.from_keras(theirs).layers
    assert (conv.kernel_constraint, conv.kernel_regularizer) == (fastbp.MaxNorm(1.5), fastbp.L2(0.01))
    assert (channels.depthwise_constraint, channels.depthwise_regularizer) == (fastbp.MaxNorm(1.5), fastbp.L1(0.01))
    assert (dense.trainable, conv.trainable, dense.kernel_constraint) == (False, True, fastbp.MaxNorm(3.0))
    assert (lstm.recurrent_regularizer, lstm.dropout, lstm.recurrent_dropout) == (fastbp.L1(0.01), 0.1, 0.2)


def test_stateful_layers_and_open_sizes():
    stateful = keras.Sequential([keras.Input((3, 2), batch_size=4), layers.GRU(3, stateful=True), layers.Dense(1)])
    ours, x = fastbp.from_keras(filled(stateful)), np.ones((4, 3, 2), "float32")
    assert ours.layers[0].batch_size == 4
    for _ in range(2):
        assert_near(ours.predict(x), np.asarray(stateful(x)), 1e-5)
    assert [w.shape for w in fastbp.to_keras_weights(ours, stateful)] == [v.shape for v in stateful.weights]
    opened = filled(keras.Sequential([keras.Input((None, 2)), layers.GRU(3)]))
    assert_near(fastbp.from_keras(opened, input_shape=(3, 2)).predict(x), np.asarray(opened(x)), 1e-5)
    with pytest.raises(ValueError, match=r"\(None, 2\).*input_shape"):
        fastbp.from_keras(opened)


def sequential(*stack, shape=(5, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def functional(make, shape=(4,)):
    x = keras.Input(shape)
    return keras.Model(x, make(x, layers.Dense(4, name="first")(x)))


class OwnDense(layers.Dense):
    """A layer that may do anything."""


REFUSED = [
    (lambda: layers.Dense(3), TypeError, "from_keras takes a keras.Sequential"),
    (lambda: keras.Sequential([layers.Dense(3)]), ValueError, "is not built"),
    (lambda: sequential(layers.Permute((2, 1), name="turn")), ValueError, r"'turn' \(Permute\).*Conv2D, Dense"),
    (lambda: sequential(OwnDense(3, name="own")), ValueError, r"'own' \(OwnDense\)"),
    (lambda: sequential(layers.Dense(3, "relu6", name="six")), ValueError, "'six'.*relu6"),
    (lambda: sequential(layers.ReLU(6.0, name="six")), ValueError, "'six'.*ReLU"),
    (lambda: sequential(layers.Dense(3, kernel_constraint="non_neg")), ValueError, "NonNeg"),
    (lambda: sequential(layers.Conv1D(3, 2, kernel_constraint="max_norm")), ValueError, r"axis=0.*\[0, 1\]"),
    (lambda: sequential(layers.Dense(3, bias_constraint="max_norm")), ValueError, "bias_constraint"),
    (lambda: sequential(layers.Dense(3, kernel_regularizer="orthogonal_regularizer")), ValueError, "Orthogonal"),
    (lambda: sequential(layers.Dense(3, activity_regularizer="l2")), ValueError, "activity_regularizer"),
    (lambda: sequential(layers.BatchNormalization(renorm=True)), ValueError, "renorm=True"),
    (lambda: sequential(layers.Bidirectional(layers.LSTM(2), merge_mode=None)), ValueError, "merge_mode=None"),
    (
        lambda: sequential(layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(3, go_backwards=True))),
        ValueError,
        "backward layer must have",
    ),
    (lambda: sequential(layers.Dense(3, dtype="float64"), layers.Dense(2, name="b")), ValueError, "float32 .'b'"),
    (
        lambda: sequential(layers.Masking(), layers.Conv1D(2, 1, name="between"), layers.LSTM(2)),
        ValueError,
        "'between'.*ends the mask",
    ),
    (lambda: sequential(layers.Masking(), layers.GlobalAveragePooling1D()), ValueError, "leave out masked"),
    (lambda: functional(lambda x, a: [a, x]), ValueError, "2 outputs"),
    (lambda: functional(lambda x, a: layers.Multiply(name="m")([x, a])), ValueError, "'m'.*Add or Concatenate"),
    (lambda: functional(lambda x, a: layers.Add()([layers.Dense(4)(x), a])), ValueError, "as Residual does"),
    (lambda: functional(lambda x, a: layers.Concatenate()([layers.Add()([x, a]), a])), ValueError, "'first' is read"),
]


@pytest.mark.filterwarnings("ignore:Layer 'between'")  # Keras's own warning of the mask that ends
@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=lambda case: case if isinstance(case, str) else "")
def test_what_has_no_counterpart_is_named(make, error, message):
    with pytest.raises(error, match=message):
        fastbp.from_keras(make())


def test_shared_layers_are_refused():
    shared, x = layers.Dense(4, name="shared"), keras.Input((4,))
    with pytest.raises(ValueError, match="'shared' is called 2 times"):
        fastbp.from_keras(keras.Model(x, shared(shared(x))))


def test_weights_for_another_model_are_refused():
    ours = fastbp.from_keras(mlp())
    with pytest.raises(ValueError, match=r"the models differ.*\(4, 8\).*\(5, 3, 3\)"):
        fastbp.to_keras_weights(ours, sequential(layers.Conv1D(3, 5)))


def test_freezing_and_unfreezing_takes_effect_as_in_keras():
    """Steps with a normalisation, and a layer within a layer, trained, frozen and trained again; weights stay."""
    inner = [layers.Bidirectional(layers.SimpleRNN(2)), layers.BatchNormalization(), layers.Dense(1)]
    theirs = keras.Sequential([keras.Input((3, 2)), *inner])
    theirs.compile("sgd", "mse")
    ours = fastbp.from_keras(theirs)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(6, 3, 2)).astype("float32"), rng.normal(size=(6, 1)).astype("float32")
    for trainable in (True, False, True):
        for model in (theirs, ours):
            model.layers[0].trainable = model.layers[1].trainable = trainable
        theirs.compile("sgd", "mse", run_eagerly=True)
        ours.compile("sgd", "mean_squared_error")
        for model in (theirs, ours):
            model.train_on_batch(x, y)
        weights = [np.asarray(weight) for layer in theirs.layers for weight in layer.get_weights()]
        for right, found in zip(weights, ours.get_weights(), strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)
