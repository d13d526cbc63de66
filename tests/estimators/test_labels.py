"""What targets are, whatever holds them: text, objects, nullable columns; and the weights of their classes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

import fastbp
from fastbp import GRU, Dense, MLPClassifier, MLPRegressor, TabularClassifier
from fastbp.estimators.labels import plain_labels
from fastbp.tabular.target import Classes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
YES = (X[:, 0] > 0) & (np.arange(40) > 0)
BINARY = {
    "text": np.where(YES, "1", "0"),
    "text objects": np.where(YES, "1.0", "0").astype(object),
    "ints as objects": YES.astype(int).astype(object),
    "booleans as objects": pd.Series([None, *YES], dtype=object).dropna(),
    "boolean": pd.Series(YES, dtype="boolean"),
    "Int64": pd.Series(YES.astype(int), dtype="Int64"),
    "Int8 array": pd.array(YES.astype(int), dtype="Int8"),
    "list": YES.tolist(),
}


def build(loss, *layers, metrics=None, shape=(3,)):
    model = fastbp.Sequential(list(layers), input_shape=shape, seed=0, dtype="float64")
    model.compile("sgd", loss, metrics)
    return model


@pytest.mark.parametrize("y", BINARY.values(), ids=BINARY)
def test_metrics_and_weights_see_checked_targets(y):
    def own(y_true, y_pred):
        return abs(y_true - y_pred).mean()

    metrics = ["accuracy", "auc", "f1_score", own]
    models = [build("binary_crossentropy", Dense(1, activation="sigmoid"), metrics=metrics) for _ in range(2)]
    expected, found = (
        model.fit(X, targets, class_weight={0: 1.0, 1: 5.0}, validation_data=(X, targets), verbose=0).history
        for model, targets in zip(models, (YES.astype(float), y), strict=True)
    )
    assert found == expected
    assert found["val_accuracy"][0] == accuracy_score(YES, models[1].predict(X)[:, 0] > 0.5)
    assert found["val_own"][0] == pytest.approx(np.abs(YES - models[1].predict(X)[:, 0]).mean(), rel=1e-12)


def test_class_numbers_as_text():
    y = np.arange(40) % 3
    model = build("sparse_categorical_crossentropy", Dense(3, activation="softmax"), metrics=["accuracy", "log_loss"])
    assert model.evaluate(X, y.astype(str)) == model.evaluate(X, y)


def test_text_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="y must hold numbers, but has 'cat'"):
        build("mean_squared_error", Dense(1)).fit(X, np.where(YES, "cat", "1"), verbose=0)
    with pytest.raises(ValueError, match="y must hold numbers, but has <NA>"):
        build("mean_squared_error", Dense(1)).fit(X, pd.Series([None, *YES[1:]], dtype="boolean"), verbose=0)


@pytest.mark.parametrize(
    ("y", "outputs", "expected"),
    [
        (np.zeros(40), 1, ((40, 1), (40, 1))),
        (np.zeros((40, 1)), 1, ((40, 1), (40, 1))),
        (np.zeros((40, 2)), 2, ((40, 2), (40, 2))),
    ],
)
def test_own_metrics_get_targets_in_the_shape_of_outputs(y, outputs, expected):
    seen = set()

    def own(y_true, y_pred):
        seen.add((y_true.shape, y_pred.shape))
        return 0.0

    model = build("mean_squared_error", Dense(outputs), metrics=[own])
    model.fit(X, y, validation_split=0.5, verbose=0)
    model.evaluate(X, y)
    model.train_on_batch(X, y)
    assert seen == {expected, tuple((20, *shape[1:]) for shape in expected)}


# Classes and their weights


def test_labels_of_time_steps_weigh_their_steps():
    x, labels = RNG.normal(size=(8, 5, 3)), RNG.integers(0, 2, (8, 5))
    model = build("binary_crossentropy", GRU(2, return_sequences=True), Dense(1, activation="sigmoid"), shape=(5, 3))
    p = model.predict(x)[..., 0]
    losses = -np.where(labels == 1, np.log(p), np.log(1 - p))
    expected = (losses * np.where(labels == 1, 9.0, 1.0)).mean()
    for y in (labels, labels[..., None]):
        copy = build("binary_crossentropy", GRU(2, return_sequences=True), Dense(1, "sigmoid"), shape=(5, 3))
        history = copy.fit(x, y, class_weight={1: 9.0}, batch_size=8, verbose=0).history
        assert history["loss"][0] == pytest.approx(expected, rel=1e-9)


def test_classes_of_time_steps_one_hot():
    x, classes = RNG.normal(size=(8, 5, 3)), RNG.integers(0, 3, (8, 5))
    head = (GRU(2, return_sequences=True), Dense(3, activation="softmax"))
    one, other = build("categorical_crossentropy", *head, shape=(5, 3)), build("scce", *head, shape=(5, 3))
    weights = {0: 1.0, 1: 2.0, 2: 4.0}
    one.fit(x, np.eye(3)[classes], class_weight=weights, verbose=0)
    other.fit(x, classes, class_weight=weights, verbose=0)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-12)


def test_shares_of_classes_weigh_as_their_largest():
    """As in Keras."""
    shares = RNG.dirichlet(np.ones(3), 40)
    model, by_hand = (build("categorical_crossentropy", Dense(3, activation="softmax")) for _ in range(2))
    model.fit(X, shares, class_weight={2: 3.0}, shuffle=False, verbose=0)
    by_hand.fit(X, shares, sample_weight=np.where(shares.argmax(1) == 2, 3.0, 1.0), shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.params, by_hand.params)


@pytest.mark.parametrize(
    ("loss", "activation", "y", "message"),
    [
        ("mse", "linear", [[0.5, 0.7]], r"y has the row \[0.5, 0.7\], which is no one-hot row of a class"),
        ("mse", "linear", [[0.5, 0.5]], "no one-hot row"),
        ("bce", "sigmoid", [[1, 1]], r"y has the row \[1, 1\].*weigh others with sample_weight"),
        ("bce", "sigmoid", [[0, 0]], "no one-hot row"),
    ],
)
def test_class_weight_of_what_is_no_class(loss, activation, y, message):
    model = build(loss, Dense(2, activation=activation))
    before = model.params.copy()
    with pytest.raises(ValueError, match=message):
        model.fit(X[:1], y, class_weight={0: 1.0, 1: 100.0}, verbose=0)
    np.testing.assert_array_equal(model.params, before)


def test_class_weight_of_quantities():
    with pytest.raises(ValueError, match=r"y holds 0\.37, which is no class"):
        build("mse", Dense(1)).fit(X[:2], [1.0, 0.37], class_weight={0: 1.0}, verbose=0)


def test_classes_that_y_does_not_have_are_told():
    y = np.arange(40) % 3
    model = build("scce", Dense(3, activation="softmax"))
    with pytest.warns(UserWarning, match=r"class_weight names \[7, 1.5\], which y does not have; its classes: 0"):
        model.fit(X, y, class_weight={0: 2.0, 7: 1.0, 1.5: 2.0}, verbose=0)
    with pytest.warns(UserWarning, match=r"class_weight names \[9\]"):
        MLPClassifier((2,), max_iter=60, tol=1, class_weight={0: 1, 1: 1, 2: 1, 9: 3}).fit(X, y)
    with pytest.warns(UserWarning, match=r"class_weight names \['c'\]"):
        Classes.of(np.where(YES, "a", "b"), None, {"a": 1, "b": 1, "c": 2})


# Estimators


CLASSES = {
    "boolean": (pd.Series(YES, dtype="boolean"), bool),
    "booleans as objects": (BINARY["booleans as objects"], bool),
    "Int64": (pd.Series(YES.astype(int), dtype="Int64"), np.int64),
    "Int8 after dropna": (pd.Series([None, *YES.astype(int)], dtype="Int8").dropna(), np.int8),
    "ints as objects": (BINARY["ints as objects"], np.int64),
    "ints": (YES.astype("int16"), np.int16),
}


@pytest.mark.parametrize(("y", "dtype"), CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize(
    "make", [lambda: MLPClassifier((2,), max_iter=60, tol=1), lambda: TabularClassifier("fast", time_limit=0.01)]
)
def test_classes_come_back_as_what_they_were(make, y, dtype):
    model = make().fit(X, y)
    assert model.classes_.dtype == dtype
    predicted = model.predict(X)
    assert predicted.dtype == dtype
    assert model.score(X, y) == (predicted == YES).mean()


def test_partial_fit_takes_nullable_classes():
    model = MLPClassifier((2,)).partial_fit(X, pd.Series(YES, dtype="boolean"), classes=pd.array([True, False]))
    assert model.classes_.dtype == bool
    assert model.predict(X).dtype == bool


def test_quantities_of_a_nullable_dtype():
    y = pd.Series(X[:, 0], dtype="Float64")
    with pytest.warns(UserWarning, match="hasn't converged"):
        nullable, plain = (
            MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, random_state=0).fit(X, one) for one in (y, X[:, 0])
        )
    np.testing.assert_array_equal(nullable.predict(X), plain.predict(X))


def test_labels_that_are_left_as_they_are():
    mixed = np.array([True, 1, "a"], object)
    missing = pd.Series([True, None], dtype="boolean")
    huge = np.array([2**70, 1], object)
    for y in (mixed, missing, huge, [1, 2], np.array(["a"]), np.array([])):
        assert plain_labels(y) is y
