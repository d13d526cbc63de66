"""Groups stay together and validation is later: in the cuts, in `fit`, and in `cross_validate`."""

import datetime
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

import fastbp
from fastbp.tabular.errors import TableError
from fastbp.tabular.folds import Separation, cut, later_blocks, separation
from fastbp.tabular.recipe import PRESETS

N = 240


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    whole = dict(PRESETS)
    PRESETS["fast"] = replace(PRESETS["fast"], hidden=((16,),), n_frequencies=4, few_rows_networks=3, least_steps=60)
    yield
    PRESETS.update(whole)


@given(
    groups=st.lists(st.integers(0, 6), min_size=4, max_size=60).filter(lambda g: len(set(g)) > 1),
    n_folds=st.integers(2, 10),
    stratify=st.booleans(),
)
def test_no_group_is_on_both_sides(groups, n_folds, stratify):
    groups = np.array(groups)
    classes = np.arange(len(groups)) % 2
    pairs = cut(classes, n_folds, 7, 0, stratify, Separation(groups=groups))
    assert len(pairs) == 7
    for train, valid in pairs:
        assert len(train)
        assert len(valid)
        assert not set(groups[train]) & set(groups[valid])
        assert sorted([*train, *valid]) == list(range(len(groups)))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(lambda t: len(set(t)) > 1), st.integers(2, 10))
def test_validation_is_later(times, n_folds):
    times = np.array(times)
    for train, valid in later_blocks(Separation(times=times), n_folds):
        assert times[train].max() < times[valid].min()
    train, valid = cut(times, n_folds, 3, 0, False, Separation(times=times))[-1]
    assert len(train) + len(valid) == len(times)


def test_later_blocks_are_those_of_scikit_learn_where_times_differ():
    ours = later_blocks(separation(60, time=np.arange(60)), 6)
    theirs = list(TimeSeriesSplit(5).split(np.zeros(60)))
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_last_block_is_a_tenth():
    _, valid = cut(np.zeros(100), 10, 1, 0, False, separation(100, time=np.arange(100)[::-1]))[0]
    assert valid.tolist() == list(range(10))


@pytest.mark.parametrize(
    "values",
    [
        [3, 1, 2, 0],
        [0.4, 0.2, 0.3, 0.1],
        ["2024-03-01", "2024-01-31", "2024-02-28", "2023-12-31"],
        pd.to_datetime(["2024-03-01", "2024-01-31", "2024-02-28", "2023-12-31"]),
        pd.Series(pd.to_datetime(["2024-03-01", "2024-01-31", "2024-02-28", "2023-12-31"], utc=True)),
        np.array(["2024-03", "2024-01", "2024-02", "2023-12"], "M8[M]"),
        ["01.03.2024", "31.01.2024", "28.02.2024", "31.12.2023"],
        ["03/01/2024", "01/31/2024", "02/28/2024", "12/31/2023"],
        ["1 Mar 2024", "31 Jan 2024", "28 Feb 2024", "31 Dec 2023"],
        ["2024-03-01T00:00+02:00", "2024-03-01T00:30+05:00", "2024-03-01T00:00+03:00", "2024-02-29T00:00Z"],
        ["100", "20", "30", "3"],
        ["1.000,5", "20,5", "300", "3"],
        ["23:00", "9:30", "10:15", "0:05"],
        ["010", "002", "003", "001"],
        pd.Categorical(["01.03.2024", "31.01.2024", "28.02.2024", "31.12.2023"]),
        pl.Series(["01.03.2024", "31.01.2024", "28.02.2024", "31.12.2023"]),
        pd.PeriodIndex(["2024-03", "2024-01", "2024-02", "2023-12"], freq="M"),
        pd.to_timedelta([3, 1, 2, 0], "h"),
        np.array([3, 1, 2, 0]) + 2**60,
    ],
)
def test_times_of_every_type_are_ordered(values):
    assert separation(4, time=values).times.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": [1, 2]}, "groups has 2 values for 3 rows"),
        ({"groups": [1, None, 2]}, r"groups\[1\] is missing"),
        ({"time": [1.0, 2.0, np.nan]}, r"time\[2\] is missing"),
        ({"groups": ["a"] * 3}, "groups has one value only"),
        ({"time": [5] * 3}, "time has one value only"),
        ({"time": ["soon", "later", "now"]}, "time cannot be ordered: it holds 'soon'"),
        ({"time": [*map(str, range(10)), "?", "11"]}, r"time holds '\?' in row 11, which is no number"),
        ({"time": 3}, "time is 3: give one value for each row"),
        ({"groups": np.zeros((3, 1))}, r"groups is of the shape \(3, 1\)"),
    ],
)
def test_what_cannot_be_set_apart_is_an_error(settings, message):
    with pytest.raises(TableError, match=message):
        separation(12 if np.size(settings.get("time")) == 12 else 3, **settings)


