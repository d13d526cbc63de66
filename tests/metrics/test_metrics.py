"""Metrics: the cheap ones by hand, those of scikit-learn against it, and which accuracy goes with which loss."""

import subprocess
import sys

import numba
import numpy as np
import pytest
import sklearn.metrics

import fastbp
from fastbp.losses import LOSSES, BinaryCrossentropy, CustomLoss, Loss, SparseCategoricalCrossentropy
from fastbp.metrics import METRICS, resolve, scoring
from fastbp.metrics.direction import greater_is_better

BINARY_Y = np.array([0, 1, 1, 0, 1])
BINARY_P = np.array([[0.2], [0.9], [0.4], [0.7], [0.6]], np.float32)
CLASS_Y = np.array([0, 2, 1, 1, 2, 0])
LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
LABEL_P = np.array([[0.9, 0.4, 0.3], [0.2, 0.1, 0.6], [0.8, 0.7, 0.9], [0.4, 0.6, 0.2]], np.float32)


def probabilities(k, n=6, dtype=np.float32, seed=0):
    """Return probabilities (n, k) whose rows sum to 1 as far as the dtype goes."""
    p = np.random.default_rng(seed).uniform(0.05, 1.0, (n, k)).astype(dtype)
    return p / p.sum(1, keepdims=True)


def one_hot(classes, k):
    return np.eye(k)[classes]


# Those in NumPy


def test_squares_and_distances():
    y, p = np.array([1.0, 2.0, 4.0]), np.array([[2.0], [2.0], [1.0]], np.float32)
    for targets in (y, y[:, None], y.tolist()):
        assert METRICS["mean_squared_error"](targets, p) == pytest.approx(10 / 3)
        assert METRICS["root_mean_squared_error"](targets, p) == pytest.approx(np.sqrt(10 / 3))
        assert METRICS["mean_absolute_error"](targets, p) == pytest.approx(4 / 3)
    # One value from several outputs: the mean over all.
    assert METRICS["mean_squared_error"](np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])) == 30 / 4


def test_float32_outputs_are_compared_in_float64():
    y = np.full(1000, 1e4 + 0.1)
    assert METRICS["mean_absolute_error"](y, np.full((1000, 1), 1e4, np.float32)) == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "binary_accuracy", "r2_score"])
def test_shapes_that_do_not_fit(name):
    with pytest.raises(ValueError, match=r"y has shape \(6,\) and the outputs \(6, 3\)"):
        METRICS[name](CLASS_Y, probabilities(3))


def test_accuracies():
    assert METRICS["binary_accuracy"](BINARY_Y, BINARY_P) == pytest.approx(3 / 5)
    assert METRICS["binary_accuracy"](LABELS, LABEL_P) == pytest.approx(10 / 12)
    assert METRICS["sign_accuracy"](BINARY_Y, BINARY_P - 0.5) == pytest.approx(3 / 5)
    assert METRICS["sign_accuracy"](2 * BINARY_Y - 1, BINARY_P - 0.5) == pytest.approx(3 / 5)
    p = one_hot([0, 2, 2, 1, 0, 0], 3)
    for y in (CLASS_Y, CLASS_Y[:, None], CLASS_Y.astype(float), one_hot(CLASS_Y, 3), CLASS_Y.tolist()):
        assert METRICS["sparse_categorical_accuracy"](y, p) == pytest.approx(4 / 6)
        assert METRICS["class_accuracy"](y, p) == pytest.approx(4 / 6)
    assert METRICS["class_accuracy"](BINARY_Y, BINARY_P) == pytest.approx(3 / 5)


def test_nan_is_not_hidden():
    p = BINARY_P.copy()
    p[0] = np.nan
    for name in ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error"):
        assert np.isnan(METRICS[name](BINARY_Y, p))


# Those of scikit-learn


