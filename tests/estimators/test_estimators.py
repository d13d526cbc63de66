"""The estimators do scikit-learn's work: equal loss curves, scores, weights and predictions, from the same seed."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_limits

import fastbp
from fastbp.estimators.scores import r2
from tests.external.scikit_learn_mlp import DESELECTED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def tasks():
    """Return {task: (class, X, y, parameters)}; no batch size of the tests divides a number of rows."""
    digits, numbers = load_digits(return_X_y=True)
    cancer, malignant = load_breast_cancer(return_X_y=True)
    diabetes, progress = load_diabetes(return_X_y=True)
    diabetes, progress = diabetes * 20, (progress - progress.mean()) / progress.std()
    words, topics = make_multilabel_classification(n_samples=203, random_state=0)
    names = np.array(["left", "right"])
    return {
        "binary": ("MLPClassifier", (cancer - cancer.mean(0)) / cancer.std(0), names[malignant], {}),
        "multiclass": ("MLPClassifier", digits[:301] / 16, numbers[:301], {}),
        "multilabel": ("MLPClassifier", words / 10, topics, {}),
        "regression": ("MLPRegressor", diabetes, progress, {}),
        "outputs": ("MLPRegressor", diabetes, np.column_stack([progress, diabetes[:, 0], progress**2]), {}),
        "poisson": ("MLPRegressor", diabetes, np.floor(np.exp(progress)), {"loss": "poisson"}),
    }


@pytest.fixture(autouse=True)
def one_blas_thread():
    """scikit-learn's small products wait for threads: its fits take ten times as long on a busy machine."""
    with threadpool_limits(1):
        yield


TASKS = tasks()
SOLVERS = {
    "adam": {},
    "sgd plain": {"solver": "sgd", "momentum": 0.0},
    "sgd momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "sgd nesterov": {"solver": "sgd"},
    "sgd invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05, "power_t": 0.3},
    "sgd adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},
}


def both(task, weighted=False, **parameters):
    """Fit scikit-learn's and our estimator for 50 epochs."""
    name, x, y, own = TASKS[task]
    parameters = {"max_iter": 50, "random_state": 3, "batch_size": 37, "tol": 0.0} | own | parameters
    weight = np.random.default_rng(0).uniform(0.1, 2.0, len(x)) if weighted else None
    return [getattr(library, name)(**parameters).fit(x, y, weight) for library in (theirs, fastbp)]


