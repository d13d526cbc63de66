"""TabularMultiTask: classes and quantities in one y, in Python and on the command line."""

import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.base import clone

import fastbp
from fastbp import TabularClassifier, TabularMultiTask, TabularRegressor
from fastbp.commands.main import main
from fastbp.tabular.joint_objective import joint_objective
from fastbp.tabular.mixed_targets import target_table

FAST = {"preset": "fast", "random_state": 0}
QUICK = FAST | {"time_limit": 1e-3}
N = 400


def problem(n=N, seed=0):
    """Return a frame, and three targets: three classes of text, a quantity of great size, two whole numbers."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    kind = np.where(X.a > 0.3, "hot", np.where(X.b > 0, "warm", "cold")).astype(object)
    size = 1e6 + 1e3 * (X.c + X.d) + rng.normal(size=n) * 50
    return X, pd.DataFrame({"kind": kind, "size": size, "up": (X.a + X.c > 0).astype(int)})


X, Y = problem()
NEW, NEW_Y = problem(seed=1)
TASKS = {"kind": "classification", "size": "regression", "up": "classification"}


@pytest.fixture(scope="module")
def model():
    return TabularMultiTask(**FAST, tasks={"up": "classification"}).fit(X, Y)


class TestAMix:
    def test_each_target_is_learnt_in_its_own_way(self, model):
        assert model.tasks_ == TASKS
        predicted, (kind, up) = model.predict(NEW), model.predict_proba(NEW)
        assert predicted.shape == (N, 3)
        assert predicted.dtype == object
        assert [classes.tolist() for classes in model.classes_] == [["cold", "hot", "warm"], [0, 1]]
        assert (predicted[:, 0] == np.array(["cold", "hot", "warm"])[kind.argmax(axis=1)]).all()
        np.testing.assert_allclose(kind.sum(axis=1), 1)
        np.testing.assert_allclose(up.sum(axis=1), 1)
        scores = model.scores(NEW, NEW_Y)
        assert scores["kind"] == metrics.accuracy_score(NEW_Y.kind, predicted[:, 0]) > 0.9
        assert scores["size"] == metrics.r2_score(NEW_Y["size"], predicted[:, 1].astype(float)) > 0.95
        assert scores["up"] == metrics.accuracy_score(NEW_Y.up, predicted[:, 2].astype(int)) > 0.9
        assert model.score(NEW, NEW_Y) == pytest.approx(np.mean(list(scores.values())))

    def test_it_is_about_as_good_as_an_estimator_for_each(self, model):
        kind, up = model.predict_proba(NEW)
        for name, p in (("kind", kind), ("up", up)):
            alone = TabularClassifier(**FAST).fit(X, Y[name])
            joint = metrics.log_loss(NEW_Y[name], p, labels=alone.classes_)
            assert joint < metrics.log_loss(NEW_Y[name], alone.predict_proba(NEW), labels=alone.classes_) + 0.05

    def test_out_of_fold_figures(self, model):
        predicted, (kind, up) = model.oof_predictions_, model.oof_proba_
        known = np.isfinite(kind).all(axis=1)
        assert np.isnan(predicted[~known].astype(float)).all()
        own = model.best_scores_
        assert own["kind"] == pytest.approx(metrics.log_loss(Y.kind[known], kind[known]), rel=1e-5)
        assert own["up"] == pytest.approx(metrics.log_loss(Y.up[known], up[known]), rel=1e-5)
        rmse = metrics.root_mean_squared_error(Y["size"][known], predicted[known, 1].astype(float))
        assert own["size"] == pytest.approx(rmse, rel=2e-2)  # these are cut to the range of training
        standardised = (own["size"] / Y["size"].std(ddof=0)) ** 2
        assert model.best_score_ == pytest.approx((own["kind"] + standardised + own["up"]) / 3, rel=1e-4)

    def test_files_and_clones(self, model, tmp_path):
        model.save(tmp_path / "m")
        loaded = fastbp.load_model(tmp_path / "m")
        assert (loaded.predict(NEW) == model.predict(NEW)).all()
        for ours, theirs in zip(loaded.predict_proba(NEW), model.predict_proba(NEW), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert loaded.best_scores_ == model.best_scores_
        assert loaded.oof_predictions_ is loaded.oof_proba_ is None
        again = clone(model).fit(X, Y)
        assert (again.predict(NEW) == model.predict(NEW)).all()

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_same_bits_whatever_the_threads(self, model, threads):
        other = TabularMultiTask(**FAST, tasks=TASKS, n_threads=threads).fit(X, Y)
        assert all(
            np.array_equal(one.params, two.params)
            for one, two in zip(other.ensemble_.networks, model.ensemble_.networks, strict=True)
        )

    @pytest.mark.parametrize(
        "convert",
        [
            lambda y: {name: y[name].tolist() for name in y.columns},
            lambda y: y.to_dict("records"),
            lambda y: pl.DataFrame({name: y[name].tolist() for name in y.columns}),
            lambda y: pa.table({name: pa.array(y[name].tolist()) for name in y.columns}),
            lambda y: y.astype({"kind": "category", "up": bool}),
        ],
        ids=["dict", "records", "polars", "pyarrow", "dtypes"],
    )
    def test_whatever_holds_them(self, model, convert):
        found = TabularMultiTask(**FAST, tasks={"up": "classification"}).fit(X, convert(Y))
        assert found.target_names_ == ["kind", "size", "up"]
        np.testing.assert_array_equal(found.predict_proba(NEW)[0], model.predict_proba(NEW)[0])

    def test_arrays_of_objects(self, model):
        found = TabularMultiTask(**FAST, tasks=list(TASKS.values())).fit(X, Y.to_numpy())
        assert found.target_names_ == ["0", "1", "2"]
        assert (found.predict(NEW) == model.predict(NEW)).all()

    def test_one_type_of_targets_has_that_type(self):
        numbers = np.stack([Y["size"], Y.up + 0.5], axis=1)
        one = TabularMultiTask(**QUICK, tasks="regression").fit(X, numbers)
        assert one.predict(NEW).dtype == np.float64
        assert one.oof_proba_ == one.classes_ == []
        with pytest.raises(ValueError, match="no target is classes"):
            one.predict_proba(NEW)
        two = TabularMultiTask(**QUICK, tasks="classification").fit(X, np.stack([Y.up, Y.up], axis=1))
        assert two.predict(NEW).dtype == np.int64

    def test_weights_of_targets(self, model):
        loss = joint_objective([3, 1], [0.0, 2.0], True)
        targets, outputs = np.array([[0, 1.0], [2, 0.0]], np.float32), np.full((2, 4), 0.25)
        assert loss.value(outputs, targets) == pytest.approx((0.75**2 + 0.25**2) / 2)
        without = TabularMultiTask(**FAST, tasks=TASKS, target_weights={"size": 0}).fit(X, Y)
        assert without.scores(NEW, NEW_Y)["kind"] > 0.9
        assert without.scores(NEW, NEW_Y)["size"] < 0.5

    def test_weights_folds_and_rows_to_validate_by(self):
        weight = np.where(np.arange(N) < 20, 0.0, 1.0)
        other = Y.copy()
        other.loc[:19, "size"] = -1e9  # rows of weight 0 are left out
        kept = TabularMultiTask(**QUICK, tasks=TASKS).fit(X, other, weight, groups=np.arange(N) // 4)
        assert kept.predict(X)[:, 1].min() > 9e5
        assert np.isnan(kept.oof_predictions_[:20].astype(float)).all()
        TabularMultiTask(**QUICK, tasks=TASKS).fit(X, Y, time=np.arange(N))
        held = TabularMultiTask(**FAST, tasks=TASKS).fit(X, Y, eval_set=(NEW, NEW_Y))
        pairs = zip(["kind", "up"], held.predict_proba(NEW), strict=True)
        losses = [metrics.log_loss(NEW_Y[name], p) for name, p in pairs]
        assert [held.best_scores_["kind"], held.best_scores_["up"]] == pytest.approx(losses, rel=0.05)
        scores = fastbp.cross_validate(TabularMultiTask(**QUICK, tasks=TASKS), X, Y, cv=2)["test_score"]
        assert len(scores) == 2


class TestMissingEntries:
    def test_they_teach_the_other_targets(self):
        rng = np.random.default_rng(0)
        holes = Y.astype(object).mask(rng.random(Y.shape) < 0.3)
        holes.iloc[:3] = None
        with pytest.warns(fastbp.TableWarning) as told:
            model = TabularMultiTask(**FAST, tasks=TASKS).fit(X, holes)
        text = str(told[0].message)
        empty = holes.isna().all(axis=1)
        n_missing, n_empty = int((holes.kind.isna() & ~empty).sum()), int(empty.sum())
        assert f"target 'kind': {n_missing} rows of 400 have no value in it and teach the others only." in text
        assert f"{n_empty} rows have no value in any target and are left out." in text
        assert model.score(NEW, NEW_Y) > 0.85
        assert [classes.tolist() for classes in model.classes_] == [["cold", "hot", "warm"], [0, 1]]
        known = holes.up.notna()
        expected = metrics.accuracy_score(holes.up[known].astype(int), model.predict(X)[known, 2].astype(int))
        assert model.scores(X, holes)["up"] == pytest.approx(expected)

    def test_a_hole_is_no_class_and_no_number(self):
        """What stands in other rows does not depend on a target that is missing: as with weight 0 for it."""
        y = Y[["up"]].astype(float)
        y.loc[10:200, "up"] = np.nan
        with pytest.warns(fastbp.TableWarning, match="^191 rows have no value in any target and are left out.$"):
            some = TabularMultiTask(**FAST, tasks="classification").fit(X, y)
        alone = TabularMultiTask(**FAST, tasks="classification").fit(X[y.up.notna()], y[y.up.notna()])
        np.testing.assert_array_equal(some.predict_proba(NEW)[0], alone.predict_proba(NEW)[0])


class TestWhatIsSaid:
    def test_whole_numbers_are_told(self):
        with pytest.warns(fastbp.TableWarning, match="target 'up': classification, because the target has 2 different"):
            TabularMultiTask(**QUICK).fit(X, Y)

    def test_others_name_it(self):
        with pytest.raises(ValueError, match="TabularMultiTask"):
            TabularRegressor(**QUICK).fit(X, Y)
        with pytest.raises(ValueError, match="TabularMultiTask"):
            TabularClassifier(**QUICK).fit(X, Y)

    @pytest.mark.parametrize(
        ("settings", "y", "message"),
        [
            ({}, Y["size"], r"y has shape \(400,\).*TabularClassifier or TabularRegressor"),
            ({}, Y.assign(size=1.0), "'size' has one value only"),
            ({}, Y.assign(size=np.where(X.a > 0, np.inf, 1.5)), "'size' holds an infinite value in row"),
            ({}, Y.assign(kind=None), "target 'kind' is empty"),
            ({"tasks": {"kind": "regression"}}, Y, "'kind' holds '.*': regression needs numbers"),
            ({"tasks": {"size": "classification"}}, Y, "target 'size': .*continuous"),
            ({"tasks": {"sise": "regression"}}, Y, "tasks: y has no target 'sise'. Did you mean 'size'"),
            ({"tasks": "clustering"}, Y, "'clustering' of 'kind' is none of"),
            ({"tasks": ["regression"]}, Y, "tasks has 1 entries, y 3 targets"),
            ({"tasks": TASKS, "target_weights": {"size": -1}}, Y, "-1 of 'size' is no finite number"),
            ({"tasks": TASKS, "target_weights": [1, 2]}, Y, "target_weights has 2 entries"),
            ({"tasks": TASKS, "target_weights": [0, 0, 0]}, Y, "all of them are 0"),
            ({"tasks": TASKS}, Y[:-1], "inconsistent numbers of samples"),
            ({"tasks": TASKS}, Y[:0], "0 rows"),
        ],
    )
    def test_what_cannot_be_learnt(self, settings, y, message):
        before = TabularMultiTask(**QUICK, **settings)
        with pytest.raises(ValueError, match=message):
            before.fit(X, y)
        assert not hasattr(before, "ensemble_")

    def test_other_targets_than_in_training(self, model):
        with pytest.raises(ValueError, match="y has the targets kind, up: training had kind, size, up"):
            model.score(NEW, NEW_Y[["kind", "up"]])
        with pytest.raises(ValueError, match="target 'kind': y holds 'icy', which training did not see"):
            model.score(NEW, NEW_Y.assign(kind="icy"))
        with pytest.raises(AttributeError, match="not fitted"):
            _ = TabularMultiTask().oof_proba_


def test_the_objective_s_figures_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    objective = joint_objective([3, 1, 2], [1.0, 2.0, 0.5], True)
    targets = np.stack([rng.integers(0, 3, 50), rng.normal(size=50), rng.integers(0, 2, 50)], axis=1).astype(np.float32)
    targets[rng.random(targets.shape) < 0.3] = np.nan
    outputs = np.hstack([rng.dirichlet(np.ones(3), 50), rng.normal(size=(50, 1)), rng.dirichlet(np.ones(2), 50)])
    weight = rng.random(50)
    known = ~np.isnan(targets)
    expected = [
        metrics.log_loss(targets[known[:, 0], 0], outputs[known[:, 0], :3], sample_weight=weight[known[:, 0]]),
        metrics.mean_squared_error(targets[known[:, 1], 1], outputs[known[:, 1], 3], sample_weight=weight[known[:, 1]]),
        metrics.log_loss(targets[known[:, 2], 2], outputs[known[:, 2], 4:], sample_weight=weight[known[:, 2]]),
    ]
    assert objective.parts(outputs, targets, weight) == pytest.approx(expected, rel=1e-6)
    assert objective.value(outputs, targets, weight) == pytest.approx(np.average(expected, weights=[1, 2, 0.5]))
    assert objective.strata(targets).tolist() == np.nan_to_num(targets[:, 0] + 1).astype(int).tolist()


def test_twins_tell_all_targets():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3)).repeat(2, axis=0)
    y = pd.DataFrame({"n": rng.normal(size=150).repeat(2), "c": rng.choice(["x", "y", "z"], 150).repeat(2)})
    order = rng.permutation(300)
    model = TabularMultiTask(**FAST).fit(x[order], y.iloc[order])
    assert model.ensemble_.repeats is not None
    assert model.score(x, y) > 0.95


def test_target_tables_are_of_any_kind():
    assert target_table([[1, "a"], [2, None]]).known["1"].tolist() == [True, False]
    with pytest.raises(ValueError, match=r"y has shape \(2,\)"):
        target_table([[1, 2], [3]])


class TestCommands:
    @pytest.fixture
    def run(self, capsys):
        def run_command(*words):
            code = main([str(word) for word in words])
            out, err = capsys.readouterr()
            return code, out, err

        return run_command

    @pytest.fixture
    def table(self, tmp_path):
        frame = pd.concat([X, Y], axis=1)
        frame["size"] = [f"{value:,.2f}" for value in frame["size"]]
        frame["kind"] = frame["kind"].where(np.arange(N) > 1)
        frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta((40 * X.d + 200).round(), "D")
        frame.to_csv(tmp_path / "t.csv", index=False)
        return tmp_path

    def test_train_predict_evaluate_info(self, run, table):
        model, data = table / "m.fastbp", table / "t.csv"
        tasks = "day=regression,up=classification"
        words = ("--preset", "fast", "--out", model, "--task", tasks)
        code, out, err = run("train", data, "--target", "kind,size,up,day", *words)
        assert code == 0, err
        assert "task: regression of 'size' (the target has values that are not whole)" in out
        assert "target 'kind': 2 rows of 400 have no value in it and teach the others only." in out
        code, out, err = run("predict", model, data, "--proba")
        assert code == 0, err
        found = pd.read_csv(io.StringIO(out))
        assert list(found.columns[:4]) == ["prediction_kind", "prediction_size", "prediction_up", "prediction_day"]
        assert list(found.columns[4:7]) == ["proba_kind_cold", "proba_kind_hot", "proba_kind_warm"]
        assert list(found.columns[7:]) == ["proba_up_0", "proba_up_1"]
        assert metrics.r2_score(Y["size"], found.prediction_size) > 0.9
        days = pd.to_datetime(found.prediction_day) - pd.Timestamp("2024-01-01")
        assert np.corrcoef(days.dt.days, X.d)[0, 1] > 0.9
        code, out, err = run("evaluate", model, data, "--json")
        assert code == 0, err
        scores = json.loads(out)["scores"]
        assert scores["kind"]["rows"] == 398
        assert scores["up"]["accuracy"] == pytest.approx((found.prediction_up == Y.up).mean())
        assert scores["size"]["R2"] == pytest.approx(metrics.r2_score(Y["size"], found.prediction_size), abs=1e-4)
        code, out, _ = run("evaluate", model, data)
        assert code == 0
        assert "classification of 'kind'" in out
        code, out, _ = run("info", model)
        assert code == 0
        assert "kind: classification, size: regression, up: classification, day: regression" in out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--target", "kind,sise"], "there is no column 'sise'. Did you mean 'size'"),
            (["--target", "kind,kind"], "the target 'kind' is named twice"),
            (["--target", "kind,size", "--quantiles", "0.5"], "--quantiles is for one target"),
            (["--target", "kind,size", "--class-weight", "balanced"], "--class-weight is for one target"),
            (["--target", "kind,size", "--id", "size"], "--id size: this is the target"),
            (["--target", "kind,size", "--task", "up=regression"], "--task: 'up' is none of the targets kind, size"),
            (["--target", "kind,size", "--task", "kind=regression"], "regression needs numbers"),
            (["--target", "a,b,c,d,kind,size,up,day"], "there is no column beside the targets"),
        ],
    )
    def test_mistakes(self, run, table, words, message):
        code, _, err = run("train", table / "t.csv", "--preset", "fast", "--out", table / "m", *words)
        assert code == 2
        assert message in err
        assert not (table / "m").exists()

    def test_a_column_whose_name_has_a_comma(self, run, tmp_path):
        frame = X.assign(**{"Temp, C": X.a + X.b})
        frame.to_csv(tmp_path / "t.csv", index=False)
        words = ("--preset", "fast", "--time-limit", "0.01", "--out", tmp_path / "m")
        code, out, err = run("train", tmp_path / "t.csv", "--target", "Temp, C", *words)
        assert code == 0, err
        assert "regression of 'Temp, C'" in out


def test_importances_are_of_all_targets(model):
    found = model.importances()["importance"]
    assert found.drop("b").min() > 0
    again = model.importances(NEW, NEW_Y)["importance"]
    assert again.corr(found) > 0.9
    # Contributions: tests/tabular/test_insight.py.
    assert len(model.explain(NEW)) == len(model.predict(NEW))
