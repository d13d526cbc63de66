"""Columns of text: numbers in any dress, dates, times, durations, and what stays text."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastbp
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.errors import TableError
from fastbp.tabular.recognition import packed_form, recognise, unpacked_form

NUMBERS = {
    "decimal commas": (["9,5", "12,25", "-0,125"], [9.5, 12.25, -0.125]),
    "commas of thousands": (["1,234", "12,345,678", "999"], [1234, 12345678, 999]),
    "commas of thousands and points": (["1,234.5", "12,345", "0.25"], [1234.5, 12345, 0.25]),
    "points of thousands": (["1.234,5", "12.345.678", "3"], [1234.5, 12345678, 3]),
    "blanks of thousands": (["1 234,5", "12\u00a0345", "3\u202f000"], [1234.5, 12345, 3000]),
    "apostrophes of thousands": (["1'234.5", "12\u2019345"], [1234.5, 12345]),
    "lakhs": (["1,00,000", "12,34,567"], [100000, 1234567]),
    "currencies": (["$1,234.50", "$ 5", "-$3", "($2)"], [1234.5, 5, -3, -2]),
    "currencies behind": (["1.234,50 \u20ac", "5 \u20ac", "-3 \u20ac"], [1234.5, 5, -3]),
    "codes of currencies": (["USD 5", "USD 7.5"], [5, 7.5]),
    "per cent": (["12%", "0.5 %", "-3%"], [12, 0.5, -3]),
    "units": (["5kg", "7.5 kg", "11 kg"], [5, 7.5, 11]),
    "other signs": (["\u22125", "+3", "4-"], [-5, 3, -4]),
    "powers": (["1e5", "2,5E-3"], [1e5, 2.5e-3]),
    "infinite": (["1.#INF", "-1.5", "2", "inf"], [np.inf, -1.5, 2, np.inf]),
}
MISSING = [
    "",
    "NA",
    "N/A ",
    "#N/A",
    "<NA>",
    "Null",
    "NaT",
    "1.#IND",
    "-1.#QNAN",
    "#DIV/0!",
    "missing",
    "-",
    " ",
    "?",
    ".",
]


def recognised(texts):
    return recognise(texts, np.ones(len(texts), int))


@pytest.mark.parametrize("case", NUMBERS)
def test_dressed_numbers(case):
    texts, values = NUMBERS[case]
    form = recognised(texts).form
    assert form.kind == "number"
    np.testing.assert_array_equal(form.parse(texts), values)
    assert unpacked_form(packed_form(form)) == form


def test_a_column_tells_what_a_comma_is():
    assert recognised(["1,234", "5,678"]).form.parse(["1,234"]).tolist() == [1234]
    assert recognised(["1,234", "5,67"]).form.parse(["1,234"]).tolist() == [1.234]
    assert recognised(["0,123", "0,456"]).form.parse(["0,123"]).tolist() == [0.123]
    found = recognise(["1.234", "5.678"], np.ones(2, int), decimal=",")
    assert found.form.parse(["1.234"]).tolist() == [1234]


@pytest.mark.parametrize("word", MISSING)
def test_words_for_missing_count_neither_way(word):
    texts = [word, "1,5", "2,5"]
    found = recognised(texts)
    assert not found.odd.any()
    np.testing.assert_array_equal(found.form.parse(texts), [np.nan, 1.5, 2.5])


def test_a_column_is_what_nearly_all_of_it_is():
    texts = [f"{i}.5" for i in range(19)] + ["9,5"]
    found = recognised(texts)
    assert found.form.kind == "number"
    assert found.odd.tolist() == [False] * 19 + [True]
    assert recognised(["1", "2", "x"]).form is None
    assert recognise(["1", "2", "x"], np.array([50, 50, 5])).form is None  # codes, though nearly all are numbers


STAYS_TEXT = {
    "words": ["red", "green", "blue"],
    "leading zeros": ["007", "012", "100"],
    "long numbers": ["123456789012345678", "123456789012345679"],
    "codes": ["A1", "A2", "A3"],
    "codes of three letters": ["ABC123", "ABC124"],
    "ordinals": ["1st", "2nd", "3rd", "4th"],
    "ranges": ["10-20", "20-30", "30-40"],
    "censored": ["<5", "7", "8"],
    "two currencies": ["$5", "\u20ac6"],
    "versions": ["1.2.3", "1.2.4"],
    "addresses": ["192.168.0.1", "10.0.0.1"],
    "no months": ["2024-13-01", "2024-14-01"],
    "no days": ["2024-02-30", "2024-02-31"],
    "nothing": ["", "-"],
}


@pytest.mark.parametrize("case", STAYS_TEXT)
def test_what_stays_text(case):
    assert recognised(STAYS_TEXT[case]).form is None


FORMATS = [
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y%m%d%H%M%S",
    "%Y-%m",
    "%m/%Y",
    "%d.%m.%Y",
    "%d.%m.%y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y %H:%M",
    "%d-%m-%Y",
    "%d %b %Y",
    "%d-%b-%y",
    "%B %d, %Y",
    "%b %Y",
    "%a, %d %b %Y %H:%M:%S",
]
ZONED = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M%z", "%d.%m.%Y %H:%M %z"]
WHEN = pd.Series(pd.date_range("2020-02-27", periods=150, freq="37h17min13s"))


@pytest.mark.parametrize("form", FORMATS)
def test_dates_are_what_pandas_reads_told_the_format(form):
    text = WHEN.dt.strftime(form)
    table, told = pd.DataFrame({"when": text}), pd.DataFrame({"when": pd.to_datetime(text, format=form)})
    encoder, expected = TableEncoder().fit(table), TableEncoder().fit(told)
    assert encoder.feature_names_out == expected.feature_names_out
    np.testing.assert_array_equal(encoder.transform(table), expected.transform(told))
    rows = slice(3, 4)  # one row does not tell days from months: training did
    np.testing.assert_array_equal(encoder.transform(table[rows]), expected.transform(told[rows]))


@pytest.mark.parametrize("form", ZONED)
@pytest.mark.parametrize("offset", ["+0000", "+0530", "-0800"])
def test_dates_with_a_zone(form, offset):
    zoned = WHEN.dt.tz_localize(f"UTC{offset[:3]}:{offset[3:]}")
    text = zoned.dt.strftime(form)
    encoder = TableEncoder().fit(pd.DataFrame({"when": text}))
    expected = TableEncoder().fit(pd.DataFrame({"when": pd.to_datetime(text, format=form)}))
    assert encoder.feature_names_out == expected.feature_names_out
    found = encoder.transform(pd.DataFrame({"when": text}))
    np.testing.assert_array_equal(found, expected.transform(pd.DataFrame({"when": pd.to_datetime(text, format=form)})))


def test_mixed_zones_are_times_in_utc():
    summer, winter = "2024-07-01T12:00:00+02:00", "2024-01-01T12:00:00+01:00"
    texts = [summer, winter, "2024-03-03T03:00:00Z"] * 5
    form = recognised(texts).form
    found = form.column(texts, np.arange(len(texts)))
    assert found.tolist() == pd.to_datetime(texts, utc=True).tolist()
    with_naive = recognised([summer, "2024-01-01T12:00:00"])  # neither kind is nearly all
    assert with_naive.form is None


SECONDS = {
    "times": (["10:20", "23:59:59", "0:00"], [37200, 86399, 0], "time"),
    "halves of the day": (["10:20 PM", "12:05 am", "1:00 p.m."], [80400, 300, 46800], "time"),
    "hours beyond 23": (["25:00:00", "1:30:00", "0:00:01"], [90000, 5400, 1], "duration"),
    "pandas": (["1 days 02:03:04.5", "-1 days +23:00:00", "0 days 00:00:00"], [93784.5, -3600, 0], "duration"),
    "ISO 8601": (["P1DT2H", "PT5M", "P2W", "-PT1.5S"], [93600, 300, 1209600, -1.5], "duration"),
    "words": (["2h 30m", "1 hour", "45 min", "1d 1s"], [9000, 3600, 2700, 86401], "duration"),
}


@pytest.mark.parametrize("case", SECONDS)
def test_times_of_day_and_durations(case):
    texts, values, kind = SECONDS[case]
    form = recognised(texts).form
    assert form.kind == kind
    np.testing.assert_array_equal(form.parse(texts), values)


def test_days_and_months_are_told_apart_by_the_column_or_said():
    days = recognised(["3/4/2024", "25/4/2024"])
    assert days.form.day_first
    assert days.why == ""
    assert not recognised(["3/4/2024", "4/25/2024"]).form.day_first
    guess = recognised(["3/4/2024", "5/6/2024"])
    assert "does not tell days from months: the month is taken to be first" in guess.why
    assert "the day is taken to be first" in recognised(["3.4.2024", "5.6.2024"]).why
    encoder = TableEncoder().fit(pd.DataFrame({"when": ["3/4/2024", "5/6/2024"]}))
    assert "column 'when': it does not tell days from months" in encoder.notices[0]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_text_columns_of_frames(library):
    columns = {"price": [f"${i},000.50" for i in range(1, 31)], "when": [f"{i}.3.2024" for i in range(1, 31)]}
    frame = pl.DataFrame(columns)
    frame = {"pandas": frame.to_pandas, "polars": lambda: frame, "pyarrow": frame.to_arrow}[library]()
    typed = pd.DataFrame({"price": np.arange(1, 31) * 1000 + 0.5, "when": pd.date_range("2024-03-01", periods=30)})
    encoder, expected = TableEncoder().fit(frame), TableEncoder().fit(typed)
    assert encoder.feature_names_out == expected.feature_names_out
    np.testing.assert_array_equal(encoder.transform(frame), expected.transform(typed))
    np.testing.assert_array_equal(encoder.transform(typed), expected.transform(typed))
    np.testing.assert_array_equal(expected.transform(frame), expected.transform(typed))  # trained on dates, given text
    again = TableEncoder.from_state(*encoder.get_state())
    np.testing.assert_array_equal(again.transform(frame), expected.transform(typed))


def test_a_choice_of_categories_is_kept():
    frame = pd.DataFrame({"a": [f"{i % 30}.5" for i in range(90)], "b": ["1", "2", "3"] * 30})
    assert TableEncoder().fit(frame).n_numeric == 1  # few whole numbers that somebody made text are codes
    assert TableEncoder().fit(frame.astype("category")).n_numeric == 0
    assert TableEncoder().fit(frame, categorical_features=["a"]).n_numeric == 0


def test_two_dressed_values_are_the_same_two_later():
    frame = pd.DataFrame({"a": ["$1,000", "$2,000"] * 15})
    encoder = TableEncoder().fit(frame)
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"a": [1000, 2000]})), encoder.transform(frame[:2]))


def test_odd_values_of_frames_are_told():
    frame = pd.DataFrame({"a": [f"{i}.5" for i in range(30)]})
    frame.loc[[6, 20], "a"] = ["9,5", "n/a"]
    encoder = TableEncoder().fit(frame)
    assert encoder.notices == ["column 'a': '9,5' in row 7 is no number, taken as missing."]
    assert encoder.feature_names_out == ["a", "a (missing)"]
    with pytest.warns(fastbp.TableWarning, match="column 'a': '9,5' in row 7 is no number, taken as missing"):
        encoder.transform(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(frame[10:])
    with pytest.raises(TableError, match="'a' held numbers in training and holds 'x' in row 2 now"):
        encoder.transform(pd.DataFrame({"a": ["1", "x"]}))
    dates = TableEncoder().fit(pd.DataFrame({"d": pd.date_range("2024-01-01", periods=9)}))
    with pytest.raises(TableError, match="'d' held dates in training and holds 'soon' in row 1 now"):
        dates.transform(pd.DataFrame({"d": ["soon"]}))


def test_zones_of_text_are_known_to_other_libraries():
    text = pl.DataFrame({"when": [f"2024-01-{i:02d}T{i % 24:02d}:00:00+02:00" for i in range(1, 29)]})
    encoder = TableEncoder().fit(text)
    typed = text.with_columns(pl.col("when").str.to_datetime("%Y-%m-%dT%H:%M:%S%z"))
    np.testing.assert_array_equal(encoder.transform(typed), encoder.transform(text))


@pytest.mark.parametrize(
    "state",
    [{"kind": "colour"}, {"kind": "date"}, {"kind": "date", "day_first": 1, "zoned": False}, {"kind": "time", "x": 1}],
)
def test_forms_that_a_file_makes_up(state):
    with pytest.raises(ValueError, match="form of text"):
        unpacked_form(state)


MIXED = [f"{i}.5" for i in range(60)]


def test_a_few_words_among_many_numbers_are_missing_and_known_again():
    frame = pd.DataFrame({"price": [*MIXED, *["sold out"] * 25]})
    encoder = TableEncoder().fit(frame)
    assert encoder.feature_names_out == ["price", "price (missing)"]
    told = "column 'price': 'sold out' in row 61 and others, 25 rows in all are no number, taken as missing."
    assert encoder.notices == [told]
    copy = TableEncoder.from_state(*encoder.get_state())
    for one in (encoder, copy):
        notices = []
        row = one.transform(frame.tail(1), notices)
        assert notices == ["column 'price': 'sold out' in row 1 is no number, taken as missing."]
        np.testing.assert_array_equal(row, one.transform(pd.DataFrame({"price": [None]})))
        with pytest.raises(TableError, match="column 'price' held numbers in training and holds 'gone' in row 1 now"):
            one.transform(pd.DataFrame({"price": ["gone"]}))


def test_what_stays_text_though_most_of_it_are_numbers_is_said():
    frame = pd.DataFrame({"price": [*MIXED, *(f"lot {i}" for i in range(20))] * 2})
    notices = TableEncoder().fit(frame.assign(size=range(160))).notices
    assert notices[1] == "column 'price': kept as text: 75% of its values are numbers, others are not ('lot 0')."
    codes = pd.DataFrame({"line": ["1", "2", "3", "4", "S"] * 9})
    assert TableEncoder().fit(codes).notices == []


def test_dates_written_as_numbers_are_read_from_numbers_too():
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y%m%d")
    encoder = TableEncoder().fit(pd.DataFrame({"day": days}))
    assert encoder.kinds == {"day": "date"}
    np.testing.assert_array_equal(
        encoder.transform(pd.DataFrame({"day": days.astype(int)})), encoder.transform(pd.DataFrame({"day": days}))
    )
    with pytest.raises(TableError, match="column 'day' held dates in training and holds int64 now"):
        encoder.transform(pd.DataFrame({"day": [20241399, 20240101]}))