def assert_equal_fits(expected, ours, x):
    assert ours.n_iter_ == expected.n_iter_
    assert ours.t_ == expected.t_
    np.testing.assert_allclose(ours.loss_curve_, expected.loss_curve_, rtol=1e-8)
    if expected.validation_scores_ is None:
        assert ours.validation_scores_ is None
        np.testing.assert_allclose(ours.best_loss_, expected.best_loss_, rtol=1e-8)
    else:
        assert ours.best_loss_ is None
        np.testing.assert_allclose(ours.validation_scores_, expected.validation_scores_, rtol=1e-8, atol=1e-12)
    for mine, theirs_ in zip(ours.coefs_ + ours.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
        np.testing.assert_allclose(mine, theirs_, rtol=1e-6, atol=1e-10)
    predictions = ours.predict(x)
    assert predictions.dtype == expected.predict(x).dtype
    if predictions.dtype.kind == "f":
        np.testing.assert_allclose(predictions, expected.predict(x), rtol=1e-6, atol=1e-9)
    else:
        np.testing.assert_array_equal(predictions, expected.predict(x))
        np.testing.assert_allclose(ours.predict_proba(x), expected.predict_proba(x), rtol=1e-6, atol=1e-10)
        # A probability that rounds to 0 has no logarithm to compare.
        clear = expected.predict_proba(x) > 1e-10
        logs = ours.predict_log_proba(x)[clear], expected.predict_log_proba(x)[clear]
        np.testing.assert_allclose(*logs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_equal_loss_curves(task, solver, weighted):
    expected, ours = both(task, weighted, **SOLVERS[solver])
    assert len(ours.loss_curve_) >= 8
    assert_equal_fits(expected, ours, TASKS[task][1])


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("task", TASKS)
def test_equal_early_stopping(task, weighted):
    expected, ours = both(task, weighted, early_stopping=True, n_iter_no_change=5)
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    assert_equal_fits(expected, ours, TASKS[task][1])


@pytest.mark.parametrize(
    "parameters",
    [
        {"activation": "logistic", "hidden_layer_sizes": (20, 10)},
        {"activation": "tanh", "alpha": 0.5},
        {"activation": "identity", "shuffle": False},
        {"hidden_layer_sizes": [], "alpha": 0.0},
        {"batch_size": "auto"},
        {"batch_size": 1, "max_iter": 3},
        {"tol": 0.05, "n_iter_no_change": 3},
        {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True, "tol": 0.1, "n_iter_no_change": 1},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    ],
    ids=str,
)
def test_equal_fits_with_other_parameters(parameters):
    expected, ours = both("multiclass", **parameters)
    assert_equal_fits(expected, ours, TASKS["multiclass"][1])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("task", ["binary", "outputs"])
def test_equal_partial_fits(task, solver):
    name, x, y, _ = TASKS[task]
    labels = {"classes": np.unique(y)} if name == "MLPClassifier" else {}
    weight = np.linspace(0.5, 1.5, 50)
    expected, ours = (getattr(library, name)(solver=solver, random_state=1) for library in (theirs, fastbp))
    for start in range(0, 250, 50):
        rows = slice(start, start + 50)
        for estimator in (expected, ours):
            estimator.partial_fit(x[rows], y[rows], weight, **labels)
        # As in scikit-learn, what changes between two calls counts from then on.
        for estimator in (expected, ours):
            estimator.set_params(alpha=start / 100)
    assert_equal_fits(expected, ours, x)


def warm_starts(**parameters):
    """Fit both estimators, and again from where they are, for more epochs and with another penalty."""
    expected, ours = both("regression", warm_start=True, max_iter=10, **parameters)
    _, x, y, _ = TASKS["regression"]
    for estimator in (expected, ours):
        estimator.set_params(max_iter=20, alpha=0.1).fit(x, y)
    assert len(ours.loss_curve_) >= 15
    return expected, ours


@pytest.mark.parametrize("parameters", [{}, {"solver": "sgd", "learning_rate": "invscaling"}], ids=["adam", "sgd"])
def test_equal_warm_starts(parameters):
    assert_equal_fits(*warm_starts(**parameters), TASKS["regression"][1])


def test_warm_start_with_early_stopping_keeps_the_best_weights():
    expected, ours = warm_starts(early_stopping=True)
    np.testing.assert_allclose(ours.validation_scores_, expected.validation_scores_, rtol=1e-8)
    # scikit-learn's best weights of the first fit are the arrays that the second one trains on.
    once = both("regression", warm_start=True, max_iter=10, early_stopping=True)[1]
    assert max(ours.validation_scores_[10:]) < max(ours.validation_scores_[:10])
    np.testing.assert_array_equal(ours.coefs_[0], once.coefs_[0])


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression", "outputs"])
def test_lbfgs_reaches_the_same_loss(task):
    expected, ours = both(task, solver="lbfgs", max_iter=100, alpha=0.1)
    assert ours.loss_ <= 1.01 * expected.loss_
    assert ours.n_iter_ <= 100
    start, _ = both(task, solver="lbfgs", max_iter=1, alpha=0.1)
    assert expected.loss_ < 0.9 * start.loss_


def test_lbfgs_takes_the_same_first_iterations():
    expected, ours = both("regression", weighted=True, solver="lbfgs", max_iter=8, hidden_layer_sizes=(10,))
    assert ours.n_iter_ == expected.n_iter_ == 8
    np.testing.assert_allclose(ours.loss_, expected.loss_, rtol=1e-9)
    np.testing.assert_allclose(ours.coefs_[0], expected.coefs_[0], rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("k", [1, 3])
def test_r2_is_scikit_learns(k, weighted):
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 20, k))
    weight = rng.uniform(0, 2, 20) if weighted else None
    assert r2(y, predicted, weight) == pytest.approx(r2_score(y, predicted, sample_weight=weight), rel=1e-12)
    y[:, 0] = 7.0
    assert r2(y, predicted, weight) == pytest.approx(r2_score(y, predicted, sample_weight=weight), rel=1e-12)
    predicted[:, 0] = 7.0
    assert r2(y, predicted, weight) == pytest.approx(r2_score(y, predicted, sample_weight=weight), rel=1e-12)
    predicted[3] = np.inf
    assert np.isnan(r2(y, predicted, weight))


@pytest.mark.parametrize("estimator", [fastbp.MLPClassifier, fastbp.MLPRegressor])
def test_scikit_learns_checks_of_an_estimator(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = check_estimator(estimator(), on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert all(result["status"] in ("passed", "skipped") for result in results)
    assert skipped <= {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}
    assert len(results) > 50


def test_scikit_learns_own_tests():
    script = ROOT / "tests" / "external" / "scikit_learn_mlp.py"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(DESELECTED)} deselected" in run.stdout
