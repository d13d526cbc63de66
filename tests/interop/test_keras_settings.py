"""What a Keras model says beside its layers: masks, settings, metrics. Each is kept, or refused with the reason."""

import keras
import numpy as np
import pytest
from keras import layers, losses, metrics, optimizers

import fastbp
from fastbp.interop.kerascompile import compile_settings
from fastbp.interop.kerasdescribed import settings_left
from fastbp.interop.kerassettings import OTHERS, namesakes
from fastbp.metrics.scoring import SCORES, Accuracy, Recall

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
    pytest.mark.filterwarnings("ignore:Layer '.*was passed an input with a mask"),
]


def sequential(*stack, shape=(5, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def functional(make, shape=(5, 3)):
    x = keras.Input(shape)
    return keras.Model(x, make(x))


def twin(model):
    """Return a functional model of the layers of a Sequential one, with weights of its own."""

    def make(x):
        for layer in model.layers:
            x = type(layer).from_config(layer.get_config())(x)
        return x

    made = functional(make, model.input_shape[1:])
    made.set_weights(model.get_weights())
    return made


def masked_rows(kind):
    """Return rows whose time steps are partly padding, and targets for single outputs of steps."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 5, 3)).astype("float32") if kind == "steps" else rng.integers(1, 6, (8, 5))
    x[rng.random((8, 5)) < 0.4] = 0
    return x, rng.standard_normal((8, 5, 1)).astype("float32")


# Masks

MASKED = {
    "steps": lambda: sequential(layers.Masking(), layers.LSTM(4, return_sequences=True), layers.Dense(1)),
    "tokens": lambda: sequential(
        layers.Embedding(6, 3, mask_zero=True), layers.GRU(4, return_sequences=True), layers.Dense(1), shape=(5,)
    ),
}


@pytest.mark.parametrize("make_functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("kind", MASKED)
def test_masked_steps_weigh_nothing_in_loss_and_metrics(kind, make_functional):
    theirs, (x, y) = MASKED[kind](), masked_rows(kind)
    theirs = twin(theirs) if make_functional else theirs
    theirs.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    ours = fastbp.from_keras(theirs)
    expected = theirs.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(ours.evaluate(x, y), expected, rtol=1e-5)
    outputs = ours.predict(x)
    assert not np.isclose(np.mean((outputs - y) ** 2), expected[0], rtol=0.01)
    weight = np.random.default_rng(1).uniform(0, 2, (8, 5)).astype("float32")
    theirs.train_on_batch(x, y, weight)
    ours.train_on_batch(x, y, weight)
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def frozen(layer):
    layer.trainable = False
    return layer


def both_ways(x):
    return layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)


CONVERTED = {
    "frozen normalization": lambda x: frozen(layers.BatchNormalization())(layers.Masking()(x)),
    "unrolled": lambda x: layers.GRU(2, return_sequences=True, unroll=True, zero_output_for_mask=True)(
        layers.Masking()(x)
    ),
    "residual": lambda x: layers.Add()([m := layers.Masking()(x), layers.Dense(3)(m)]),
    "side by side": lambda x: layers.LSTM(2)(layers.Concatenate()([m := layers.Masking()(x), layers.Dense(2)(m)])),
    "both ways": lambda x: both_ways(both_ways(layers.Masking()(x))),
    "a model within": lambda x: layers.LSTM(2)(sequential(layers.LSTM(3, return_sequences=True))(layers.Masking()(x))),
    "ended in both": lambda x: layers.Dense(2)(layers.Flatten()(layers.Masking()(x))),
    "ended, unread": lambda x: layers.Flatten()(layers.Conv1D(2, 2)(layers.Masking()(x))),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_masks_that_act_alike_convert(name):
    theirs, (x, _) = functional(CONVERTED[name]), masked_rows("steps")
    np.testing.assert_allclose(fastbp.from_keras(theirs).predict(x), np.asarray(theirs(x)), atol=1e-5)


MASKS_REFUSED = {
    "the mask of 'm' reaches Keras layer 'norm' .*statistics": lambda m: layers.BatchNormalization(name="norm")(m),
    "'two' .*unroll=True": lambda m: layers.Bidirectional(
        layers.LSTM(2, return_sequences=True, unroll=True), name="two"
    )(m),
    "'s' .Softmax., which would read": lambda m: layers.Softmax(name="s")(layers.Dense(5)(m)),
    "'conv' .*ends the mask of 'm'.*the loss": lambda m: layers.Conv1D(2, 1, name="conv")(m),
    "'rms' .*ends the mask of 'm'.*'back'": lambda m: layers.GRU(2, name="back")(
        layers.RMSNormalization(name="rms")(m)
    ),
    "'add' .*ends the mask of 'm'": lambda m: layers.Add(name="add")([m, layers.Conv1D(3, 1)(m)]),
    "'j' .*ends the mask": lambda m: layers.LSTM(2)(layers.Concatenate(name="j")([m, layers.Conv1D(3, 1)(m)])),
    "'j .joined along time.' masks": lambda m: layers.LSTM(2)(
        layers.Concatenate(axis=1, name="j")([m, layers.Dense(3)(m)])
    ),
    "'m' and 'm2' masks": lambda m: layers.LSTM(2)(layers.Concatenate()([m, layers.Masking(1.0, name="m2")(m)])),
    "'both' .*'m2'|'m2' masks .*'m'": lambda m: layers.LSTM(2)(
        layers.Concatenate(name="both")([layers.Dense(2)(m), layers.Masking(1.0, name="m2")(layers.Conv1D(2, 1)(m))])
    ),
}


@pytest.mark.parametrize("message", MASKS_REFUSED)
def test_masks_that_act_in_one_library_alone_are_refused(message):
    with pytest.raises(ValueError, match=message):
        fastbp.from_keras(functional(lambda x: MASKS_REFUSED[message](layers.Masking(name="m")(x))))


def test_masks_and_states_of_one_s_own_are_refused():
    def with_mask(x):
        return layers.LSTM(2, name="own")(layers.Masking()(x), mask=keras.ops.any(x > 0, axis=-1))

    def with_state(x):
        return layers.GRU(3, name="own")(x, initial_state=[layers.Flatten()(x)[:, :3]])

    with pytest.raises(ValueError, match="'own' is called with a mask"):
        fastbp.from_keras(functional(with_mask))
    with pytest.raises(ValueError, match="'own' is called with initial_state"):
        fastbp.from_keras(functional(with_state))


def test_metrics_that_count_masked_steps_in_keras_are_refused():
    theirs = MASKED["steps"]()
    theirs.compile("sgd", "mse", metrics=[metrics.RootMeanSquaredError()])
    assert "counts masked time steps" in fastbp.from_keras(theirs).why_not_compiled


# Settings of layers

ARGUMENTS = {
    **dict.fromkeys(("Activation",), ("relu",)),
    **dict.fromkeys(("AveragePooling1D", "MaxPooling1D", "AveragePooling2D", "MaxPooling2D", "Dense"), (2,)),
    **dict.fromkeys(("GRU", "LSTM", "SimpleRNN"), (2,)),
    **dict.fromkeys(("Conv1D", "Conv2D", "Embedding"), (3, 2)),
    **dict.fromkeys(("Dropout", "GaussianNoise", "AlphaDropout", "SpatialDropout1D", "SpatialDropout2D"), (0.1,)),
    "DepthwiseConv2D": (2,),
    "Reshape": ((-1, 1),),
    "Masking": (),
    "Rescaling": (2.0,),
    "GroupNormalization": (2,),
}
IMAGES = ("Conv2D", "DepthwiseConv2D", "ZeroPadding2D", "SpatialDropout2D")


def model_with(kind):
    """Return a model with a layer of this kind, and the layer."""
    shape = (4, 4, 2) if kind in IMAGES or kind.endswith("2D") else (5,) if kind == "Embedding" else (5, 2)
    layer = layers.Bidirectional(layers.LSTM(2)) if kind == "Bidirectional" else None
    layer = layer or getattr(layers, kind)(*ARGUMENTS.get(kind, ()))
    if kind in ("Add", "Concatenate"):
        return functional(lambda x: layer([x, layers.Dense(2)(x)]), shape), layer
    return sequential(layer, shape=shape), layer


@pytest.mark.parametrize("kind", [*namesakes(layers), *OTHERS])
def test_a_setting_that_nobody_mapped_is_refused(kind, monkeypatch):
    theirs, layer = model_with(kind)
    config = layer.get_config()
    fastbp.from_keras(theirs)
    monkeypatch.setattr(layer, "get_config", lambda: config | {"later_setting": 0})
    with pytest.raises(ValueError, match=rf"'{layer.name}' \({kind}\): later_setting=0 has no counterpart"):
        fastbp.from_keras(theirs)


def test_false_is_not_zero_among_settings():
    assert settings_left({"a": 1, "b": False, "c": None}, ["a"], {"b": False}) == {"a": 1}
    for config, neutral in [({"b": 0}, {"b": False}), ({"b": False}, {"b": 0}), ({"b": -1}, {})]:
        with pytest.raises(ValueError, match="b="):
            settings_left(config, (), neutral)


def set_later(model, what, value):
    setattr(model.layers[0], what, value)
    return model


def with_frozen_kernel(model):
    model.layers[0].kernel.trainable = False
    return model


def with_frozen_gamma(model):
    for variable in model.layers[0].trainable_weights:
        variable.trainable = False
    return model


HIDDEN = {
    "set after Keras made the weights": lambda: set_later(
        sequential(layers.Dense(2)), "kernel_regularizer", keras.regularizers.L2()
    ),
    "freezes whole layers": lambda: with_frozen_kernel(sequential(layers.Dense(2))),
    "freeze the layer itself": lambda: with_frozen_gamma(sequential(layers.BatchNormalization())),
    "axis=0": lambda: sequential(layers.Softmax(axis=0)),
    "activation own is a function": lambda: sequential(layers.Dense(2, own)),
    "threshold=1.0": lambda: sequential(layers.Dense(2, layers.ReLU(threshold=1.0))),
    "activation layer PReLU": lambda: sequential(layers.Dense(2, layers.PReLU())),
    "OwnL2 is not one": lambda: sequential(layers.Dense(2, kernel_regularizer=OwnL2())),
    "lora_rank=1": lambda: with_lora(sequential(layers.Dense(2))),
    "by a function of keras.ops": lambda: functional(lambda x: layers.Dense(3)(x) + x),
    "casts its inputs to int32": lambda: keras.Sequential([keras.Input((4,), dtype="int32"), layers.Dense(2)]),
    "more than once": lambda: sequential(sequential(shared := layers.Dense(3)), sequential(shared)),
}


def own(x, *others):
    return x


class OwnL2(keras.regularizers.L2):
    """Something else under a name like Keras's."""


def with_lora(model):
    model.layers[0].enable_lora(1)
    return model


@pytest.mark.parametrize("message", HIDDEN)
def test_what_a_description_hides_is_refused(message):
    with pytest.raises(ValueError, match=message):
        fastbp.from_keras(HIDDEN[message]())


def test_activations_and_constraints_as_objects():
    relu = layers.Activation(layers.LeakyReLU(0.1))
    theirs = sequential(layers.Dense(3, relu, kernel_constraint=keras.constraints.MaxNorm(1.5, axis=-2)))
    dense = fastbp.from_keras(theirs).layers[0]
    assert (dense.activation.alpha, dense.kernel_constraint) == (0.1, fastbp.MaxNorm(1.5))


def test_equal_names_in_models_within_the_model_get_numbers():
    inner = sequential(layers.Dense(3, name="a"), layers.Dense(4, name="b"))
    theirs = sequential(inner, layers.Dense(3, name="a"), layers.Dense(1, name="a_1"))
    ours, x = fastbp.from_keras(theirs), masked_rows("steps")[0]
    assert [layer.name for layer in ours.layers] == ["a", "b", "a_2", "a_1"]
    np.testing.assert_allclose(ours.predict(x), np.asarray(theirs(x)), atol=1e-5)


def test_what_is_trained_is_what_keras_trains():
    inner = sequential(layers.Dense(3), layers.BatchNormalization(), layers.Dense(2))
    theirs = sequential(inner, layers.Dense(1))
    inner.trainable = False
    inner.layers[0].trainable = True
    assert [layer.trainable for layer in fastbp.from_keras(theirs).layers] == [True, False, False, True]
    theirs.trainable = False
    assert not any(layer.trainable for layer in fastbp.from_keras(theirs).layers)


# What a model is compiled with


def compiled(**settings):
    """Return a small model, compiled."""
    model = sequential(layers.Dense(3, name="d"), layers.Dense(2, name="e"), shape=(4,))
    model.compile(**{"loss": "mse", "optimizer": "sgd"} | settings)
    return model


class Adam(optimizers.Adam):
    """Something else under Keras's name."""


def mean_squared_error(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


NOT_COMPILED = [
    ({"loss": losses.SparseCategoricalCrossentropy(ignore_class=-1)}, "ignore_class=-1"),
    ({"loss": losses.SparseCategoricalCrossentropy(axis=0)}, "axis=0"),
    ({"loss": losses.MeanSquaredError(reduction="mean_with_sample_weight")}, "mean_with_sample_weight"),
    ({"loss": losses.CategoricalCrossentropy(axis=1)}, "axis=1"),
    ({"loss": mean_squared_error}, "mean_squared_error of tests.interop.test_keras_settings is not one of Keras's own"),
    ({"metrics": [mean_squared_error]}, "mean_squared_error of tests.interop.test_keras_settings"),
    ({"optimizer": Adam()}, "Adam is not one of Keras's own"),
    ({"optimizer": optimizers.SGD(lambda: 0.1)}, "learning rate that is a function"),
    ({"optimizer": optimizers.Adam(loss_scale_factor=8.0)}, "loss_scale_factor=8.0"),
    ({"loss": "categorical_crossentropy"}, "softmax"),
    ({"metrics": [losses.MeanSquaredError()]}, "mean over batches"),
    ({"metrics": [metrics.Precision(thresholds=[0.2, 0.5])]}, "Precision.*thresholds=.0.2, 0.5"),
    ({"metrics": ["f1_score"]}, "average=None"),
    ({"metrics": [metrics.R2Score(num_regressors=1)]}, "num_regressors=1"),
    ({"metrics": [metrics.AUC(curve="PR")]}, "curve='PR'"),
    ({"metrics": [metrics.AUC(thresholds=[0.3, 0.6])]}, "thresholds="),
    ({"metrics": [metrics.Accuracy()]}, "'Accuracy' has no counterpart"),
    ({"metrics": [metrics.MeanMetricWrapper(losses.mean_squared_error)]}, "'MeanMetricWrapper' has no counterpart"),
]


@pytest.mark.parametrize(("settings", "reason"), NOT_COMPILED, ids=lambda case: case if isinstance(case, str) else "")
def test_what_has_no_counterpart_leaves_the_model_uncompiled_and_fit_says_why(settings, reason):
    ours = fastbp.from_keras(compiled(**settings))
    with pytest.raises(ValueError, match=f"fit needs a compiled model.*from_keras did not compile it.*{reason}"):
        ours.fit(np.ones((3, 4)), np.ones((3, 2)))
    ours.compile("sgd", "mean_squared_error")
    ours.fit(np.ones((3, 4)), np.ones((3, 2)), verbose=0)


def test_losses_keep_their_settings():
    theirs = compiled(loss=losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, reduction="mean"))
    assert fastbp.from_keras(theirs).loss == fastbp.BinaryCrossentropy(True, 0.1)


def test_weights_spared_of_weight_decay_are_spared():
    """One step of AdamW: what is spared moves by the gradient alone."""
    optimizer = optimizers.AdamW(0.1, weight_decay=0.5, epsilon=0.01)
    theirs = compiled(optimizer=optimizer, run_eagerly=True)
    optimizer.exclude_from_weight_decay([theirs.layers[1].kernel], ["bias"])
    for variable in theirs.weights:
        variable.assign(np.full(variable.shape, 0.5))
    ours, x, y = fastbp.from_keras(theirs), np.eye(4), np.ones((4, 2))
    assert (ours.layers[0].kernel_decay_factor, ours.layers[0].bias_decay_factor) == (1.0, 0.0)
    theirs.train_on_batch(x, y)
    ours.train_on_batch(x, y)
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    theirs = sequential(layers.BatchNormalization(name="norm"), layers.Dense(1))
    theirs.compile(optimizer := optimizers.AdamW(), "mse")
    optimizer.exclude_from_weight_decay(var_names=["gamma"])
    assert "spares 'norm/gamma'" in fastbp.from_keras(theirs).why_not_compiled


# Metrics: each by the name of its class, with settings, against Keras's own on the same numbers

SETTINGS = [
    ("yes or no", metrics.BinaryAccuracy(threshold=0.3)),
    ("yes or no", metrics.Recall(thresholds=0.7)),
    ("yes or no", metrics.Precision(thresholds=[0.4], name="precise")),
    ("yes or no", metrics.AUC()),
    ("yes or no", metrics.AUC(num_thresholds=7)),
    ("labels", metrics.AUC(from_logits=True)),
    ("labels", metrics.Precision()),
    ("labels", metrics.Recall(class_id=1, thresholds=0.2)),
    ("labels", metrics.Recall(top_k=2)),
    ("labels", metrics.F1Score("weighted", 0.4)),
    ("labels", metrics.CategoricalAccuracy()),
    ("classes", metrics.Precision(top_k=1, class_id=2)),
    ("classes", metrics.FBetaScore("macro", 2.0)),
    ("classes", metrics.F1Score("micro")),
    ("classes", metrics.TopKCategoricalAccuracy(2)),
    ("class numbers", metrics.SparseTopKCategoricalAccuracy(2)),
    ("class numbers", metrics.SparseCategoricalAccuracy(name="sparse")),
    ("numbers", metrics.R2Score("variance_weighted_average")),
    ("numbers", metrics.R2Score()),
    ("numbers", metrics.MeanAbsoluteError(name="off")),
    ("numbers", metrics.RootMeanSquaredError(name="rmse")),
    ("numbers", metrics.MeanSquaredError(name="squares")),
]


def targets_and_outputs(kind):
    """Return 30 rows."""
    rng = np.random.default_rng(3)
    if kind == "yes or no":
        return rng.integers(0, 2, (30, 1)), rng.random((30, 1), np.float32)
    if kind == "labels":
        return rng.integers(0, 2, (30, 3)), rng.random((30, 3), np.float32)
    if kind == "numbers":
        return rng.standard_normal((30, 2)).astype(np.float32), rng.standard_normal((30, 2)).astype(np.float32)
    classes, outputs = rng.integers(0, 3, 30), rng.random((30, 3), np.float32)
    return classes if kind == "class numbers" else np.eye(3, dtype=np.float32)[classes], outputs


@pytest.mark.parametrize(("kind", "theirs"), SETTINGS, ids=lambda case: getattr(case, "name", case))
def test_metrics_keep_their_settings(kind, theirs):
    y_true, y_pred = targets_and_outputs(kind)
    theirs.reset_state()
    theirs.update_state(y_true, y_pred)
    ours = compile_settings(compiled(metrics=[theirs]).get_compile_config())[2][0]
    assert ours.name == theirs.name
    assert 0.01 < abs(ours(y_true, y_pred)) != 1
    assert ours(y_true, y_pred) == pytest.approx(float(theirs.result()), rel=1e-5)


def test_every_metric_with_settings_is_compared():
    found = {type(compile_settings(compiled(metrics=[m]).get_compile_config())[2][0]).__name__ for _, m in SETTINGS}
    assert found | {"Accuracy"} == {SCORES[name].__name__ for name in SCORES}


@pytest.mark.parametrize("loss", ["binary_crossentropy", losses.BinaryCrossentropy(from_logits=True), "mse"])
def test_accuracy_of_several_labels_is_keras_s(loss):
    """Keras compares the places of the largest entries, whatever the loss."""
    end = "sigmoid" if loss == "binary_crossentropy" else "linear"
    theirs = sequential(layers.Dense(3, end), shape=(4,))
    theirs.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)).astype("float32"), rng.integers(0, 2, (20, 3))
    np.testing.assert_allclose(fastbp.from_keras(theirs).evaluate(x, y), theirs.evaluate(x, y, verbose=0), rtol=1e-5)


