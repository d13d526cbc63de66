"""Encoding any table: what hypothesis draws, in pandas, polars and pyarrow alike, arrays, and what is no table."""

import datetime
import decimal
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.errors import TableError

WORDS = ["a", "b", "c", "", "None", "NA", "nan", "1", "1.0", "True", "\u00e9", "a b"]
EXTREMES = [0.0, -0.0, 5e-324, 1e-300, 1e39, 1.7e308, -1.7e308, float("inf"), float("-inf"), float("nan")]
DATES = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
ZONE = datetime.UTC
DECIMALS = st.decimals(-(10**6), 10**6, places=2)

# Name: (values, polars type); a pyarrow table is made of the polars one, a pandas one of the values.
KINDS = {
    "float": (st.floats() | st.sampled_from(EXTREMES), pl.Float64),
    "float32": (st.floats(width=32), pl.Float32),
    "integer": (st.integers(-(2**63), 2**63 - 1), pl.Int64),
    "unsigned": (st.integers(2**64 - 5000, 2**64 - 1), pl.UInt64),
    "small": (st.integers(0, 2), pl.Int8),
    "boolean": (st.booleans(), pl.Boolean),
    "decimal": (DECIMALS, pl.Decimal(20, 2)),
    "text": (st.sampled_from(WORDS), pl.String),
    "any text": (st.text(max_size=3), pl.String),
    "category": (st.sampled_from(WORDS), pl.Categorical),
    "enum": (st.sampled_from(WORDS), pl.Enum(WORDS)),
    "many": (st.nothing(), pl.String),
    "datetime": (DATES, pl.Datetime("us")),
    "zoned": (DATES.map(lambda time: time.replace(tzinfo=ZONE)), pl.Datetime("us", "UTC")),
    "date": (DATES.map(datetime.datetime.date), pl.Date),
    "time": (st.times(), pl.Time),
    "duration": (st.timedeltas(datetime.timedelta(-(10**4)), datetime.timedelta(10**4)), pl.Duration("us")),
    "lists": (st.just([1.0]), pl.List(pl.Float64)),
}
PANDAS_TYPES = {
    "float": [None, "object"],
    "float32": ["float32", "object"],
    "integer": ["Int64", "object", "int64[pyarrow]"],
    "unsigned": ["UInt64", "object"],
    "small": ["Int8", None, "object"],
    "boolean": ["boolean", "object", "bool[pyarrow]"],
    "text": [None, "object", "string"],
    "any text": [None, "object"],
    "category": ["category"],
    "enum": [pd.CategoricalDtype(WORDS)],
    "many": [None, "category"],
    "datetime": ["datetime64[us]", "object"],
    "zoned": ["datetime64[us, UTC]", "object"],
    "duration": ["timedelta64[us]", "object"],
}
NOTHING = {"object": [None, float("nan"), pd.NA, pd.NaT]}


@st.composite
def tables(draw):
    """Draw (pandas, polars) tables of the same 1 to 6 columns and 1 to 200 rows, missing values of every kind in them.

    Columns come out constant, empty, of few values and of many, repeated or not.
    """
    n_rows = draw(st.sampled_from([1, 2, 3, 7, 40, 200, 200]))
    pandas, polars = {}, {}
    for i in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from([*sorted(KINDS), *["many"] * 4]))  # or codes came of no table at all
        values, dtype = KINDS[kind]
        if kind == "many":
            pool = [f"w{j}" for j in range(draw(st.sampled_from([10, 30, 1000])))]
        else:
            pool = draw(st.lists(values, min_size=1, max_size=draw(st.sampled_from([1, 2, 5, 40]))))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        missing = rng.random(n_rows) < draw(st.sampled_from([0, 0, 0.3, 1]))
        column = [
            None if gone else pool[j] for gone, j in zip(missing, rng.integers(0, len(pool), n_rows), strict=True)
        ]
        name = f"{kind} {i}"
        polars[name] = pl.Series(column, dtype=dtype, strict=False)
        as_type = draw(st.sampled_from(PANDAS_TYPES.get(kind, ["object"])))
        gone = NOTHING.get(as_type, [None])
        written = [gone[j % len(gone)] if value is None else value for j, value in enumerate(column)]
        pandas[name] = pd.Series(written, dtype=as_type)
    return pd.DataFrame(pandas), pl.DataFrame(polars)


