"""TabularClassifier and TabularRegressor: scikit-learn's checks, tables of every kind, weights, limits, files."""

import copy
import json
import os
import pickle
import signal
from contextlib import contextmanager
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from scipy import sparse
from sklearn import metrics
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import TabularClassifier, TabularRegressor
from fastbp.io.saving import load_tensors, save_tensors
from fastbp.tabular import estimator
from fastbp.tabular.calibration import tempered
from fastbp.tabular.errors import TableError
from fastbp.tabular.recipe import PRESETS

FAST = {"preset": "fast", "random_state": 0}
# Few rows and epochs, where it does not matter what is learnt.
N = 240


WHOLE = dict(PRESETS)
SMALL = {
    "fast": replace(PRESETS["fast"], hidden=((32,),), n_frequencies=4, few_rows_networks=3),
    "default": replace(PRESETS["default"], hidden=((64, 64),), n_frequencies=4, folds=4, few_rows_networks=4),
}


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    """Most of these tests are about what surrounds the networks."""
    PRESETS.update(SMALL)
    yield
    PRESETS.update(WHOLE)


def expected_failed_checks(model):
    """scikit-learn's own estimators with an internal split of the rows fail this, too."""
    reason = "the rows are cut into parts, and a row that stands twice may be in two of them"
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}


@parametrize_with_checks(
    [TabularClassifier("fast"), TabularRegressor("fast")], expected_failed_checks=expected_failed_checks
)
def test_scikit_learn_compatible(estimator, check):
    check(estimator)


