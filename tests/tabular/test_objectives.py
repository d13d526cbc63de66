"""The figures by which epochs are chosen: scikit-learn's metrics, on whatever predictions and weights."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics

from fastbp.tabular import objectives
from fastbp.tabular.objectives import (
    CLASSIFICATION_METRICS,
    METRICS,
    REGRESSION_METRICS,
    classification_objective,
    quantile_objective,
    regression_objective,
)


@st.composite
def predictions(draw):
    """Probabilities (n, k) float32 with many ties, codes of all k classes, weights or None."""
    n, k, seed = draw(st.integers(12, 60)), draw(st.integers(2, 4)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    p = np.round(rng.dirichlet(np.ones(k), n), 1).astype(np.float32) + np.float32(0.01)
    p /= p.sum(axis=1, keepdims=True)
    codes = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    weight = draw(st.sampled_from([None, rng.uniform(0.1, 3, n), rng.integers(0, 3, n) + 1.0]))
    return p, codes, weight


@settings(max_examples=60)
@given(predictions())
def test_classification_metrics(problem):
    p, codes, weight = problem
    exact, k = p.astype(np.float64), p.shape[1]
    exact /= exact.sum(axis=1, keepdims=True)
    classes = range(k)
    expected = {
        "accuracy": metrics.accuracy_score(codes, p.argmax(axis=1), sample_weight=weight),
        "log_loss": metrics.log_loss(codes, exact, sample_weight=weight, labels=classes),
        "roc_auc": np.mean([
            metrics.roc_auc_score(codes == i, p[:, i], sample_weight=weight) for i in (classes if k > 2 else [1])
        ]),
    }  # fmt: skip
    assert set(expected) == set(CLASSIFICATION_METRICS)
    for name, value in expected.items():
        objective = classification_objective(k, name)
        assert objective.value(p, codes, weight) == pytest.approx(value, rel=1e-6)
        sign = 1 if name == "log_loss" else -1
        assert objective.score(p, codes, weight) == sign * objective.value(p, codes, weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_metrics(weighted):
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(2, 80, 1)).astype(np.float32)
    weight = rng.uniform(0, 2, 80) if weighted else None
    expected = {
        "rmse": metrics.root_mean_squared_error(targets, outputs, sample_weight=weight),
        "mae": metrics.mean_absolute_error(targets, outputs, sample_weight=weight),
    }
    assert set(expected) == set(REGRESSION_METRICS)
    for name, value in expected.items():
        assert regression_objective(name).score(outputs, targets, weight) == pytest.approx(value, rel=1e-6)
    assert set(METRICS) == {*CLASSIFICATION_METRICS, *REGRESSION_METRICS}


@pytest.mark.parametrize("weighted", [False, True])
def test_pinball_loss_of_sorted_outputs(weighted):
    rng = np.random.default_rng(1)
    levels = [0.05, 0.4, 0.9]
    outputs, targets = rng.normal(size=(70, 3)), rng.normal(size=(70, 1))
    weight = rng.uniform(0, 2, 70) if weighted else None
    ordered = np.sort(outputs, axis=1)
    expected = [
        metrics.mean_pinball_loss(targets[:, 0], ordered[:, i], alpha=level, sample_weight=weight)
        for i, level in enumerate(levels)
    ]
    objective = quantile_objective(levels)
    assert objective.score(outputs, targets, weight) == pytest.approx(np.mean(expected))
    assert (objective.n_outputs, objective.loss.quantiles, objective.activation) == (3, (0.05, 0.4, 0.9), None)


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
def test_a_diverged_network_has_no_score(name):
    p = np.full((4, 2), 0.5, np.float32)
    p[2] = np.nan
    assert np.isnan(classification_objective(2, name).score(p, np.array([0, 1, 0, 1])))


def test_area_without_both_classes():
    p = np.array([[0.3, 0.7], [0.6, 0.4]])
    assert objectives.roc_auc(p, np.array([1, 1])) == 0.5
    assert objectives.roc_auc(p, np.array([0, 1]), np.array([0.0, 1.0])) == 0.5
    # A class that is in no row is left out of the mean.
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert objectives.roc_auc(p, np.array([0, 1, 0])) == 1.0


def test_log_loss_of_a_probability_of_0():
    p = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    expected = metrics.log_loss([1, 1], p.astype(np.float64), labels=[0, 1])
    assert objectives.log_loss(p, np.array([1, 1])) == pytest.approx(expected)
