"""Bags over Dask's workers, and tables of Dask beyond one machine's memory, with a real cluster of two processes."""

import builtins
import os
import signal
import threading
from contextlib import contextmanager
from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp.engine.cores import available_cores
from fastbp.interop.dask import TabularClassifier, TabularRegressor, estimators, training
from fastbp.interop.dask.sampling import draw
from fastbp.interop.dask.summary import Summary, classes_of, merged, quantity_of, summary_of
from fastbp.interop.dask.table import MEMORY_SHARE, memory_of_a_task
from fastbp.tabular import estimator
from fastbp.tabular.checkpoint import CheckpointError
from fastbp.tabular.joblib_tasks import worker_threads
from fastbp.tabular.target import Classes, Quantity

X, Y = load_iris(return_X_y=True)
CITIES = ["Rome", "Oslo", "Bonn"]
FRAME = load_iris(as_frame=True).frame.sample(frac=1, random_state=0, ignore_index=True)
FRAME.columns = ["a", "b", "c", "d", "kind"]
FRAME["city"] = [CITIES[code] if i % 5 else "Lima" for i, code in enumerate(FRAME["kind"])]
FRAME["kind"] = FRAME["kind"].map({0: "x", 1: "y", 2: "z"})


@pytest.fixture(scope="module")
def client():
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="2GiB") as cluster,
        Client(cluster) as client,
    ):
        yield client


def same(one, other):
    tensors, others = one.get_state()[0], other.get_state()[0]
    assert tensors.keys() == others.keys()
    return all(np.array_equal(tensors[name], others[name], equal_nan=True) for name in tensors)


@contextmanager
def on_progress(monkeypatch, module, act):
    """Call act(share) here whenever a network is done."""

    @contextmanager
    def bar(verbose):
        yield act

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress_bar", bar)
        yield


def killer(client):
    """Return a function that kills a worker when it is first called, and the list of what it was called with."""
    told = []

    def kill(share):
        told.append(share)
        if len(told) == 1:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    return kill, told


class TestBags:
    def test_the_bits_of_one_machine(self, client):
        with joblib.parallel_config(backend="dask"):
            model = fastbp.TabularClassifier("fast", random_state=0, n_jobs=-1).fit(X, Y)
        assert same(model, fastbp.TabularClassifier("fast", random_state=0).fit(X, Y))

    def test_a_killed_worker_s_networks_are_trained_again(self, client, monkeypatch):
        kill, told = killer(client)
        model = fastbp.TabularRegressor("fast", random_state=0)
        with joblib.parallel_config(backend="dask"), on_progress(monkeypatch, estimator, kill):
            killed = fastbp.TabularRegressor("fast", random_state=0, n_jobs=-1).fit(X[:, :3], X[:, 3])
        assert same(killed, model.fit(X[:, :3], X[:, 3]))
        np.testing.assert_allclose(told, np.arange(1, 7) / 6)
        client.wait_for_workers(2, timeout=60)

    @pytest.mark.filterwarnings("ignore:time_limit")
    def test_a_limit_leaves_one_network(self, client):
        with joblib.parallel_config(backend="dask"):
            model = fastbp.TabularClassifier("fast", random_state=0, n_jobs=-1, time_limit=1e-3).fit(X, Y)
        assert len(model.ensemble_.networks) == 1

    def test_ctrl_c_leaves_the_networks_that_are_done(self, client, monkeypatch, ctrl_c):
        with (
            joblib.parallel_config(backend="dask"),
            on_progress(monkeypatch, estimator, lambda share: signal.raise_signal(signal.SIGINT)),
            pytest.warns(UserWarning, match="Training interrupted by user"),
        ):
            model = fastbp.TabularClassifier("fast", random_state=0, n_jobs=-1).fit(X, Y)
        assert 1 <= len(model.ensemble_.networks) < 6

    def test_a_grid_search(self, client):
        model, grid = fastbp.TabularClassifier("fast", random_state=0), {"eval_metric": ["log_loss", "accuracy"]}
        with joblib.parallel_config(backend="dask"):
            search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X[::6], Y[::6])
        assert same(search.best_estimator_, model.set_params(**search.best_params_).fit(X[::6], Y[::6]))

    def test_workers_have_no_more_threads_than_their_share(self, client):
        assert sum(client.run(worker_threads).values()) <= max(available_cores(), 2)


