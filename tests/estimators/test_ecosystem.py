"""The estimators among scikit-learn's tools: pipelines, searches, parallel work, calibration, frames, routing."""

import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingClassifier, StackingRegressor, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import MLPClassifier, MLPRegressor
from fastbp.engine import threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True)
SCALED = StandardScaler().fit_transform(CANCER)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)


def classifier(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": (10,), "max_iter": 30, "learning_rate_init": 0.01, "random_state": 0} | parameters
    )


def in_pipeline(**parameters):
    return make_pipeline(StandardScaler(), classifier(**parameters))


def test_pipeline():
    pipeline = in_pipeline().fit(CANCER, MALIGNANT)
    assert pipeline.score(CANCER, MALIGNANT) > 0.95
    pipeline.set_params(mlpclassifier__dropout=0.2, mlpclassifier__solver="adamw")
    assert clone(pipeline).get_params()["mlpclassifier__dropout"] == 0.2


GRID = {"mlpclassifier__hidden_layer_sizes": [(5,), (10, 5)], "mlpclassifier__dropout": [0.0, 0.2]}


@pytest.mark.parametrize("search", [GridSearchCV, HalvingGridSearchCV])
def test_searches(search):
    found = search(in_pipeline(), GRID, cv=3).fit(CANCER, MALIGNANT)
    assert found.best_score_ > 0.9
    assert found.predict(CANCER).shape == MALIGNANT.shape


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_work_gives_the_same_scores(backend):
    expected = cross_val_score(in_pipeline(), CANCER, MALIGNANT, cv=4)
    with parallel_backend(backend):
        scores = cross_val_score(in_pipeline(), CANCER, MALIGNANT, cv=4, n_jobs=2)
    np.testing.assert_array_equal(scores, expected)
    assert expected.min() > 0.9


def test_fits_at_once_share_the_cores(monkeypatch, small_work, run_threads):
    run_threads(2)
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    running, together, most = [], threading.Lock(), []
    work = threads.run_together

    def noted(function, wanted):
        def counted(thread, n_threads):
            with together:
                running.append(thread)
                most.append(len(running))
            try:
                function(thread, n_threads)
            finally:
                with together:
                    running.pop()

        work(counted, wanted)

    monkeypatch.setattr("fastbp.engine.runner.run_together", noted)
    with parallel_backend("threading"):
        cross_val_score(classifier(batch_size=64), SCALED, MALIGNANT, cv=4, n_jobs=2)
    # A call that began alone has both cores until it ends: then a second fit makes it three, not four.
    assert 2 <= max(most) <= 3


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method):
    calibrated = CalibratedClassifierCV(in_pipeline(), method=method, cv=3).fit(CANCER, MALIGNANT)
    assert calibrated.predict_proba(CANCER).shape == (569, 2)
    assert calibrated.score(CANCER, MALIGNANT) > 0.9


def test_ensembles():
    bagged = BaggingClassifier(classifier(max_iter=10), n_estimators=4, random_state=0, n_jobs=2)
    assert bagged.fit(SCALED, MALIGNANT).score(SCALED, MALIGNANT) > 0.85
    voted = VotingClassifier([("a", classifier()), ("b", classifier(random_state=1))], voting="soft")
    assert voted.fit(SCALED, MALIGNANT).score(SCALED, MALIGNANT) > 0.9
    mlp = MLPRegressor(hidden_layer_sizes=10, solver="lbfgs", max_iter=30, random_state=0)
    stacked = StackingRegressor([("ridge", Ridge()), ("mlp", mlp)], cv=3).fit(DIABETES, PROGRESS)
    assert stacked.score(DIABETES, PROGRESS) > 0.4


def test_wrappers_of_targets():
    scaled = TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
    assert scaled.fit(DIABETES * 20, PROGRESS).score(DIABETES * 20, PROGRESS) > 0.5
    several = np.column_stack([MALIGNANT, CANCER[:, 0] > 14])
    assert MultiOutputClassifier(classifier()).fit(SCALED, several).predict(SCALED).shape == (569, 2)


def test_permutation_importance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    mlp = classifier(max_iter=100).fit(x, x[:, 1] > 0)
    importance = permutation_importance(mlp, x, x[:, 1] > 0, n_repeats=3, random_state=0, n_jobs=2)
    assert importance.importances_mean.argmax() == 1


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames(make):
    names = [f"column {i}" for i in range(30)]
    frame = make({name: SCALED[:, i] for i, name in enumerate(names)})
    labels = np.array(["benign", "malignant"])[MALIGNANT]
    series = frame.to_pandas().iloc[:, 0].map(lambda _: "") if make is pl.DataFrame else pd.Series(labels)
    mlp = classifier().fit(frame, labels if make is pl.DataFrame else series)
    assert list(mlp.feature_names_in_) == names
    np.testing.assert_array_equal(mlp.predict(frame), classifier().fit(SCALED, labels).predict(SCALED))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        mlp.predict(SCALED)
    with pytest.raises(ValueError, match="The feature names should match"):
        mlp.predict(frame[names[::-1]])


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output_works_down_a_pipeline(output):
    frame = pd.DataFrame({"size": SCALED[:, 0], "kind": np.where(MALIGNANT, "a", "b")})
    columns = make_column_transformer((StandardScaler(), ["size"]), (OneHotEncoder(sparse_output=False), ["kind"]))
    pipeline = make_pipeline(columns, classifier()).set_output(transform=output)
    pipeline.fit(frame, MALIGNANT)
    assert list(pipeline[-1].feature_names_in_) == ["standardscaler__size", "onehotencoder__kind_a",
                                                    "onehotencoder__kind_b"]  # fmt: skip
    assert pipeline.score(frame, MALIGNANT) > 0.95


def test_metadata_routing():
    weight = np.where(MALIGNANT, 5.0, 1.0)
    held_out = SCALED[:50], MALIGNANT[:50]
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = (
            classifier().set_fit_request(sample_weight=True, validation_data=True).set_score_request(sample_weight=True)
        )
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), mlp)
        pipeline.fit(CANCER, MALIGNANT, sample_weight=weight, validation_data=held_out)
        assert len(pipeline[-1].validation_scores_) == pipeline[-1].n_iter_
        expected = classifier().fit(StandardScaler().fit_transform(CANCER), MALIGNANT, weight)
        np.testing.assert_array_equal(pipeline[-1].coefs_[0], expected.coefs_[0])
        scores = cross_validate(
            classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
            SCALED,
            MALIGNANT,
            params={"sample_weight": weight},
            cv=3,
        )
    assert scores["test_score"].min() > 0.8


def test_a_model_fitted_in_one_thread_predicts_in_many():
    mlp = classifier().fit(SCALED, MALIGNANT)
    expected, found = mlp.predict_proba(SCALED), [None] * 8

    def predict(i):
        found[i] = mlp.predict_proba(SCALED)

    workers = [threading.Thread(target=predict, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, expected)
