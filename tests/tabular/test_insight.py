"""Importances, contributions and partial dependence of tabular estimators: known truths, and scikit-learn."""

import copy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import partial_dependence, permutation_importance

import fastbp
from fastbp import TabularClassifier, TabularRegressor
from fastbp.tabular.checkpoint import Checkpoint
from fastbp.tabular.insight.contributions import Blend
from fastbp.tabular.insight.places import places_of, typical_row
from fastbp.tabular.recipe import PRESETS

FAST = {"preset": "fast", "random_state": 0}
BASE = "(base value)"


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    """Fewer networks of fewer units: what is told of them must hold all the same."""
    before = dict(PRESETS)
    PRESETS["fast"] = replace(PRESETS["fast"], hidden=((32,),), networks=3, few_rows_networks=4)
    yield
    PRESETS.update(before)


def linear_table(n=1200, seed=0):
    """Numbers with coefficients 3, -2, 1 and 0, and a category worth 0, 2 or -2."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=["a", "b", "c", "noise"])
    X["kind"] = rng.choice(["u", "v", "w"], n, p=[0.5, 0.3, 0.2])
    y = 3 * X["a"] - 2 * X["b"] + X["c"] + X["kind"].map({"u": 0, "v": 2, "w": -2}) + 0.1 * rng.normal(size=n)
    return X, y.rename("y")


def mixed_table(n=300, seed=1):
    """Columns of every kind, with missing values."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n).astype(float),
            "job": rng.choice(["nurse", "smith", "clerk", "cook"], n),
            "town": rng.choice([f"town {i}" for i in range(15)], n),
            "hired": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="D"),
            "member": rng.random(n) < 0.4,
            "same": 1.0,
        }
    )
    X.loc[::7, "age"] = np.nan
    X.loc[3::11, "town"] = None
    score = X["age"].fillna(90) / 30 + 2 * (X["job"] == "smith") + X["member"] + rng.normal(size=n) / 4
    return X, score


@pytest.fixture(scope="module")
def linear():
    X, y = linear_table()
    return TabularRegressor(**FAST).fit(X, y), X, y


@pytest.fixture(scope="module")
def mixed():
    """A classifier of two classes."""
    X, score = mixed_table()
    y = np.where(score > score.median(), "yes", "no")
    with pytest.warns(fastbp.TableWarning, match="'same' is left out"):
        return TabularClassifier(**FAST).fit(X, y), X, y


# Contributions


def test_a_linear_table_gives_its_coefficients(linear):
    model, X, _ = linear
    rows = X.head(200)
    found = model.explain(rows)
    for name, coefficient in {"a": 3, "b": -2, "c": 1, "noise": 0}.items():
        truth = coefficient * (rows[name] - X[name].median())
        # (The model itself is off by some 0.1, and by more where there are few rows.)
        off = np.abs(found[name] - truth)
        assert off.mean() < 0.06
        assert np.quantile(off, 0.95) < 0.25
    by_kind = found["kind"].groupby(rows["kind"]).mean()
    np.testing.assert_allclose(by_kind[["u", "v", "w"]], [0, 2, -2], atol=0.1)
    np.testing.assert_allclose(found[BASE], 3 * X["a"].median() - 2 * X["b"].median() + X["c"].median(), atol=0.2)
    np.testing.assert_allclose(found.sum(axis=1), model.predict(rows), atol=1e-5)


def test_rows_sum_to_the_probability(mixed):
    model, X, _ = mixed
    found = model.explain(X)
    assert list(found.columns) == [*X.columns, BASE]
    np.testing.assert_allclose(found.sum(axis=1), model.predict_proba(X)[:, 1], atol=1e-6)
    assert (found["same"] == 0).all()
    assert (found[["age", "job", "hired", "member", "town"]].abs().mean() > 0).all()
    assert found.index.equals(X.index)
    odds = model.explain(X[10:30], link="logit")
    p = model.predict_proba(X[10:30])[:, 1]
    np.testing.assert_allclose(odds.sum(axis=1), np.log(p / (1 - p)), atol=1e-5)
    assert list(odds.index) == list(range(10, 30))