def test_groups_that_reach_into_the_last_block_are_left_out_of_training():
    apart = Separation(np.array([0, 1, 0, 1, 2, 0]), np.arange(6))
    ((train, valid),) = cut(np.zeros(6), 3, 1, 0, False, apart)
    assert (train.tolist(), valid.tolist()) == ([1, 3], [4, 5])
    with pytest.raises(TableError, match="leave no row to train on"):
        cut(np.zeros(4), 2, 1, 0, False, Separation(np.array([0, 1, 0, 1]), np.arange(4)))


def patients():
    """Rows whose target is noise, the same for each patient, and a feature that names the patient."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(N // 4), 4)
    X = pd.DataFrame({"mark": rng.normal(size=N // 4)[patient], "noise": rng.normal(size=N)})
    return X, rng.normal(size=N // 4)[patient], patient


def test_scores_with_groups_hold_for_new_groups():
    X, y, patient = patients()
    known = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
    new = fastbp.TabularRegressor("fast", random_state=0).fit(X, y, groups=patient)
    # Nothing can be learnt about a new patient: the deviation of y is the best score.
    assert new.best_score_ > 0.9 * y.std() > known.best_score_
    assert new.ensemble_.repeats is None


@pytest.mark.filterwarnings("ignore:column 'day' is a whole number that rises")
@pytest.mark.parametrize("library", [pd, pl])
def test_groups_and_time_may_be_columns(library):
    X, y, patient = patients()
    day = np.arange(N)
    named = library.DataFrame({**{name: X[name].to_numpy() for name in X}, "patient": patient, "day": day})
    by_name = fastbp.TabularRegressor("fast", random_state=0).fit(named, y, groups="patient")
    assert list(by_name.feature_names_in_) == ["mark", "noise", "day"]
    by_array = fastbp.TabularRegressor("fast", random_state=0).fit(
        library.DataFrame({**{name: X[name].to_numpy() for name in X}, "day": day}), y, groups=patient
    )
    np.testing.assert_array_equal(by_name.predict(named), by_array.predict(named))
    with pytest.raises(TableError, match="there is no column 'patent'. Did you mean 'patient'"):
        fastbp.TabularRegressor("fast").fit(named, y, groups="patent")


def test_only_the_last_block_of_time_has_predictions_out_of_fold():
    X, y, _ = patients()
    day = np.random.default_rng(1).permutation(N)
    model = fastbp.TabularClassifier("fast", random_state=0).fit(X, y > 0, time=day)
    np.testing.assert_array_equal(np.isfinite(model.oof_proba_[:, 0]), day >= N * 9 // 10)


def test_eval_set_beside_groups_is_an_error():
    X, y, patient = patients()
    with pytest.raises(ValueError, match="give eval_set, or groups and time"):
        fastbp.TabularRegressor("fast").fit(X, y, groups=patient, eval_set=(X, y))


def test_cross_validate_makes_the_same_folds():
    X, y, patient = patients()
    scores = fastbp.cross_validate(LinearRegression(), X, y, groups=patient, cv=3)
    seen = set()
    for train, test in zip(scores["indices"]["train"], scores["indices"]["test"], strict=True):
        assert not set(patient[train]) & set(patient[test])
        seen |= set(test)
    assert len(seen) == N
    # As GroupKFold's: patients differ in nothing, so the parts are as even.
    sizes = [len(test) for _, test in GroupKFold(3, shuffle=True, random_state=0).split(X, y, patient)]
    assert sorted(map(len, scores["indices"]["test"])) == sorted(sizes)
    day = np.arange(N)
    later = fastbp.cross_validate(LinearRegression(), X, y, time=day, cv=9)["indices"]
    inside = cut(y, 10, 1, 0, False, separation(N, time=day))[0]
    np.testing.assert_array_equal(later["test"][-1], inside[1])
    np.testing.assert_array_equal(later["train"][-1], inside[0])
    classes = fastbp.cross_validate(DummyClassifier(), X, np.arange(N) % 2, cv=4)
    assert classes["test_score"].tolist() == [0.5] * 4
    with pytest.raises(ValueError, match="cv=1: the number of folds"):
        fastbp.cross_validate(LinearRegression(), X, y, cv=1)


def test_cross_validate_hands_groups_weights_and_times_on():
    class Spy(LinearRegression):
        def fit(self, X, y, sample_weight=None, groups=None):
            Spy.seen = (len(X), len(groups), sample_weight.sum())
            return super().fit(X, y, sample_weight)

    X, y, patient = patients()
    fastbp.cross_validate(Spy(), X, y, groups=patient, sample_weight=np.full(N, 2.0), cv=2)
    assert Spy.seen == (N // 2, N // 2, N)


def test_columns_by_name_and_text_make_the_folds_of_their_values():
    X, y, patient = patients()
    day = np.random.default_rng(2).permutation(N)
    written = (pd.Timestamp("2023-11-20") + pd.to_timedelta(day, "D")).strftime("%d.%m.%Y")
    named = X.assign(patient=[f"no. {i}" for i in patient], day=written)
    by_value = fastbp.cross_validate(LinearRegression(), X, y, groups=patient, cv=3)
    for table in (named.drop(columns="day"), named.drop(columns="day").to_dict("records")):
        by_name = fastbp.cross_validate(LinearRegression(), table, y, groups="patient", cv=3)
        np.testing.assert_array_equal(by_name["test_score"], by_value["test_score"])
    later = fastbp.cross_validate(LinearRegression(), X, y, time=day, cv=3)
    by_text = fastbp.cross_validate(LinearRegression(), X, y, time=written, cv=3)
    np.testing.assert_array_equal(by_text["test_score"], later["test_score"])
    model = fastbp.TabularRegressor("fast", random_state=0).fit(named, y, groups="patient", time="day")
    known = np.isfinite(model.oof_predictions_)
    np.testing.assert_array_equal(known, day >= N * 9 // 10)
    for argument in ("groups", "time"):
        with pytest.raises(TableError, match=f"{argument}: there is no column 'dai'. Did you mean 'day'"):
            fastbp.TabularRegressor("fast").fit(named, y, **{argument: "dai"})
        with pytest.raises(TableError, match=f"{argument}='day' names a column, but the columns of X have no names"):
            fastbp.TabularRegressor("fast").fit(X.to_numpy(), y, **{argument: "day"})


def test_text_that_does_not_tell_days_from_months_is_said():
    X, y, _ = patients()
    day = pd.Series(np.arange(N) % 12 + 1).astype(str)
    with pytest.warns(fastbp.TableWarning, match="^time: it does not tell days from months") as told:
        fastbp.cross_validate(LinearRegression(), X, y, time=day + "/" + day + "/2024", cv=2)
    assert [one.filename for one in told] == [__file__]


def test_a_warning_shows_the_line_of_the_user_whatever_was_called():
    X, y, _ = patients()
    odd = X.assign(city=np.where(X.noise > 0, "Rome", "Oslo"))
    new = odd.assign(city=["Bonn", *odd.city[1:]])
    classifier = fastbp.TabularClassifier("fast", random_state=0)
    with pytest.warns(fastbp.TableWarning, match="column 'same' is left out") as told:
        classifier.fit(odd.assign(same=1), y > 0)
    pipeline = make_pipeline(fastbp.TabularRegressor("fast", random_state=0)).fit(odd, y)
    calls = [
        lambda: classifier.predict(new),
        lambda: classifier.predict_proba(new),
        lambda: classifier.score(new, y > 0),
        lambda: pipeline.predict(new),
        lambda: pipeline.score(new, y),
        lambda: pipeline.fit(new.assign(same=1), y),
        lambda: cross_val_score(fastbp.TabularRegressor("fast", random_state=0), odd.assign(same=1), y, cv=2),
    ]
    assert [one.filename for one in told] == [__file__]
    for call in calls:
        with pytest.warns(fastbp.TableWarning) as told:
            call()
        assert {one.filename for one in told} == {__file__}
        assert len(told) == (2 if call is calls[-1] else 1)


def test_a_warning_that_is_an_error_comes_before_the_training():
    X, y, _ = patients()
    model = fastbp.TabularRegressor("fast", random_state=0)
    with pytest.raises(fastbp.TableWarning, match="column 'same' is left out"):
        model.fit(X.assign(same=1), y)
    assert not hasattr(model, "ensemble_")


def test_odd_rows_of_eval_set_are_told():
    X, y, _ = patients()
    known = X.assign(city=np.where(X.noise > 0, "Rome", "Oslo"))
    new = known.assign(city="Bonn")
    with pytest.warns(fastbp.TableWarning, match="^eval_set: column 'city': training did not see 'Bonn'"):
        fastbp.TabularRegressor("fast", random_state=0).fit(known, y, eval_set=(new, y))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (datetime.date(2024, 1, 31), r"date labels such as datetime.date\(2024, 1, 31\)"),
        (Decimal(7), r"Decimal labels such as Decimal\('7'\)"),
        (2**70, "int labels such as 1180591620717411303424"),
        (b"a", "bytes_? labels such as .*b'a'"),
    ],
)
def test_labels_that_are_no_classes_are_named(label, words):
    X = patients()[0]
    labels = np.array([label] * N, object)
    with pytest.raises(ValueError, match=f"y holds {words}.*: make them text"):
        fastbp.TabularClassifier("fast").fit(X, labels)


@pytest.mark.parametrize("argument", ["groups", "time"])
def test_rows_with_a_weight_that_cannot_be_set_apart_are_an_error(argument):
    X, y, _ = patients()
    weight = (np.arange(N) < 40).astype(float)
    with pytest.raises(TableError, match=f"{argument} has one value only in the rows that have a weight"):
        fastbp.TabularRegressor("fast").fit(X, y, sample_weight=weight, **{argument: 1 - weight})


def test_a_dict_of_one_row_is_told_how_to_be_a_table():
    with pytest.raises(TableError, match=r"holds one value for each column, not a list: write \[row\]"):
        fastbp.TabularRegressor("fast").fit({"mark": 1.0, "noise": 2.0}, [1.0])


def test_a_class_that_comes_too_late_to_be_learnt_is_said():
    X, y, _ = patients()
    with pytest.warns(fastbp.TableWarning, match="time: no row before those to validate by has the class 'new': no"):
        fastbp.TabularClassifier("fast", random_state=0).fit(
            X, np.where(np.arange(N) >= N - 9, "new", np.where(y > 0, "a", "b")), time=np.arange(N)
        )
