"""What is learnt from a table: the rule for the task, the target's values; and tables of text."""

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from fastbp.commands.report import format_table
from fastbp.tabular.errors import TableError
from fastbp.tabular.task import check_learnable, class_values, detect_task, number_values, split_target


def column(values):
    return nw.from_native(pd.Series(values, name="y"), series_only=True)


def task_of(values):
    return detect_task(column(values))[0]


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


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(["b", "a"], object), ([True, False], bool), ([7, -7], np.int64), ([0.0, 1.0], np.int64), ([0.5, 1.0], float)],
)
def test_classes_are_of_their_own_type(values, dtype):
    found = class_values(column(values))
    assert found.dtype == dtype
    assert found.tolist() == values
    assert class_values(column(values), as_text=True).dtype == object


def test_quantities():
    np.testing.assert_array_equal(number_values(column([1, 2])), [1.0, 2.0])
    with pytest.raises(TableError, match="column 'y' holds 'red': regression needs numbers"):
        number_values(column(["red", "blue"]))
    with pytest.raises(TableError, match="column 'y' holds an infinite value"):
        number_values(column([1.0, np.inf]))


def test_what_cannot_be_learnt():
    check_learnable("y", np.arange(10) % 5, "classification")
    check_learnable("y", np.arange(10), "regression")
    with pytest.raises(TableError, match="6 different values in 10 rows: too many to be classes"):
        check_learnable("y", np.arange(10) % 6, "classification")
    with pytest.raises(TableError, match="too few rows: 9 have a target; at least 10 are needed"):
        check_learnable("y", np.arange(9) % 2, "classification")


def test_table_of_text():
    assert format_table([["a", "b"], ["long", "1"]]).splitlines() == ["a     b", "long  1"]