def test_r2():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    assert METRICS["r2_score"](y, p) == pytest.approx(sklearn.metrics.r2_score(y, p))
    assert METRICS["r2_score"](y[:, 0], p[:, :1]) == pytest.approx(sklearn.metrics.r2_score(y[:, 0], p[:, 0]))


SCORES = {
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
    "f1_score": sklearn.metrics.f1_score,
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_choices(name):
    metric, score = METRICS[name], SCORES[name]
    expected = score(BINARY_Y, BINARY_P[:, 0] > 0.5)
    assert metric(BINARY_Y, BINARY_P) == pytest.approx(expected)
    assert metric(BINARY_Y[:, None], BINARY_P) == pytest.approx(expected)
    assert metric(2 * BINARY_Y - 1, BINARY_P) == pytest.approx(expected)
    # Two outputs: the second is class 1.
    assert metric(BINARY_Y, np.hstack([1 - BINARY_P, BINARY_P])) == pytest.approx(expected)
    p = probabilities(3)
    expected = score(CLASS_Y, p.argmax(1), average="macro", zero_division=0)
    assert metric(CLASS_Y, p) == pytest.approx(expected)
    assert metric(one_hot(CLASS_Y, 3), p) == pytest.approx(expected)
    assert metric(LABELS, LABEL_P) == pytest.approx(score(LABELS, LABEL_P > 0.5, average="macro"))
    # Nothing predicted, nothing to find: 0 without a warning.
    assert metric(np.zeros(3), np.zeros((3, 1))) == 0


def test_auc():
    auc, score = METRICS["auc"], sklearn.metrics.roc_auc_score
    expected = score(BINARY_Y, BINARY_P[:, 0])
    assert auc(BINARY_Y, BINARY_P) == pytest.approx(expected)
    assert auc(one_hot(BINARY_Y, 2), np.hstack([1 - BINARY_P, BINARY_P])) == pytest.approx(expected)
    p = probabilities(3, dtype=np.float64)
    for form in (CLASS_Y, one_hot(CLASS_Y, 3)):
        assert auc(form, p) == pytest.approx(score(CLASS_Y, p, multi_class="ovr"))
    assert auc(LABELS, LABEL_P) == pytest.approx(score(LABELS, LABEL_P))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_loss(dtype):
    # Rows of float32 probabilities sum to 1 only nearly: no warning for that.
    log_loss = METRICS["log_loss"]
    classes, p = np.arange(300) % 30, probabilities(30, 300, dtype)
    expected = -np.log((p.astype(float) / p.astype(float).sum(1, keepdims=True))[np.arange(300), classes]).mean()
    assert log_loss(classes, p) == pytest.approx(expected)
    assert log_loss(one_hot(classes, 30), p) == pytest.approx(expected)
    binary = BINARY_P.astype(dtype)
    chosen = np.where(BINARY_Y == 1, binary[:, 0], 1 - binary[:, 0].astype(float))
    assert log_loss(BINARY_Y, binary) == pytest.approx(-np.log(chosen.astype(float)).mean())
    # Rows of one class only.
    assert log_loss(np.ones(2), np.full((2, 1), 0.5, dtype)) == pytest.approx(np.log(2))


def test_log_loss_of_labels_is_the_binary_crossentropy():
    p = LABEL_P.astype(float)
    expected = -np.mean(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))
    assert METRICS["log_loss"](LABELS, LABEL_P) == pytest.approx(expected)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_a_documented_function_to_a_float(name):
    y, p = (BINARY_Y, BINARY_P) if name != "sparse_categorical_accuracy" else (CLASS_Y, probabilities(3))
    value = METRICS[name](y, p)
    assert type(value) is float
    assert METRICS[name].__doc__
    assert resolve(name, LOSSES["mean_squared_error"]()) == (name, METRICS[name])


# Names