def test_what_is_typical_contributes_nothing(mixed):
    model, X, _ = mixed
    typical = {
        "age": X["age"].median(),
        "job": X["job"].mode()[0],
        "town": X["town"].mode()[0],
        "hired": X["hired"].sort_values().iloc[[len(X) // 2]].iloc[0],
        "member": False,
        "same": 1.0,
    }
    found = model.explain(pd.DataFrame([typical]))
    assert (found[["age", "job", "town", "member"]].abs() < 1e-6).all(axis=None)
    assert abs(found["hired"].iloc[0]) < 0.02  # its parts (weekday, month) have medians of their own
    # A missing age is no median: the model has learnt that it is high.
    missing = model.explain(pd.DataFrame([{**typical, "age": np.nan}]))
    assert missing["age"].iloc[0] > 0.1


def test_every_kind_of_output_is_complete():
    X, score = mixed_table(200)
    X = X.drop(columns="same")
    three = TabularClassifier(**FAST).fit(X, pd.cut(score, 3, labels=["low", "mid", "top"]).astype(str))
    found = three.explain(X[:40])
    assert list(found.columns.get_level_values(0).unique()) == ["low", "mid", "top"]
    for number, label in enumerate(three.classes_):
        np.testing.assert_allclose(found[label].sum(axis=1), three.predict_proba(X[:40])[:, number], atol=1e-6)
    bands = TabularRegressor(**FAST, quantiles=[0.1, 0.5, 0.9]).fit(X, score)
    found = bands.explain(X[:40])
    for number, level in enumerate([0.1, 0.5, 0.9]):
        np.testing.assert_allclose(found[level].sum(axis=1), bands.predict(X[:40])[:, number], atol=1e-5)
    both = TabularRegressor(**FAST).fit(X, np.column_stack([score, 1000 - 100 * score]))
    found = both.explain(X[:40])
    np.testing.assert_allclose(found[1].sum(axis=1), both.predict(X[:40])[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found[0].sum(axis=1), both.predict(X[:40])[:, 0], rtol=1e-5)


def test_several_targets_of_any_kind():
    X, score = mixed_table(200)
    X = X.drop(columns="same")
    y = pd.DataFrame({"score": score, "kind": pd.cut(score, 3, labels=["low", "mid", "top"]).astype(str)})
    y["old"] = np.where(X["age"] > 50, "yes", "no")
    y.loc[::9, "score"] = np.nan
    y.loc[1::9, "old"] = None
    with pytest.warns(fastbp.TableWarning):
        model = fastbp.TabularMultiTask(**FAST).fit(X, y)
    found = model.explain(X[:40])
    kind, old = model.predict_proba(X[:40])
    expected = {"score": model.predict(X[:40])[:, 0].astype(float), "old=yes": old[:, 1]}
    expected |= {f"kind={label}": kind[:, place] for place, label in enumerate(["low", "mid", "top"])}
    assert set(found.columns.get_level_values(0)) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].sum(axis=1), values, atol=1e-5)
    # How old one is tells all of one target and something of the others.
    table = model.importances()
    assert table["importance"].idxmax() == "age"
    kept = model.ensemble_.kept
    assert len(kept.temperature) == 2
    assert list(model.partial_dependence(X, "age").columns) == list(dict.fromkeys(found.columns.get_level_values(0)))
    again = model.importances(X[:100], y[:100])
    assert again["importance"].idxmax() == "age"
    with pytest.raises(ValueError, match="link='logit' is for a TabularClassifier"):
        model.explain(X, link="logit")


def test_a_resumed_fit_knows_the_scores_of_finished_networks(tmp_path, monkeypatch):
    X, y = linear_table(120)
    whole = TabularRegressor(**FAST).fit(X, y)
    folder = tmp_path / "run"

    class Stop(Exception):
        pass

    keep, kept = Checkpoint.keep, []

    def keep_two(self, *network):
        keep(self, *network)
        kept.append(network[0])
        if len(kept) == 2:
            raise Stop

    monkeypatch.setattr(Checkpoint, "keep", keep_two)
    with pytest.raises(Stop):
        TabularRegressor(**FAST).fit(X, y, checkpoint=folder)
    monkeypatch.undo()
    resumed = TabularRegressor(**FAST).fit(X, y, checkpoint=folder)
    assert resumed.history_ == whole.history_
    assert all(len(one["epochs"]) == len(one["scores"]) > 1 for one in resumed.history_)
    np.testing.assert_array_equal(resumed.importances(), whole.importances())


def test_repeated_rows_have_a_column():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.integers(0, 12, 400).astype(float), "b": rng.integers(0, 6, 400).astype(float)})
    codes = (X["a"] * 7 + X["b"] * 3).astype(int) % 2
    model = TabularClassifier(**FAST).fit(X, codes)
    assert model.ensemble_.repeats is not None
    found = model.explain(X[:50])
    assert list(found.columns) == ["a", "b", "(repeated rows)", BASE]
    assert found["(repeated rows)"].abs().max() > 0.01
    np.testing.assert_allclose(found.sum(axis=1), model.predict_proba(X[:50])[:, 1], atol=1e-6)


