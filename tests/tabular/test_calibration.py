"""Temperature scaling: the temperature that data came with is found again, and what few or odd rows do to it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from fastbp.tabular import calibration
from fastbp.tabular.calibration import HIGHEST, LOWEST, PRIOR_DEVIATION, fit_temperature, reliability, tempered


def problem(temperature, n, k=3, seed=0):
    """Probabilities whose logarithms are `temperature` times those that classes are drawn with; and the codes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    true = np.exp(logits)
    true /= true.sum(axis=1, keepdims=True)
    codes = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, k - 1)
    return tempered(true, 1 / temperature).astype(np.float32), codes


@pytest.mark.parametrize("temperature", [0.4, 0.8, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("k", [2, 5])
def test_the_temperature_is_found_again(temperature, k):
    p, codes = problem(temperature, 20_000, k)
    found = fit_temperature(p, codes)
    assert found == pytest.approx(temperature, rel=0.05)
    if temperature != 1.0:
        assert log_loss(codes, tempered(p.astype(float), found)) < log_loss(codes, tempered(p.astype(float), 1.0))


def test_it_minimises_the_penalised_log_loss():
    p, codes = problem(1.6, 50)

    def loss(u):
        return log_loss(codes, tempered(p.astype(float), np.exp(u))) + u**2 / (2 * PRIOR_DEVIATION**2 * len(p))

    expected = np.exp(minimize_scalar(loss, bounds=(-1.6, 1.6), method="bounded").x)
    assert fit_temperature(p, codes) == pytest.approx(expected, rel=2e-3)


def test_few_rows_change_little():
    # A single wrong row asks for the highest temperature, a single right one for the lowest.
    p = np.array([[0.99, 0.01]], np.float32)
    assert 1.0 < fit_temperature(p, np.array([1])) < 1.4
    assert 0.9 < fit_temperature(p, np.array([0])) < 1.0
    assert fit_temperature(np.full((3, 2), np.nan), np.zeros(3, int)) == 1.0


def test_weights_are_repetitions():
    p, codes = problem(1.3, 5000)
    times = np.random.default_rng(1).integers(0, 4, 5000)
    repeated = fit_temperature(p.repeat(times, axis=0), codes.repeat(times))
    # Repeated rows count as rows of their own before the prior; so many leave that no say.
    assert fit_temperature(p, codes, times * 0.5) == pytest.approx(repeated, rel=0.01)
    alone = fit_temperature(p, codes, np.where(np.arange(5000) < 40, 1.0, 0.0))
    assert alone == pytest.approx(fit_temperature(p[:40], codes[:40]), rel=1e-3)


def test_rows_without_probabilities_are_left_out():
    p, codes = problem(2.0, 200)
    with_gaps, gaps = np.insert(p, [0, 50, 200], np.nan, axis=0), np.insert(codes, [0, 50, 200], 0)
    assert fit_temperature(with_gaps, gaps) == fit_temperature(p, codes)


def test_probabilities_of_0():
    p = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], np.float32)
    for codes in ([0, 1, 0, 1], [1, 0, 1, 0]):
        found = fit_temperature(p, np.array(codes))
        assert LOWEST <= found <= HIGHEST
        assert np.isfinite(tempered(p, found)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tempered(dtype):
    p, _ = problem(1.0, 50)
    p = p.astype(dtype)
    for temperature in (LOWEST, 1.0, HIGHEST):
        q = tempered(p, temperature)
        expected = p.astype("f8") ** (1 / temperature)
        expected /= expected.sum(axis=1, keepdims=True)
        assert q.dtype == dtype
        np.testing.assert_allclose(q, expected, rtol=3e-5 if dtype == "float32" else 1e-12)
        np.testing.assert_array_equal(q.argmax(axis=1), p.argmax(axis=1))


def test_reliability_by_hand():
    p = np.array([[0.95, 0.05], [0.05, 0.95], [0.55, 0.45], [0.4, 0.6], [0.5, 0.5], [1.0, 0.0]])
    found = reliability(p, np.array([0, 0, 1, 1, 0, 0]))
    np.testing.assert_array_equal(found.rows, [0, 0, 0, 0, 1, 2, 0, 0, 0, 3])
    np.testing.assert_allclose(found.confidence[[4, 5, 9]], [0.5, 0.575, (0.95 + 0.95 + 1.0) / 3])
    np.testing.assert_allclose(found.accuracy[[4, 5, 9]], [1, 0.5, 2 / 3])
    assert np.isnan(found.accuracy[0])
    gaps = [0.5, 0.075, abs(2 / 3 - 2.9 / 3)]
    assert found.error == pytest.approx(np.dot(gaps, [1, 2, 3]) / 6)


def test_reliability_of_true_and_of_exaggerated_probabilities():
    exact, codes = problem(1.0, 20_000)
    sure, _ = problem(2.5, 20_000)
    assert reliability(exact, codes).error < 0.01
    assert reliability(sure, codes).error > 0.05


def test_a_sample_of_many_rows_tells_nearly_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 20_000)
    codes = (p.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    doubted, weight = calibration.tempered(p, 1.5), rng.random(20_000)
    whole = fit_temperature(doubted, codes, weight)
    monkeypatch.setattr(calibration, "MOST_PROBABILITIES", 40_000)
    assert fit_temperature(doubted, codes, weight) == fit_temperature(doubted[::2], codes[::2], weight[::2])
    assert fit_temperature(doubted, codes, weight) == pytest.approx(whole, rel=0.03)


def test_tempered_in_place_block_by_block(monkeypatch):
    p = np.random.default_rng(0).dirichlet(np.ones(5), 103).astype(np.float32)
    expected = tempered(p, 1.7)
    monkeypatch.setattr(calibration, "BLOCK", 50)
    calibration.temper(p, 1.7)
    np.testing.assert_array_equal(p, expected)