def fitted(frame):
    """Return the fitted encoder and the matrix, or (None, the reasons) where no column is left."""
    encoder = TableEncoder()
    try:
        return encoder, encoder.fit_transform(frame)
    except TableError as error:
        return None, re.findall(r"column '([^']+)' is left out", str(error))


@given(tables())
@settings(max_examples=80)
def test_the_same_table_in_three_libraries(both):
    pandas, polars = both
    arrow = polars.to_arrow()
    (one, x), (two, y), (three, z) = map(fitted, (pandas, polars, arrow))
    if one is None:
        assert two is None
        assert three is None
        assert x == y == z == list(pandas.columns)
        return
    assert one.feature_names_out == two.feature_names_out == three.feature_names_out
    assert one.cardinalities == two.cardinalities == three.cardinalities
    for matrix in (y, z, one.transform(polars), two.transform(arrow), three.transform(pandas)):
        np.testing.assert_array_equal(x, matrix)


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_any_table(both, random):
    frame = both[random.randrange(2)]
    encoder, matrix = fitted(frame)
    if encoder is None:
        return
    n_codes, n_dense = encoder.n_codes, encoder.n_numeric + encoder.n_plain
    assert matrix.shape == (len(frame), n_dense + n_codes)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()
    assert np.abs(matrix[:, :n_dense]).max(initial=0) <= 3
    assert set(encoder.columns) | set(encoder.dropped) == set(frame.columns)
    assert len(set(encoder.feature_names_out)) == len(encoder.feature_names_out) == matrix.shape[1]
    for column, size in zip(matrix[:, n_dense:].T, encoder.cardinalities, strict=True):
        assert set(column) <= set(range(size))
        assert size > 9
    assert all(len(np.unique(column)) > 1 for column in matrix[:, encoder.n_numeric :].T)

    tensors, description = encoder.get_state()
    again = TableEncoder.from_state(tensors, json.loads(json.dumps(description)))
    np.testing.assert_array_equal(again.transform(frame), matrix)
    assert again.get_state()[1] == description
    assert again.feature_names_out == encoder.feature_names_out

    rows = random.choices(range(len(frame)), k=5)  # any rows, in any order of rows and columns: the same codes
    picked = frame.iloc[rows] if isinstance(frame, pd.DataFrame) else frame[rows]
    names = list(frame.columns)[::-1]
    np.testing.assert_array_equal(encoder.transform(picked[names]), matrix[rows])


@given(tables(), tables())
@settings(max_examples=60)
def test_rows_that_training_had_not(train, new):
    encoder, matrix = fitted(train[0])
    if encoder is None:
        return
    n = len(new[0])
    names = {name: train[0][name].iloc[[0] * n].reset_index(drop=True) for name in train[0].columns}
    kinds = {name.split()[0]: name for name in train[0].columns}
    unseen = {kinds[name.split()[0]]: new[0][name] for name in new[0].columns if name.split()[0] in kinds}
    found = encoder.transform(pd.DataFrame({**names, **unseen}), notices := [])
    assert found.shape == (n, matrix.shape[1])
    assert np.isfinite(found).all()
    for column, size in zip(found[:, found.shape[1] - encoder.n_codes :].T, encoder.cardinalities, strict=True):
        assert set(column) <= set(range(size))
    assert all(line.startswith("column ") for line in notices)


