"""Repeated rows: what is found of them, when they are used, and that they survive a file."""

import numpy as np
import pytest

import fastbp
from fastbp.tabular.repeated_rows import STRENGTHS, Repeats, found_strength, log_losses, row_keys, squared_errors


def rows(n, d, seed=0):
    return np.random.default_rng(seed).integers(0, 3, (n, d)).astype(np.float32)


class TestKeys:
    def test_equal_rows_have_equal_keys_and_others_do_not(self):
        x = rows(5000, 6)
        distinct, places = np.unique(x, axis=0, return_inverse=True)
        keys = row_keys(x)
        assert len(np.unique(keys)) == len(distinct)
        for place in range(0, len(distinct), 50):
            assert len(np.unique(keys[places == place])) == 1

    def test_a_row_reversed_is_another_row(self):
        x = rows(50, 4)
        palindromes = (x == x[:, ::-1]).all(axis=1)
        assert np.array_equal(row_keys(x) == row_keys(x[:, ::-1]), palindromes)

    def test_the_sign_of_zero_is_no_difference(self):
        x = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)
        assert len(np.unique(row_keys(x))) == 1

    def test_numbers_that_differ_in_the_last_bit_are_different(self):
        x = np.float32([1.0, np.nextafter(np.float32(1), np.float32(2))])[:, None]
        assert len(np.unique(row_keys(x))) == 2


class TestSeen:
    def test_sums_are_those_of_equal_rows(self):
        x, new = rows(300, 3), rows(200, 3, seed=1)
        values, weight = np.random.default_rng(2).random((2, 300, 2)).astype(np.float32)
        weight = weight[:, 0] + np.float32(0.5)
        seen = Repeats.of(x, values, weight).seen(new)
        same = (new[:, None] == x[None]).all(axis=2)
        np.testing.assert_allclose(seen.counts, same @ weight, rtol=1e-5)
        np.testing.assert_allclose(seen.sums, same @ (values * weight[:, None]), rtol=1e-5)

    def test_of_training_s_own_rows_all_but_the_row_itself(self):
        x, values = rows(40, 3), np.random.default_rng(2).random((40, 2)).astype(np.float32)
        weight = np.linspace(0.2, 2, 40, dtype=np.float32)
        seen = Repeats.of(x, values, weight).seen_by_others(x, values, weight)
        same = (x[:, None] == x[None]).all(axis=2) & ~np.eye(40, dtype=bool)
        np.testing.assert_allclose(seen.counts, same @ weight, atol=1e-5)
        np.testing.assert_allclose(seen.sums, same @ (values * weight[:, None]), atol=1e-5)
        assert ((seen.counts == 0) == ~same.any(axis=1)).all()

    def test_what_nobody_saw_is_left_to_the_networks(self):
        x, outputs = rows(30, 3), np.full((5, 2), 0.5, np.float32)
        seen = Repeats.of(x, np.eye(2, dtype=np.float32)[np.arange(30) % 2]).seen(np.full((5, 3), 7, np.float32))
        np.testing.assert_array_equal(seen.mixed(outputs, 0.5), outputs)


class TestStrength:
    @pytest.mark.parametrize(("noise", "low", "high"), [(0.0, STRENGTHS[0], STRENGTHS[0]), (1.0, 0.5, 2.0)])
    def test_it_is_the_ratio_of_the_variances(self, noise, low, high):
        # Pairs of rows share a normal effect that the networks do not know; each adds noise of its own.
        rng = np.random.default_rng(0)
        effect = rng.normal(size=4000)
        values = np.repeat(effect, 2)[:, None] + noise * rng.normal(size=(8000, 1))
        x = np.repeat(np.arange(4000, dtype=np.float32), 2)[:, None]
        seen = Repeats.of(x, values).seen_by_others(x, values)
        assert low <= found_strength(np.zeros((8000, 1)), values, seen, squared_errors) <= high

    def test_none_where_equal_rows_tell_nothing(self):
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 2, 4000)
        values, x = np.eye(2)[codes], np.repeat(np.arange(2000, dtype=np.float32), 2)[:, None]
        seen = Repeats.of(x, values).seen_by_others(x, values)
        assert found_strength(np.full((4000, 2), 0.5), values, seen, log_losses) is None

    def test_none_where_few_rows_have_an_equal(self):
        values, x = np.eye(2)[np.zeros(10, int)], np.zeros((10, 1), np.float32)
        seen = Repeats.of(x, values).seen_by_others(x, values)
        assert found_strength(np.full((10, 2), 0.5), values, seen, log_losses) is None


def doubled(task):
    """A table whose rows come twice, with targets that only the twin can tell."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3)).astype(np.float32)
    y = rng.integers(0, 2, 150) if task == "classification" else rng.normal(size=150)
    return np.repeat(x, 2, axis=0), np.repeat(y, 2)


@pytest.mark.parametrize("kind", [fastbp.TabularClassifier, fastbp.TabularRegressor])
class TestEstimators:
    def test_twins_are_found_again(self, kind, tmp_path):
        X, y = doubled("classification" if kind is fastbp.TabularClassifier else "regression")
        order = np.random.default_rng(1).permutation(len(y))
        train, test = order[:200], order[200:]
        model = kind("fast", random_state=0).fit(X[train], y[train])
        known = (X[test][:, None] == X[train][None]).all(axis=2).any(axis=1)
        assert known.sum() > 40
        assert model.score(X[test][known], y[test][known]) > 0.95
        assert model.best_score_ is not None
        model.save(tmp_path / "model.fastbp")
        loaded = fastbp.load_model(tmp_path / "model.fastbp")
        np.testing.assert_array_equal(loaded.predict(X[test]), model.predict(X[test]))

    def test_the_user_s_validation_rows_tell_as_well(self, kind):
        X, y = doubled("classification" if kind is fastbp.TabularClassifier else "regression")
        model = kind("fast", random_state=0).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
        assert model.ensemble_.repeats is not None
        assert model.score(X, y) > 0.95

    def test_rows_without_twins_need_no_memory(self, kind):
        X, y = doubled("classification" if kind is fastbp.TabularClassifier else "regression")
        assert kind("fast", random_state=0).fit(X[::2], y[::2]).ensemble_.repeats is None

    def test_they_are_not_looked_for_where_they_would_take_gigabytes(self, kind, monkeypatch):
        X, y = doubled("classification" if kind is fastbp.TabularClassifier else "regression")
        monkeypatch.setattr("fastbp.tabular.repeated_rows.MOST_VALUES", 10)
        monkeypatch.setattr(Repeats, "of", None)
        assert kind("fast", random_state=0, time_limit=1e-3).fit(X, y).ensemble_.repeats is None
