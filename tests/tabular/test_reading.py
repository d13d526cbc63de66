"""Reading tables: what is missing, what is text, and one line for each kind of bad file."""

import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from fastbp.tabular.reading import TableError, read_table


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_file(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def is_text(column):
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def test_empty_field_is_missing_and_words_are_categories(write):
    frame = read_table(write("a,b\n1,None\n,NA\n3,\n4,x\n"))
    assert np.isnan(frame["a"][1])
    assert frame["a"].tolist()[2:] == [3.0, 4.0]
    assert frame["b"].isna().tolist() == [False, False, True, False]
    assert frame["b"].tolist()[:2] == ["None", "NA"]


@pytest.mark.parametrize("word", ["NA", "nan", "NaN", "null", "None", "N/A", "?"])
def test_words_for_missing_in_a_column_of_numbers(write, word):
    column = read_table(write(f"a,b\n1.5,0\n{word},0\n,0\n-2e3,0\n"))["a"]
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, [1.5, np.nan, np.nan, -2000.0])


def test_a_column_of_such_words_alone_is_text(write):
    assert is_text(read_table(write("a,b\nNA,1\nNone,2\n"))["a"])


def test_any_other_word_makes_a_column_text(write):
    assert is_text(read_table(write("a,b\n1,1\nabc,2\nNA,3\n"))["a"])


def test_booleans_with_missing_fields_stay_booleans(write):
    column = read_table(write("a,b\nTrue,1\n,2\nFalse,3\n"))["a"]
    assert pd.api.types.is_bool_dtype(column)
    assert column.isna().tolist() == [False, True, False]


def test_named_columns_are_read_as_text(write):
    frame = read_table(write("zip,n\n007,1\n,2\n12,3\n"), text=["zip", "not there"])
    assert frame["zip"].tolist()[::2] == ["007", "12"]
    assert frame["zip"].isna()[1]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(write, delimiter):
    frame = read_table(write(f"a{delimiter}b\n1{delimiter}x\n2{delimiter}y\n"))
    assert frame.columns.tolist() == ["a", "b"]
    assert frame["b"].tolist() == ["x", "y"]


@pytest.mark.parametrize("text", ["\ufeffa,b\n1,2\n", "\n\na,b\r\n1,2\r\n", "a,b\r1,2\r", 'a,b\n"1","2"'])
def test_line_ends_quotes_and_byte_order_mark(write, text):
    frame = read_table(write(text))
    assert frame.columns.tolist() == ["a", "b"]
    assert frame.to_numpy().tolist() == [[1, 2]]


def test_gzip_is_told_by_its_content(write):
    packed = gzip.compress(b"a,b\n1,2\n")
    for name in ("table.csv.gz", "table.csv"):
        assert read_table(write(packed, name)).to_numpy().tolist() == [[1, 2]]


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"a": [1.0, None], "b": ["NA", None], "c": [True, False]})
    frame.to_parquet(path)
    read = read_table(path)
    assert read["b"].tolist()[0] == "NA"
    assert read["b"].isna()[1]
    assert np.isnan(read["a"][1])
    frame.iloc[:0].to_parquet(path)
    with pytest.raises(TableError, match="no rows"):
        read_table(path)


def test_parquet_without_pyarrow_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TableError, match=r'pip install "fastbp\[parquet\]"'):
        read_table(write(b"PAR1\x15\x04PAR1", "table.parquet"))


BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (b"a,b\n", "no rows"),
    "binary": (b"a,b\n\x00\x01\x02", "is a binary file"),
    "Excel": (b"PK\x03\x04\x00\x00", "Excel"),
    "zeros late in the file": (
        b"a,b\n" + b"1,2\n" * 30_000 + bytes(4096) + b"1,2\n",
        "byte 120004, in line 30002, is zero",
    ),
    "gzip of a wrong checksum": (gzip.compress(b"a,b\n1,2\n")[:-8] + b"12345678", "table.csv is a damaged gzip file"),
    "a header only, in UTF-16": ("a,b\n".encode("utf-16"), "no rows"),
    "damaged gzip": (gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 99)[:-9], "damaged gzip"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "damaged Parquet": (b"PAR1 and then nothing", "damaged Parquet"),
    "too many fields in a row": (b"a,b\n1,2\n1,2,3\n", "line 3"),
    "too many fields in all rows": (b"a,b\n1,2,3\n4,5,6\n", "more fields than its header"),
    "an open quote": (b'a,b\n"1,2\n', "not a well-formed CSV"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_one_line(write, case):
    content, message = BAD_FILES[case]
    if case == "damaged Parquet":
        pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match=message) as caught:
        read_table(write(content))
    assert "\n" not in str(caught.value)


def test_missing_file_says_the_nearest_name(write, tmp_path):
    write("a\n1\n", "adults.csv")
    with pytest.raises(TableError, match=r"Did you mean 'adults.csv'\?"):
        read_table(tmp_path / "adult.csv")
    with pytest.raises(TableError, match="there is no file"):
        read_table(tmp_path / "no folder" / "adult.csv")
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "twins.csv"
    path.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(TableError, match="two columns named 'a'"):
        read_table(path)
