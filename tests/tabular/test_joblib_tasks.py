"""The networks of a bag as tasks of joblib's processes: the same bits, whatever happens to a worker."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import optuna
import pytest
from scipy.stats import randint
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

import fastbp
from fastbp.compiler import compiling as compiling_module
from fastbp.engine.cores import available_cores
from fastbp.tabular import estimator, joblib_tasks, time_limit
from fastbp.tabular.bagging import train_ensemble
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.joblib_tasks import Task, Workers, find_workers, run_task, sides
from fastbp.tabular.network_training import Learned, Part
from fastbp.tabular.objectives import Objective, classification_objective
from fastbp.tabular.onenetwork import Given, Widths
from fastbp.tabular.recipe import Recipe
from fastbp.tabular.time_limit import Plan

X, Y = load_iris(return_X_y=True)
TWO_TARGETS = np.stack([Y, (X[:, 0] > 6)], axis=1).astype(float)
RECIPE = Recipe(folds=4, networks=4, few_rows_networks=4, epochs=2, least_steps=1, n_frequencies=0, n_knots=0)


def fitted(y=Y, kind=fastbp.TabularClassifier, fit=None, **settings):
    return kind("fast", random_state=0, **settings).fit(X, y, **(fit or {}))


def same(one, other):
    tensors, others = one.get_state()[0], other.get_state()[0]
    assert tensors.keys() == others.keys()
    return all(np.array_equal(tensors[name], others[name], equal_nan=True) for name in tensors)


@contextmanager
def on_progress(monkeypatch, act):
    """Call act(share) here whenever a network is done."""

    @contextmanager
    def bar(verbose):
        yield act

    monkeypatch.setattr(estimator, "progress_bar", bar)
    yield


def kill_a_worker():
    executor = joblib.externals.loky.reusable_executor._executor
    os.kill(next(iter(executor._processes)), signal.SIGKILL)


class TestSameBits:
    def test_a_classifier(self):
        one, other = fitted(), fitted(n_jobs=2)
        assert same(one, other)
        assert np.array_equal(one.oof_proba_, other.oof_proba_, equal_nan=True)
        assert one.history_ == other.history_

    def test_quantiles_with_rows_to_validate_by(self):
        settings = {"y": X[:, 0], "kind": fastbp.TabularRegressor, "quantiles": [0.2, 0.8]}
        settings |= {"fit": {"eval_set": (X[::3], X[::3, 0], np.arange(50.0))}}
        assert same(fitted(**settings), fitted(n_jobs=2, **settings))

    def test_several_targets_groups_and_weights(self):
        settings = {"y": TWO_TARGETS, "kind": fastbp.TabularMultiTask, "tasks": "classification"}
        settings |= {"fit": {"groups": np.arange(150) // 3, "sample_weight": 1.0 + np.arange(150) % 2}}
        assert same(fitted(**settings), fitted(n_jobs=2, **settings))

    def test_a_generous_time_limit_changes_nothing(self):
        assert same(fitted(), fitted(n_jobs=2, time_limit=1e6))

    @pytest.mark.parametrize("backend", ["threading", "sequential"])
    def test_backends_in_this_process_are_its_own_threads(self, backend):
        with joblib.parallel_config(backend=backend):
            assert find_workers(2, 6) is None

    def test_one_process_of_this_machine_is_this_one(self):
        assert find_workers(1, 6) is None
        assert find_workers(None, 6) is None


class TestWorkers:
    def test_a_killed_worker_s_networks_are_trained_again(self, monkeypatch):
        killed = []

        def kill(share):
            if not killed:
                killed.append(share)
                kill_a_worker()

        whole = fitted()
        with on_progress(monkeypatch, kill):
            assert same(whole, fitted(n_jobs=2))
        assert 0 < killed[0] < 1

    def test_two_fits_at_once(self):
        with ThreadPoolExecutor(2) as pool:
            fits = [pool.submit(fitted, n_jobs=2) for _ in range(2)]
            models = [fit.result(timeout=120) for fit in fits]
        assert same(*models)

    def test_workers_that_are_lost_without_end_are_an_error(self, monkeypatch):
        tries = []

        def lose(*arguments):
            tries.append(arguments)
            raise joblib.externals.loky.process_executor.TerminatedWorkerError("killed")

        monkeypatch.setattr(joblib_tasks, "_run_once", lose)
        with pytest.raises(RuntimeError, match="the workers were lost 3 times"):
            fitted(n_jobs=2)
        assert len(tries) == 3

    def test_an_error_of_a_network_is_the_user_s(self):
        with pytest.raises(ZeroDivisionError, match="of a metric"):
            small_bag(Failing(**vars(classification_objective(3))))

    def test_the_table_is_written_once(self, monkeypatch, tmp_path):
        found = []

        def look(share):
            found.append([path.stat().st_size for path in tmp_path.rglob("*.pkl")])

        x = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
        part = Part(x, (x[:, 0] > 0).astype(np.int64))
        with joblib.parallel_config(temp_folder=str(tmp_path)):
            train_ensemble(
                TableEncoder().fit(x),
                part,
                recipe=RECIPE,
                objective=classification_objective(2),
                seed=0,
                n_jobs=2,
                progress=look,
            )
        # The table, its targets, and of each network a byte a row.
        assert sum(size > x.nbytes for size in found[-1]) == 1
        assert sum(found[-1]) < x.nbytes + part.targets.nbytes + (len(x) + 2000) * (RECIPE.networks + 2)

    def test_workers_have_no_more_threads_than_there_are_cores(self, tmp_path):
        small_bag(Counting(**vars(classification_objective(3)), folder=str(tmp_path)))
        counts = [tuple(map(int, path.name.split("_")[1:])) for path in tmp_path.iterdir()]
        assert len(counts) >= RECIPE.networks
        for limit, helpers in counts:
            assert limit == max(available_cores() // 2, 1)
            assert helpers < limit

    def test_threads_are_shared_out(self, run_threads):
        run_threads(8)
        assert find_workers(2, 6) == Workers(2, 2, max(fastbp.get_num_threads() // 2, 1))

    def test_there_are_no_more_processes_than_networks(self, run_threads):
        run_threads(8)
        assert find_workers(10**6, 4) == Workers(4, 4, fastbp.get_num_threads() // 4 or 1)
        assert find_workers(50, 1) is None


@dataclass(frozen=True)
class Failing(Objective):
    def score(self, *arguments):
        raise ZeroDivisionError("of a metric")


@dataclass(frozen=True)
class Counting(Objective):
    """Leaves a file whose name tells the limit of threads, and how many helpers the process has."""

    folder: str = ""

    def score(self, *arguments):
        from threading import enumerate as running

        helpers = sum(thread.name == "fastbp-helper" for thread in running())
        name = f"{os.urandom(4).hex()}_{fastbp.get_num_threads()}_{helpers}"
        (Path(self.folder) / name).touch()
        return super().score(*arguments)


def small_bag(objective):
    encoder = TableEncoder()
    part = Part(encoder.fit_transform(X), Y)
    return train_ensemble(encoder, part, recipe=RECIPE, objective=objective, seed=0, n_jobs=2)


class TestClockAndCtrlC:
    @pytest.mark.filterwarnings("ignore:time_limit")
    def test_a_limit_leaves_one_network_that_no_checkpoint_keeps(self, tmp_path):
        model = fitted(n_jobs=2, time_limit=1e-3, fit={"checkpoint": tmp_path})
        assert len(model.ensemble_.networks) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
        assert same(fitted(), fitted(n_jobs=2))

    def test_ctrl_c_leaves_the_networks_that_are_done(self, monkeypatch, ctrl_c, tmp_path):
        with (
            on_progress(monkeypatch, lambda share: signal.raise_signal(signal.SIGINT)),
            pytest.warns(UserWarning, match="Training interrupted by user"),
        ):
            model = fitted(n_jobs=2, fit={"checkpoint": tmp_path})
        n = len(model.ensemble_.networks)
        assert 1 <= n < 6
        assert len(list(tmp_path.glob("network_*"))) == n
        monkeypatch.undo()
        # The rest is trained by whoever comes.
        assert same(fitted(), fitted(n_jobs=2, fit={"checkpoint": tmp_path}))

    def test_ctrl_c_before_that_leaves_the_estimator_as_it_was(self, monkeypatch):
        def interrupt(*arguments):
            raise KeyboardInterrupt

        model = fastbp.TabularClassifier("fast", n_jobs=2)
        monkeypatch.setattr(joblib_tasks, "_run_once", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y)
        assert not hasattr(model, "ensemble_")

    def test_progress_tells_each_network(self, monkeypatch):
        told = []
        with on_progress(monkeypatch, told.append):
            fitted(n_jobs=2)
        np.testing.assert_allclose(told, np.arange(1, 7) / 6)


@pytest.mark.parametrize("bad", [0, 1.5, "2"])
def test_bad_numbers_of_jobs(bad):
    with pytest.raises(ValueError, match="'n_jobs' parameter of TabularClassifier"):
        fitted(n_jobs=bad)


def test_callbacks_cannot_follow_workers():
    with pytest.raises(ValueError, match="n_jobs=2 has joblib's workers train the networks"):
        fitted(n_jobs=2, callbacks=[fastbp.callbacks.History()])


def test_sides():
    assert sides(1, [0], [0]).tolist() == [3]
    assert sides(3, [0, 1, 2], None).tolist() == [1, 1, 1]


class TestSearches:
    """Each over processes, beside the same search without."""

    GRID = {"eval_metric": ["log_loss", "accuracy"]}

    @pytest.fixture(autouse=True)
    def _rows(self):
        self.x, self.y = X[::6], Y[::6]

    def _both(self, kind, *settings, **more):
        model = fastbp.TabularClassifier("fast", random_state=0)
        pair = [kind(model, *settings, cv=2, n_jobs=n, **more).fit(self.x, self.y) for n in (None, 2)]
        scores = [search.cv_results_["mean_test_score"] for search in pair]
        np.testing.assert_array_equal(*scores)
        assert same(*[search.best_estimator_ for search in pair])

    def test_grid(self):
        self._both(GridSearchCV, self.GRID)

    def test_random(self):
        self._both(RandomizedSearchCV, {"random_state": randint(0, 9)}, n_iter=2, random_state=0)

    def test_halving(self):
        self._both(HalvingGridSearchCV, self.GRID, min_resources=12, random_state=0)

    def test_optuna_over_bags(self):
        optuna.logging.set_verbosity(optuna.logging.WARNING)

        def objective(trial, n_jobs=2):
            metric = trial.suggest_categorical("eval_metric", self.GRID["eval_metric"])
            model = fastbp.TabularClassifier("fast", eval_metric=metric, random_state=0, n_jobs=n_jobs)
            return model.fit(self.x, self.y).score(X, Y)

        study = optuna.create_study(sampler=optuna.samplers.GridSampler(self.GRID), direction="maximize")
        study.optimize(objective, n_trials=2)
        best = optuna.trial.FixedTrial(study.best_params)
        assert study.best_value == objective(best, n_jobs=None)


@pytest.mark.parametrize(
    ("name", "needed", "advice"),
    [
        ("dask", "distributed", r'pip install "fastbp\[dask\]"'),
        ("ray", "ray", r'pip install "fastbp\[ray\]"'),
        ("spark", "pyspark", "pip install pyspark joblibspark"),
    ],
)
def test_a_backend_that_is_missing_names_its_install(monkeypatch, name, needed, advice):
    monkeypatch.setitem(sys.modules, needed, None)
    monkeypatch.delitem(joblib.parallel.BACKENDS, name, raising=False)
    with pytest.raises(ImportError, match=f"joblib's backend '{name}' needs {needed}: {advice}"):
        joblib.parallel_config(backend=name)


class TestOneClock:
    """What is compiled takes no time, of networks in threads and of those in workers."""

    @pytest.fixture
    def clock(self, monkeypatch):
        """Return a stand-in for the module `time` whose clocks go on by what is added to `now`."""
        clock = SimpleNamespace(now=100.0)
        clock.perf_counter = clock.time = lambda: clock.now
        for module in (compiling_module, time_limit):
            monkeypatch.setattr(module, "time", clock)
        return clock

    def _run(self, monkeypatch, clock, deadline):
        """Run the task of a network that trains for 3 seconds and compiles for 50."""
        asked = []

        def train(network, given, part, rows, valid, plan, stop, tell):
            with compiling_module.compiling():
                clock.now += 50.0
            clock.now += 3.0
            asked.append(stop())
            return network, Learned(1, 0.5, None)

        monkeypatch.setattr(joblib_tasks, "train_network", train)
        encoder = TableEncoder()
        part = Part(encoder.fit_transform(X), Y)
        given = Given(Widths.of(encoder), RECIPE, classification_objective(3), 0)
        task = Task(0, given, Plan(1, 1, 1), deadline, 1)
        return run_task(task, *part, sides(len(X), np.arange(100), np.arange(100, 150))), asked

    @pytest.mark.parametrize(("deadline", "over"), [(None, False), (104.0, False), (102.0, True)])
    def test_of_a_worker(self, monkeypatch, clock, deadline, over):
        trained, asked = self._run(monkeypatch, clock, deadline)
        assert trained.seconds == 3.0
        assert asked == [over] == [trained.cut_short]


RAY = """
import sys
from contextlib import contextmanager
import numpy as np, joblib, psutil, ray, fastbp
from fastbp.tabular import estimator  # which has joblib find Ray's backend
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
GRID = {"eval_metric": ["log_loss", "accuracy"]}
try:
    ray.init(num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False, logging_level="ERROR")