@given(st.integers(1, 30), st.integers(1, 5), st.sampled_from(["f2", "f4", "f8", "i1", "u8", "?"]), st.integers(0, 99))
@settings(max_examples=60)
def test_arrays_of_numbers_are_the_frames_of_them(n, d, dtype, seed):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) * 10).astype(np.int64).astype(dtype)
    if x.dtype.kind == "f":
        x[rng.random((n, d)) < 0.1] = np.nan
    encoder, matrix = fitted(x)
    frame_encoder, of_frame = fitted(pd.DataFrame(x, columns=[f"x{i}" for i in range(d)]))
    if encoder is None:
        assert frame_encoder is None
        return
    np.testing.assert_array_equal(matrix, of_frame)
    np.testing.assert_array_equal(matrix, encoder.transform(np.asfortranarray(x)))
    np.testing.assert_array_equal(matrix, encoder.transform(x.astype(object)))


def test_arrays_and_lists_of_objects():
    rows = [[1, "a", None, True], [2, "b", 2.5, False], [None, "a", 3, True], [4, "c", 4, None], [7, None, 9, True]]
    frame = pd.DataFrame(rows, columns=["x0", "x1", "x2", "x3"]).astype({"x3": "boolean"})
    expected = TableEncoder().fit_transform(frame)
    for table in (rows, np.array(rows, dtype=object)):
        encoder = TableEncoder()
        np.testing.assert_array_equal(encoder.fit_transform(table), expected)
        assert encoder.feature_names_out[0] == "x0"
    texts = np.array([["1", "a"], ["2", "b"], ["3", "a"]])
    assert TableEncoder().fit(texts).feature_names_out == ["x1=b"]  # the first one is text, different in each row
    masked = np.ma.masked_array([[1.5], [2.0], [4.0]], mask=[[0], [1], [0]])
    assert TableEncoder().fit(masked).feature_names_out[-1] == "x0 (missing)"


def test_torch_like_arrays():
    class Tensor:
        def __init__(self, x):
            self.x = x

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.x, dtype)

    x = np.arange(6.0).reshape(3, 2) ** 2
    np.testing.assert_array_equal(TableEncoder().fit_transform(Tensor(x)), TableEncoder().fit_transform(x))


UNUSUAL = {
    "pandas mixed": (
        pd.DataFrame({"a": [True, 1, "x", 2.0, "2", decimal.Decimal("2.00"), None, pd.NA, np.nan, pd.NaT]}),
        ["a=2", "a=True", "a=x"],
    ),
    "pandas mixed, another order": (pd.DataFrame({"a": [1, True, "x", "2", 2.0, 2]}), ["a=2", "a=1", "a=x"]),
    "pandas sparse": (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 0.0, 1.5])}), ["a"]),
    "pandas period": (pd.DataFrame({"a": pd.period_range("2020", periods=3, freq="h")}), ["a (time)"]),
    "pandas interval": (pd.DataFrame({"a": pd.cut([1, 2, 3, 1], [0, 1, 2, 3])}), ["a=(0, 1]", "a=(1, 2]", "a=(2, 3]"]),
    "pandas category of numbers": (pd.DataFrame({"a": pd.Categorical([1, 2.0, 2, None])}), ["a=2"]),
    "pandas beyond float64": (pd.DataFrame({"a": [10**400, 1, 1]}, dtype=object), [f"a={10**400}"]),
    "pandas zones mixed": (
        pd.DataFrame({"a": pd.Series([datetime.datetime(2020, 1, 1, tzinfo=ZONE), datetime.datetime(2020, 1, 1)] * 2)}),
        ["a=2020-01-01 00:00:00+00:00"],
    ),
    "polars int128": (pl.DataFrame({"a": pl.Series([0, 10**30, 3], dtype=pl.Int128)}), ["a"]),
    "polars nulls": (pl.DataFrame({"a": [None] * 3, "b": [1, 2, 3]}), ["b"]),
    "polars objects": (pl.DataFrame({"a": pl.Series([object()] * 3, dtype=pl.Object), "b": [1, 2, 3]}), ["b"]),
    "arrow chunks": (
        pa.table({"a": pa.chunked_array([pa.array(c).dictionary_encode() for c in (["a", None], ["c", "a"], [])][:2])}),
        ["a=c"],
    ),
    "arrow null in dictionary": (
        pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array(["x", None, "y"]))}),
        ["a=y"],
    ),
    "arrow text views": (pa.table({"a": pa.array(["a", None, "b"], pa.string_view())}), ["a=b"]),
    "arrow empty chunk": (
        pa.table({"a": pa.chunked_array([pa.array([], pa.string()), pa.array(["a", "b"])])}),
        ["a=b"],
    ),
    "arrow structs": (pa.table({"a": [{"k": 1}] * 3, "b": [1, 2, 3]}), ["b"]),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_columns(case):
    frame, names = UNUSUAL[case]
    encoder, matrix = fitted(frame)
    assert encoder.feature_names_out == names
    np.testing.assert_array_equal(encoder.transform(frame), matrix)