def test_metrics_by_name_in_lists_and_in_dicts():
    for given in (
        ["acc", "recall", "AUC", "mse"],
        [["acc", "recall", "AUC", "mse"]],
        {"e": ["acc", "recall", "AUC", "mse"]},
    ):
        found = compile_settings(compiled(metrics=given).get_compile_config())[2]
        assert [metric if isinstance(metric, str) else metric.name for metric in found] == [
            "acc", "recall", "AUC", "mean_squared_error",
        ]  # fmt: skip
    loss = "sparse_categorical_crossentropy"
    assert compile_settings(compiled(loss=loss, metrics=["accuracy"]).get_compile_config())[2] == ["accuracy"]


def test_files_hold_metrics_with_settings(tmp_path):
    theirs = sequential(layers.Dense(1, "sigmoid"), shape=(4,))
    theirs.compile("sgd", "binary_crossentropy", metrics=["accuracy", metrics.Recall(0.7, name="recall")])
    ours = fastbp.from_keras(theirs)
    x, y = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 2
    ours.save(tmp_path / "model.fastbp")
    again = fastbp.load_model(tmp_path / "model.fastbp")
    assert again.evaluate(x, y, return_dict=True) == ours.evaluate(x, y, return_dict=True)
    assert [metric for _, metric in again.engine.metrics] == [Accuracy(), Recall(0.7)]
    assert again.custom_metrics == []
