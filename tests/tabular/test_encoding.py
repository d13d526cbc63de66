"""Encoding tables: the rules one by one."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fastbp.tabular import coders, scaling, vocabulary
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import text_of

N = 400


def encode(columns, **settings):
    encoder = TableEncoder()
    return encoder, encoder.fit_transform(pd.DataFrame(columns), **settings)


def column(encoder, matrix, name):
    return matrix[:, encoder.feature_names_out.index(name)]


def reference(x):
    """Scale and clip as the module's formula says, with NumPy's quantiles."""
    q25, median, q75 = np.quantile(x, [0.25, 0.5, 0.75])
    others = np.abs(x[x != median] - median)
    z = (x - median) / (q75 - q25 if q75 > q25 else np.sort(others)[(len(others) - 1) // 2])
    return z / np.sqrt(1 + (z / 3) ** 2)


def words(counts):
    """Return a shuffled list with so many rows of each word."""
    texts = np.repeat(list(counts), list(counts.values())).astype(object)
    return np.random.default_rng(0).permutation(texts).tolist()


class TestNumbers:
    @pytest.mark.parametrize("x", [np.arange(10.0) ** 3 * 3 + 7, np.r_[np.zeros(90), np.arange(10.0)]])
    def test_robust_scaling_and_smooth_clip(self, x):
        encoder, matrix = encode({"x": x})
        assert matrix.dtype == np.float32
        assert (encoder.n_numeric, encoder.n_plain, encoder.n_codes) == (1, 0, 0)
        np.testing.assert_allclose(matrix[:, 0], reference(x), rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["float64", "Int64", "Float32", "object", "Float64"])
    def test_missing_values_are_the_median_and_told(self, dtype):
        encoder, matrix = encode({"x": pd.Series([1, None, 0, 7, 3], dtype=dtype)})
        assert encoder.feature_names_out == ["x", "x (missing)"]
        assert (encoder.n_numeric, encoder.n_plain) == (1, 1)
        np.testing.assert_allclose(matrix[[0, 2, 3, 4], 0], reference(np.array([1.0, 0, 7, 3])), rtol=1e-6)
        assert matrix[1, 0] == 0
        np.testing.assert_allclose(matrix[:, 1], reference(np.array([0.0, 1, 0, 0, 0])), rtol=1e-6)

    def test_infinities_stand_at_the_ends_and_out_of_the_statistics(self):
        x = np.arange(9.0)
        encoder, matrix = encode({"x": np.r_[x, np.inf, -np.inf, np.nan]})
        np.testing.assert_allclose(matrix[:9, 0], reference(x), rtol=1e-6)
        np.testing.assert_array_equal(matrix[9:, 0], [3, -3, 0])
        assert encoder.transform(pd.DataFrame({"x": [1e300]}))[0, 0] == 3

    def test_columns_that_vary_by_an_infinity_alone(self):
        encoder, matrix = encode({"x": [5, np.inf, 5], "y": [np.inf, -np.inf, np.nan], "same": [np.inf] * 3})
        np.testing.assert_array_equal(matrix[:, :2], [[0, 3], [3, -3], [0, 0]])
        assert list(encoder.dropped) == ["same"]

    def test_huge_and_tiny_scales(self):
        huge, tiny = [-1.7e308, 1.7e308, 0.0, 1.0], [0.0, 5e-324, 0.0, 0.0]
        wide, far = [1e-300, 1.0, 1e300, 3.0], [2.0**60, 2.0**60 + 1024, 2.0**60 + 4096, 2.0**60 - 512]
        encoder, matrix = encode({"huge": huge, "tiny": tiny, "wide": wide, "far": far})
        assert encoder.n_numeric == 4
        assert np.isfinite(matrix).all()
        np.testing.assert_allclose(matrix[:, 0], reference(np.array(huge) / 1e308), rtol=1e-6, atol=1e-9)
        assert matrix[1, 1] > 0.9
        assert not matrix[[0, 2, 3], 1].any()
        np.testing.assert_allclose(matrix[:, 3], reference(np.array(far) - 2.0**60), rtol=1e-6, atol=1e-9)

    def test_a_float64_beyond_float32_keeps_its_place(self):
        x = np.array([1e39, 2e39, 3e39, 7e39])
        np.testing.assert_allclose(encode({"x": x})[1][:, 0], reference(x / 1e39), rtol=1e-6)

    def test_equal_quartiles_are_equal_exactly(self):
        for value in np.linspace(0.1, 1, 50):
            for n in (9, 10, 11, 12):
                assert scaling.robust_scale(np.r_[np.full(n, value), 5.0]) == (value, 5.0 - value)

    def test_opposite_ends_of_float64(self):
        assert scaling.robust_scale(np.r_[np.zeros(9), 1.7e308, -1.7e308]) == (0, 1.7e308)

    def test_counted_values_are_those_values(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            values, counts = rng.normal(size=4), rng.integers(0, 4, 4)
            counts[0] += 1
            counted = scaling.robust_scale_of_counts(values, counts)
            assert counted == scaling.robust_scale(np.repeat(values, counts))

    def test_a_sample_gives_the_quartiles_of_many_rows(self, monkeypatch):
        monkeypatch.setattr(scaling, "SAMPLE_ROWS", 5_000)
        x = np.sort(np.random.default_rng(0).normal(size=100_000))
        median, scale = scaling.robust_scale(x)
        assert (median, scale) != scaling.robust_scale(x[:5_000])
        np.testing.assert_allclose([median, scale], [0, 1.349], atol=0.02)
        assert scaling.robust_scale(x) == (median, scale)

    def test_a_rare_value_that_the_sample_misses_is_a_variation(self, monkeypatch):
        monkeypatch.setattr(scaling, "SAMPLE_ROWS", 10)
        x = np.zeros(10_000)
        x[1234] = 8
        assert scaling.robust_scale(x) == (0, 8)

    def test_one_value_and_missing_keeps_the_indicator(self):
        encoder, matrix = encode({"x": [5.0, None, 5.0]})
        assert encoder.feature_names_out == ["x (missing)"]
        assert (encoder.n_numeric, encoder.n_plain) == (0, 1)
        np.testing.assert_allclose(matrix[:, 0], reference(np.array([0.0, 1, 0])), rtol=1e-6)

    def test_words_that_are_numbers_will_do_at_prediction(self):
        encoder, matrix = encode({"n": [1, 2, 3, 5]})
        np.testing.assert_array_equal(
            encoder.transform(pd.DataFrame({"n": ["5", "NA", None]}))[:, 0], [matrix[3, 0], 0, 0]
        )
        with pytest.raises(TableError, match="held numbers in training and holds 'many' in row 2 now"):
            encoder.transform(pd.DataFrame({"n": ["1", "many"]}))
        with pytest.raises(TableError, match="'n' held numbers in training and holds datetime64"):
            encoder.transform(pd.DataFrame({"n": pd.to_datetime(["2020-01-01"])}))


class TestOneHot:
    def test_categories_as_in_the_recipe(self):
        texts = words({"a": 200, "b": 100, "c": 100})
        encoder, matrix = encode({"t": texts})
        assert encoder.feature_names_out == ["t=a", "t=b", "t=c"]
        assert (encoder.n_numeric, encoder.n_plain, encoder.n_codes) == (0, 3, 0)
        for j, word in enumerate("abc"):
            expected = reference((np.array(texts) == word).astype(float))
            np.testing.assert_allclose(matrix[:, j], expected, rtol=1e-6)

    def test_two_categories_are_one_column(self):
        encoder, matrix = encode({"t": ["yes", "no", None, "no", "no"]})
        assert encoder.feature_names_out == ["t=yes"]
        np.testing.assert_allclose(matrix[:, 0], reference(np.array([1.0, -1, 0, -1, -1])), rtol=1e-6)
        np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"t": ["new"]}))[0], matrix[2])

    def test_missing_is_no_category(self):
        encoder, matrix = encode({"t": ["a", "b", "c", None, "None", "a"]})
        assert encoder.feature_names_out == ["t=a", "t=None", "t=b", "t=c"]
        assert encoder.transform(pd.DataFrame({"t": [None]}))[0].tolist() == matrix[3].tolist()

    @pytest.mark.parametrize(("n_words", "n_plain"), [(8, 8), (9, 0)])
    def test_up_to_eight_categories(self, n_words, n_plain):
        encoder, _ = encode({"t": words({f"w{i}": 10 for i in range(n_words)})})
        assert encoder.n_plain == n_plain
        assert encoder.cardinalities == [n_words + 1] * (n_plain == 0)

    def test_booleans(self):
        encoder, matrix = encode({"x": pd.Series([True, False, None, False], dtype="boolean")})
        assert encoder.feature_names_out == ["x=True"]
        np.testing.assert_allclose(matrix[:, 0], reference(np.array([1.0, -1, 0, -1])), rtol=1e-6)
        for values in ([1, 0, None, 0], ["True", "False", None, "False"], ["1", "0", None, "0"], [1.0, 0.0, None, 0.0]):
            np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"x": values})), matrix)

    def test_one_value_and_missing(self):
        encoder, matrix = encode({"t": ["a", None, "a"]})
        assert encoder.feature_names_out == ["t=a"]
        np.testing.assert_allclose(matrix[:, 0], reference(np.array([1.0, 0, 1])), rtol=1e-6)


class TestCodes:
    COUNTS = {f"w{i:02}": 30 - i for i in range(10)}

    def test_most_frequent_first(self):
        texts = words(self.COUNTS)
        encoder, matrix = encode({"t": texts, "x": np.arange(len(texts))})
        assert encoder.feature_names_out == ["x", "t"]
        assert encoder.cardinalities == [11]
        assert encoder.notices == []
        np.testing.assert_array_equal(matrix[:, 1], [int(text[1:]) + 1 for text in texts])

    def test_equal_counts_go_by_text_whatever_the_order_of_rows(self):
        texts = words(dict.fromkeys("zyxwvutsrq", 5))
        matrix = encode({"t": texts})[1]
        np.testing.assert_array_equal(matrix[:, 0], [ord(text) - ord("q") + 1 for text in texts])
        np.testing.assert_array_equal(encode({"t": texts[::-1]})[1], matrix[::-1])

    def test_missing_and_unseen_are_zero(self):
        encoder, _ = encode({"t": [*words(self.COUNTS), None]})
        np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"t": [None, "new", "w00"]}))[:, 0], [0, 0, 1])

    def test_rare_and_unseen_ones_share_the_last_code(self):
        encoder, _ = encode({"t": words({**self.COUNTS, "r1": 1, "r2": 2})})
        assert encoder.cardinalities == [12]
        assert "10 most frequent" in encoder.notices[0]
        frame = pd.DataFrame({"t": ["r1", "r2", "new", None, "w09"]})
        np.testing.assert_array_equal(encoder.transform(frame, notices := [])[:, 0], [11, 11, 11, 0, 10])
        assert notices == ["column 't': missing in 1 row (in none of training); taken as none of its categories."]

    def test_few_frequent_ones_among_rare_ones_are_one_hot(self):
        encoder, _ = encode({"t": words({"a": 50, "b": 30, **{f"r{i}": 1 for i in range(20)}})})
        assert encoder.feature_names_out == ["t=a", "t=b", "t (rare)"]

    def test_the_vocabulary_ends(self, monkeypatch):
        monkeypatch.setattr(vocabulary.Vocabulary.fit.__func__, "__defaults__", (20,))
        encoder, _ = encode({"t": words({f"w{i:03}": 200 - i for i in range(100)})})
        assert encoder.cardinalities == [22]
        codes = encoder.transform(pd.DataFrame({"t": ["w019", "w020"]}))[:, 0]
        np.testing.assert_array_equal(codes, [20, 21])

    def test_columns_of_another_type_at_prediction(self):
        encoder, _ = encode({"t": words({str(i): 30 - i for i in range(10)})})
        frame = pd.DataFrame({"t": [1.0, np.nan, 2.0]})
        np.testing.assert_array_equal(encoder.transform(frame)[:, 0], [2, 0, 3])
        with pytest.raises(TableError, match="'t' held categories in training and holds datetime64"):
            encoder.transform(pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}))


class TestWhichNumbersAreCategories:
    FRAME = pd.DataFrame({"n": [0, 1, 2, 3] * 5, "flag": [0, 1] * 10, "half": [0.5, 1.0] * 10, "t": list("abcd") * 5})

    @pytest.mark.parametrize(
        ("chosen", "numeric"),
        [
            (None, ["n", "half"]),
            ("from_dtype", ["n", "flag", "half"]),
            (["n"], ["flag", "half"]),
            ([0, -2], ["flag"]),
            ([True, True, True, False], []),
            (np.array([False, False, True, False]), ["n", "flag"]),
            ([], ["n", "flag", "half"]),
        ],
    )
    def test_rule_and_choice(self, chosen, numeric):
        encoder, _ = encode(self.FRAME, categorical_features=chosen)
        assert encoder.feature_names_out[: encoder.n_numeric] == numeric

    def test_the_rule(self):
        assert coders.is_category(np.array([3.0, np.nan, 7, 3]))
        for numbers in ([1.0, 2, 3], [0.5, 1, 1], [1.0, np.inf], [4.0, 4, np.nan], [*[0.0] * 1500, *[1.0] * 9, 2]):
            assert not coders.is_category(np.array(numbers))

    def test_integers_beyond_floats_are_not_confused(self):
        numbers = [2**60 + i for i in range(10)] * 3
        for frame in (pd.DataFrame({"n": numbers}), pl.DataFrame({"n": numbers})):
            encoder = TableEncoder().fit(frame, categorical_features=["n"])
            assert encoder.cardinalities == [11]
            np.testing.assert_array_equal(encoder.transform(frame)[:10, 0], np.arange(1, 11))

    @pytest.mark.parametrize(
        "distinct", [[-(2**63), 2**63 - 1, 0], [0.5, 0.25, 1.75], [2**64 - 1, 0, 7], [-1e30, 1e30, np.inf]]
    )
    def test_any_numbers_can_be_categories(self, distinct):
        encoder, matrix = encode({"n": distinct * 4}, categorical_features=[True])
        assert encoder.n_plain == 3
        assert len(np.unique(matrix[:3], axis=0)) == 3
        assert set(encoder.feature_names_out) == {f"n={number}" for number in map(text_of, distinct)}

    def test_missing_numbers_are_no_category(self):
        encoder, x = TableEncoder(), np.array([[0.0], [1.0], [np.nan], [1.0]])
        np.testing.assert_array_equal(encoder.fit_transform(x)[2], encoder.transform(np.array([[np.nan]]))[0])
        assert encoder.feature_names_out == ["x0=1"]

    def test_a_number_of_two_values_stays_a_number(self):
        encoder = TableEncoder()
        zero, one, *_ = encoder.fit_transform(np.array([[2.0], [5.0], [5.0], [2.0]]))[:, 0]
        found = encoder.transform(np.array([[2.0], [3.5], [5.0], [5.3], [-np.inf], [1e9]]), notices := [])[:, 0]
        np.testing.assert_allclose(found, [zero, (zero + one) / 2, one, one + (one - zero) / 10, -3, 3], rtol=1e-6)
        assert "training did not see" in notices[0]
        assert "taken as numbers all the same, in 4 of 6 rows" in notices[0]

    def test_a_float32_is_the_category_that_its_float64_is(self):
        single, double = (pd.DataFrame({"a": np.array([1.1, 2.7, 3.3] * 3, dtype)}) for dtype in ("f4", "f8"))
        for train in (single, double, single.astype("f8")):
            encoder = TableEncoder().fit(train, categorical_features=["a"])
            expected = encoder.transform(train, notices := [])
            for other in (single, double, single.astype("f8")):
                np.testing.assert_array_equal(encoder.transform(other, notices), expected)
            assert notices == []

    def test_blanks_around_all_categories_are_told(self):
        encoder = TableEncoder().fit(pd.DataFrame({"pet": ["cat", "dog", "cow"] * 3}))
        encoder.transform(pd.DataFrame({"pet": [" cat", " dog"]}), notices := [])
        assert notices == [
            "column 'pet': training did not see ' cat', ' dog'; taken as none of its categories, in 2 of 2 rows. "
            "Training saw them without the blanks around them: strip the column."
        ]

    def test_categories_found_again_in_floats(self):
        encoder, matrix = encode({"n": list(range(10)) * 3}, categorical_features=["n"])
        floats = pd.DataFrame({"n": [*map(float, range(10)), np.nan]})
        np.testing.assert_array_equal(encoder.transform(floats)[:, 0], [*matrix[:10, 0], 0])

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ("n", "categorical_features='n'"),
            (["N"], "no column 'N'. Did you mean 'n'?"),
            ([9], "position 9; there are 4 columns"),
            ([True, False], "2 entries for 4 columns"),
            (7, "categorical_features=7"),
        ],
    )
    def test_wrong_choices(self, chosen, message):
        with pytest.raises(TableError) as error:
            TableEncoder().fit(self.FRAME, categorical_features=chosen)
        assert message in str(error.value)

    def test_dates_are_no_categories(self):
        with pytest.raises(TableError, match="'d', which holds dates"):
            encode({"d": pd.to_datetime(["2020-01-01", "2020-01-02"])}, categorical_features=["d"])


class TestDates:
    def test_parts_that_tell_more_than_the_time(self):
        def parts(hours, n=100):
            start = datetime.datetime(2021, 1, 31)
            encoder, _ = encode({"d": [start + datetime.timedelta(hours=hours * i) for i in range(n)]})
            return [name[3:-1] for name in encoder.feature_names_out]

        assert parts(0.1) == ["time"]  # 10 hours
        assert parts(0.5) == ["time", "hour"]  # two days
        assert parts(3) == ["time", "weekday", "hour"]  # 12 days
        assert parts(24) == ["time", "day of month", "weekday"]  # 100 days, always at midnight
        assert parts(99) == ["time", "day of year", "day of month", "weekday", "hour"]
        assert parts(24 * 7 * 10) == ["time", "day of year", "day of month"]  # always on Sundays

    def test_values(self):
        days = pd.date_range("2020-02-27 06:00", "2022-03-02 06:00", freq="1D").to_series()
        encoder, matrix = encode({"d": days})
        expected = {
            "time": np.arange(len(days)),
            "day of year": days.dt.day_of_year,
            "day of month": days.dt.day,
            "weekday": days.dt.day_of_week,
        }
        for name, values in expected.items():
            np.testing.assert_allclose(
                column(encoder, matrix, f"d ({name})"), reference(np.asarray(values, float)), rtol=1e-5, atol=1e-6
            )

    def test_missing_dates(self):
        days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(30)]
        encoder, matrix = encode({"d": [*days, None]})
        assert encoder.feature_names_out == ["d (time)", "d (weekday)", "d (missing)"]
        assert matrix[30, :2].tolist() == [0, 0]
        assert matrix[30, 2] > matrix[0, 2]
        empty = encoder.transform(pd.DataFrame({"d": [np.nan, None]}))
        np.testing.assert_array_equal(empty, matrix[[30, 30]])

    def test_a_missing_date_that_training_had_not(self):
        encoder, _ = encode({"d": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-09"])})
        encoder.transform(pd.DataFrame({"d": pd.to_datetime([None])}), notices := [])
        assert "taken as the median 2020-01-03" in notices[0]

    def test_time_zones(self):
        utc = pd.date_range("2021-01-01", "2021-12-31", freq="5h", tz="UTC").to_series(name="d").reset_index(drop=True)
        berlin = utc.dt.tz_convert("Europe/Berlin")
        there, here = encode({"d": utc})[1], encode({"d": berlin})
        np.testing.assert_array_equal(there[:, 0], here[1][:, 0])
        hours = berlin.dt.hour.to_numpy().astype(float)
        np.testing.assert_allclose(column(*here, "d (hour)"), reference(hours), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(here[0].transform(utc.to_frame()), here[1])  # converted
        with pytest.raises(TableError, match="times of the zone Europe/Berlin in training and holds times without"):
            here[0].transform(utc.dt.tz_localize(None).to_frame())

    def test_another_type_at_prediction(self):
        encoder, _ = encode({"d": pd.to_datetime(["2020-01-01", "2020-01-03"])})
        with pytest.raises(TableError, match="'d' held dates in training and holds int64 now"):
            encoder.transform(pd.DataFrame({"d": [3]}))
        with pytest.raises(TableError, match="held dates"):
            encoder.transform(np.array([[3.0]]))

    def test_durations_and_times_of_day_are_seconds(self):
        seconds = np.arange(1, 60) ** 2
        start = datetime.datetime(2020, 1, 1)
        times = [start + datetime.timedelta(seconds=int(s)) for s in seconds]
        encoder, matrix = encode({"d": [time - start for time in times], "t": [time.time() for time in times]})
        assert encoder.n_numeric == 2
        np.testing.assert_allclose(matrix[:, 0], reference(seconds.astype(float)), rtol=1e-6)
        np.testing.assert_array_equal(matrix[:, 0], matrix[:, 1])


class TestWhatIsLeftOut:
    def test_reasons(self):
        encoder, _ = encode(
            {
                "name": [f"person {i}" for i in range(N)],
                "nearly": [f"person {i // 2 if i < 30 else i}" for i in range(N)],
                "pairs": [f"person {i // 2}" for i in range(N)],
                "same": [3] * N,
                "same text": ["a"] * N,
                "same day": [datetime.date(2020, 1, 1)] * N,
                "empty": [None] * N,
                "no numbers": [np.nan] * N,
                "lists": [[1]] * N,
                "x": np.arange(N),
            }
        )
        assert encoder.columns == ["x"]
        reasons = encoder.dropped
        assert "different in nearly each row" in reasons["name"]
        assert "different in nearly each row" in reasons["nearly"]
        assert "3 rows or more" in reasons["pairs"]
        assert [reasons[name] for name in ("same", "same text", "same day")] == ["it has one value only"] * 3
        assert [reasons[name] for name in ("empty", "no numbers")] == ["it is empty"] * 2
        assert "neither text nor numbers" in reasons["lists"]
        assert encoder.notices[-1].startswith("column 'lists' is left out: ")

    def test_nothing_left_is_an_error(self):
        with pytest.raises(TableError, match="no column is left.*'a' is left out.*'b' is left out"):
            encode({"a": [1, 1], "b": ["x", "x"]})

    def test_an_encoder_keeps_its_rules_when_another_fit_fails(self):
        encoder, matrix = encode({"x": [1.0, 2.0, 4.0]})
        for wrong in (pd.DataFrame({"y": [1, 1]}), pd.DataFrame({"y": []}), "no table"):
            with pytest.raises(TableError):
                encoder.fit(wrong)
        np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"x": [1.0, 2.0, 4.0]})), matrix)

    def test_an_encoder_that_is_not_fitted(self):
        with pytest.raises(TableError, match="call fit first"):
            TableEncoder().transform(pd.DataFrame({"x": [1.0]}))


class TestNames:
    def test_columns_are_found_by_name(self):
        encoder, matrix = encode({"age": [1.0, 2.0, 4.0], "size": [3.0, 1.0, 2.0], "same": [1, 1, 1]})
        shuffled = pd.DataFrame({"extra": ["?"] * 3, "size": [3.0, 1.0, 2.0], "age": [1.0, 2.0, 4.0]})
        np.testing.assert_array_equal(encoder.transform(shuffled), matrix)
        with pytest.raises(TableError, match=r"'size' is missing.*Did you mean 'Size'\?"):
            encoder.transform(shuffled.rename(columns={"size": "Size"}))
        with pytest.raises(TableError, match="and 1 more"):
            encoder.transform(shuffled[["extra"]])

    def test_any_names(self):
        frame = pd.DataFrame(np.arange(12.0).reshape(3, 4) ** 2, columns=[1, (2, "b"), None, "x"])
        encoder = TableEncoder().fit(frame)
        assert encoder.feature_names_out == ["1", "(2, 'b')", "None", "x"]
        np.testing.assert_array_equal(encoder.transform(frame[frame.columns[::-1]]), encoder.transform(frame))

    @pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
    def test_two_columns_of_one_name(self, names):
        with pytest.raises(TableError, match=names[1]):
            TableEncoder().fit(pd.DataFrame([[1, 2], [3, 4]], columns=names))

    def test_arrays_go_by_position(self):
        x = np.random.default_rng(0).normal(size=(20, 3))
        encoder = TableEncoder().fit(x)
        assert encoder.feature_names_out == ["x0", "x1", "x2"]
        frame = pd.DataFrame(x, columns=["a", "b", "c"])
        np.testing.assert_array_equal(encoder.transform(frame), encoder.transform(x))
        np.testing.assert_array_equal(TableEncoder().fit(frame).transform(x), encoder.transform(x))
        with pytest.raises(TableError, match="X has 2 features, but TableEncoder is expecting 3 features as input"):
            encoder.transform(x[:, :2])
        with pytest.raises(TableError, match="X has 2 features"):
            encoder.transform(frame[["a", "b"]])


class TestSurprises:
    def test_unseen_categories_and_unexpected_missing_values_are_told(self):
        encoder, _ = encode({"pet": ["cat", "dog", "cat"], "x": [1.0, 2.0, 6.0]})
        frame = pd.DataFrame({"pet": ["cow", None, "dog"], "x": [None, 2.0, 6.0]})
        matrix = encoder.transform(frame, notices := [])
        assert matrix[0, 1] == matrix[1, 1]
        assert matrix[0, 0] == matrix[1, 0]
        assert len(notices) == 3
        assert any("'cow'" in line for line in notices)
        assert any("median 2" in line for line in notices)

    def test_unused_categories_are_none(self):
        encoder, _ = encode({"t": pd.Categorical(["a", "b", "a"], categories=["a", "b", "c"])})
        assert encoder.feature_names_out == ["t=b"]
        encoder.transform(pd.DataFrame({"t": pd.Categorical(["a"], categories=["z", "a"])}), notices := [])
        assert notices == []


def test_a_file_may_write_scales_as_whole_numbers_of_any_size():
    encoder = TableEncoder().fit(np.arange(30.0).reshape(10, 3) ** 2)
    tensors, description = encoder.get_state()
    description["coders"][1]["settings"]["scales"] = [[2**70, 2**65]]
    found = TableEncoder.from_state(tensors, description).transform(np.arange(3.0)[None])
    assert np.isfinite(found).all()
    assert found[0, 1] == np.float32(-32 / np.sqrt(1 + (32 / 3) ** 2))