def test_a_background_gives_the_mean_prediction(mixed):
    model, X, _ = mixed
    background = X.iloc[[5, 50, 100]]
    found = model.explain(X[:20], background=background)
    np.testing.assert_allclose(found[BASE], model.predict_proba(background)[:, 1].mean(), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), model.predict_proba(X[:20])[:, 1], atol=1e-6)
    alone = model.explain(X.iloc[[5]], background=X.iloc[[5]])
    assert (alone.drop(columns=BASE).abs() < 1e-6).all(axis=None)


def test_gradients_of_the_blend_are_finite_differences(mixed):
    """Through softmax, mean, temperature and log odds; of a bag of networks that is calibrated."""
    model, X, _ = mixed
    model = copy.deepcopy(model)
    model.ensemble_.temperature = 1.7
    x = model.encoder_.transform(X[:50])
    for link in ("identity", "logit"):
        head, outputs, _ = model._explained(link)
        blend = Blend(model.ensemble_, head, len(outputs))
        z = blend.embed(x) + np.float32(0.01)
        way = np.random.default_rng(0).normal(size=z.shape).astype(np.float32)
        expected = (blend.value(z + 1e-3 * way) - blend.value(z - 1e-3 * way))[:, 0] / 2e-3
        found = (blend.gradients(z)[0] * way).sum(axis=1)
        np.testing.assert_allclose(np.median(np.abs(found - expected)), 0, atol=2e-3 * np.abs(expected).max())


def test_places_cover_the_encoded_row(mixed):
    model, X, _ = mixed
    encoder = model.encoder_
    places = places_of(encoder)
    width = encoder.transform(X).shape[1]
    assert sorted(np.concatenate(list(places.values()))) == list(range(width))
    names = np.array(encoder.feature_names_out)
    for name, own in places.items():
        assert all(made.startswith(name) for made in names[own])
    assert typical_row(encoder)[places["town"]] == [1]


TABLES = {
    "polars": pl.from_pandas,
    "dict": lambda X: {name: X[name].tolist() for name in X},
    "shuffled": lambda X: X[X.columns[::-1]],
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_every_kind_are_explained_alike(mixed, kind):
    model, X, _ = mixed
    expected = model.explain(X[:12])
    found = model.explain(TABLES[kind](X[:12]))
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-6)
    curves = [model.partial_dependence(table, "job") for table in (X, TABLES[kind](X))]
    pd.testing.assert_frame_equal(*curves)


def test_arrays_and_sparse_matrices():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(150, 3)) * (rng.random((150, 3)) < 0.5)
    y = X[:, 0] - X[:, 2]
    model = TabularRegressor(**FAST).fit(X, y)
    found = model.explain(X[:5])
    assert list(found.columns) == ["x0", "x1", "x2", BASE]
    np.testing.assert_array_equal(model.explain(sparse.csr_matrix(X[:5])).to_numpy(), found.to_numpy())
    assert model.partial_dependence(X, 0).index.name == "x0"
    assert model.feature_importances_.argmin() == 1


def test_the_same_bits_at_any_number_of_threads(mixed, run_threads):
    model, X, _ = mixed
    found = []
    for n in (1, 2):
        run_threads(n)
        found.append((model.explain(X[:30]).to_numpy(), model.importances(n_repeats=1).to_numpy()))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


# Importances


