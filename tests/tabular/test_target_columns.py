"""A target that is still a column of the table is told of, in every way to give a table."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastbp
from fastbp.tabular.columns import as_frame
from fastbp.tabular.target_columns import target_columns

N = 40
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": RNG.normal(size=N), "city": RNG.choice(["Rome", "Oslo"], N)})
PRICE = pd.Series(RNG.normal(size=N), name="price")
WON = pd.Series(np.where(RNG.random(N) < 0.5, "yes", "no"), name="won")
ALL = np.ones(N, bool)
LINE = "column 'price' is the target: scores say nothing. Leave it out of X."


def told(X, y, kept=ALL):
    return target_columns(X, y, kept, set(as_frame(X).columns))


@pytest.mark.parametrize("of", [lambda frame: frame, pl.from_pandas, lambda frame: pl.from_pandas(frame).to_arrow()])
def test_the_target_itself_in_frames_of_any_library(of):
    assert told(of(TABLE.assign(price=PRICE)), PRICE) == [LINE]


def test_a_column_of_the_same_name_and_other_values_is_no_target():
    """The logarithm of a price may keep the price's name: what the price says of it is the user's business."""
    assert told(TABLE.assign(price=PRICE), PRICE.abs().rename("price")) == []
    assert told(TABLE.assign(price=PRICE), PRICE.abs().to_frame()) == []


def test_a_column_of_the_same_values_and_another_name_is_no_target():
    """A city that says who won may be what there is to learn."""
    assert told(TABLE.assign(cost=PRICE), PRICE) == []


def test_targets_without_a_name():
    assert told(TABLE.assign(price=PRICE), PRICE.to_numpy()) == []
    assert told(TABLE.assign(price=PRICE), PRICE.rename(None)) == []
    assert target_columns(TABLE.to_numpy(), PRICE, ALL, {"x0", "x1"}) == []


def test_rows_of_no_weight_do_not_count():
    y, kept = PRICE.copy(), ALL.copy()
    y[0], kept[0] = 5.0, False
    table = TABLE.assign(price=PRICE)
    assert told(table, y) == []
    assert told(table[kept], y, kept=kept) == [LINE]


def test_several_targets_and_missing_ones():
    y = pd.DataFrame({"price": PRICE.where(PRICE > 0), "won": WON})
    lines = told(TABLE.assign(price=y["price"], won=WON), y)
    assert [line.split("'")[1] for line in lines] == ["price", "won"]
    assert told(TABLE.assign(price=y["price"]), {"price": y["price"].tolist()}) == [LINE]


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None, 3] * 10, dtype="Int64"),
        pd.array([0.5, None, 3] * 10, dtype="Float64"),
        pd.array([True, None, False] * 10, dtype="boolean"),
        np.array([np.float32(1), np.int64(2), None] * 10, dtype=object),
        pd.Categorical(["a", "b", None] * 10),
    ],
    ids=str,
)
def test_values_of_any_kind(values):
    y = pd.Series(values, name="price")
    assert target_columns(pd.DataFrame({"price": y}), y, np.ones(30, bool), {"price"}) == [LINE]
    assert target_columns(pd.DataFrame({"price": y[::-1].to_list()}), y, np.ones(30, bool), {"price"}) == []


def test_cells_that_hold_arrays_and_lists_are_no_target():
    for cell in ([1.0, 2.0], np.ones(2)):
        assert told(pd.DataFrame({"price": [cell] * N}), PRICE) == []


def test_columns_that_are_not_read_are_not_told_of():
    assert target_columns(TABLE.assign(price=PRICE), PRICE, ALL, {"age", "city"}) == []


def test_fit_warns_once_and_trains():
    model = fastbp.TabularClassifier("fast", time_limit=0.1, random_state=0)
    with pytest.warns(fastbp.TableWarning, match="'won' is the target") as caught:
        model.fit(TABLE.assign(won=WON), WON)
    assert len(caught) == 1
    assert model.predict(TABLE.assign(won=WON)).shape == (N,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastbp.TabularClassifier("fast", time_limit=0.1, random_state=0).fit(TABLE, WON)