@pytest.mark.parametrize(
    ("loss", "accuracy"),
    [
        (LOSSES["sparse_categorical_crossentropy"](), "sparse_categorical_accuracy"),
        (SparseCategoricalCrossentropy(from_logits=True), "sparse_categorical_accuracy"),
        (LOSSES["categorical_crossentropy"](), "sparse_categorical_accuracy"),
        (LOSSES["binary_crossentropy"](), "binary_accuracy"),
        (BinaryCrossentropy(from_logits=True), "sign_accuracy"),
        (LOSSES["hinge"](), "sign_accuracy"),
        (LOSSES["mean_squared_error"](), "class_accuracy"),
    ],
)
def test_accuracy_goes_with_the_loss(loss, accuracy):
    assert resolve("accuracy", loss) == ("accuracy", METRICS[accuracy])


def test_a_function_of_ones_own():
    def largest_error(y_true, y_pred):
        return np.abs(y_true - y_pred).max()

    class Scorer:
        def __call__(self, y_true, y_pred):
            return 0.0

    loss = LOSSES["mean_squared_error"]()
    assert resolve(largest_error, loss) == ("largest_error", largest_error)
    assert resolve(Scorer(), loss)[0] == "Scorer"


def test_unknown_metrics():
    loss = LOSSES["mean_squared_error"]()
    with pytest.raises(ValueError, match="unknown metric 'acuracy'. Did you mean 'accuracy'"):
        resolve("acuracy", loss)
    with pytest.raises(TypeError, match="a metric is a name or a function"):
        resolve(3, loss)


def test_the_cheap_ones_do_not_import_scikit_learn():
    code = (
        "import sys, numpy as np; from fastbp.metrics import METRICS\n"
        "for name in ('binary_accuracy', 'sparse_categorical_accuracy', 'mean_squared_error'):\n"
        "    METRICS[name](np.ones(3), np.ones((3, 1)))\n"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Which way is better

DIRECTIONS = {
    "val_acc": True, "categorical_accuracy": True, "val_top_k_categorical_accuracy": True, "fbeta_score": True,
    "val_sign_accuracy": True, "recall": True, "my_auc": True, "pixel_error": False, "val_huber": False,
    "val_quantile": False, "val_mse": False, "mean_crossentropy": False, "val_x_loss": False,
    "mine": None, "score": None,
}  # fmt: skip


@pytest.mark.parametrize("name", DIRECTIONS)
def test_names_tell_which_way_is_better(name):
    assert greater_is_better(name) is DIRECTIONS[name]


def test_every_loss_and_metric_says_which_way_is_better():
    """As Keras's metrics do, and scikit-learn's scorers: what they call errors and losses falls."""
    falls = {"mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "log_loss"}
    assert falls <= METRICS.keys()
    more = {name for name in METRICS if name.endswith(("_error", "_loss"))}
    assert {name for name, metric in METRICS.items() if not metric.greater_is_better} == falls | more
    assert {name for name, metric in scoring.SCORES.items() if not metric.greater_is_better} == falls - {"log_loss"}
    assert not any(loss.greater_is_better for loss in LOSSES.values())


def test_a_loss_of_one_s_own_says_which_accuracy_suits_it():
    class Own(Loss):
        name = "own"
        accuracy = "sign_accuracy"

    assert resolve("accuracy", Own()) == ("accuracy", METRICS["sign_accuracy"])
    own = CustomLoss(numba.njit(lambda y, p, d: 0.0), name="hinge")  # a name says nothing
    assert resolve("acc", own) == ("acc", METRICS["class_accuracy"])


def test_a_metric_of_one_s_own_goes_before_its_name():
    def worst_error(y_true, y_pred):
        return -np.abs(y_true - y_pred).max()

    assert greater_is_better("val_worst_error") is False
    worst_error.greater_is_better = True
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    model.compile("sgd", "mse", metrics=[worst_error])
    x = np.random.default_rng(0).standard_normal((16, 2))
    stop = fastbp.EarlyStopping("worst_error", patience=1)
    history = model.fit(x, x[:, 0], epochs=3, callbacks=[stop], verbose=0).history
    assert stop.best == max(history["worst_error"])
