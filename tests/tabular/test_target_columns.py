"""A target that is still a column of the table is told of, in every way to give a table."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

import fastbp
from fastbp.tabular.columns import as_frame
from fastbp.tabular.target_columns import target_columns

N = 60
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": RNG.normal(size=N), "city": RNG.choice(["Rome", "Oslo"], N)})
PRICE = pd.Series(RNG.normal(size=N), name="price")
WON = pd.Series(np.where(RNG.random(N) < 0.5, "yes", "no"), name="won")
ALL = np.ones(N, bool)


def told(X, y, is_classes=False, kept=ALL):
    names = as_frame(X).columns if hasattr(X, "columns") else [f"x{i}" for i in range(np.shape(X)[1])]
    return target_columns(X, y, kept, set(names), is_classes)


@pytest.mark.parametrize("of", [lambda frame: frame, pl.from_pandas, lambda frame: pl.from_pandas(frame).to_arrow()])
def test_the_target_itself_in_frames_of_any_library(of):
    (line,) = told(of(TABLE.assign(price=PRICE)), PRICE)
    assert line.startswith("column 'price' is the target: scores say nothing. Leave it out")


def test_a_copy_of_another_name():
    (line,) = told(TABLE.assign(cost=PRICE), PRICE)
    assert line.startswith("column 'cost' tells the target of every row")
    assert told(TABLE.assign(cost=2 * PRICE), PRICE) == []


def test_labels_in_other_words():
    (line,) = told(TABLE.assign(code=(WON == "yes").astype(int)), WON, is_classes=True)
    assert line.startswith("column 'code' tells")
    almost = (WON == "yes").astype(int)
    almost[N - 1] = 1 - almost[N - 1]
    assert told(TABLE.assign(code=almost), WON, is_classes=True) == []


def test_the_same_name_with_other_values():
    """The logarithm of a price keeps the price's name, and the price is still there."""
    cost = PRICE.abs()
    (line,) = told(TABLE.assign(price=cost), np.log(cost))
    assert line.startswith("column 'price' is the target")
    assert len(told(TABLE.assign(price=cost), -cost)) == 1
    assert told(TABLE.assign(price=cost), cost + RNG.normal(size=N)) == []
    assert told(TABLE.assign(price=cost), cost.round(1)) == []
    assert told(TABLE.assign(cost=cost), np.log(cost)) == []  # a column that rises with the target is a good one


@pytest.mark.parametrize("of", [np.asarray, csr_array, lambda array: array.tolist()])
def test_arrays(of):
    array = np.column_stack([RNG.normal(size=N), PRICE])
    (line,) = told(of(array), PRICE.to_numpy())
    assert line.startswith("column 'x1' tells")


def test_rows_of_no_weight_do_not_count():
    y, kept = PRICE.copy(), ALL.copy()
    y[0], kept[0] = 5.0, False
    table = TABLE.assign(cost=PRICE)
    assert told(table, y) == []
    assert len(told(table[kept], y, kept=kept)) == 1


def test_several_targets_and_missing_ones():
    y = pd.DataFrame({"price": PRICE.where(PRICE > 0), "won": WON})
    lines = told(TABLE.assign(cost=y["price"], won=WON), y)
    assert [line.split("'")[1] for line in lines] == ["cost", "won"]
    assert len(told(TABLE.assign(cost=y["price"]), {"price": y["price"].tolist()})) == 1


def test_toys_are_left_in_peace():
    """scikit-learn's checks of estimators take 20 rows and a column of X for y."""
    few = TABLE[:20].assign(price=PRICE[:20])
    assert told(few, PRICE[:20], kept=np.ones(20, bool)) == []


def test_missing_values_of_all_kinds_are_the_same():
    whole = pd.Series(RNG.integers(0, 9, N), name="n").astype("Int64")
    whole[3] = pd.NA
    y = pd.DataFrame({"n": whole.astype(float)})
    assert len(told(TABLE.assign(m=whole), y)) == 1
    whole[4] = pd.NA
    assert told(TABLE.assign(m=whole), y) == []


def test_columns_that_are_not_read_are_not_told_of():
    assert target_columns(TABLE.assign(price=PRICE), PRICE, ALL, {"age", "city"}, False) == []


def test_fit_warns_once_and_trains():
    model = fastbp.TabularClassifier("fast", time_limit=0.1, random_state=0)
    with pytest.warns(fastbp.TableWarning, match="'won' is the target") as caught:
        model.fit(TABLE.assign(won=WON), WON)
    assert len(caught) == 1
    assert model.predict(TABLE.assign(won=WON)).shape == (N,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastbp.TabularClassifier("fast", time_limit=0.1, random_state=0).fit(TABLE, WON)
