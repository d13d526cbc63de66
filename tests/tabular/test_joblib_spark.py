"""Bags over joblib's backend for Spark: a stand-in for it, and Spark itself where it is installed."""

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from joblib._parallel_backends import ThreadingBackend
from sklearn.datasets import load_iris

import fastbp
from fastbp.tabular import joblib_tasks
from fastbp.tabular.joblib_spark import SparkCalls

X, Y = load_iris(return_X_y=True)


class Broadcast:
    """A stand-in for Spark's reference of a value."""

    def __init__(self, value):
        self.value, self.ended = value, 0

    def unpersist(self):
        self.ended += 1


Broadcast.__module__ = "pyspark.core.broadcast"


class SparkDistributedBackend(ThreadingBackend):
    """A stand-in for joblibspark's backend: results when all are there, and Spark's context."""

    supports_return_generator = False

    def __init__(self, sent=None, **more):
        super().__init__(**more)
        sent = [] if sent is None else sent
        self._spark_context = SimpleNamespace(broadcast=lambda value: sent.append(Broadcast(value)) or sent[-1])


joblib.register_parallel_backend("stand-in for Spark", SparkDistributedBackend)


def fitted(**settings):
    return fastbp.TabularClassifier("fast", random_state=0, n_jobs=2, **settings).fit(X, Y)


def test_the_bits_of_one_process_and_one_copy_of_the_table():
    sent = []
    with joblib.parallel_config(backend="stand-in for Spark", sent=sent):
        model = fitted()
    alone = fastbp.TabularClassifier("fast", random_state=0).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    sizes = [len(one.value) * one.value.itemsize for one in sent]
    assert len([one for one in sent if one.value.ndim == 2]) == 1
    assert min(sizes) >= joblib_tasks.MOST_SENT_BYTES // X.shape[1]
    assert [one.ended for one in sent] == [1] * len(sent)


def test_an_error_of_a_task_is_the_user_s(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("of a metric")

    monkeypatch.setattr(joblib_tasks, "train_network", fail)
    with joblib.parallel_config(backend="stand-in for Spark"), pytest.raises(ZeroDivisionError, match="of a metric"):
        fitted()


def test_a_task_that_spark_gives_up_is_a_lost_worker(monkeypatch):
    rounds = []

    def lose(parallel, calls):
        rounds.append(len(list(calls)))
        raise TypeError("'_ExceptionWithTraceback' object is not iterable")  # what comes of it, by joblibspark 0.6

    class Losing(SparkCalls):
        def results(self, parallel, calls):
            return super().results(lose_as(parallel), calls)

    def lose_as(parallel):
        return type("Parallel", (), {"__call__": lambda self, calls: lose(parallel, calls)})()

    monkeypatch.setattr(joblib_tasks, "SparkCalls", Losing)
    with (
        joblib.parallel_config(backend="stand-in for Spark"),
        pytest.raises(RuntimeError, match="lost 3 times") as error,
    ):
        fitted()
    assert rounds == [2, 2, 2]
    assert isinstance(error.value.__cause__, BrokenExecutor)


REAL = """
import sys, warnings
import numpy as np, joblib
from pyspark.sql import SparkSession
from sklearn.datasets import load_iris
from fastbp import TabularClassifier
warnings.simplefilter("ignore")
settings = {"spark.ui.enabled": "false", "spark.driver.memory": "1g"}
spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
X, y = load_iris(return_X_y=True)
with joblib.parallel_config(backend="spark"):
    model = TabularClassifier("fast", random_state=0, n_jobs=2).fit(X, y)
spark.stop()
np.save(sys.argv[1], model.predict_proba(X))
"""


@pytest.mark.skipif(importlib.util.find_spec("joblibspark") is None, reason="needs pyspark, joblibspark and Java")
def test_spark_itself(tmp_path):
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    program = [sys.executable, "-c", REAL, tmp_path / "p.npy"]
    run = subprocess.run(program, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    alone = fastbp.TabularClassifier("fast", random_state=0).fit(X, Y)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), alone.predict_proba(X))