def test_noise_has_no_importance_and_the_rest_has(linear):
    model, _, _ = linear
    table = model.importances()
    assert list(table.index) == ["a", "b", "c", "noise", "kind"]
    importance, error = table["importance"], table["standard_error"]
    assert abs(importance["noise"]) < 3 * error["noise"] + 1e-4
    others = importance.drop("noise")
    assert (others > 5 * error.drop("noise")).all()
    # Shuffled, a column of variance v and coefficient c costs 2 c^2 v of the squared error.
    variance = 9 + 4 + 1 + (0.3 * 4 + 0.2 * 4 - 0.2**2)
    np.testing.assert_allclose(importance[["a", "b", "c"]], np.array([18, 8, 2]) / variance, rtol=0.15)
    np.testing.assert_array_equal(model.feature_importances_, importance)


def test_importances_agree_with_scikit_learn(linear, mixed):
    for (model, X, y), scoring in ((linear, "r2"), (mixed, "neg_log_loss")):
        X, y = X[:300], y[:300]
        theirs = permutation_importance(model, X, y, scoring=scoring, n_repeats=4, random_state=0)
        ours = model.importances(X, y, n_repeats=4)
        expected = theirs.importances_mean
        if scoring == "r2":  # theirs by the variance of these rows, ours by that of training's
            expected = expected * np.var(y) / model._target.scale**2
        error = 3 * ours["standard_error"] + 3 * theirs.importances_std
        assert (np.abs(ours["importance"] - expected) <= error + 1e-6).all(), (ours, expected)


