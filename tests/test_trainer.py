"""From a table to a model in Python: the rule for the task, the split, the batch size, tables of text."""

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from fastbp.commands.report import format_table
from fastbp.tabular.task import detect_task, split_target
from fastbp.tabular.trainer import Settings, default_batch_size, split_rows, train_table


def task_of(values):
    return detect_task(nw.from_native(pd.Series(values, name="y"), series_only=True))[0]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 3, "classification"),
        ([True, False] * 3, "classification"),
        ([0, 1, 1], "classification"),
        ([0.0, 1.0, 1.0], "classification"),
        (list(range(20)) * 5, "classification"),
        (list(range(20)) * 4, "regression"),
        (list(range(21)) * 9, "regression"),
        ([0.5, 1.0] * 9, "regression"),
    ],
)
def test_rule_for_the_task(values, task):
    assert task_of(values) == task


def test_rows_without_target_are_dropped():
    frame = pd.DataFrame({"x": [1, 2, 3], "y": ["a", None, "b"]})
    features, target, dropped = split_target(frame, "y")
    assert features["x"].to_list() == [1, 3]
    assert target.to_list() == ["a", "b"]
    assert dropped == 1


def test_split_gives_each_class_its_share():
    codes = np.repeat([0, 1, 2, 3], [50, 30, 19, 1])
    chosen = split_rows(codes, 100, 0.2, seed=5)
    counts = np.bincount(codes[chosen], minlength=4)
    assert counts[3] == 0
    assert np.all(np.abs(counts[:3] - [10, 6, 3.8]) <= 1)
    assert not np.array_equal(chosen, split_rows(codes, 100, 0.2, seed=6))
    assert split_rows(None, 101, 0.25, seed=0).sum() == 25


def test_training_from_python_on_numbers_as_classes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pd.DataFrame({"x": x, "y": np.where(x > 0, 7, -7)})
    training = train_table(frame, "y", Settings(epochs=30, hidden=(8,)), verbose=0)
    predicted = training.model.predict(frame)
    assert predicted.dtype == np.int64
    assert (predicted == frame["y"]).mean() > 0.95
    np.testing.assert_allclose(training.model.predict_proba(frame).sum(axis=1), 1, rtol=1e-6)


def test_batch_size_rule():
    assert [default_batch_size(n) for n in (10, 3_199, 3_200, 6_400, 25_600, 10**7)] == [16, 16, 32, 64, 256, 256]


def test_table_of_text():
    assert format_table([["a", "b"], ["long", "1"]]).splitlines() == ["a     b", "long  1"]