NO_TABLES = {
    "one dimension": (np.arange(3), "Expected 2D array, got 1D array instead.*Reshape your data"),
    "three dimensions": (np.zeros((2, 2, 2)), "got 3D array"),
    "no rows": (np.empty((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
    "no columns": (np.empty((12, 0)), r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum of 1 is required"),
    "no rows, pandas": (pd.DataFrame({"a": []}), r"0 sample\(s\)"),
    "no columns, pandas": (pd.DataFrame(index=range(3)), r"0 feature\(s\)"),
    "no rows, polars": (pl.DataFrame({"a": []}), r"0 sample\(s\)"),
    "no rows, pyarrow": (pa.table({"a": pa.array([], pa.string())}), r"0 sample\(s\)"),
    "lazy": (pl.LazyFrame({"a": [1]}), "LazyFrame"),
    "complex": (np.ones((3, 2)) * 1j, "Complex data not supported"),
    "structured": (np.zeros(3, dtype=[("a", "f8")]), "structured array"),
    "ragged": ([[1], [1, 2]], "this list is no table"),
    "empty list": ([], "got 1D array"),
    "dict of numbers": ({"a": 1}, "this dict holds one value for each column"),
    "dict of columns of different lengths": ({"a": [1], "b": [1, 2]}, "this dict of columns is no table"),
    "text": ("table.csv", "no table that can be used"),
    "none": (None, "no table that can be used"),
    "two of one name, pandas": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'"),
    "two of one name, pyarrow": (pa.table([[1], [2]], names=["a", "a"]), "'a'"),
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_what_is_no_table(case):
    data, message = NO_TABLES[case]
    with pytest.raises(TableError, match=message):
        TableEncoder().fit(data)
    encoder = TableEncoder().fit(np.arange(9.0).reshape(3, 3) ** 2)
    with pytest.raises(TableError, match=message):
        encoder.transform(data)


def test_lists_where_training_had_text_or_numbers():
    encoder = TableEncoder().fit(pd.DataFrame({"t": ["a", "b", "a"], "x": [1.0, 2.0, 4.0]}))
    for name in ("t", "x"):
        frame = pd.DataFrame({"t": ["a"], "x": [2.0]}).astype(object)
        frame[name] = [[1, 2]]
        with pytest.raises(TableError, match=f"column '{name}' cannot be used: it holds values that are neither text"):
            encoder.transform(frame)


def sparse_array():
    """Mostly zeros, a column of zeros and ones, one with a missing value, and an entry that is written twice."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * (rng.random((60, 5)) < 0.3)
    x[:, 1], x[3, 2] = x[:, 1] != 0, np.nan
    return x


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
def test_sparse_matrices_are_encoded_as_dense_ones_column_by_column(form, monkeypatch):
    from scipy import sparse

    dense = sparse_array()
    expected = TableEncoder().fit_transform(dense)
    matrix = sparse.coo_matrix(dense).asformat(form)
    for kind in (sparse.csr_matrix, sparse.csc_matrix, type(matrix)):
        monkeypatch.setattr(kind, "toarray", None)
    encoder = TableEncoder()
    np.testing.assert_array_equal(encoder.fit_transform(matrix), expected)
    np.testing.assert_array_equal(encoder.transform(matrix), expected)
    np.testing.assert_array_equal(encoder.transform(dense), expected)
    np.testing.assert_array_equal(encoder.transform(matrix.tocsr()[:1]), expected[:1])


def test_sparse_entries_that_stand_twice_are_added_and_the_user_s_matrix_is_left_alone():
    from scipy import sparse

    rows, values = [0, 0, 1, 2, 3], [1.0, 2.0, 1.0, 5.0, 4.0]
    twice = sparse.csc_matrix((values, rows, [0, 5]), shape=(4, 1))
    encoded = TableEncoder().fit_transform(twice)
    np.testing.assert_array_equal(encoded, TableEncoder().fit_transform(np.array([[3.0], [1.0], [5.0], [4.0]])))
    assert twice.nnz == 5


def test_sparse_matrices_too_large_when_dense_are_refused():
    from scipy import sparse

    encoder = TableEncoder().fit(sparse_array())
    wide = sparse.csr_matrix((2**30, 5))
    with pytest.raises(TableError, match=r"becomes a dense table of 6 columns, 24.0 GiB, and at most 4 GiB"):
        encoder.transform(wide)


@pytest.mark.parametrize(
    ("values", "message"), [(np.eye(3) * 1j, "Complex data not supported"), (np.zeros((0, 3)), r"0 sample\(s\)")]
)
def test_sparse_matrices_that_are_no_tables(values, message):
    from scipy import sparse

    with pytest.raises(TableError, match=message):
        TableEncoder().fit(sparse.csr_matrix(values))


def test_numbers_of_one_row_are_encoded_together_with_the_same_bits():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=50) * 10.0 ** rng.integers(-5, 5) for i in range(20)})
    frame["count"], frame["flag"] = rng.integers(0, 2**40, 50), rng.random(50) < 0.5
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 50), unit="D")
    frame["small"], frame["kind"] = rng.normal(size=50).astype(np.float32), rng.choice(["a", "b"], 50)
    frame.loc[4:9, "x7"] = np.nan
    encoder = TableEncoder()
    whole = encoder.fit_transform(frame)
    # The formula of `fastbp.tabular.scaling`, a column at a time.
    from fastbp.tabular.scaling import robust_scale, scaled

    for name in ("x0", "x19", "count", "small"):
        values = frame[name].to_numpy(np.float64)
        place = encoder.feature_names_out.index(name)
        np.testing.assert_array_equal(whole[:, place], scaled(values, *robust_scale(values)).astype(np.float32))
    for row in (0, 5, 49):
        np.testing.assert_array_equal(encoder.transform(frame.iloc[[row]]), whole[[row]])
    strange, notices = frame.iloc[[0]].assign(x3=np.nan, x9=np.nan, kind="c"), []
    encoder.transform(strange, notices)
    assert [line.split(":")[0] for line in notices] == ["column 'x3'", "column 'x9'", "column 'kind'"]


LIBRARIES = """
import sys
import numpy as np
from fastbp.tabular.encoding import TableEncoder
x = np.random.default_rng(0).normal(size=(20, 3))
TableEncoder().fit_transform(x)
assert not {"pandas", "narwhals", "polars", "pyarrow"} & set(sys.modules)
import polars as pl
frame = pl.DataFrame({"x": x[:, 0], "t": ["a", "b", None, "d"] * 5})
frame = frame.with_columns(c=pl.col("t").cast(pl.Categorical), when=pl.datetime(2020, 1, pl.int_range(1, 21)))
assert TableEncoder().fit_transform(frame).shape == (20, 9)
assert not {"pandas", "pyarrow"} & set(sys.modules)
"""


def test_only_the_tables_own_library_is_imported():
    subprocess.run([sys.executable, "-W", "error", "-c", LIBRARIES], check=True)
