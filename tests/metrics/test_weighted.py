"""Weighted metrics and balanced classes, against Keras and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

import fastbp
from fastbp.interop.kerasmetrics import OBJECTS
from fastbp.metrics import scoring

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 4)).astype("float32")
CLASSES = RNG.choice(3, 50, p=[0.6, 0.3, 0.1])
CLASSES[:3] = 0, 1, 2
WEIGHT = RNG.uniform(0, 3, 50)


def model(weighted, head=None, loss="sparse_categorical_crossentropy", **more):
    made = fastbp.Sequential([head or fastbp.Dense(3, "softmax")], input_shape=(4,), seed=0)
    made.compile("sgd", loss, weighted_metrics=weighted, **more)
    return made


def test_as_keras():
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    theirs.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    ours = model(["accuracy"], metrics=["accuracy"])
    ours.set_weights(theirs.get_weights())
    expected = theirs.evaluate(X, CLASSES, sample_weight=WEIGHT, verbose=0, return_dict=True)
    found = ours.evaluate(X, CLASSES, sample_weight=WEIGHT, return_dict=True)
    assert found.keys() == expected.keys() == {"loss", "accuracy", "weighted_accuracy"}
    assert found == pytest.approx(expected, rel=1e-5)
    # The class's weight counts in training.
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    expected = theirs.fit(X, CLASSES, class_weight=weights, batch_size=50, verbose=0).history
    history = ours.fit(X, CLASSES, class_weight=weights, batch_size=50, verbose=0).history
    for name, values in expected.items():
        assert history[name] == pytest.approx(values, rel=1e-5)


NAMES = ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "r2_score")


@pytest.mark.parametrize("name", NAMES)
def test_of_quantities_as_scikit_learn(name):
    y = X @ RNG.normal(size=(4, 2))
    ours = model([name], fastbp.Dense(2), "mse")
    # Of several outputs scikit-learn's root is a mean of roots, Keras's the root of the mean.
    judge = getattr(metrics, name.removeprefix("root_"))
    expected = judge(y, ours.predict(X), sample_weight=WEIGHT)
    expected = np.sqrt(expected) if name.startswith("root") else expected
    assert ours.evaluate(X, y, sample_weight=WEIGHT)[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "f1_score", "log_loss", "accuracy"])
def test_of_classes_as_scikit_learn(name):
    y = (CLASSES > 0).astype(int)
    ours = model([name], fastbp.Dense(1, "sigmoid"), "binary_crossentropy")
    p = ours.predict(X)[:, 0].astype(float)
    judge = {"auc": metrics.roc_auc_score, "accuracy": metrics.accuracy_score}.get(name)
    judge = judge or getattr(metrics, name if name in ("log_loss", "f1_score") else f"{name}_score")
    given = p if name in ("auc", "log_loss") else p > 0.5
    expected = judge(y, given, sample_weight=WEIGHT)
    assert ours.evaluate(X, y, sample_weight=WEIGHT)[1] == pytest.approx(expected, rel=1e-5)
    with_none = ours.evaluate(X, y)[1]
    assert with_none == pytest.approx(judge(y, given), rel=1e-5)


# fastbp's metric with settings beside Keras's of the same settings, and what rows of y it is of.
SETTINGS = {
    "binary": (("BinaryAccuracy", {"threshold": 0.6}), "labels"),
    "top 1": (("TopKCategoricalAccuracy", {"k": 1}), "classes"),
    "top 2": (("TopKCategoricalAccuracy", {"k": 2}), "classes"),
    "accuracy": (("CategoricalAccuracy", {}), "classes"),
    "precision": (("Precision", {"thresholds": 0.35}), "labels"),
    "precision of the top": (("Precision", {"top_k": 2, "class_id": 1}), "labels"),
    "recall": (("Recall", {"thresholds": 0.3}), "labels"),
    "recall of a class": (("Recall", {"class_id": 2}), "labels"),
    "f1 macro": (("F1Score", {"average": "macro", "threshold": 0.4}), "labels"),
    "fbeta weighted": (("FBetaScore", {"average": "weighted", "beta": 2.0}), "classes"),
    "fbeta micro": (("FBetaScore", {"average": "micro", "beta": 0.5, "threshold": 0.3}), "labels"),
    "auc": (("AUC", {"num_thresholds": 50}), "labels"),
    "auc of logits": (("AUC", {"from_logits": True}), "labels"),
    "r2": (("R2Score", {}), "quantities"),
    "r2 by variance": (("R2Score", {"class_aggregation": "variance_weighted_average"}), "quantities"),
    "mse": (("MeanSquaredError", {}), "quantities"),
    "mae": (("MeanAbsoluteError", {}), "quantities"),
    "rmse": (("RootMeanSquaredError", {}), "quantities"),
}


@pytest.mark.parametrize("weight", [WEIGHT, WEIGHT / 100, np.zeros(50), None], ids=["", "small", "none", "even"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_metrics_with_settings_as_keras(kind, weight):
    (name, settings), of = SETTINGS[kind]
    rng = np.random.default_rng(7)
    logits = X @ rng.normal(size=(4, 3))
    p = logits if "logits" in kind or of == "quantities" else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = p.astype("float32")
    y = {"classes": np.eye(3)[CLASSES], "labels": rng.random((50, 3)) < 0.4, "quantities": rng.normal(size=(50, 3))}[of]
    theirs = getattr(keras.metrics, name)(**settings)
    theirs.update_state(y.astype("float32"), p, None if weight is None else weight.astype("float32"))
    with np.errstate(invalid="ignore"):
        expected = float(theirs.result())
    ours = OBJECTS[name][0](**settings)
    found = ours(y.astype("float32"), p, weight)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    if weight is None:
        np.testing.assert_equal(ours(y.astype("float32"), p), found)


def test_metrics_with_settings_in_compile(tmp_path):
    def chosen(module):
        return [module.TopKCategoricalAccuracy(k=2, name="top2"), module.F1Score(average="macro", name="f")]

    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    theirs.compile(
        "sgd", "categorical_crossentropy", metrics=chosen(keras.metrics), weighted_metrics=chosen(keras.metrics)
    )
    y = np.eye(3)[CLASSES]
    expected = theirs.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True)
    by_hand = model(chosen(scoring), loss="categorical_crossentropy", metrics=chosen(scoring))
    by_hand.set_weights(theirs.get_weights())
    read = fastbp.from_keras(theirs)
    by_hand.save(tmp_path / "m")
    for ours in (by_hand, read, fastbp.load_model(tmp_path / "m")):
        found = ours.evaluate(X, y, sample_weight=WEIGHT, return_dict=True)
        assert found.keys() == expected.keys() == {"loss", "top2", "f", "weighted_top2", "weighted_f"}
        assert found == pytest.approx(expected, rel=1e-5)
    history = by_hand.fit(X, y, sample_weight=WEIGHT, validation_data=(X, y, WEIGHT), epochs=2, verbose=0).history
    assert history["val_weighted_f"][-1] == pytest.approx(by_hand.evaluate(X, y, sample_weight=WEIGHT)[4])


def test_metrics_with_settings_of_time_steps():
    y, p = RNG.normal(size=(6, 5, 2)), RNG.normal(size=(6, 5, 2))
    of_steps, of_rows = RNG.uniform(0, 2, (6, 5)), RNG.uniform(0, 2, 6)
    for metric, theirs in ((scoring.MeanAbsoluteError(), keras.metrics.MeanAbsoluteError()),):
        for weight in (of_steps, of_rows):
            theirs.reset_state()
            theirs.update_state(y, p, weight)
            assert metric(y, p, weight) == pytest.approx(float(theirs.result()), rel=1e-5)
    with pytest.raises(ValueError, match=r"the weights have shape \(7,\).*one for each row"):
        scoring.MeanAbsoluteError()(y, p, np.ones(7))


def test_time_steps_with_a_mask():
    x = RNG.normal(size=(20, 5, 3)).astype("float32")
    x[RNG.random((20, 5)) < 0.3] = 0
    y, weight = RNG.normal(size=(20, 5, 1)), RNG.uniform(0, 2, (20, 5))
    ours = fastbp.Sequential(
        [fastbp.Masking(), fastbp.GRU(2, return_sequences=True), fastbp.Dense(1)], input_shape=(5, 3), seed=0
    )
    ours.compile("sgd", "mse", weighted_metrics=["mean_absolute_error"])
    counts = (x != 0).any(axis=2)
    errors = np.abs(ours.predict(x) - y)[..., 0]
    expected = np.average(errors[counts], weights=weight[counts])
    assert ours.evaluate(x, y, sample_weight=weight)[1] == pytest.approx(expected, rel=1e-5)


def own(y_true, y_pred, sample_weight=None):
    return 7.0 if sample_weight is None else float(np.sum(sample_weight))


def equal(y_true, y_pred):
    return 0.0


def test_functions_of_one_s_own_and_files(tmp_path):
    ours = model([own, "accuracy"])
    assert ours.evaluate(X, CLASSES)[1] == 7.0
    assert ours.evaluate(X, CLASSES, sample_weight=WEIGHT)[1] == pytest.approx(WEIGHT.sum(), rel=1e-5)
    ours.save(tmp_path / "m")
    again = fastbp.load_model(tmp_path / "m", {"own": own})
    assert again.evaluate(X, CLASSES, sample_weight=WEIGHT) == ours.evaluate(X, CLASSES, sample_weight=WEIGHT)
    with pytest.warns(UserWarning, match="'own'"):
        fastbp.load_model(tmp_path / "m")
    with pytest.raises(ValueError, match="'equal' takes no weights"):
        model([equal])
    with pytest.raises(TypeError, match=r"weighted_metrics is a list: write weighted_metrics=\['accuracy'\]"):
        model("accuracy")


def test_balanced_classes_as_scikit_learn():
    weights = compute_class_weight("balanced", classes=np.unique(CLASSES), y=CLASSES)
    by_name, by_hand = model(None), model(None)
    by_name.fit(X, CLASSES, class_weight="balanced", verbose=0)
    by_hand.fit(X, CLASSES, class_weight=dict(enumerate(weights)), verbose=0)
    np.testing.assert_array_equal(by_name.params, by_hand.params)
    one_hot = model(None, loss="categorical_crossentropy")
    one_hot.fit(X, np.eye(3)[CLASSES], class_weight="balanced", verbose=0)
    np.testing.assert_allclose(one_hot.params, by_hand.params, rtol=1e-5)
    # Of the rows that are trained on.
    split = model(None)
    split.fit(X, CLASSES, class_weight="balanced", validation_split=0.2, verbose=0)
    part = compute_class_weight("balanced", classes=np.unique(CLASSES[:40]), y=CLASSES[:40])
    by_hand = model(None)
    by_hand.fit(X[:40], CLASSES[:40], class_weight=dict(zip(np.unique(CLASSES[:40]), part, strict=True)), verbose=0)
    np.testing.assert_array_equal(split.params, by_hand.params)
    with pytest.raises(TypeError, match="class_weight is a dict .* not 'balance'"):
        model(None).fit(X, CLASSES, class_weight="balance", verbose=0)