def people(n=N, seed=0):
    """A table of mixed columns with missing values, yes or no, and an income."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n).astype(float),
            "job": rng.choice(["nurse", "smith", "clerk"], n),
            "hired": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="D"),
            "member": rng.random(n) < 0.4,
        }
    )
    score = (frame["age"] - 50) / 15 + 2 * (frame["job"] == "smith") + rng.normal(size=n) / 3
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n) < 0.1, "job"] = None
    return frame, pd.Series(np.where(score > 0.5, "yes", "no"), name="rich"), pd.Series(score * 1e4, name="income")


FRAME, RICH, INCOME = people()


@pytest.fixture(scope="module")
def classifier():
    return TabularClassifier(random_state=0).fit(FRAME, RICH)


@pytest.fixture(scope="module")
def regressor():
    return TabularRegressor(random_state=0).fit(FRAME, INCOME)


class TestTables:
    def test_it_learns_from_mixed_columns(self, classifier, regressor):
        new, rich, income = people(2000, seed=1)
        assert classifier.score(new, rich) > 0.85
        assert regressor.score(new, income) > 0.6
        assert classifier.predict(new).dtype == object
        np.testing.assert_allclose(classifier.predict_proba(new).sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_array_equal(
            classifier.predict(new), classifier.classes_[classifier.predict_proba(new).argmax(axis=1)]
        )

    @pytest.mark.parametrize("library", ["polars", "pyarrow"])
    def test_every_library_gives_the_same_model(self, classifier, library):
        frame = pl.from_pandas(FRAME) if library == "polars" else pa.Table.from_pandas(FRAME)
        y = pl.Series("rich", RICH.tolist()) if library == "polars" else pa.chunked_array([RICH.tolist()])
        other = TabularClassifier(random_state=0).fit(frame, y)
        expected = classifier.predict_proba(FRAME)
        np.testing.assert_array_equal(other.predict_proba(frame), expected)
        np.testing.assert_array_equal(classifier.predict_proba(frame), expected)
        assert other.target_name_ == ("rich" if library == "polars" else None)

    def test_columns_are_found_by_name(self, classifier):
        expected = classifier.predict_proba(FRAME)
        shuffled = FRAME[FRAME.columns[::-1]].assign(unknown=1)
        np.testing.assert_array_equal(classifier.predict_proba(shuffled), expected)
        with pytest.raises(TableError, match="column 'age' is missing. Did you mean 'Age'"):
            classifier.predict(FRAME.rename(columns={"age": "Age"}))

    def test_unseen_categories_and_new_gaps(self, classifier):
        new = FRAME.head(3).assign(job=["astronaut", "nurse", "nurse"], member=[None, True, False])
        with pytest.warns(fastbp.TableWarning, match="did not see 'astronaut'.* in 1 of 3 rows") as caught:
            assert np.isfinite(classifier.predict_proba(new)).all()
        assert len(caught) == 1
        assert caught[0].filename == __file__

    def test_what_was_done_to_a_table_is_told_once(self):
        X = FRAME.assign(key=np.arange(len(FRAME)) + 7, note=[f"note {i}" for i in range(len(FRAME))], empty=None)
        with pytest.warns(fastbp.TableWarning) as caught:
            TabularClassifier(**FAST).fit(X, RICH)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        lines = str(caught[0].message).splitlines()
        assert len(lines) == 3
        assert "column 'note' is left out: its values are different in nearly each row." in lines
        assert "column 'empty' is left out: it is empty." in lines
        assert "column 'key' is a whole number that rises from row to row" in lines[2]

    def test_records_and_dicts_of_columns_are_tables(self, classifier):
        expected = classifier.predict_proba(FRAME.head(9))
        records = FRAME.head(9).to_dict("records")
        np.testing.assert_array_equal(classifier.predict_proba(records), expected)
        np.testing.assert_array_equal(classifier.predict_proba(FRAME.head(9).to_dict("list")), expected)
        by_frame = TabularClassifier(**FAST).fit(FRAME, RICH).predict_proba(FRAME)
        for table in (FRAME.to_dict("records"), FRAME.to_dict("list")):
            model = TabularClassifier(**FAST).fit(table, RICH, eval_set=(table, RICH))
            assert list(model.feature_names_in_) == list(FRAME.columns)
            model.fit(table, RICH)
            np.testing.assert_array_equal(model.predict_proba(table), by_frame)

    def test_names_that_are_numbers_are_places(self):
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 2)))
        model = TabularRegressor(**FAST).fit(frame, INCOME)
        assert not hasattr(model, "feature_names_in_")
        np.testing.assert_array_equal(model.predict(frame), model.predict(frame.to_numpy()))

    def test_names_of_features(self, classifier):
        assert list(classifier.feature_names_in_) == list(FRAME.columns)
        assert classifier.n_features_in_ == 4
        by_number = TabularRegressor(**FAST).fit(FRAME[["age"]].to_numpy(), INCOME)
        assert not hasattr(by_number, "feature_names_in_")
        with pytest.warns(UserWarning, match="X has feature names, but TabularRegressor was fitted without"):
            by_number.predict(FRAME[["age"]])
        by_number.fit(FRAME[["age"]], INCOME)
        with pytest.warns(UserWarning, match="X does not have valid feature names, but TabularRegressor was fitted"):
            by_number.predict(FRAME[["age"]].to_numpy())
        with pytest.raises(ValueError, match="X has 2 features"), pytest.warns(UserWarning, match="feature names"):
            by_number.predict(np.zeros((1, 2)))

    def test_categories_may_be_named(self):
        frame = pd.DataFrame({"code": np.arange(N) % 40, "noise": np.random.default_rng(0).normal(size=N)})
        model = TabularClassifier(**FAST, categorical_features=["code"]).fit(frame, frame["code"] % 2)
        assert model.encoder_.cardinalities
        assert not clone(model).set_params(categorical_features=None).fit(frame, RICH).encoder_.cardinalities

    def test_classes_of_every_type(self):
        for values in ([False, True], [3, 7], [1.0, 2.0], ["b", "a"]):
            y = np.array(values)[(RICH == "yes").astype(int)]
            model = TabularClassifier(**FAST).fit(FRAME, y)
            np.testing.assert_array_equal(model.classes_, np.unique(y))
            assert model.predict(FRAME).dtype == y.dtype


class TestTargets:
    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.where(np.arange(N) < 3, np.nan, 1.0), "Input y contains NaN"),
            (np.where(np.arange(N) < 3, None, "a"), "Input y contains NaN: leave out the rows without a target"),
            (pd.Series(["a", None, "b"] * 80, dtype="string"), "Input y contains NaN"),
            (pl.Series(["a", None, "b"] * 80), "Input y contains NaN"),
            (pd.Series([1, None, 2] * 80, dtype="Int64"), "Input y contains NaN"),
            (np.array(["a", 1] * 120, object), "y holds labels of different types, int and str: make them all text or"),
            (np.array(["2020-01-01", "2020-01-02"] * 120, "M8[D]"), "y holds datetime64.D. values: classes are text"),
            (np.arange(N) / 7, "Unknown label type: continuous"),
            (np.zeros(N), "only one class, 0.0,"),
            (np.zeros((N, 2), int), "y should be a 1d array"),
            (np.zeros(N - 1, int), "inconsistent numbers of samples"),
        ],
    )
    def test_classes_that_cannot_be_learnt(self, y, message):
        with pytest.raises(ValueError, match=message):
            TabularClassifier(**FAST).fit(FRAME, y)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.where(np.arange(N) < 3, np.nan, 1.0), "Input y contains NaN"),
            (np.where(np.arange(N) < 3, np.inf, 1.0), "Input y contains infinity"),
            (np.full(N, "1.5 m"), "y holds <U5 values such as '1.5 m': regression needs numbers"),
            (np.zeros(N, "M8[s]"), "y holds datetime64.* regression needs numbers"),
            (np.zeros((N, 2)), "y should be a 1d array"),
        ],
    )
    def test_quantities_that_cannot_be_learnt(self, y, message):
        with pytest.raises(ValueError, match=message):
            TabularRegressor(**FAST).fit(FRAME, y)

    def test_a_failed_fit_leaves_the_model_as_it_was(self):
        model = TabularClassifier(**FAST).fit(FRAME, RICH)
        before = dict(vars(model))
        with pytest.raises(TableError, match="no column is left"):
            model.fit(pd.DataFrame({"constant": np.ones(N)}), np.arange(N) % 3)
        with pytest.raises(ValueError, match="which training did not see"):
            model.fit(FRAME[["age"]], RICH, eval_set=(FRAME, INCOME.round() % 7))
        assert vars(model) == before

    @pytest.mark.parametrize("scale", [1e-200, 1e-6, 1.0, 1e6, 1e200])
    def test_quantities_of_any_size(self, scale):
        model = TabularRegressor(**FAST).fit(FRAME, INCOME * scale)
        assert metrics.r2_score(INCOME, model.predict(FRAME) / scale) > 0.5

    def test_predictions_stay_within_the_range_of_training(self, regressor):
        far = FRAME.assign(age=np.where(np.arange(N) % 2, 1e9, -1e9))
        for predicted in (regressor.predict(far), regressor.predict(FRAME)):
            assert predicted.dtype == np.float64
            assert predicted.min() >= INCOME.min()
            assert predicted.max() <= INCOME.max()

    def test_degenerate_tables(self):
        np.testing.assert_array_equal(TabularRegressor(**FAST).fit(FRAME, np.full(N, 0.1)).predict(FRAME), 0.1)
        two = TabularRegressor(**FAST).fit([[1.0], [2.0]], [3.0, 4.0])
        assert ((two.predict([[1.0], [2.0]]) >= 3) & (two.predict([[1.0], [2.0]]) <= 4)).all()
        lonely = TabularClassifier(**FAST).fit(FRAME, np.where(np.arange(N) == 7, "rare", "common"))
        assert lonely.predict_proba(FRAME).shape == (N, 2)
        with pytest.raises(ValueError, match="1 sample while a minimum of 2"):
            TabularRegressor(**FAST).fit([[1.0, 2.0]], [3.0])


class TestOutOfFold:
    def test_noise_is_not_predicted(self, monkeypatch):
        monkeypatch.setitem(PRESETS, "default", WHOLE["default"])
        rng = np.random.default_rng(5)
        x, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
        model = TabularClassifier(random_state=0).fit(x, y)
        assert model.oof_proba_.shape == (600, 2)
        assert abs((model.oof_proba_.argmax(axis=1) == y).mean() - 0.5) < 0.08
        # Calibration knows it: nothing is said with certainty.
        assert model.oof_proba_.max(axis=1).mean() < 0.65
        assert 0.67 < model.best_score_ < 0.71

    def test_fewer_networks_than_parts_leave_rows_out(self):
        recipe = PRESETS["fast"]
        model = TabularRegressor(**FAST).fit(FRAME, INCOME)
        share = 1 - np.isnan(model.oof_predictions_).mean()
        assert share == pytest.approx(recipe.few_rows_networks / recipe.folds, abs=0.02)

    @pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc"])
    def test_best_score_of_a_classifier(self, metric):
        model = TabularClassifier(**FAST, eval_metric=metric).fit(FRAME, RICH)
        known = ~np.isnan(model.oof_proba_).any(axis=1)
        p, y = model.oof_proba_[known], RICH[known]
        expected = {
            "log_loss": metrics.log_loss(y, p),
            "accuracy": (model.classes_[p.argmax(axis=1)] == y).mean(),
            "roc_auc": metrics.roc_auc_score(y, p[:, 1]),
        }[metric]
        assert model.best_score_ == pytest.approx(expected, rel=1e-5)
        assert len(model.history_) == len(model.ensemble_.networks)

    @pytest.mark.parametrize("metric", ["rmse", "mae"])
    def test_best_score_of_a_regressor(self, metric):
        model = TabularRegressor(**FAST, eval_metric=metric).fit(FRAME, INCOME)
        known = ~np.isnan(model.oof_predictions_)
        error = model.oof_predictions_[known] - INCOME[known]
        expected = np.sqrt(np.mean(error**2)) if metric == "rmse" else np.abs(error).mean()
        assert model.best_score_ == pytest.approx(expected, rel=1e-5)

    def test_predictions_are_the_tempered_mean_of_the_networks(self, classifier):
        x = classifier.encoder_.transform(FRAME)
        mean = np.mean([network.predict(x) for network in classifier.ensemble_.networks], axis=0)
        expected = tempered(mean, classifier.ensemble_.temperature)
        np.testing.assert_allclose(classifier.predict_proba(FRAME), expected, rtol=1e-4)
        assert classifier.ensemble_.temperature != 1.0


class TestEvalSet:
    def test_it_takes_the_place_of_the_parts(self):
        new, rich, income = people(500, seed=1)
        model = TabularClassifier(**FAST, eval_metric="accuracy").fit(FRAME, RICH, eval_set=(new, rich))
        assert model.oof_proba_ is None
        assert model.best_score_ == pytest.approx(model.score(new, rich))
        weight = np.linspace(0, 1, 500)
        model = TabularRegressor(**FAST).fit(FRAME, INCOME, eval_set=(new, income, weight))
        assert model.oof_predictions_ is None
        expected = metrics.root_mean_squared_error(income, model.predict(new), sample_weight=weight)
        assert model.best_score_ == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        ("eval_set", "message"),
        [
            ([(FRAME, RICH)], r"eval_set is a tuple \(X, y\) or \(X, y, sample_weight\), not list"),
            ((FRAME,), "eval_set is a tuple"),
            ((FRAME, RICH.replace("yes", "maybe")), "y holds 'maybe', which training did not see; known: 'no', 'yes'"),
            ((FRAME, RICH[1:]), "inconsistent numbers of samples"),
            ((FRAME[["age"]], RICH), "column 'job' is missing"),
            ((FRAME, RICH, np.zeros(N)), "(?i)weight"),
        ],
    )
    def test_wrong_ones(self, eval_set, message):
        with pytest.raises(ValueError, match=message):
            TabularClassifier(**FAST).fit(FRAME, RICH, eval_set=eval_set)


class TestWeights:
    def test_rows_of_weight_0_are_left_out(self):
        weight = np.where(np.arange(N) % 3, 1.0, 0.0)
        kept = weight > 0
        first = TabularRegressor(**FAST).fit(FRAME, INCOME, weight)
        second = TabularRegressor(**FAST).fit(FRAME[kept], INCOME[kept])
        np.testing.assert_allclose(first.predict(FRAME), second.predict(FRAME), rtol=1e-5)
        assert first.oof_predictions_.shape == (N,)
        assert np.isnan(first.oof_predictions_[~kept]).all()
        np.testing.assert_allclose(first.oof_predictions_[kept], second.oof_predictions_, rtol=1e-5)

    def test_only_their_ratio_counts(self):
        weight = np.random.default_rng(0).uniform(0.5, 2, N)
        first, second = (TabularClassifier(**FAST).fit(FRAME, RICH, weight * factor) for factor in (1, 2.0**40))
        np.testing.assert_array_equal(first.predict_proba(FRAME), second.predict_proba(FRAME))
        plain = TabularClassifier(**FAST).fit(FRAME, RICH)
        assert not np.array_equal(first.predict_proba(FRAME), plain.predict_proba(FRAME))

    @pytest.mark.parametrize("class_weight", ["balanced", {"yes": 5.0}], ids=str)
    def test_class_weight_multiplies_them(self, class_weight):
        weight = np.random.default_rng(0).uniform(0.5, 2, N)
        first = TabularClassifier(**FAST, class_weight=class_weight).fit(FRAME, RICH, weight)
        factors = compute_sample_weight(class_weight, RICH)
        second = TabularClassifier(**FAST).fit(FRAME, RICH, weight * factors)
        np.testing.assert_array_equal(first.predict(FRAME), second.predict(FRAME))
        # Probabilities are those of rows as they come: divided by the factors again.
        of_classes = [factors[label == RICH][0] for label in first.classes_]
        back = second.predict_proba(FRAME) / of_classes
        np.testing.assert_allclose(first.predict_proba(FRAME), back / back.sum(axis=1, keepdims=True), rtol=1e-4)

    def test_wrong_ones(self):
        with pytest.raises(ValueError, match="[Nn]egative values"):
            TabularRegressor(**FAST).fit(FRAME, INCOME, -np.ones(N))
        with pytest.raises(ValueError, match="only one class, 'yes', whose rows have a weight"):
            TabularClassifier(**FAST).fit(FRAME, RICH, (RICH == "yes").to_numpy(float))
        with pytest.raises(ValueError, match="only one class, 'yes', whose rows have a weight"):
            TabularClassifier(**FAST, class_weight={"no": 0.0}).fit(FRAME, RICH)


class TestTraining:
    def test_seeds_and_threads(self):
        fits = [
            TabularClassifier("fast", random_state=seed, n_threads=n_threads).fit(FRAME, RICH).predict_proba(FRAME)
            for seed, n_threads in ((3, 1), (3, 2), (4, None))
        ]
        np.testing.assert_array_equal(fits[0], fits[1])
        assert not np.array_equal(fits[0], fits[2])

    @pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
    def test_a_short_time_limit_still_gives_a_model(self, kind):
        y = RICH if kind is TabularClassifier else INCOME
        model = kind("best", time_limit=1e-3, random_state=0).fit(FRAME, y)
        assert 1 <= len(model.ensemble_.networks) < PRESETS["best"].networks
        assert model.predict(FRAME).shape == (N,)

    @pytest.mark.parametrize(
        ("limit", "encoded", "least", "told"),
        [
            (2, 1.0, 1.9, False),
            (2, 2.5, 0.6, True),
            (2, 0.1, 3.0, True),
            (100, 60.0, 49.0, False),
            (None, 9.0, 9.0, False),
        ],
    )
    def test_a_limit_too_short_for_one_network_is_said(self, limit, encoded, least, told):
        lines = TabularClassifier(time_limit=limit)._overrun(encoded, least)
        assert len(lines) == told
        assert all(f"time_limit={limit}" in line and f"{encoded:.1f} seconds" in line for line in lines)

    def test_sparse_tables_give_the_same_bits(self):
        x = np.random.default_rng(0).normal(size=(N, 6)) * (np.random.default_rng(1).random((N, 6)) < 0.3)
        dense = TabularRegressor(**FAST, time_limit=1e6).fit(x, x[:, 0] + x[:, 1])
        weight = np.arange(N) % 5 > 0
        for form in ("csr", "coo"):
            matrix = sparse.coo_array(x).asformat(form)
            model = TabularRegressor(**FAST).fit(matrix, x[:, 0] + x[:, 1])
            np.testing.assert_array_equal(model.predict(matrix), dense.predict(x))
            TabularRegressor(**FAST, time_limit=1e-3).fit(matrix, x[:, 0], weight.astype(float))

    def test_ctrl_c_keeps_what_there_is(self, monkeypatch, ctrl_c):
        @contextmanager
        def interrupting(verbose):
            shares = []

            def progress(share):
                if not shares:
                    os.kill(os.getpid(), signal.SIGINT)
                shares.append(share)

            yield progress

        monkeypatch.setattr(estimator, "progress_bar", interrupting)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model = TabularRegressor("best", random_state=0).fit(FRAME, INCOME)
        assert len(model.ensemble_.networks) < PRESETS["best"].networks
        assert model.predict(FRAME).shape == (N,)

    def test_the_bar_is_shown_where_asked_for(self, capsys):
        TabularRegressor(**FAST).fit(FRAME, INCOME)
        assert capsys.readouterr().err == ""
        TabularRegressor(**FAST, verbose=1).fit(FRAME, INCOME)
        assert "100%" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "parameters",
        [{"preset": "slow"}, {"time_limit": 0}, {"eval_metric": "rmse"}, {"n_threads": 0}, {"class_weight": "even"},
         {"categorical_features": "all"}],
    )  # fmt: skip
    def test_wrong_parameters(self, parameters):
        (name,) = parameters
        with pytest.raises(ValueError, match=f"The '{name}' parameter of TabularClassifier must be"):
            TabularClassifier(**parameters).fit(FRAME, RICH)


def by_file(model, folder):
    model.save(folder / "m.fastbp")
    return fastbp.load_model(folder / "m.fastbp")


def by_joblib(model, folder):
    joblib.dump(model, folder / "m.joblib")
    return joblib.load(folder / "m.joblib")


WAYS = {
    "file": by_file,
    "joblib": by_joblib,
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


class TestSaving:
    @pytest.mark.parametrize("way", WAYS)
    def test_models_come_back_whole(self, classifier, regressor, way, tmp_path):
        for model in (classifier, regressor):
            again = WAYS[way](model, tmp_path)
            np.testing.assert_array_equal(again.predict(FRAME), model.predict(FRAME))
            assert again.get_params() == model.get_params()
            for name in ("n_features_in_", "best_score_", "history_", "target_name_"):
                assert getattr(again, name) == getattr(model, name)
            np.testing.assert_array_equal(again.feature_names_in_, model.feature_names_in_)
            left_out = {"ensemble_", "encoder_", "feature_names_in_", "_target", "oof_proba_", "oof_predictions_"}
            assert vars(again).keys() == vars(model).keys()
            assert {name for name in vars(again) if vars(again)[name] is None} - left_out <= set(model.get_params())
        again = WAYS[way](classifier, tmp_path)
        np.testing.assert_array_equal(again.predict_proba(FRAME), classifier.predict_proba(FRAME))
        assert again.classes_.dtype == classifier.classes_.dtype
        assert (again.oof_proba_ is None) == (way == "file")

    def test_parameters_of_every_kind(self, tmp_path):
        model = TabularClassifier(
            "fast",
            class_weight={"yes": 2.0, "no": 1},
            categorical_features=["age"],
            random_state=np.random.RandomState(3),
            time_limit=60,
        )
        with pytest.warns(fastbp.TableWarning, match="column 'age': its 42 most frequent categories are kept"):
            model.fit(FRAME, RICH)
        again = by_file(model, tmp_path)
        assert again.class_weight == model.class_weight
        assert list(again.categorical_features) == ["age"]
        np.testing.assert_array_equal(again.predict_proba(FRAME), model.predict_proba(FRAME))

    @pytest.mark.parametrize("what", ["class", "parameters", "target", "encoder", "ensemble"])
    def test_a_file_that_lacks_something(self, classifier, what, tmp_path):
        path = tmp_path / "m.fastbp"
        classifier.save(path)
        tensors, description = load_tensors(path)
        for change in ({}, {what: "unknown"}):
            found = {key: value for key, value in json.loads(json.dumps(description)).items() if key != what}
            save_tensors(path, tensors, found | change)
            with pytest.raises(fastbp.ModelFileError):
                fastbp.load_model(path)

    def test_what_is_not_fitted(self, tmp_path):
        with pytest.raises(NotFittedError):
            TabularClassifier().save(tmp_path / "m")
        with pytest.raises(NotFittedError):
            TabularRegressor().predict(FRAME)
        assert not hasattr(TabularClassifier(), "classes_")
        assert not hasattr(TabularClassifier, "partial_fit")


class TestEcosystem:
    def test_searches_and_parallel_work(self):
        search = GridSearchCV(TabularClassifier(**FAST), {"class_weight": [None, "balanced"]}, cv=2)
        assert search.fit(FRAME, RICH).best_score_ > 0.8

    def test_other_processes_give_the_same_scores(self, monkeypatch):
        monkeypatch.setitem(PRESETS, "fast", WHOLE["fast"])  # as they have it
        alone, together = (
            cross_val_score(TabularClassifier(**FAST), FRAME, RICH, cv=2, n_jobs=n_jobs) for n_jobs in (None, 2)
        )
        np.testing.assert_array_equal(alone, together)

    def test_metadata_routing(self):
        weight = np.random.default_rng(0).uniform(0.5, 2, N)
        with sklearn.config_context(enable_metadata_routing=True):
            model = TabularClassifier(**FAST).set_fit_request(sample_weight=True, eval_set=True)
            pipeline = make_pipeline(FunctionTransformer(), model)
            pipeline.fit(FRAME, RICH, sample_weight=weight, eval_set=(FRAME, RICH))
        expected = TabularClassifier(**FAST).fit(FRAME, RICH, weight, eval_set=(FRAME, RICH))
        np.testing.assert_array_equal(pipeline.predict_proba(FRAME), expected.predict_proba(FRAME))