def test_importances_are_of_rows_that_were_not_trained_on():
    """A column of row numbers, learnt by heart, is worth nothing to new rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.permutation(300) + 0.5, "x": rng.normal(size=300)})
    y = (X["x"] + rng.normal(size=300) > 0).astype(int)
    model = TabularClassifier(**FAST).fit(X, y)
    table = model.importances()
    assert table.loc["id", "importance"] < 3 * table.loc["id", "standard_error"]
    for network, left_out in zip(model.ensemble_.networks, model.ensemble_.kept.left_out, strict=True):
        assert len(network.predict(model.ensemble_.kept.part.x[left_out])) == len(left_out) == 30


def test_importances_are_computed_once_and_kept_in_files(linear, mixed, tmp_path):
    model, X, y = mixed
    model = copy.deepcopy(model)
    model.ensemble_.importances = None
    model.save(tmp_path / "before.fastbp")
    first = model.importances()
    np.testing.assert_array_equal(model.importances(), first)
    assert model.feature_importances_[5] == 0  # 'same' is not used
    assert model.feature_importances_.shape == (model.n_features_in_,)
    model.save(tmp_path / "after.fastbp")
    again = fastbp.load_model(tmp_path / "after.fastbp")
    pd.testing.assert_frame_equal(again.importances(), first)
    np.testing.assert_array_equal(again.explain(X[:9]), model.explain(X[:9]))
    without = fastbp.load_model(tmp_path / "before.fastbp")
    assert not hasattr(without, "feature_importances_")
    with pytest.raises(ValueError, match=r"call importances\(X, y\)"):
        without.importances()
    assert without.importances(X, y)["importance"].idxmax() == first["importance"].idxmax()


def test_rows_of_an_eval_set_are_judged_by():
    X, y = linear_table(200)
    model = TabularRegressor(**FAST).fit(X[:150], y[:150], eval_set=(X[150:], y[150:]))
    assert model.ensemble_.kept.left_out is None
    assert len(model.ensemble_.kept.part.x) == 50
    assert model.importances()["importance"].idxmax() == "a"


def test_weights_and_quantiles_have_importances():
    X, y = linear_table(300)
    weight = np.where(np.arange(300) < 40, 0.0, 1.0)
    model = TabularRegressor(**FAST, quantiles=[0.25, 0.75]).fit(X, y, sample_weight=weight)
    table = model.importances()
    assert table["importance"].idxmax() == "a"
    assert len(model.ensemble_.kept.part.x) <= 260
    # In the target's unit: that of the median's pinball loss, half the mean absolute error.
    assert 0.3 < table.loc["a", "importance"] < 2


def test_columns_are_selected_by_importance(linear):
    _, X, y = linear
    selector = SelectFromModel(TabularRegressor(**FAST), threshold=0.01).fit(X[:300], y[:300])
    assert list(selector.get_feature_names_out()) == ["a", "b", "c", "kind"]


# Partial dependence


def test_partial_dependence_is_scikit_learns(linear, mixed):
    model, X, _ = linear
    X = X[:250]
    found = model.partial_dependence(X, "a", grid_resolution=6)
    grid = found.index.to_numpy()
    theirs = partial_dependence(model, X, ["a"], method="brute", custom_values={"a": grid})
    np.testing.assert_allclose(found["y"], theirs["average"][0], rtol=1e-5)
    slopes = np.diff(found["y"]) / np.diff(grid)
    np.testing.assert_allclose(slopes, 3, atol=0.35)
    kinds = model.partial_dependence(X, "kind")["y"]
    assert list(kinds.index) == list(X["kind"].value_counts().index)
    np.testing.assert_allclose(kinds["v"] - kinds["w"], 4, atol=0.3)
    np.testing.assert_allclose(kinds["u"] - kinds["w"], 2, atol=0.3)


def test_partial_dependence_of_every_kind_of_column(mixed):
    model, X, _ = mixed
    ages = model.partial_dependence(X, "age", grid_resolution=10)
    assert list(ages.columns) == ["yes"]
    assert np.isnan(ages.index[-1])
    assert ages.index[:-1].is_monotonic_increasing
    assert ages["yes"].iloc[-1] > ages["yes"].iloc[0]
    dates = model.partial_dependence(X, "hired")
    assert isinstance(dates.index, pd.DatetimeIndex)
    assert model.partial_dependence(X, "member").index.tolist() == [False, True]
    assert model.partial_dependence(X, "town", grid_resolution=4).shape == (5, 1)  # with the missing ones
    with pytest.raises(ValueError, match="'same' is not used: it has one value only"):
        model.partial_dependence(X, "same")
    with pytest.raises(ValueError, match="no column 'agee'. Did you mean 'age'"):
        model.partial_dependence(X, "agee")
    with pytest.raises(ValueError, match="grid_resolution=1"):
        model.partial_dependence(X, "age", grid_resolution=1)


# Errors and pictures


def test_wrong_arguments(linear, mixed):
    model, X, y = mixed
    with pytest.raises(ValueError, match="link='log'"):
        model.explain(X, link="log")
    with pytest.raises(ValueError, match="link='logit' is for probabilities"):
        linear[0].explain(linear[1], link="logit")
    with pytest.raises(ValueError, match="give X and y, or neither"):
        model.importances(X)
    with pytest.raises(ValueError, match="n_repeats=0"):
        model.importances(n_repeats=0)
    with pytest.raises(ValueError, match="X has 300 rows and y 20"):
        model.importances(X, y[:20])
    for ask in ("importances", "explain", "partial_dependence"):
        with pytest.raises(NotFittedError):
            getattr(TabularClassifier(), ask)(*{"importances": ()}.get(ask, (X, "age")[: 1 + (ask[0] == "p")]))
    assert not hasattr(TabularClassifier(), "feature_importances_")


def test_pictures(linear, mixed, monkeypatch):
    plot = fastbp.explain
    model, X, _ = mixed
    table = model.importances()
    ax = plot.plot_importances(table)
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == table["importance"].idxmax()
    contributions = model.explain(X[:9])
    ax = plot.plot_contributions(contributions, 2)
    total = model.predict_proba(X[:9])[2, 1]
    assert f"to the prediction {total:.4g}" in ax.get_xlabel()
    widths = sorted(patch.get_width() for patch in ax.patches)
    np.testing.assert_allclose(widths, sorted(contributions.drop(columns=BASE).iloc[2]))
    assert plot.plot_contributions(contributions, ax=ax) is ax
    for column in ("age", "job", "hired"):
        curve = model.partial_dependence(X, column, grid_resolution=5)
        line = plot.plot_partial_dependence(curve).lines[0]
        np.testing.assert_allclose(line.get_ydata(), curve["yes"].iloc[: len(line.get_ydata())])
    with pytest.raises(ValueError, match="the DataFrame that importances returns"):
        plot.plot_importances(contributions)
    with pytest.raises(ValueError, match="the DataFrame that explain returns"):
        plot.plot_contributions(table)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastbp\[plot\]"'):
        plot.plot_importances(table)