def table(n_partitions=3):
    return dd.from_pandas(FRAME, npartitions=n_partitions)


def uneven():
    """Return the frame's rows in partitions of 0, 5, 0, 100 and 45 rows, whose categories differ."""
    edges = [0, 0, 5, 5, 105, 150]
    parts = [FRAME.iloc[first:last].copy() for first, last in pairwise(edges)]
    for part in parts:
        part["city"] = part["city"].astype("category")
    lazy = [dask.delayed(part, traverse=False) for part in parts]
    meta = FRAME.iloc[:0].copy()
    meta["city"] = pd.Categorical([], categories=[dd.utils.UNKNOWN_CATEGORIES])
    return dd.from_delayed(lazy, meta=meta, verify_meta=False), parts


OF_FIT = "sample_weight", "eval_set", "groups", "time", "checkpoint"


def fitted(ddf=None, kind=TabularClassifier, y="kind", **settings):
    of_fit = {name: settings.pop(name) for name in OF_FIT if name in settings}
    return kind("fast", random_state=0, **settings).fit(table() if ddf is None else ddf, y, **of_fit)


@pytest.fixture(scope="module")
def whole(client):
    return fitted()


class TestTables:
    def test_the_same_bits_with_and_without_workers(self, whole, monkeypatch):
        by_workers = whole
        monkeypatch.setattr(training, "active_client", lambda: None)
        with dask.config.set(scheduler="threads"):
            assert same(by_workers.model_, fitted().model_)
        assert by_workers.n_rows_ == 150
        assert by_workers.sample_rows_ == 135
        assert by_workers.classes_.tolist() == ["x", "y", "z"]
        assert by_workers.model_.score(FRAME, FRAME["kind"]) > 0.9
        assert by_workers.model_.target_name_ == "kind"

    def test_predictions_are_lazy_and_those_of_the_estimator_in_memory(self, whole):
        model, ddf = whole, table(4)
        lazy, shares = model.predict(ddf), model.predict_proba(ddf)
        assert isinstance(lazy, dd.Series)
        assert shares.npartitions == 4
        found, p = dask.compute(lazy, shares)
        assert found.tolist() == model.predict(FRAME).tolist() == model.model_.predict(FRAME).tolist()
        assert found.index.equals(FRAME.index)
        assert p.columns.tolist() == ["x", "y", "z"]
        np.testing.assert_array_equal(p.to_numpy(), model.predict_proba(FRAME))

    def test_the_score_takes_the_target_by_name_as_fit_does(self, whole):
        score = whole.model_.score(FRAME, FRAME["kind"])
        assert whole.score(table(), "kind") == whole.score(FRAME, "kind") == score
        assert whole.score(table(), table()["kind"]) == score

    def test_empty_unequal_and_categorical_partitions(self, client):
        ddf, parts = uneven()
        model = fitted(ddf)
        assert model.model_.encoder_.kinds["city"] == "category"
        names = model.model_.encoder_.feature_names_out
        assert {f"city={city}" for city in [*CITIES, "Lima"]} < set(names)
        found = model.predict(ddf).compute()
        assert found.tolist() == model.model_.predict(pd.concat(parts)).tolist()
        assert model.predict_proba(ddf.partitions[0]).compute().shape == (0, 3)
        assert model.n_rows_ == 150

    def test_a_killed_worker_s_tasks_run_again(self, client, whole, monkeypatch):
        kill, told = killer(client)
        with on_progress(monkeypatch, estimators, kill):
            assert same(whole.model_, fitted().model_)
        assert told[-1] == 1.0
        client.wait_for_workers(2, timeout=60)

    def test_two_fits_at_once(self, whole):
        models = {}

        def fit(seed):
            models[seed] = TabularClassifier("fast", random_state=seed).fit(table(), "kind").model_

        threads = [threading.Thread(target=fit, args=(seed,)) for seed in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert same(models[0], whole.model_)
        assert not same(models[0], models[1])

    def test_weights_of_classes_and_a_small_sample(self, client):
        model = fitted(class_weight="balanced", sample_rows=60)
        assert model.sample_rows_ == 60
        counts = FRAME["kind"].value_counts().sort_index().to_numpy()
        np.testing.assert_allclose(model.model_._target.factors, 150 / (3 * counts))
        assert model.model_.score(FRAME, FRAME["kind"]) > 0.9

    def test_arrays_and_quantiles(self, client):
        x, y = da.from_array(X, chunks=(60, 2)), da.from_array(X[:, 3], chunks=60)
        model = fitted(x, TabularRegressor, y, quantiles=[0.1, 0.9])
        bands = model.predict(x)
        assert bands.shape == (150, 2)
        np.testing.assert_array_equal(bands.compute(), model.model_.predict(X))
        assert model.model_.target_name_ is None

    def test_ctrl_c_leaves_the_networks_that_are_done(self, client, monkeypatch, ctrl_c):
        def interrupt(share):
            signal.raise_signal(signal.SIGINT)

        with (
            on_progress(monkeypatch, estimators, interrupt),
            pytest.warns(UserWarning, match="Training interrupted by user"),
        ):
            model = fitted()
        assert 1 <= len(model.model_.ensemble_.networks) < 6

    def test_a_limit_leaves_one_network(self, client):
        assert len(fitted(time_limit=1e-3).model_.ensemble_.networks) == 1

    def test_a_worker_s_memory_bounds_a_network_s_rows(self, client):
        assert memory_of_a_task(client) == 2 * 2**30
        assert 0 < MEMORY_SHARE < 0.5


class TestRowsAndTargets:
    """Weights, rows to validate by, several targets and checkpoints, as of the estimators in memory."""

    def test_rows_of_weight_0_are_left_out(self, client):
        weight = np.arange(150) % 3 * 1.0
        frame = FRAME.assign(weight=weight)
        frame.loc[weight == 0, "kind"] = "z"
        model = fitted(dd.from_pandas(frame, npartitions=3), sample_weight="weight")
        assert model.n_rows_ == 100
        assert model.model_.feature_names_in_.tolist() == ["a", "b", "c", "d", "city"]
        assert model.model_.score(FRAME, FRAME["kind"]) > 0.9

    def test_weights_move_the_mean(self, client):
        x, y, weight = X[:, :2], X[:, 3], np.linspace(0, 3, 150)
        parts = [da.from_array(array, chunks=(40, *array.shape[1:])) for array in (x, y, weight)]
        model = fitted(parts[0], TabularRegressor, parts[1], sample_weight=parts[2], sample_rows=60)
        np.testing.assert_allclose(model.model_._target, Quantity.of(y, weight), rtol=1e-12)

    @pytest.mark.parametrize("lazy", [True, False])
    def test_rows_to_validate_by(self, client, lazy):
        rows = FRAME[::2].assign(kind=np.where(np.arange(75) % 5, FRAME["kind"][::2], "x"))
        given = dd.from_pandas(rows, npartitions=2) if lazy else rows
        model = fitted(eval_set=(given, "kind"))
        assert model.n_rows_ == model.sample_rows_ == 150
        p = model.model_.predict_proba(rows.drop(columns="kind"))
        np.testing.assert_allclose(model.model_.best_score_, log_loss(rows["kind"], p), rtol=1e-5)

    def test_several_targets(self, client):
        model = fitted(table().drop(columns=["kind", "city"]), TabularRegressor, ["c", "d"])
        found = model.predict(table()[["a", "b"]])
        assert found.columns.tolist() == ["c", "d"]
        found = found.compute()
        np.testing.assert_array_equal(found, model.model_.predict(FRAME[["a", "b"]]))
        assert r2_score(FRAME[["c", "d"]], found) > 0.8
        means = [part.mean for part in model.model_._target.parts]
        np.testing.assert_allclose(means, FRAME[["c", "d"]].mean())

    def test_probabilities_of_classes(self, client):
        shares = 0.7 * pd.get_dummies(FRAME["kind"]).astype(float) + 0.1
        frame = pd.concat([FRAME.drop(columns="kind"), shares], axis=1)
        model = fitted(dd.from_pandas(frame, npartitions=3), y=["x", "y", "z"])
        assert model.classes_.tolist() == ["x", "y", "z"]
        p = model.predict_proba(table().drop(columns="kind")).compute()
        assert p.columns.tolist() == ["x", "y", "z"]
        assert np.abs(p.to_numpy() - shares.to_numpy()).mean() < 0.1

    def test_a_fit_that_was_broken_off_goes_on(self, whole, monkeypatch, ctrl_c, tmp_path):
        told = []

        def interrupt(share):
            signal.raise_signal(signal.SIGINT)

        with (
            on_progress(monkeypatch, estimators, interrupt),
            pytest.warns(UserWarning, match="Training interrupted by user"),
        ):
            fitted(checkpoint=tmp_path)
        kept = len(list(tmp_path.glob("network_*")))
        assert 1 <= kept < 6
        with on_progress(monkeypatch, estimators, told.append):
            model = fitted(checkpoint=tmp_path)
        assert same(whole.model_, model.model_)
        np.testing.assert_allclose(told, np.arange(kept + 1, 7) / 6)
        assert same(whole.model_, fitted(checkpoint=tmp_path).model_)

    @pytest.mark.parametrize(
        ("settings", "what"),
        [
            ({"ddf": dd.from_pandas(FRAME.assign(a=FRAME["a"] + (FRAME.index == 7)), npartitions=3)}, "X, y or"),
            ({"sample_rows": 60}, "sample_rows"),
            ({"class_weight": "balanced"}, "eval_set or class_weight"),
        ],
    )
    def test_a_checkpoint_of_another_fit(self, client, tmp_path, settings, what):
        if not (tmp_path / "run").exists():
            fitted(checkpoint=tmp_path / "run", time_limit=1e-3)
        with pytest.raises(CheckpointError, match=f"belongs to another fit, of other .*{what}"):
            fitted(checkpoint=tmp_path / "run", **settings)

    @pytest.mark.parametrize(("name", "rows"), [("groups", "other groups"), ("time", "a later time")])
    def test_what_is_for_tables_in_memory(self, name, rows):
        with pytest.raises(ValueError, match=rf"{name}= is for tables in memory: set rows of {rows} apart .*eval_set"):
            fitted(**{name: "city"})

    @pytest.mark.parametrize(
        ("weight", "message"),
        [
            (np.ones(150), "sample_weight is a ndarray"),
            ("wait", "no column 'wait'"),
            (da.ones(150, chunks=150), "X has 3 partitions and sample_weight 1"),
            (da.full(150, -1.0, chunks=50), r"partition \d: Negative values"),
            (da.zeros(150, chunks=50), r"0 sample\(s\) of a weight"),
            (da.ones(120, chunks=40), r"partition \d: X has 50 rows and sample_weight 40"),
        ],
    )
    def test_bad_weights(self, client, weight, message):
        with pytest.raises((TypeError, ValueError), match=message):
            fitted(sample_weight=weight)

    def test_a_bad_eval_set(self):
        with pytest.raises(ValueError, match="eval_set is a tuple"):
            fitted(eval_set=table())


class TestErrors:
    def test_a_missing_target_names_its_partition(self):
        frame = FRAME.copy()
        frame.loc[120, "kind"] = None
        with pytest.raises(ValueError, match="partition 2: Input y contains NaN"):
            fitted(dd.from_pandas(frame, npartitions=3, sort=False))

    def test_a_column_that_is_not_there(self):
        with pytest.raises(ValueError, match="no column 'kinds'. Did you mean 'kind'"):
            fitted(y="kinds")

    def test_tables_of_others(self):
        with pytest.raises(TypeError, match="X is a DataFrame, no DataFrame or array of Dask"):
            fitted(FRAME)
        with pytest.raises(TypeError, match="y is a ndarray"):
            fitted(y=Y)

    @pytest.mark.parametrize("by_name", [True, False])
    def test_a_partition_without_a_column_is_named(self, by_name):
        """With the target's name Dask itself takes the columns out, before a task of fastbp sees the partition."""
        parts = [dask.delayed(FRAME[:50]), dask.delayed(FRAME[50:100].drop(columns="b"))]
        table = dd.from_delayed(parts, meta=FRAME[:0], verify_meta=False)
        given = (table, "kind") if by_name else (table, table["kind"])
        with pytest.raises(
            ValueError, match="^partition 1 lacks column 'b': it has 'a', 'c', 'd'.*, or read the files"
        ):
            TabularClassifier("fast").fit(*given)

    def test_a_partition_with_one_more_column_is_named(self):
        parts = [dask.delayed(FRAME.drop(columns="b")), dask.delayed(FRAME)]
        table = dd.from_delayed(parts, meta=FRAME[:0].drop(columns="b"), verify_meta=False)
        with pytest.raises(ValueError, match="^partition 1 has a column 'b' that the table has not"):
            TabularClassifier("fast").fit(table, table["kind"])

    def test_a_target_that_is_still_a_column_is_told(self):
        table = dd.from_pandas(FRAME[["a", "kind"]], npartitions=2)
        with pytest.warns(fastbp.TableWarning, match="column 'kind' is the target: scores say nothing"):
            TabularClassifier("fast", time_limit=0.1, random_state=0).fit(table, table["kind"])

    def test_partitions_that_differ(self):
        with pytest.raises(ValueError, match="X has 3 partitions and y 2"):
            fitted(table().drop(columns=["kind"]), y=table(2)["kind"])

    @pytest.mark.parametrize("bad", [0, 2.5])
    def test_bad_samples(self, bad):
        with pytest.raises(ValueError, match="'sample_rows' parameter of TabularClassifier"):
            fitted(sample_rows=bad)

    def test_one_class(self):
        ddf = dd.from_pandas(FRAME.assign(kind="x"), npartitions=2)
        model = TabularClassifier("fast")
        with pytest.raises(ValueError, match="only one class, 'x'"):
            model.fit(ddf, "kind")
        assert not hasattr(model, "model_")

    def test_dask_that_is_missing_names_its_install(self, monkeypatch):
        found = builtins.__import__

        def absent(name, *arguments):
            if name.startswith("dask"):
                raise ImportError(f"No module named {name!r}")
            return found(name, *arguments)

        ddf = table()
        monkeypatch.setattr(builtins, "__import__", absent)
        with pytest.raises(ImportError, match=r'pip install "fastbp\[dask\]"'):
            fitted(ddf)


class TestSampling:
    @pytest.mark.parametrize("scale", [1.0, 1e200])
    def test_sums_of_partitions_are_those_of_all_rows(self, scale):
        y = np.random.default_rng(0).normal(1e3, 2.0, 1000)
        y[::7] *= scale
        ends = [0, 1, 400, 400]
        for weight in (None, np.arange(1000) % 5 * 0.5):
            weights = [None] * 5 if weight is None else np.split(weight, ends)
            whole = Summary(0)
            for part, own in zip(np.split(y, ends), weights, strict=True):
                whole = merged(whole, summary_of(part, is_classes=False, weight=own))
            np.testing.assert_allclose(quantity_of(whole), Quantity.of(y, weight), rtol=1e-12)

    def test_classes_of_partitions_are_those_of_all_rows(self):
        y = np.array(["b", "a", "c", "b", "b"], object)
        parts = [summary_of(part, is_classes=True) for part in np.split(y, [1, 1, 3])]
        whole = Summary(0)
        for part in parts:
            whole = merged(whole, part)
        found, wanted = classes_of(whole, "balanced"), Classes.of(y, None, "balanced")
        assert found.classes.tolist() == wanted.classes.tolist()
        np.testing.assert_allclose(found.factors, wanted.factors)

    @pytest.mark.parametrize("other", [[3, 3], [3.5], [True], np.array([1, "c"], object)])
    def test_labels_of_different_types_are_refused_as_in_one_table(self, other):
        """Joined by NumPy, numbers would become text."""
        parts = np.array(["b", "a"], object), np.asarray(other)
        with pytest.raises(ValueError, match="labels of different types, .*: make them all text or numbers"):
            merged(*(summary_of(part, is_classes=True) for part in parts))

    def test_rows_to_validate_by_are_no_network_s_and_all_rows_are_as_likely(self):
        sizes, times = [3, 0, 5], np.zeros(8)
        for seed in range(400):
            some = draw(sizes, n_valid=1, n_encoding=3, n_rows=4, n_networks=1, seed=seed)
            for place, first in ((0, 0), (2, 3)):
                valid, encoding, (rows,) = some.rows(sizes[place], place, [0])
                assert not np.isin(valid, [*encoding, *rows]).any()
                assert len(np.unique(rows)) == len(rows)
                times[first + rows] += 1
        assert times.sum() == 1600
        # 200 of 400 draws each, binomial: a deviation of 10.
        assert np.abs(times - 200).max() < 40

    def test_the_same_seed_draws_the_same_rows(self):
        one, other = (draw([50, 70], 10, 10, 30, 2, seed=3) for _ in range(2))
        for found, again in zip(one.rows(70, 1, [0, 1])[2], other.rows(70, 1, [0, 1])[2], strict=True):
            np.testing.assert_array_equal(found, again)
