"""Targets of several columns: probabilities of classes, and several quantities at once."""

import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize_scalar
from sklearn import metrics
from sklearn.base import clone

import fastbp
from fastbp import TabularClassifier, TabularRegressor
from fastbp.commands.main import main
from fastbp.tabular import objectives
from fastbp.tabular.calibration import HIGHEST, LOWEST, PRIOR_DEVIATION, fit_temperature
from fastbp.tabular.repeated_rows import log_losses

FAST = {"preset": "fast", "random_state": 0}
N = 600


def problem(n=N, seed=0):
    """Return a frame, the probabilities (n, 3) of three classes, and two quantities (n, 2) of very different size."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    p = np.exp(np.stack([2 * X.a, X.b, -X.a + X.d], axis=1))
    y = np.stack([X.a + X.b, 1e6 + 1e3 * X.d], axis=1) + rng.normal(size=(n, 2)) * [0.1, 100.0]
    return X, p / p.sum(axis=1, keepdims=True), y


X, P, Y = problem()
NEW, NEW_P, NEW_Y = problem(seed=1)
NAMES = ["low", "high", "middle"]
FRAMES = {"pandas": pd.DataFrame, "polars": lambda data: pl.DataFrame(data), "pyarrow": lambda data: pa.table(data)}


@pytest.fixture(scope="module")
def soft():
    return TabularClassifier(**FAST).fit(X, pd.DataFrame(P, columns=NAMES))


@pytest.fixture(scope="module")
def several():
    return TabularRegressor(**FAST).fit(X, Y)


class TestSoftTargets:
    def test_they_are_learnt_in_the_order_of_their_columns(self, soft):
        assert soft.classes_.tolist() == NAMES
        assert np.abs(soft.predict_proba(NEW) - NEW_P).mean() < 0.02
        assert (soft.predict(NEW) == np.array(NAMES)[NEW_P.argmax(axis=1)]).mean() > 0.95

    def test_the_score_is_the_mean_log_loss_of_classes_drawn_with_them(self, soft):
        oof = soft.oof_proba_
        known = np.isfinite(oof).all(axis=1)
        expected = -(P[known] * np.log(oof[known])).sum(axis=1).mean()
        assert soft.best_score_ == pytest.approx(expected, rel=1e-4)
        chosen = soft.predict_proba(NEW).argmax(axis=1)
        assert soft.score(NEW, NEW_P) == pytest.approx(NEW_P[np.arange(N), chosen].mean())

    def test_certain_ones_are_labels(self):
        codes = P.argmax(axis=1)
        labels = TabularClassifier(**FAST).fit(X, codes)
        certain = TabularClassifier(**FAST).fit(X, np.eye(3)[codes])
        assert certain.classes_.tolist() == [0, 1, 2]
        np.testing.assert_allclose(certain.predict_proba(X), labels.predict_proba(X), rtol=1e-5, atol=1e-7)
        assert certain.best_score_ == pytest.approx(labels.best_score_, rel=1e-5)

    def test_files(self, soft, tmp_path):
        soft.save(tmp_path / "m")
        loaded = fastbp.load_model(tmp_path / "m")
        np.testing.assert_array_equal(loaded.predict_proba(NEW), soft.predict_proba(NEW))
        assert loaded.classes_.tolist() == NAMES

    @pytest.mark.parametrize("library", ["polars", "pyarrow"])
    def test_frames_of_other_libraries(self, soft, library):
        table = FRAMES[library](dict(zip(NAMES, P.T, strict=True)))
        found = TabularClassifier(**FAST).fit(X, table)
        np.testing.assert_array_equal(found.predict_proba(NEW), soft.predict_proba(NEW))
        assert found.classes_.tolist() == NAMES

    @pytest.mark.parametrize("y", [NEW_P, np.array(NAMES, object)[NEW_P.argmax(axis=1)]], ids=["soft", "labels"])
    def test_eval_set(self, y):
        model = TabularClassifier(**FAST, time_limit=1e-3).fit(X, pd.DataFrame(P, columns=NAMES), eval_set=(NEW, y))
        targets = y if y.ndim == 2 else np.eye(3)[NEW_P.argmax(axis=1)]
        p = model.predict_proba(NEW)
        assert model.best_score_ == pytest.approx(-(targets * np.log(p)).sum(axis=1).mean(), rel=1e-3)

    def test_weights_and_folds(self):
        weight = np.where(P.argmax(axis=1) == 0, 5.0, 1.0)
        heavy = TabularClassifier(**FAST).fit(X, P, weight, groups=np.arange(N) // 3)
        assert heavy.predict_proba(NEW)[:, 0].mean() > NEW_P[:, 0].mean()
        scores = fastbp.cross_validate(TabularClassifier(**FAST, time_limit=1e-3), X, P, cv=2)["test_score"]
        assert len(scores) == 2

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.where(np.arange(N)[:, None] == 7, 0.5, P), "each row of which sums to 1: row 7 holds 0.5, 0.5, 0.5"),
            (P * [1, 1, 0] + [0, 0, 1.0], "row 0 holds"),
            (P * 0 + [1.5, -0.5, 0], "row 0 holds 1.5, -0.5, 0"),
            (np.where(np.arange(N)[:, None] == 3, np.nan, P), "Input y contains NaN, in row 3, column 0"),
            (P.astype(str), "several columns are the probabilities of classes"),
            (pd.DataFrame({"p": P[:, 0], "q": "a"}), "y's column 'q' holds String, no numbers"),
        ],
    )
    def test_what_is_no_probability(self, y, message):
        with pytest.raises(ValueError, match=message):
            TabularClassifier(**FAST).fit(X, y)

    def test_what_does_not_go_with_them(self):
        with pytest.raises(ValueError, match="class_weight is for labels"):
            TabularClassifier(**FAST, class_weight="balanced").fit(X, P)
        with pytest.raises(ValueError, match="probabilities of classes, where training had labels"):
            TabularClassifier(**FAST).fit(X, P.argmax(axis=1), eval_set=(NEW, NEW_P))
        with pytest.raises(ValueError, match="y has 2 columns: training had 3 classes"):
            TabularClassifier(**FAST).fit(X, P, eval_set=(NEW, NEW_P[:, :2] / NEW_P[:, :2].sum(axis=1, keepdims=True)))


class TestSoftFigures:
    """A row with probabilities is as rows of all its classes that weigh as much: scikit-learn's metrics tell."""

    outputs = np.random.default_rng(5).dirichlet(np.ones(3), N)
    weight = np.random.default_rng(6).random(N)
    rows, codes = np.repeat(np.arange(N), 3), np.tile(np.arange(3), N)

    @pytest.mark.parametrize("name", objectives.CLASSIFICATION_METRICS)
    def test_metrics(self, name):
        weight = (P * self.weight[:, None]).ravel()
        outputs = self.outputs[self.rows]
        expected = {
            "log_loss": lambda: metrics.log_loss(self.codes, outputs, sample_weight=weight),
            "accuracy": lambda: metrics.accuracy_score(self.codes, outputs.argmax(axis=1), sample_weight=weight),
            "roc_auc": lambda: np.mean(
                [metrics.roc_auc_score(self.codes == i, outputs[:, i], sample_weight=weight) for i in range(3)]
            ),
        }[name]()
        assert objectives.METRICS[name](self.outputs, P, self.weight) == pytest.approx(expected, rel=1e-6)

    def test_temperature(self):
        def penalised(log_temperature):
            p = np.power(self.outputs, 1 / np.exp(log_temperature))
            loss = -(P * np.log(p / p.sum(axis=1, keepdims=True))).sum()
            return loss + log_temperature**2 / (2 * PRIOR_DEVIATION**2)

        best = minimize_scalar(penalised, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
        assert fit_temperature(self.outputs, P) == pytest.approx(np.exp(best.x), rel=2e-3)

    def test_losses_of_repeats(self):
        expected = [metrics.log_loss([0, 1, 2], np.tile(p, (3, 1)), sample_weight=t)
                    for p, t in zip(self.outputs[:9], P[:9], strict=True)]  # fmt: skip
        np.testing.assert_allclose(log_losses(self.outputs[:9], P[:9]), expected, rtol=1e-6)


@pytest.fixture(scope="module")
def rare():
    """One row in eight is of class 1; the probability is known."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3))
    p = 1 / (1 + np.exp(3 - 2 * X[:, 0]))
    return X, (rng.random(1500) < p).astype(int), p


@pytest.fixture(scope="module")
def balanced(rare):
    X, y, _ = rare
    return TabularClassifier(**FAST, class_weight="balanced").fit(X, y)


class TestWeighedClasses:
    """Classes that weigh more are predicted more often; probabilities are those of rows as they come."""

    def test_the_mean_probability_is_the_base_rate(self, rare, balanced):
        X, y, p = rare
        found = balanced.predict_proba(X)[:, 1]
        assert found.mean() == pytest.approx(y.mean(), rel=0.15)
        assert np.abs(found - p).mean() < 0.04
        known = np.isfinite(balanced.oof_proba_[:, 1])
        assert balanced.oof_proba_[known, 1].mean() == pytest.approx(y[known].mean(), rel=0.15)

    def test_predictions_favour_the_rare_class(self, rare, balanced):
        X, y, _ = rare
        factors, p = len(y) / (2 * np.bincount(y)), balanced.predict_proba(X)
        np.testing.assert_array_equal(balanced.predict(X), (p * factors).argmax(axis=1))
        plain = TabularClassifier(**FAST).fit(X, y)
        assert metrics.recall_score(y, balanced.predict(X)) > metrics.recall_score(y, plain.predict(X)) + 0.2

    def test_files(self, rare, balanced, tmp_path):
        X, _, _ = rare
        balanced.save(tmp_path / "m")
        loaded = fastbp.load_model(tmp_path / "m")
        np.testing.assert_array_equal(loaded.predict_proba(X), balanced.predict_proba(X))
        np.testing.assert_array_equal(loaded.predict(X), balanced.predict(X))

    def test_explanations_sum_to_these_probabilities(self, rare, balanced):
        X, _, _ = rare
        np.testing.assert_allclose(
            balanced.explain(X[:20]).sum(axis=1), balanced.predict_proba(X[:20])[:, 1], atol=1e-3
        )

    def test_a_class_that_weighs_nothing(self, rare):
        X, y, _ = rare
        y = np.where(np.arange(len(y)) % 5 == 0, 2, y)
        p = TabularClassifier(**FAST, class_weight={0: 1.0, 1: 4.0, 2: 0.0}, time_limit=1e-3).fit(X, y).predict_proba(X)
        assert np.isfinite(p).all()

    def test_the_command_line_predicts_alike(self, rare, balanced, tmp_path, capsys):
        X, y, _ = rare
        frame = pd.DataFrame(X, columns=list("abc")).assign(y=y)
        frame.to_csv(tmp_path / "t.csv", index=False)
        model = TabularClassifier(**FAST, class_weight="balanced").fit(frame[list("abc")], frame.y)
        model.save(tmp_path / "m")
        assert main(["predict", str(tmp_path / "m"), str(tmp_path / "t.csv")]) == 0
        found = pd.read_csv(io.StringIO(capsys.readouterr().out)).prediction
        np.testing.assert_array_equal(found, model.predict(frame[list("abc")]))
        assert main(["evaluate", "--json", str(tmp_path / "m"), str(tmp_path / "t.csv")]) == 0
        assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx((found == y).mean())


class TestSeveralTargets:
    def test_each_is_learnt_in_its_own_unit(self, several):
        predicted = several.predict(NEW)
        assert predicted.shape == (N, 2)
        assert metrics.r2_score(NEW_Y, predicted, multioutput="raw_values").min() > 0.9
        assert several.score(NEW, NEW_Y) == pytest.approx(metrics.r2_score(NEW_Y, predicted))
        assert (predicted >= Y.min(axis=0)).all()
        assert (predicted <= Y.max(axis=0)).all()

    def test_the_score_is_the_mean_of_their_errors(self, several):
        oof = several.oof_predictions_
        known = np.isfinite(oof).all(axis=1)
        expected = metrics.root_mean_squared_error(Y[known], oof[known])
        assert several.best_score_ == pytest.approx(expected, rel=1e-3)

    def test_files_and_clones(self, several, tmp_path):
        several.save(tmp_path / "m")
        np.testing.assert_array_equal(fastbp.load_model(tmp_path / "m").predict(NEW), several.predict(NEW))
        np.testing.assert_array_equal(clone(several).fit(X, Y).predict(NEW), several.predict(NEW))

    @pytest.mark.parametrize("library", list(FRAMES))
    def test_frames(self, several, library):
        table = FRAMES[library]({"small": Y[:, 0], "large": Y[:, 1]})
        np.testing.assert_array_equal(TabularRegressor(**FAST).fit(X, table).predict(NEW), several.predict(NEW))

    def test_one_of_them_may_be_constant(self):
        y = np.stack([Y[:, 0], np.full(N, 3.0)], axis=1)
        model = TabularRegressor(**FAST, eval_metric="mae", time_limit=1e-3).fit(X, y, eval_set=(NEW, y))
        np.testing.assert_array_equal(model.predict(NEW)[:, 1], 3.0)

    def test_twins_tell_all_of_them(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(150, 3)).repeat(2, axis=0), rng.normal(size=(150, 2)).repeat(2, axis=0)
        order = rng.permutation(300)
        model = TabularRegressor(**FAST).fit(x[order], y[order])
        assert model.score(x, y) > 0.95

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (pd.DataFrame({"price": Y[:, 0], "kind": "a"}), "y's column 'kind' holds String, no numbers: .*Classifier"),
            (pd.DataFrame({"p": Y[:, 0], "q": pd.Series([1.0, None] * (N // 2))}), "NaN, in column 'q', row 1"),
            (np.where(Y > 1e6, np.inf, Y), "Input y contains infinity, in row"),
            (np.array([[1.0, "x"]] * N, object), "y holds 'x', which is no number"),
            (np.ones((N, 2)), "one at least varies"),
            (np.ones((N, 2, 2)), "dim"),
        ],
    )
    def test_what_cannot_be_learnt(self, y, message):
        with pytest.raises(ValueError, match=message):
            TabularRegressor(**FAST).fit(X, y)

    def test_what_does_not_go_with_them(self):
        with pytest.raises(ValueError, match="quantiles are of one target"):
            TabularRegressor(**FAST, quantiles=[0.5]).fit(X, Y)
        with pytest.raises(ValueError, match=r"y has shape \(600,\): training had 2 targets"):
            TabularRegressor(**FAST).fit(X, Y, eval_set=(NEW, NEW_Y[:, 0]))
        with pytest.raises(ValueError, match=r"y has shape \(600, 2\): training had one target"):
            TabularRegressor(**FAST).fit(X, Y[:, 0], eval_set=(NEW, NEW_Y))

    def test_figures(self):
        outputs, weight = NEW_Y / [1, 1e3], np.random.default_rng(0).random(N)
        targets = Y / [1, 1e3]
        expected = np.sqrt(metrics.mean_squared_error(targets, outputs, sample_weight=weight))
        assert objectives.rmse(outputs, targets, weight) == pytest.approx(expected)
        expected = metrics.mean_absolute_error(targets, outputs, sample_weight=weight)
        assert objectives.mae(outputs, targets, weight) == pytest.approx(expected)
