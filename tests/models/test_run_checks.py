"""What is looked at before a run: metrics and stateful batches; and batches whose weights sum to zero."""

import numpy as np
import pytest
import sklearn.metrics
from sklearn.ensemble import BaggingClassifier

import fastbp
from fastbp import GRU, Dense, MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from fastbp.metrics import scoring
from fastbp.tabular.network_training import Learner

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
CLASSES = np.arange(40) % 3
SHARES = RNG.dirichlet(np.ones(3), 40)


def build(loss, *head, metrics=None, optimizer="adam"):
    model = fastbp.Sequential([Dense(4, activation="tanh"), *head], input_shape=(3,), seed=0, dtype="float64")
    model.compile(optimizer, loss, metrics)
    return model


def softmax(loss, **settings):
    return build(loss, Dense(3, activation="softmax"), **settings)


def sigmoid(**settings):
    return build("binary_crossentropy", Dense(1, activation="sigmoid"), **settings)


# Metrics that do not suit the data


@pytest.mark.parametrize(
    ("make", "y", "message"),
    [
        (lambda: softmax("sparse_categorical_crossentropy", metrics=["mean_squared_error"]), CLASSES,
         r"metric 'mean_squared_error' compares y and the outputs entry by entry, but y has shape \(40,\)"),
        (lambda: softmax("sparse_categorical_crossentropy", metrics=["r2_score"]), CLASSES, "'r2_score' compares"),
        (lambda: build("mean_squared_error", Dense(1), metrics=["f1_score"]), X[:, 0], "'f1_score' takes targets from"),
        (lambda: build("mean_squared_error", Dense(1), metrics=["log_loss"]), CLASSES > 0, "'log_loss' takes prob"),
        (lambda: build(fastbp.BinaryCrossentropy(from_logits=True), Dense(1), metrics=["log_loss"]), CLASSES > 0,
         "without from_logits"),
        (lambda: sigmoid(metrics=["sparse_categorical_accuracy"]), CLASSES > 0, "needs an output for each class"),
        (lambda: softmax("sparse_categorical_crossentropy", metrics=[scoring.Recall(thresholds=0.7)]), CLASSES,
         r"metric 'recall': it compares y .* a row of y has shape \(\), of the outputs \(3,\): give one-hot rows"),
        (lambda: softmax("categorical_crossentropy", metrics=[scoring.Precision(class_id=7)]), np.eye(3)[CLASSES],
         "metric 'precision': index 7 is out of bounds"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate"])
def test_a_metric_that_does_not_suit_is_refused_before_training(make, y, message, call):
    model = make()
    before = model.params.copy()
    with pytest.raises(ValueError, match=message):
        getattr(model, call)(X, y, **({"verbose": 0} if call == "fit" else {}))
    np.testing.assert_array_equal(model.params, before)
    assert model.step == 0


def test_a_metric_that_does_not_suit_the_validation_data():
    model = build("mean_squared_error", Dense(1), metrics=["f1_score"])
    before = model.params.copy()
    with pytest.raises(ValueError, match="validation_data: the metric 'f1_score' takes targets from 0 to 1"):
        model.fit(X, CLASSES > 0, validation_data=(X, X[:, 0]), verbose=0)
    np.testing.assert_array_equal(model.params, before)


def test_an_own_metric_that_fails_leaves_the_model_as_before_the_epoch():
    def broken(y_true, y_pred):
        if model.step > 2 * 40:
            raise KeyError("own")
        return 0.0

    def several(y_true, y_pred):
        return y_pred[:2]

    for metric, error, epochs in ((several, TypeError, 0), (broken, KeyError, 2)):
        model, other = (sigmoid(metrics=metrics) for metrics in ([metric], None))
        with pytest.raises(error, match="own|'several' returned array"):
            model.fit(X, CLASSES > 0, batch_size=1, epochs=3, verbose=0)
        other.fit(X, CLASSES > 0, batch_size=1, epochs=max(epochs, 1), verbose=0)
        assert (model.step, model.engine.epoch) == (40 * epochs, epochs)
        if epochs:
            np.testing.assert_array_equal(model.params, other.params)
            np.testing.assert_array_equal(model.engine.state, other.engine.state)


# Soft targets


def test_soft_targets_are_shares_of_classes():
    model = softmax("categorical_crossentropy", metrics=["log_loss", "f1_score", "auc", "accuracy", "precision"])
    loss, log_loss, f1, auc, accuracy, precision = model.evaluate(X, SHARES)
    p, classes = model.predict(X), SHARES.argmax(1)
    assert log_loss == pytest.approx(loss, rel=1e-9)
    assert log_loss == pytest.approx(-(SHARES * np.log(p)).sum(1).mean(), rel=1e-9)
    assert f1 == pytest.approx(sklearn.metrics.f1_score(classes, p.argmax(1), average="macro"))
    assert auc == pytest.approx(sklearn.metrics.roc_auc_score(classes, p, multi_class="ovr"))
    assert accuracy == pytest.approx((classes == p.argmax(1)).mean())
    assert precision == pytest.approx(
        sklearn.metrics.precision_score(classes, p.argmax(1), average="macro", zero_division=0)
    )
    assert len(model.fit(X, SHARES, verbose=0).history["auc"]) == 1


def test_soft_targets_of_one_output():
    model, y = sigmoid(metrics=["log_loss", "f1_score", "auc"]), RNG.uniform(size=40)
    loss, log_loss, f1, auc = model.evaluate(X, y)
    p = model.predict(X)[:, 0]
    assert log_loss == pytest.approx(loss, rel=1e-9)
    assert f1 == pytest.approx(sklearn.metrics.f1_score(y > 0.5, p > 0.5))
    assert auc == pytest.approx(sklearn.metrics.roc_auc_score(y > 0.5, p))


# Stateful layers


def stateful():
    model = fastbp.Sequential([GRU(3, stateful=True, batch_size=4), Dense(1)], input_shape=(5, 2), seed=0)
    model.compile("sgd", "mean_squared_error", ["mean_absolute_error"])
    return model


WINDOWS, VALUES = RNG.normal(size=(12, 5, 2)).astype("float32"), RNG.normal(size=(12, 1)).astype("float32")


def test_stateful_models_predict_and_evaluate_batch_after_batch():
    model, by_hand = stateful(), stateful()
    expected = np.concatenate([by_hand.predict(WINDOWS[first : first + 4]) for first in (0, 4, 8)])
    np.testing.assert_array_equal(model.predict(WINDOWS), expected)
    np.testing.assert_array_equal(model.views["gru/state"], by_hand.views["gru/state"])
    model.reset_states()
    loss, mae = model.evaluate(WINDOWS, VALUES)
    assert loss == pytest.approx(((expected - VALUES) ** 2).mean(), rel=1e-6)
    assert mae == pytest.approx(np.abs(expected - VALUES).mean(), rel=1e-6)


def test_stateful_models_are_not_shuffled():
    model = stateful()
    before = model.params.copy()
    with pytest.raises(ValueError, match="shuffle=False"):
        model.fit(WINDOWS, VALUES, batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.params, before)
    model.fit(WINDOWS, VALUES, batch_size=4, shuffle=False, validation_data=(WINDOWS[:8], VALUES[:8]), verbose=0)
    assert model.step == 3


@pytest.mark.parametrize(
    ("rows", "batch_size", "validation", "message"),
    [
        (12, 3, 4, "batch_size=4.*this one has 3"),
        (10, 4, 4, "batch_size=4.*this one has 2"),
        (12, 4, 6, "validation_data: .*batch_size=4.*this one has 2"),
    ],
)
def test_stateful_batches_are_checked_before_training(rows, batch_size, validation, message):
    model, called = stateful(), []
    begin = fastbp.LambdaCallback(on_train_begin=lambda logs: called.append(logs))
    with pytest.raises(ValueError, match=message):
        model.fit(
            WINDOWS[:rows],
            VALUES[:rows],
            batch_size=batch_size,
            shuffle=False,
            validation_data=(WINDOWS[:validation], VALUES[:validation]),
            callbacks=[begin],
            verbose=0,
        )
    assert called == []
    assert (model.views["gru/state"] == 0).all()


# Batches whose weights sum to zero


def test_a_batch_without_weights_makes_no_update():
    """Parameters and optimizer stay, momentum included; the step counts."""
    model = sigmoid(optimizer=fastbp.Adam(0.1, weight_decay=0.1))
    model.train_on_batch(X, CLASSES > 0)
    params, state = model.params.copy(), model.engine.state.copy()
    assert model.train_on_batch(X, CLASSES > 0, sample_weight=np.zeros(40)) == 0
    np.testing.assert_array_equal(model.params, params)
    np.testing.assert_array_equal(model.engine.state, state)
    assert model.step == 2
    assert model.evaluate(X, CLASSES > 0, sample_weight=np.zeros(40)) == 0
    loss, grad = model.value_and_grad(X, CLASSES > 0, sample_weight=np.zeros(40))
    assert (loss, np.abs(grad).max()) == (0, 0)


def test_a_class_of_weight_zero_in_batches_of_one_row():
    """As without its rows, step numbers apart: SGD has none in its formula."""
    y = CLASSES > 0
    model, other = (sigmoid(optimizer=fastbp.SGD(0.1, momentum=0.9)) for _ in range(2))
    loss = model.fit(X, y, class_weight={0: 0.0}, batch_size=1, shuffle=False, verbose=0).history["loss"][0]
    expected = other.fit(X[y], y[y], batch_size=1, shuffle=False, verbose=0).history["loss"][0]
    np.testing.assert_array_equal(model.params, other.params)
    assert loss == pytest.approx(expected * y.mean(), rel=1e-12)


FEW = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "solver": "sgd", "shuffle": False, "tol": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_estimators_pass_over_batches_without_weights(estimator):
    """As without their rows: parameters, and the loss, which is a mean over the others."""
    weight = np.repeat([1.0, 0.0, 2.0, 0.0], 10)
    kept = weight > 0
    y = CLASSES if estimator is MLPClassifier else X[:, 0]
    one, other = (estimator(batch_size=10, **FEW) for _ in range(2))
    one.fit(X, y, weight)
    other.fit(X[kept], y[kept], weight[kept])
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-12)
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bagging_draws_batches_without_weights():
    x, y = RNG.normal(size=(201, 3)), np.arange(201) % 2
    bagging = BaggingClassifier(MLPClassifier((5,), max_iter=3), n_estimators=8, random_state=0).fit(x, y)
    assert all(np.isfinite(mlp.loss_curve_).all() for mlp in bagging.estimators_)
    mlp = MLPClassifier((5,), max_iter=3, batch_size=1, class_weight={0: 0.0}, random_state=0).fit(x, y)
    assert mlp.n_iter_ == 3


@pytest.mark.parametrize("shuffle", ["batch", None, 2, "no"])
def test_shuffle_is_true_or_false(shuffle):
    with pytest.raises(ValueError, match="shuffle=.* True draws a new order"):
        build("mean_squared_error", Dense(1)).fit(X, X[:, 0], shuffle=shuffle, verbose=0)


def test_class_weights_that_leave_no_row_a_weight():
    with pytest.raises(ValueError, match=r"class_weight={0: 0.0, 1: 0.0, 2: 0.0} leaves no row a weight"):
        MLPClassifier((5,), class_weight=dict.fromkeys(range(3), 0.0)).fit(X, CLASSES)


def test_tabular_batches_without_weights_make_no_update(monkeypatch):
    """Weights beside which others are nothing in float32."""
    seen = []
    steps_of = Learner._steps

    def steps(learner):
        steps = steps_of(learner)
        seen.append((steps["divisor"] == 0).any())
        return steps

    monkeypatch.setattr(Learner, "_steps", steps)
    weight = np.where(np.arange(300) < 2, 1.0, 1e-60)
    x = RNG.normal(size=(300, 2))
    model = TabularRegressor("fast", random_state=0, time_limit=0.1).fit(x, x[:, 0], weight)
    assert any(seen)
    assert np.isfinite(model.predict(x)).all()


def test_networks_whose_validation_rows_have_no_weight_are_scored_as_without_weights():
    """Two of sixty rows have one, and each of three networks validates by a few rows of its own."""
    weight = np.where(np.arange(60) < 2, 1.0, 1e-60)
    x = RNG.normal(size=(60, 2))
    for model, y in ((TabularRegressor, x[:, 0]), (TabularClassifier, x[:, 0] > 0)):
        fitted = model("fast", random_state=0).fit(x, y, weight)
        assert np.isfinite(fitted.predict(x)).all()
