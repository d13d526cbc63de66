"""The shape of files: delimiters, encodings, ragged rows, names, and columns that are no plain numbers."""

import datetime
import decimal
import gzip
import io
import random
import sys

import numpy as np
import pandas as pd
import pytest

from fastbp.tabular.csv_types import Expected
from fastbp.tabular.reading import HowToRead, TableError, read_file, read_table


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and reads it."""

    def write_and_read(content, how=None, **options):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_file(path, how, **options)

    return write_and_read


DELIMITERS = {
    "quoted commas in the header": ('"Temp, C";z;y\n1;2;3\n', ["Temp, C", "z", "y"]),
    "commas in the header": ("Temp, C;z;y\n1;2;3\n4;5;6\n", ["Temp, C", "z", "y"]),
    "a line break in the header": ('"Temp\nC";z;y\n1;2;3\n', ["Temp\nC", "z", "y"]),
    "a line for Excel": ("sep=;\na;b,c\n1;2\n", ["a", "b,c"]),
    "bars": ("a|b\n1|2\n", ["a", "b"]),
    "tabs": ("a\tb, c\n1\t2\n", ["a", "b, c"]),
    "decimal commas everywhere": ("a;b\n1,5;2,5\n1,7;2,5\n", ["a", "b"]),
    "text with semicolons": ("a,b\n1,x;y\n2,z;w\n", ["a", "b"]),
    "called PAR1": ("PAR1,z,y\n1,2,3\n", ["PAR1", "z", "y"]),
    "called PAR1 at the start": ("PAR12,z,y\n1,2,3\n", ["PAR12", "z", "y"]),
    "one column": ("a b\n1\n2\n", ["a b"]),
    "a nameless last column": ("a,b,\n1,2,\n3,4,\n", ["a", "b"]),
    "empty fields at the rows' ends": ("a,b\n1,2\n1,2,,\n3,4,\n", ["a", "b"]),
    "pandas' index": (",a,b\n0,1,2\n1,3,4\n", ["a", "b"]),
}


@pytest.mark.parametrize("case", DELIMITERS)
def test_names_by_the_right_delimiter(read, case):
    text, names = DELIMITERS[case]
    frame = read(text).frame
    assert frame.columns.tolist() == names
    assert frame.notna().all(axis=None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_encodings_are_detected_and_said(read, encoding):
    table = read("größe,b\n1,\u00e9\n2,n\u00fcn\n3,abc\n".encode(encoding))
    assert table.frame.columns.tolist() == ["größe", "b"]
    assert table.frame["b"].tolist() == ["\u00e9", "n\u00fcn", "abc"]
    said = [note for note in table.notes if "is read as" in note]
    assert len(said) == (not encoding.startswith("utf-8"))


def test_an_encoding_can_be_told(read):
    content = "a,b\n1,\u0142\n".encode("cp1250")
    assert read(content).frame["b"].tolist() == ["\u00b3"]
    table = read(content, HowToRead(encoding="cp1250"))
    assert table.frame["b"].tolist() == ["\u0142"]
    assert table.notes == []
    with pytest.raises(TableError, match="there is no such encoding"):
        read(content, HowToRead(encoding="klingon"))
    with pytest.raises(TableError, match=r"table\.csv is not utf-8 text"):
        read(content, HowToRead(encoding="utf-8"))


def test_short_rows_are_said_with_their_numbers(read):
    table = read("a,b,c\n1,2,3\n1,2\n\n3\n4,5,6\n")
    assert table.frame["a"].tolist() == [1, 1, 3, 4]
    (note,) = table.notes
    assert "rows 2 (line 3), 3 (line 5) have fewer fields than the header: what they lack is taken as missing" in note
    (note,) = read('a,b\n"1","2"\n"3"\n').notes
    assert "row 2 (line 3) has fewer fields" in note
    assert read("a,b\n1,2\n3,\n").notes == []


def test_long_rows_are_errors_with_their_numbers(read):
    with pytest.raises(TableError, match=r"header, which has 2: row 2 \(line 3\) has 3, row 4 \(line 5\) has 4\.$"):
        read("a,b\n1,2\n1,2,3\n4,5\n1,2,3,4\n")


def test_blank_lines_in_a_table_of_one_column_are_rows(read):
    assert read("a\n1\n\n3\n\n").frame["a"].isna().tolist() == [False, True, False]
    assert len(read("\n\na,b\n1,2\n\n3,4\n").frame) == 2


def test_a_quote_that_swallows_lines_is_said(read):
    (note,) = read('a,b\n1,"x\n2,y\n3,z"\n4,w\n').notes
    assert "column 'b': 1 of its values hold a line break, the first in row 1" in note


def test_a_header_of_numbers_is_said(read):
    assert "(1, 2.5 ...) is taken as the header" in read("1,2.5\n3,4\n").notes[0]


def test_a_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-8] + b"12345678")
    with pytest.raises(TableError, match=r"prices\.csv\.gz is a damaged gzip file: CRC"):
        read_table(path)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    assert read_table("-").to_numpy().tolist() == [[1, 2]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(TableError, match="standard input is empty"):
        read_table("-")


@pytest.mark.parametrize("word", ["#N/A", "-", " ", "<NA>", "N/A ", "Null", "NaT", "1.#IND", "#DIV/0!", "missing"])
def test_one_word_for_missing_leaves_a_column_of_numbers(read, word):
    values = [f"{i / 8}" for i in range(40)]
    values[11] = word
    table = read("a,b\n" + "".join(f"{value},1\n" for value in values))
    expected = np.arange(40) / 8
    expected[11] = np.nan
    np.testing.assert_array_equal(table.frame["a"], expected)
    assert table.notes == []


def test_one_odd_value_leaves_a_column_of_numbers_and_is_said(read):
    table = read("a;b\n" + "".join(f"{i / 8 if i != 11 else '9,5'};1\n" for i in range(40)))
    assert table.frame["a"].isna().sum() == 1
    assert table.notes == ["column 'a': '9,5' in row 12 is no number, taken as missing."]


def test_decimal_commas(read):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"price": rng.uniform(0, 5000, 1329).round(2), "n": rng.integers(0, 9, 1329)})
    table = read(frame.to_csv(sep=";", decimal=",", index=False))
    pd.testing.assert_frame_equal(table.frame, frame)
    assert "decimal commas" in table.notes[0]
    table = read("a;b\n1.234;9,5\n5.678;8,25\n")  # the file tells what a point is
    assert table.frame["a"].tolist() == [1234, 5678]
    assert read("a,b\n1.234,5\n").frame["a"].tolist() == [1.234]


def test_marks_and_words_can_be_told(read):
    assert read("a;b\n1,234;1\n").frame["a"].tolist() == [1.234]
    assert read("a;b\n1,234;1\n", HowToRead(decimal=".")).frame["a"].tolist() == [1234]
    assert read("a,b\n1.234,1\n", HowToRead(thousands=".")).frame["a"].tolist() == [1234]
    assert read("a;b,c\n1;2,3\n", HowToRead(delimiter=",")).frame.columns.tolist() == ["a;b", "c"]
    frame = read("a,b\n1.5,none yet\n-999,x\n", HowToRead(na=("-999", "none yet"))).frame
    assert frame.isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_digits_are_never_lost(read):
    table = read("zip,id,n\n00501,761762492000000001,1\n10001,,02\n90210,761762492000000002,3\n")
    assert table.frame["zip"].tolist() == ["00501", "10001", "90210"]
    assert table.frame["id"].dropna().tolist() == [761762492000000001, 761762492000000002]
    assert table.frame["n"].tolist() == ["1", "02", "3"]
    assert table.notes[0] == "column 'zip': kept as text for its leading zeros ('00501')."
    large = read(f"a,b\n{2**60},1\n{2**60 + 1},2\n{2**64 - 1},3\n{10**20},4\n")
    assert large.frame["a"].tolist() == [str(2**60), str(2**60 + 1), str(2**64 - 1), str(10**20)]


def test_dates_and_times_in_a_csv(read):
    when = pd.date_range("2024-01-01", periods=40, freq="31h")
    frame = pd.DataFrame(
        {
            "iso": when.strftime("%Y-%m-%d %H:%M"),
            "german": when.strftime("%d.%m.%Y"),
            "number": when.strftime("%Y%m%d"),
            "time": when.strftime("%H:%M"),
            "took": (when - when[0]).astype(str),
        }
    )
    table = read(frame.to_csv(index=False))
    assert table.frame["iso"].tolist() == when.tolist()
    assert table.frame["german"].tolist() == when.normalize().tolist()
    assert table.frame["number"].tolist() == when.normalize().tolist()
    assert table.frame["time"].tolist() == (when.hour * 3600 + when.minute * 60).tolist()
    assert table.frame["took"].tolist() == (when - when[0]).total_seconds().tolist()
    assert table.notes == []


def test_numbers_that_are_no_dates_stay_numbers(read):
    frame = read("a,b\n20240101,19990101\n20240199,19990102\n20241301,19990103\n").frame
    assert frame["a"].tolist() == [20240101, 20240199, 20241301]
    assert frame["b"].tolist() == pd.date_range("1999-01-01", periods=3).tolist()


def test_types_are_settled_without_rows_that_have_no_target(read):
    rows = "".join(f"{i},{i}.5,{i % 2}\n" for i in range(12))
    table = read(f"x,z,y\n{rows}Total rows: 120,,\n", target="y")
    assert table.frame["x"].tolist()[:-1] == list(range(12))
    assert table.notes == []


def test_the_user_says_what_columns_are(read):
    kinds = {"a": "category", "b": "number", "c": "date"}
    table = read("a,b,c\n1,007,20240101\n2,x,20240102\n", expected=Expected(kinds=kinds))
    assert isinstance(table.frame["a"].dtype, pd.CategoricalDtype)
    assert table.frame["b"].tolist()[0] == 7
    assert table.frame["c"].tolist() == pd.date_range("2024-01-01", periods=2).tolist()
    assert table.notes == ["column 'b': 'x' in row 2 is no number, taken as missing."]


def test_parquet_index_levels_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"g": ["a", "b"], "k": [1, 2], "x": [0.5, 1.5]})
    frame.set_index(["g", "k"]).to_parquet(path)
    assert read_table(path).columns.tolist() == ["g", "k", "x"]
    frame[["x"]].set_axis(pd.date_range("2024", periods=2), axis=0).to_parquet(path)
    assert read_table(path).columns.tolist() == ["index", "x"]
    frame[::-1].to_parquet(path)
    table = read_file(path)
    assert table.frame.columns.tolist() == ["g", "k", "x"]
    assert "is left out" in table.notes[0]


def test_types_of_arrow(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from fastbp.tabular.columns import as_frame, to_numbers

    day = datetime.date(2024, 1, 2)
    columns = {
        "half": (pa.array(np.array([0.5, 2], np.float16)), [0.5, 2]),
        "day": (pa.array([day, None], pa.date64()), [1704153600, np.nan]),
        "money": (pa.array([decimal.Decimal("1.25"), None], pa.decimal256(60, 2)), [1.25, np.nan]),
        "time": (pa.array([datetime.time(1, 2), None]), [3720, np.nan]),
        "took": (pa.array([datetime.timedelta(hours=1), None]), [3600, np.nan]),
    }
    pq.write_table(pa.table({name: array for name, (array, _) in columns.items()}), tmp_path / "t.parquet")
    frame = as_frame(read_table(tmp_path / "t.parquet"))
    for name, (_, values) in columns.items():
        np.testing.assert_array_equal(to_numbers(frame[name]), values)
    pq.write_table(pa.table({"id": pa.array([2**60 + 1, None])}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["id"].dropna().tolist() == [2**60 + 1]


def fuzzed(seed):
    """Return the bytes of a random table, its number of rows, and whether they are whole."""
    random_ = random.Random(seed)
    words = [
        "",
        "NA",
        "#N/A",
        "1,5",
        "$5",
        "2024-01-01",
        "1.2.2024",
        "007",
        "\u00e9",
        "x\ny",
        '"',
        ";",
        "inf",
        "1e400",
        "(5)",
    ]
    n_rows, n_columns = random_.choice([0, 1, 7, 30]), random_.randrange(2, 5)
    rows = [[random_.choice(words) for _ in range(n_columns)] for _ in range(n_rows)]
    for column in range(n_columns - 1):
        for row in rows[1:]:
            row[column] = f"{random_.gauss(0, 1):.3f}"
    frame = pd.DataFrame(rows, columns=[f"c{i}" for i in range(n_columns)])
    text = frame.to_csv(index=False, sep=random_.choice(",;\t|"), quoting=random_.choice([0, 1]))
    content, damage = text.encode(random_.choice(["utf-8", "utf-16", "latin-1"])), random_.randrange(6)
    place = random_.randrange(len(content))
    if damage == 0:
        content = content[:place]
    if damage == 1:
        content = content[:place] + bytes(random_.randrange(256) for _ in range(3)) + content[place:]
    if damage == 2:
        content = gzip.compress(content)
    return content, n_rows, damage > 1


@pytest.mark.parametrize("seed", range(60))
def test_fuzzed_files_are_read_whole_or_refused(read, seed):
    content, n_rows, whole = fuzzed(seed)
    try:
        table = read(content)
    except TableError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert not whole or n_rows == 0
        return
    assert not whole or len(table.frame) == n_rows


def test_columns_that_change_their_type_late(read):
    n, late = 20_000, 19_000  # pandas types some 16,000 rows of 40 columns at once
    numbers = np.arange(n)
    columns = {
        "word": np.where(numbers == late, "abc", numbers.astype(str)),
        "words": np.where(numbers >= late, "abc", "1"),
        "float": np.where(numbers >= late, "0.5", numbers.astype(str)),
        "boolean": np.where(numbers == late, "NA", np.where(numbers % 2, "True", "False")),
        "zeros": np.where(numbers >= late, "007", "100"),
        "large": np.where(numbers == late, "", (2**60 + numbers).astype(str)),
        "text": np.where(numbers >= late, "x", ""),
        "date": np.where(numbers == late, "", "20240101"),
        **{f"fill {i}": numbers for i in range(32)},
    }
    table = read(pd.DataFrame(columns).to_csv(index=False))
    frame = table.frame
    assert frame["word"].isna().sum() == 1
    assert frame["words"].value_counts().to_dict() == {"1": late, "abc": n - late}
    assert frame["float"].tolist() == [*range(late), *[0.5] * (n - late)]
    assert frame["boolean"].isna().sum() == 1
    assert frame["boolean"].dtype == "boolean"
    assert set(frame["zeros"]) == {"007", "100"}
    assert frame["large"].dropna().tolist() == [2**60 + i for i in range(n) if i != late]
    assert frame["text"].isna().sum() == late
    assert [note for note in table.notes if "'word'" in note] == [
        "column 'word': 'abc' in row 19001 is no number, taken as missing."
    ]
