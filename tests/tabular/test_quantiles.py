"""Quantile regression: outputs that do not cross, and that cover the share of rows that they name."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import d2_pinball_score, mean_pinball_loss

import fastbp
from fastbp import TabularRegressor
from fastbp.tabular.quantiles import coverage, pinball_losses, uncrossed

LEVELS = [0.1, 0.5, 0.9]


def table(n, seed):
    """A quantity whose spread depends on x and on a category."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.uniform(-2, 2, n), "kind": rng.choice(["calm", "wild"], n)})
    spread = (0.3 + 0.4 * frame["x"].abs()) * np.where(frame["kind"] == "wild", 3.0, 1.0)
    return frame, frame["x"] ** 2 + spread * rng.normal(size=n), spread.to_numpy()


X, Y, _ = table(2000, 0)


@pytest.fixture(scope="module")
def fitted():
    return TabularRegressor(quantiles=LEVELS, random_state=0).fit(X, Y)


def test_coverage_of_new_rows(fitted):
    new, y, spread = table(4000, 1)
    predicted = fitted.predict(new)
    assert predicted.shape == (4000, 3)
    # Two standard errors of 4000 rows are 0.01 to 0.016; the rest is what 2000 rows teach.
    np.testing.assert_allclose(coverage(predicted, y), LEVELS, atol=0.04)
    # In the narrow half and in the wide half, too.
    for half in (spread < np.median(spread), spread >= np.median(spread)):
        np.testing.assert_allclose(coverage(predicted[half], y[half]), LEVELS, atol=0.07)
    width = predicted[:, 2] - predicted[:, 0]
    assert np.corrcoef(width, spread)[0, 1] > 0.9


def test_no_quantiles_cross(fitted):
    new, _, _ = table(3000, 2)
    new["x"] *= 10  # far outside of training
    assert (np.diff(fitted.predict(new), axis=1) >= 0).all()
    assert (np.diff(fitted.oof_predictions_, axis=1) >= 0).all()


def test_out_of_fold_quantiles_and_scores(fitted):
    assert fitted.oof_predictions_.shape == (2000, 3)
    np.testing.assert_allclose(coverage(fitted.oof_predictions_, Y), LEVELS, atol=0.04)
    losses = [mean_pinball_loss(Y, fitted.oof_predictions_[:, i], alpha=level) for i, level in enumerate(LEVELS)]
    assert fitted.best_score_ == pytest.approx(np.mean(losses), rel=1e-5)
    weight = np.linspace(0, 1, 2000)
    predicted = fitted.predict(X)
    expected = np.mean([
        d2_pinball_score(Y, predicted[:, i], alpha=level, sample_weight=weight) for i, level in enumerate(LEVELS)
    ])  # fmt: skip
    assert fitted.score(X, Y, weight) == pytest.approx(expected)
    assert expected > 0.2


def test_they_come_back_from_a_file(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    again = fastbp.load_model(tmp_path / "m")
    assert again.quantiles == tuple(LEVELS)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.score(X, Y) == fitted.score(X, Y)


def test_one_quantile_is_a_column():
    median = TabularRegressor("fast", quantiles=[0.5], random_state=0).fit(X[:300], Y[:300])
    assert median.predict(X).shape == (2000, 1)
    assert median.oof_predictions_.shape == (300, 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"quantiles": [0.9, 0.1]}, r"quantiles=\[0.9, 0.1\]: they are above 0, below 1, and each is above"),
        ({"quantiles": []}, "above 0, below 1"),
        ({"quantiles": ["low"]}, "they are a list of numbers"),
        ({"quantiles": LEVELS, "eval_metric": "mae"}, "eval_metric='mae' is not for quantiles, which"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        TabularRegressor(**parameters).fit(X, Y)


def test_sorted_rows_and_shares():
    outputs = np.array([[2.0, 1.0], [0.0, 3.0]])
    np.testing.assert_array_equal(uncrossed(outputs), [[1, 2], [0, 3]])
    np.testing.assert_array_equal(coverage(uncrossed(outputs), np.array([1.5, 4.0])), [0, 0.5])
    np.testing.assert_array_equal(coverage(uncrossed(outputs), np.array([1.5, 4.0]), np.array([3.0, 1.0])), [0, 0.75])
    np.testing.assert_allclose(pinball_losses(np.array([[1.0, 1.0]]), [[3.0]], (0.2, 0.5)), [0.4, 1.0])
