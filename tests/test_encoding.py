"""Encoding tables: the rules one by one, and any frame that hypothesis makes."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastbp.tabular.coders import CLIP
from fastbp.tabular.encoding import MOST_CATEGORIES, TableEncoder
from fastbp.tabular.reading import TableError


def encode(columns):
    encoder = TableEncoder()
    return encoder, encoder.fit_transform(pd.DataFrame(columns))


def column(encoder, matrix, name):
    return matrix[:, encoder.feature_names_out.index(name)]


def test_numbers_are_standardised():
    x = np.arange(10.0) * 3 + 7
    encoder, matrix = encode({"x": x})
    assert matrix.dtype == np.float32
    assert encoder.feature_names_out == ["x"]
    np.testing.assert_allclose(matrix[:, 0], (x - x.mean()) / x.std(), rtol=1e-6)


def test_booleans_are_numbers():
    _, matrix = encode({"x": [True, False, True, False]})
    np.testing.assert_array_equal(matrix[:, 0], [1, -1, 1, -1])


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "Float32", "object"])
def test_missing_values_of_each_kind(dtype):
    values = [True, None, False, True] if dtype == "boolean" else [1, None, 0, 1]
    encoder, matrix = encode({"x": pd.Series(values, dtype=dtype)})
    assert encoder.feature_names_out == ["x", "x (missing)"]
    np.testing.assert_array_equal(matrix[:, 1], [0, 1, 0, 0])
    assert matrix[1, 0] == matrix[0, 0]  # the median is 1


def test_median_fills_before_the_mean():
    encoder, matrix = encode({"x": [0.0, 1.0, 1.0, 10.0, np.nan]})
    filled = np.array([0.0, 1.0, 1.0, 10.0, 1.0])
    np.testing.assert_allclose(column(encoder, matrix, "x"), (filled - filled.mean()) / filled.std(), rtol=1e-6)


def test_categories_with_missing_and_words_for_missing():
    encoder, matrix = encode({"pet": ["cat", "None", None, "cat", "NA", "None", "NA"]})
    assert encoder.feature_names_out == ["pet=NA", "pet=None", "pet=cat", "pet (missing)"]
    np.testing.assert_array_equal(matrix.sum(axis=1), np.ones(7))
    assert column(encoder, matrix, "pet (missing)")[2] == 1


def test_many_categories_are_folded():
    words = [f"w{i:03}" for i in range(100)]
    texts = words + words[20:] * 2  # w000 to w019 are rare
    encoder, matrix = encode({"w": texts})
    assert len(encoder.feature_names_out) == MOST_CATEGORIES + 1
    assert encoder.feature_names_out[-1] == "w (other)"
    assert "100 categories" in encoder.notices[0]
    assert matrix[0, -1] == 1
    assert matrix[99, -1] == 1
    assert matrix[20, encoder.feature_names_out.index("w=w020")] == 1
    unseen = encoder.transform(pd.DataFrame({"w": ["new"]}), notices := [])
    assert unseen[0, -1] == 1
    assert unseen.sum() == 1
    assert notices == []


def test_unseen_categories_and_unexpected_missing_values_are_told():
    encoder, _ = encode({"pet": ["cat", "dog", "cat"], "x": [1.0, 2.0, 6.0]})
    frame = pd.DataFrame({"pet": ["cow", None, "dog"], "x": [None, 2.0, 6.0]})
    matrix = encoder.transform(frame, notices := [])
    np.testing.assert_array_equal(matrix[:, 1:], [[0, 0], [0, 0], [0, 1]])
    assert matrix[0, 0] == matrix[1, 0]
    assert len(notices) == 3
    assert any("'cow'" in line for line in notices)
    assert any("median 2" in line for line in notices)


def test_what_is_left_out():
    n = 10
    encoder, _ = encode(
        {
            "name": [f"person {i}" for i in range(n)],
            "same": [3] * n,
            "same text": ["a"] * n,
            "empty": [None] * n,
            "x": np.arange(n),
        }
    )
    assert encoder.columns == ["x"]
    reasons = {line.split("'")[1]: line for line in encoder.notices}
    assert "different in each row" in reasons["name"]
    assert "one value only" in reasons["same"]
    assert "one value only" in reasons["same text"]
    assert "empty" in reasons["empty"]


def test_one_value_and_missing_keeps_the_indicator():
    encoder, matrix = encode({"x": [5.0, None, 5.0], "t": ["a", None, "a"]})
    assert encoder.feature_names_out == ["x", "x (missing)", "t=a", "t (missing)"]
    np.testing.assert_array_equal(matrix, [[0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    assert encoder.transform(pd.DataFrame({"x": [6.0], "t": ["a"]}))[0, 0] == 1.0


def test_nothing_left_is_an_error():
    with pytest.raises(TableError, match="no column is left"):
        encode({"a": [1, 1], "b": ["x", "y"]})


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_are_errors_naming_column_and_row(value):
    with pytest.raises(TableError, match="'x' holds an infinite value in row 2"):
        encode({"x": [1.0, value, 3.0]})
    encoder, _ = encode({"x": [1.0, 2.0]})
    with pytest.raises(TableError, match="'x' holds an infinite value in row 1"):
        encoder.transform(pd.DataFrame({"x": [value]}))


def test_dates_are_seconds():
    days = [datetime.datetime(2020, 1, d) for d in (1, 2, 3)]
    _, matrix = encode({"when": days, "x": [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(matrix[:, 0], matrix[:, 1], rtol=1e-6)


def test_columns_are_found_by_name():
    encoder, matrix = encode({"age": [1.0, 2.0, 4.0], "size": [3.0, 1.0, 2.0]})
    shuffled = pd.DataFrame({"extra": ["?"] * 3, "size": [3.0, 1.0, 2.0], "age": [1.0, 2.0, 4.0]})
    np.testing.assert_array_equal(encoder.transform(shuffled), matrix)
    with pytest.raises(TableError, match=r"'size' is missing.*Did you mean 'Size'\?"):
        encoder.transform(shuffled.rename(columns={"size": "Size"}))
    with pytest.raises(TableError, match="and 1 more"):
        encoder.transform(shuffled[["extra"]])


def test_columns_of_another_type_at_prediction():
    encoder, matrix = encode({"code": ["1", "2", "x", "1"], "n": [1, 2, 3, 5]})
    same = encoder.transform(pd.DataFrame({"code": [1.0, np.nan], "n": ["1", "NA"]}), notices := [])
    np.testing.assert_array_equal(same[0], matrix[0])
    assert len(notices) == 2
    with pytest.raises(TableError, match="held numbers in training and holds 'many' in row 1 now"):
        encoder.transform(pd.DataFrame({"code": ["1"], "n": ["many"]}))


def test_two_columns_of_one_name():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    with pytest.raises(TableError, match="'a'"):
        TableEncoder().fit(frame)


def test_huge_and_tiny_numbers():
    _, matrix = encode({"huge": [-1.7e308, 1.7e308, 0.0], "tiny": [0.0, 5e-324, 0.0], "odd": [1e-300, 2e-300, 1.0]})
    assert np.isfinite(matrix).all()
    assert np.abs(matrix).max() <= CLIP
    np.testing.assert_allclose(matrix[:, 0], [-(1.5**0.5), 1.5**0.5, 0.0], rtol=1e-6)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_libraries_give_the_same(library):
    module = pytest.importorskip(library)
    data = {"x": [1.5, None, 3.0, 4.0], "t": ["a", "b", None, "a"], "b": [True, None, False, True], "n": [1, 2, 3, 4]}
    frame = module.DataFrame(data) if library == "polars" else module.table(data)
    pandas = pd.DataFrame(data).astype({"b": "boolean"})
    ours, theirs = TableEncoder().fit(pandas), TableEncoder().fit(frame)
    assert ours.get_state()[1] == theirs.get_state()[1]
    np.testing.assert_array_equal(ours.transform(pandas), theirs.transform(frame))
    np.testing.assert_array_equal(ours.transform(frame), theirs.transform(pandas))


NUMBERS = st.one_of(st.none(), st.integers(-(10**9), 10**9), st.floats(allow_infinity=False))
KINDS = {
    "number": NUMBERS,
    "boolean": st.sampled_from([True, False, None]),
    "text": st.one_of(st.none(), st.text(max_size=3), st.sampled_from(["a", "b", "None", "NA"])),
    "mixed": st.one_of(NUMBERS, st.text(max_size=2), st.booleans()),
}


@st.composite
def frames(draw):
    """Draw a pandas frame of 1 to 5 columns and 1 to 12 rows of all kinds, as objects or as pandas sees them."""
    n_rows = draw(st.integers(1, 12))
    data = {}
    for i in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        values = draw(st.lists(KINDS[kind], min_size=n_rows, max_size=n_rows))
        data[f"{kind} {i}"] = pd.Series(values, dtype="object" if draw(st.booleans()) else None)
    return pd.DataFrame(data)


@given(frames(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_frame(frame, random):
    encoder = TableEncoder()
    try:
        matrix = encoder.fit_transform(frame)
    except TableError:
        assert not encoder.columns  # nothing but empty, constant and all-different columns
        return
    assert matrix.shape == (len(frame), len(encoder.feature_names_out))
    assert matrix.dtype == np.float32
    assert np.isfinite(matrix).all()
    assert np.abs(matrix).max(initial=0) <= CLIP
    assert len(encoder.columns) + len([n for n in encoder.notices if "left out" in n]) == len(frame.columns)

    tensors, description = encoder.get_state()
    again = TableEncoder.from_state(tensors, json.loads(json.dumps(description)))
    np.testing.assert_array_equal(again.transform(frame), matrix)
    assert again.feature_names_out == encoder.feature_names_out

    rows = random.choices(range(len(frame)), k=5)  # any rows, in any order, one by one: the same codes
    np.testing.assert_array_equal(encoder.transform(frame.iloc[rows][list(frame.columns)[::-1]]), matrix[rows])


def test_values_of_rows_kept_out_are_no_news():
    train = pd.DataFrame({"n": [1.0, 2.0, 3.0], "t": ["a", "b", "a"]})
    valid = pd.DataFrame({"n": [None, 2.0], "t": ["c", None]})
    surprised, expecting = TableEncoder().fit(train), TableEncoder().fit(train).expect(valid)
    expecting = TableEncoder.from_state(*expecting.get_state())
    notices, silence = [], []
    before, after = surprised.transform(valid, notices), expecting.transform(valid, silence)
    assert len(notices) == 3
    assert silence == []
    np.testing.assert_array_equal(before, after)
    expecting.transform(valid.assign(t=["d", "a"]), silence)
    assert "'d'" in silence[0]