except Exception as error:
    print(repr(error))
    sys.exit(77)
X, y = load_iris(return_X_y=True)
killed = []

@contextmanager
def killing(verbose):
    def kill(share):  # every worker of Ray, after the first network
        children = psutil.Process().children(recursive=True) if not killed else ()
        killed.extend(one.kill() for one in children if "ray::PoolActor" in "".join(one.cmdline()[:1]))

    yield kill

estimator.progress_bar = killing
with joblib.parallel_config(backend="ray"):
    model = fastbp.TabularClassifier("fast", random_state=0, n_jobs=-1).fit(X, y)
    assert killed
    workers = GridSearchCV(fastbp.TabularClassifier("fast", random_state=0), GRID, cv=2, n_jobs=2).fit(X[::6], y[::6])
ray.shutdown()
here = GridSearchCV(fastbp.TabularClassifier("fast", random_state=0), GRID, cv=2).fit(X[::6], y[::6])
found = [[repr(one.best_params_), one.cv_results_["mean_test_score"], one.predict_proba(X)] for one in (workers, here)]
assert all(np.array_equal(*pair) for pair in zip(*found, strict=True)), found
np.save(sys.argv[1], model.predict_proba(X))
"""


def test_ray_with_workers_that_are_killed_and_a_search(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", RAY, tmp_path / "p.npy"], capture_output=True, text=True, timeout=300, check=False
    )
    if run.returncode == 77:
        pytest.skip(f"Ray does not start here: {run.stdout}")
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), fitted().predict_proba(X))
