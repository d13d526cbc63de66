"""Names as Keras's users write them, and suggestions by meaning."""

import numpy as np
import pytest

import fastbp
from fastbp import Dense
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.losses import LOSSES
from fastbp.metrics import METRIC_NAMES, METRICS
from fastbp.metrics import resolve as resolve_metric
from fastbp.optimizers import OPTIMIZERS
from fastbp.regularizers import REGULARIZERS
from fastbp.settings.naming import ALIASES, MEANINGS, nearest, plain

FAMILIES = {
    "loss": LOSSES,
    "metric": METRIC_NAMES,
    "activation": ACTIVATIONS,
    "optimizer": OPTIMIZERS,
    "initializer": INITIALIZERS,
    "regularizer": REGULARIZERS,
}


@pytest.mark.parametrize(
    ("kind", "written", "name"),
    [
        ("loss", "mse", "mean_squared_error"),
        ("loss", "MAE", "mean_absolute_error"),
        ("loss", "bce", "binary_crossentropy"),
        ("loss", "cce", "categorical_crossentropy"),
        ("loss", "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
        ("loss", "Huber", "huber"),
        ("optimizer", "Adam", "adam"),
        ("optimizer", "SGD", "sgd"),
        ("optimizer", "RMSprop", "rmsprop"),
        ("optimizer", "AdamW", "adamw"),
        ("activation", "swish", "silu"),
        ("activation", "ReLU", "relu"),
        ("activation", "LeakyReLU", "leaky_relu"),
        ("initializer", "glorotuniform", "glorot_uniform"),
        ("initializer", "HeNormal", "he_normal"),
        ("initializer", "normal", "random_normal"),
        ("initializer", "OrthogonalInitializer", "orthogonal"),
        ("regularizer", "L1L2", "l1_l2"),
    ],
)
def test_names_of_keras(kind, written, name):
    assert FAMILIES[kind].resolve(written) == FAMILIES[kind].resolve(name)
    assert repr(FAMILIES[kind].resolve(written)) == repr(FAMILIES[kind].resolve(name))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("mse", "mean_squared_error"),
        ("MAE", "mean_absolute_error"),
        ("AUC", "auc"),
        ("Precision", "precision"),
        ("R2Score", "r2_score"),
        ("F1Score", "f1_score"),
        ("RootMeanSquaredError", "root_mean_squared_error"),
        ("categorical_accuracy", "sparse_categorical_accuracy"),
    ],
)
def test_metrics_of_keras(written, name):
    """The figure keeps the name that the user gave it, as in Keras."""
    assert resolve_metric(written, LOSSES.resolve("mse")) == (written, METRICS[name])


@pytest.mark.parametrize("table", [ALIASES, MEANINGS])
def test_words_stand_for_names_that_there_are(table):
    for kind, words in table.items():
        assert set(words.values()) <= set(FAMILIES[kind])
        assert [plain(word) for word in words] == list(words)
        assert not set(words) & {plain(name) for name in FAMILIES[kind]}


@pytest.mark.parametrize("kind", FAMILIES)
def test_names_differ_in_more_than_case(kind):
    assert len({plain(name) for name in FAMILIES[kind]}) == len(FAMILIES[kind])


@pytest.mark.parametrize(
    ("kind", "written", "name"),
    [
        ("metric", "accurracy", "accuracy"),
        ("metric", "roc_auc", "auc"),
        ("metric", "F1", "f1_score"),
        ("metric", "crossentropy", "log_loss"),
        ("loss", "l2", "mean_squared_error"),
        ("loss", "MSEE", "mean_squared_error"),
        ("loss", "nll_loss", "sparse_categorical_crossentropy"),
        ("loss", "smooth_l1", "huber"),
        ("activation", "logistic", "sigmoid"),
        ("activation", "Swich", "silu"),
        ("optimizer", "adma", "adam"),
        ("initializer", "xavier", "glorot_uniform"),
        ("initializer", "kaiming_normal", "he_normal"),
        ("regularizer", "ridge", "l2"),
    ],
)
def test_suggestions_are_the_nearest_in_meaning(kind, written, name):
    resolve = FAMILIES[kind].resolve if kind != "metric" else lambda name: resolve_metric(name, LOSSES.resolve("mse"))
    with pytest.raises(ValueError, match=f"unknown {kind} {written!r}. Did you mean {name!r}"):
        resolve(written)


def test_suggestions_of_figures():
    known = ["loss", "accuracy", "val_loss", "val_auc", "val_accuracy"]
    assert nearest("val_acc", known) == " Did you mean 'val_accuracy'?"
    assert nearest("xyzzy", known) == ""


def test_a_model_of_short_names(tmp_path):
    """Files hold the canonical names; history and callbacks go by those that were given."""
    x, y = np.eye(4), np.arange(4) % 2
    layers = [Dense(3, activation="swish", kernel_initializer="HeUniform"), Dense(1, activation="Sigmoid")]
    model = fastbp.Sequential(layers, seed=0)
    model.compile("SGD", "bce", ["acc", "AUC", "mae"])
    stop = fastbp.EarlyStopping("val_acc", patience=3)
    history = model.fit(x, y, validation_data=(x, y), callbacks=[stop], verbose=0).history
    assert list(history)[:4] == ["loss", "acc", "AUC", "mae"]
    assert stop.best == history["val_acc"][0]
    assert "'silu'" in repr(layers[0]) or "SiLU()" in repr(layers[0])
    model.save(tmp_path / "m.fastbp")
    text = (tmp_path / "m.fastbp").read_bytes()
    assert b"loss/binary_crossentropy" in text
    assert b"optimizer/sgd" in text
    assert b"swish" not in text
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.evaluate(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)
