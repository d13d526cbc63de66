"""The command line on tables as people have them: labels, dates, ids, odd values, options."""

import csv as csv_module
import inspect
import io
import json
import os
import sys

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.commands import train
from fastbp.commands.column_roles import roles_of
from fastbp.commands.main import main
from fastbp.tabular.errors import TableError

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.tabular.tablewarning.TableWarning")

QUICK = ["--preset", "fast", "--time-limit", "0.01"]


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its exit code, what it printed, and its lines on stderr."""

    def run_command(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.replace("\r", "\n").split("\n") if line and "%|" not in line]

    return run_command


def table_of(text):
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """Return the folder of a table with everything in it, its frame, and a model of it."""
    folder = tmp_path_factory.mktemp("rich")
    rng = np.random.default_rng(0)
    n = 60
    when = pd.date_range("2024-01-01", periods=n, freq="31h")
    frame = pd.DataFrame(
        {
            "row": [f"{i:06d}" for i in range(n)],
            "when": when.strftime("%d.%m.%Y %H:%M"),
            "price": [f"{x:.3f}".replace(".", ",") for x in rng.uniform(1, 9, n)],
            "took": [f"{i} days 01:00:00" for i in range(n)],
            "zip": [f"{i % 3:05d}" for i in range(n)],
            "junk": rng.normal(size=n).round(3),
            "weight": rng.uniform(0.5, 2, n).round(3),
            "y": when.hour + when.day_of_year / 10,
        }
    )
    frame.to_csv(folder / "t.csv", index=False, sep=";", decimal=",")
    words = ["train", folder / "t.csv", "--target", "y", "--out", folder / "m", "--id", "row", "--ignore", "junk"]
    assert main([*map(str, words), "--weights", "weight", *QUICK]) == 0
    return folder, frame


def test_train_prints_the_columns_and_their_types(rich, run, tmp_path):
    folder, _ = rich
    words = ["train", folder / "t.csv", "--target", "y", "--out", tmp_path / "m", "--id", "row", "--ignore", "junk"]
    code, out, err = run(*words, "--types", "took=category", *QUICK)
    assert code == 0
    types = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "category, id" in types["row"]
    assert "date" in types["when"]
    assert "2024-01-02 07:00:00" in types["when"]
    assert "number " in types["price"]
    assert "category " in types["took"]
    assert "number, ignored" in types["junk"]
    assert "number, target" in types["y"]
    assert err[0].endswith("numbers are read with decimal commas (if that is wrong, pass --decimal .).")
    assert "column 'zip': kept as text for its leading zeros ('00000')" in err[1]
    assert "column 'took' is left out: its values are different in nearly each row" in out


def test_info_of_a_model(rich, run):
    folder, _ = rich
    code, out, err = run("info", folder / "m")
    assert (code, err) == (0, [])
    for words in ("target        y", "regression", f"fastbp {fastbp.__version__}", "R2"):
        assert words in out
    code, out, _ = run("info", folder / "m", "--json")
    facts = json.loads(out)
    assert {"name": "when", "type": "date", "role": "feature"} in facts["columns"]
    assert {"name": "weight", "type": "number", "role": "weights"} in facts["columns"]
    assert facts["scores"]["rows"] > 0
    assert facts["trained with"] == f"fastbp {fastbp.__version__}"


def test_info_of_a_model_trained_in_python(run, tmp_path):
    frame = pd.DataFrame({"d": [f"{i % 28 + 1}.3.2024" for i in range(60)], "x": np.arange(60.0), "k": 1})
    model = fastbp.TabularClassifier("fast", time_limit=0.01, random_state=0)
    model.fit(frame, pd.Series(np.arange(60) % 2, name="y")).save(tmp_path / "m")
    code, out, _ = run("info", tmp_path / "m", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["classes"] == ["0", "1"]
    assert [row["type"] for row in facts["columns"]] == ["date", "number", "not used"]
    assert run("info", tmp_path / "m")[0] == 0


def test_predictions_of_few_rows_are_those_of_many(rich, run, tmp_path):
    folder, frame = rich
    code, out, err = run("predict", folder / "m", folder / "t.csv")
    assert (code, err) == (0, [])
    every = table_of(out)
    assert every["row"].tolist() == frame["row"].tolist()
    assert every.columns.tolist() == ["row", "prediction"]
    for rows in (slice(0, 1), slice(7, 9)):  # alone they tell neither days from months nor commas from points
        frame[rows].to_csv(tmp_path / "few.csv", index=False, sep=";", decimal=",")
        code, out, err = run("predict", folder / "m", tmp_path / "few.csv")
        assert (code, err) == (0, [])
        assert table_of(out).to_numpy().tolist() == every[rows].to_numpy().tolist()


def test_predict_of_standard_input_with_other_ids_as_json(rich, run, monkeypatch):
    folder, frame = rich
    content = (folder / "t.csv").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, _ = run("predict", folder / "m", "-", "--id", "zip", "--id", "row", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["zip"] for row in rows] == frame["zip"].tolist()
    assert list(rows[0]) == ["zip", "row", "prediction"]
    assert rows[0]["prediction"] == fastbp.load_model(folder / "m").predict(_typed(frame))[0]


def _typed(frame):
    return frame.assign(price=frame["price"].str.replace(",", ".").astype(float))


def test_a_model_of_a_file_takes_frames(rich):
    folder, frame = rich
    model = fastbp.load_model(folder / "m")
    typed = _typed(frame).assign(
        when=pd.to_datetime(frame["when"], format="%d.%m.%Y %H:%M"), took=pd.to_timedelta(frame["took"])
    )
    np.testing.assert_array_equal(model.predict(_typed(frame)), model.predict(typed))


def test_evaluate_as_json(rich, run):
    folder, frame = rich
    code, out, _ = run("evaluate", folder / "m", folder / "t.csv", "--json")
    assert code == 0
    predicted = fastbp.load_model(folder / "m").predict(_typed(frame))
    expected = np.sqrt(np.mean((predicted - frame["y"]) ** 2))
    assert json.loads(out)["RMSE"] == pytest.approx(expected, rel=1e-12)


def test_train_as_json(run, csv, tmp_path):
    text = "x,z,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(40)) + "Total: 40,,\n"
    code, out, _ = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", "--json", *QUICK)
    facts = json.loads(out)
    assert code == 0
    assert (facts["task"], facts["rows"], facts["dropped_rows"]) == ("classification", 40, 1)
    assert [row["type"] for row in facts["columns"]] == ["number", "number", "number"]
    assert 0 <= facts["scores"]["accuracy"] <= 1


LABELS = {
    "leading zeros": ["007", "012", "100"],
    "18 digits": ["761762492000000001", "761762492000000002", "761762492000000003"],
    "above 2**53": [str(2**60), str(2**60 + 1)],
    "above 2**64": [str(10**30), str(10**30 + 1)],
    "dates": ["31.12.2023", "01.01.2024", "15.06.2024"],
    "durations": ["1 days 02:00:00", "2 days 02:00:00"],
    "thousands": ["1,234", "5,678"],
    "text": ['say "hi"', "a,b", "two\nlines", " blank"],
    "fractions": ["0.50", "1.5"],
    "booleans": ["True", "False"],
    "numbers and a word": ["1", "2", "x"],
}


@pytest.mark.parametrize("case", LABELS)
@pytest.mark.parametrize("missing", [False, True])
def test_labels_stay_what_they_are(run, tmp_path, case, missing):
    labels = LABELS[case]
    rows = [[i, i % 5, labels[i % len(labels)]] for i in range(30)] + [[7, 1, "#N/A"]] * missing
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv_module.writer(file).writerows([["x", "z", "y"], *rows])
    words = ["train", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "m", "--task", "classification"]
    code, out, _ = run(*words, *QUICK)
    assert code == 0
    assert f"{len(labels)} classes" in out
    assert ("1 row has no value in 'y' and is left out" in out) == missing
    code, out, _ = run("predict", tmp_path / "m", tmp_path / "t.csv", "--proba", "--json")
    predicted = json.loads(out)
    assert code == 0
    assert len(predicted) == len(rows)
    assert {str(row["prediction"]) for row in predicted} <= set(labels)
    assert {name.removeprefix("proba_") for name in predicted[0]} - {"prediction"} == set(labels)
    code, out, _ = run("evaluate", tmp_path / "m", tmp_path / "t.csv", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 30
    right = np.mean([str(row["prediction"]) == label for row, (_, _, label) in zip(predicted, rows[:30], strict=False)])
    assert json.loads(out)["accuracy"] == pytest.approx(right)


def test_predictions_have_all_digits(run, csv, tmp_path):
    frame = pd.DataFrame({"x": np.arange(60.0), "y": 1e12 + 10 * np.arange(60.0)})
    assert run("train", csv(frame), "--target", "y", "--out", tmp_path / "m", *QUICK)[0] == 0
    written = table_of(run("predict", tmp_path / "m", csv(frame))[1])["prediction"]
    assert written.astype(float).tolist() == fastbp.load_model(tmp_path / "m").predict(frame).tolist()
    assert written.nunique() > 30


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"${i},000.5" for i in range(1, 41)], lambda i: 1000.5 + 1000 * i),
        ([f'"{i},25"' for i in range(40)], lambda i: i + 0.25),
        ([f"{i}.5%" for i in range(40)], lambda i: i + 0.5),
    ],
)
def test_quantities_in_any_dress(run, csv, tmp_path, values, expected):
    values = [value if value[0] == '"' else f'"{value}"' for value in values]
    path = csv("x,y\n" + "".join(f"{i}.5,{value}\n" for i, value in enumerate(values)))
    code, out, _ = run("train", path, "--target", "y", "--out", tmp_path / "m", *QUICK)
    assert code == 0
    assert "regression" in out
    code, out, _ = run("evaluate", tmp_path / "m", path, "--json")
    predicted = fastbp.load_model(tmp_path / "m").predict(pd.DataFrame({"x": np.arange(40) + 0.5}))
    truth = np.array([expected(i) for i in range(40)])
    assert json.loads(out)["MAE"] == pytest.approx(np.abs(predicted - truth).mean(), rel=1e-9)


def test_quantities_that_are_dates(run, csv, tmp_path):
    days = pd.date_range("2024-01-01", periods=40)
    path = csv(pd.DataFrame({"x": np.arange(40.0), "y": days.strftime("%d.%m.%Y")}))
    assert run("train", path, "--target", "y", "--task", "regression", "--out", tmp_path / "m", *QUICK)[0] == 0
    predicted = pd.to_datetime(table_of(run("predict", tmp_path / "m", path)[1])["prediction"])
    assert predicted.between(days[0], days[-1]).all()
    assert run("evaluate", tmp_path / "m", path)[0] == 0


def rows_of(y, n=40):
    return "x,z,y\n" + "".join(f"{i},{i % 7},{y(i)}\n" for i in range(n))


MISTAKES = {
    "odd target": (rows_of(lambda i: "n/a?" if i == 7 else i * 1.5), [], "'n/a?' in row 8, which is no number"),
    "odd target, dropped rows": (
        rows_of(lambda i: "" if i < 3 else "n/a?" if i == 7 else i * 1.5),
        ["--task", "regression"],
        "'n/a?' in row 8, which is no number",
    ),
    "infinite": (rows_of(lambda i: "inf" if i == 5 else i), [], "an infinite value in row 6"),
    "too large": (rows_of(lambda i: "1e300" if i == 5 else i), [], "1e+300, beyond 1e+150 in row 6"),
    "no end": (rows_of(float), ["--time-limit", "inf"], "inf is not a finite number"),
    "metric": (rows_of(lambda i: i * 1.5), ["--metric", "accuracy"], "the metrics of regression are rmse, mae"),
    "weights of a quantity": (rows_of(lambda i: i * 1.5), ["--class-weight", "balanced"], "has no classes"),
    "weights of classes": (rows_of(lambda i: i % 2), ["--class-weight", "7=2"], "the classes are 0, 1"),
    "quantiles": (rows_of(lambda i: i * 1.5), ["--quantiles", "0.9,0.1"], "--quantiles 0.9,0.1"),
    "quantiles of classes": (rows_of(lambda i: i % 2), ["--quantiles", "0.5"], "this target is classes"),
    "no such column": (
        rows_of(lambda i: i % 2),
        ["--ignore", "Z"],
        "there is no column 'Z'. Did you mean 'z'?",
    ),
    "nothing left": (rows_of(lambda i: i % 2), ["--ignore", "x", "--id", "z"], "no column is left"),
    "weight": (rows_of(lambda i: i % 2).replace("3,3,", "3,-3,"), ["--weights", "z"], "-3 in row 4 is no weight"),
    "group": (rows_of(lambda i: i % 2).replace("3,3,", "3,,"), ["--groups", "z"], "--groups z: row 4 has no value"),
    "the target's role": (rows_of(lambda i: i % 2), ["--id", "y"], "--id y: this is the target"),
    "types": (rows_of(lambda i: i % 2), ["--types", "z=colour"], "is not COL=TYPE"),
    "delimiter": (rows_of(lambda i: i % 2), ["--delimiter", "ab"], "is not one character"),
    "marks": (rows_of(lambda i: i % 2), ["--decimal", ",", "--thousands", ","], "are both ','"),
    "encoding": (rows_of(lambda i: i % 2), ["--encoding", "klingon"], "there is no such encoding"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_messages_name_the_culprit(run, csv, tmp_path, case):
    text, words, message = MISTAKES[case]
    code, _, err = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *words)
    assert code == 2
    assert len(err) == 1
    assert message in err[0]
    assert not (tmp_path / "m").exists()


def test_classes_of_evaluate(run, csv, tmp_path):
    path = csv(rows_of(lambda i: i % 2))
    assert run("train", path, "--target", "y", "--out", tmp_path / "m", *QUICK)[0] == 0
    assert run("evaluate", tmp_path / "m", csv(rows_of(lambda i: f"{i % 2}.0"), "floats.csv"))[0] == 0
    assert run("evaluate", tmp_path / "m", csv(rows_of(lambda i: i % 2 == 1), "booleans.csv"))[0] == 0
    bad = csv(rows_of(lambda i: "x" if i == 4 else i % 2), "odd.csv")
    code, _, err = run("evaluate", tmp_path / "m", bad)
    assert code == 2
    assert "holds 'x' in row 5, which training did not see; its classes are 0, 1." in err[-1]


def test_odd_values_are_told_when_predicting(run, csv, tmp_path):
    text = "x,z,y\n" + "".join(f"{i if i != 11 else 'n/a?'}.5,{i % 7},{i % 2}\n" for i in range(40))
    code, _, err = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *QUICK)
    assert (code, err) == (0, ["note: column 'x': 'n/a?.5' in row 12 is no number, taken as missing."])
    code, out, err = run("predict", tmp_path / "m", csv(text))
    assert (code, len(table_of(out))) == (0, 40)
    assert err == ["note: column 'x': 'n/a?.5' in row 12 is no number, taken as missing."]
    code, out, err = run("predict", tmp_path / "m", csv(text), "--na", "n/a?.5")
    assert (code, err) == (0, [])


def test_options_reach_the_estimator(run, csv, tmp_path):
    path = csv(rows_of(lambda i: i % 2))
    words = ["train", path, "--target", "y", "--out", tmp_path / "m", *QUICK]
    assert run(*words, "--metric", "roc_auc", "--class-weight", "0=2,1=0.5")[0] == 0
    model = fastbp.load_model(tmp_path / "m")
    assert (model.eval_metric, model.class_weight) == ("roc_auc", {0: 2.0, 1: 0.5})
    assert run(*words, "--task", "regression", "--quantiles", "0.1,0.9")[0] == 0
    assert list(fastbp.load_model(tmp_path / "m").quantiles) == [0.1, 0.9]


def test_weights_of_classes_that_look_like_numbers():
    frame = pd.DataFrame({"x": np.arange(40.0)})
    y = np.array(["001", "002"], object)[np.arange(40) % 2]
    model = fastbp.TabularClassifier("fast", class_weight={"001": 3.0, "002": 1.0}, time_limit=0.01).fit(frame, y)
    assert model.classes_.tolist() == ["001", "002"]


class Options:
    target, ignore, id, weights, groups, time = "y", ["a"], ["b"], "w", "g", "t"


def test_roles_of_columns():
    frame = pd.DataFrame(
        {"a": 1, "b": 2, "w": [1, 2.5], "g": ["u", "v"], "t": pd.to_datetime(["2024", "2025"]), "x": 3}
    )
    given = roles_of(frame, Options)
    assert given.features.columns.tolist() == ["t", "x"]
    assert given.of_fit["sample_weight"].tolist() == [1, 2.5]
    assert given.of_fit["groups"].tolist() == ["u", "v"]
    assert np.diff(given.of_fit["time"]).tolist() == [366 * 86400]
    assert given.roles == {"a": "ignored", "b": "id", "w": "weights", "g": "groups", "t": "time"}
    with pytest.raises(TableError, match="--time t: row 2 has no value"):
        roles_of(frame.assign(t=[1.0, None]), Options)


@pytest.mark.skipif("groups" not in inspect.signature(fastbp.TabularClassifier.fit).parameters, reason="comes later")
def test_groups_and_time(run, csv, tmp_path):
    for option in ("--groups", "--time"):
        words = ["train", csv(rows_of(lambda i: i % 2)), "--target", "y", "--out", tmp_path / "m", option, "z"]
        assert run(*words, *QUICK)[0] == 0


def test_output_files(run, csv, tmp_path):
    path = csv(rows_of(lambda i: i % 2))
    os.mkfifo(tmp_path / "pipe")
    for out in ("/dev/null", tmp_path / "pipe"):
        code, _, err = run("train", path, "--target", "y", "--out", out)
        assert code == 2
        assert len(err) == 1
        assert "device" in err[0] or "pipe" in err[0]
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert run("train", path, "--target", "y", "--out", tmp_path / "link", *QUICK)[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert run("info", tmp_path / "real")[0] == 0
    (tmp_path / "p").symlink_to(tmp_path / "predictions")
    assert run("predict", tmp_path / "real", path, "--out", tmp_path / "p")[0] == 0
    assert (tmp_path / "p").is_symlink()
    assert len(table_of((tmp_path / "predictions").read_text())) == 40


def test_version(run):
    assert run("--version") == (0, f"fastbp {fastbp.__version__}\n", [])


def test_train_saves_its_model_though_nobody_reads_on(run, csv, tmp_path, monkeypatch):
    """As of ``fastbp train ... | head -1``."""
    muted = []

    def broken(*words, **options):
        raise BrokenPipeError

    monkeypatch.setattr(train, "print", broken, raising=False)
    monkeypatch.setattr(train, "mute_output", lambda: muted.append(True))
    text = "x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40))
    assert run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *QUICK)[0] == 0
    assert muted
    assert fastbp.load_model(tmp_path / "m").classes_.tolist() == [0, 1]


def test_what_is_said_of_a_column_is_said_once(run, csv, tmp_path):
    text = "zip,x,y\n" + "".join(f"00{i % 3},{i}.5,{i % 2}\n" for i in range(40))
    _, out, err = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *QUICK)
    assert "\n".join([out, *err]).count("leading zeros") == 1


def test_json_to_standard_output_is_all_there_is(run, csv, tmp_path):
    text = "x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40))
    run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *QUICK)
    code, out, _ = run("predict", tmp_path / "m", csv(text), "--json", "--out", "-")
    assert code == 0
    assert len(json.loads(out)) == 40
    for command in ("train", "predict"):
        arguments = [csv(text), "--target", "y"] if command == "train" else [tmp_path / "m", csv(text)]
        assert run(command, *arguments, "--out", "")[0] == 2


def test_a_column_is_an_id_and_a_time_and_a_group(run, csv, tmp_path):
    days = [f"{i % 28 + 1:02d}.{i // 28 + 1:02d}.2024" for i in range(60)]
    text = "day,who,x,y\n" + "".join(f"{day},p{i // 3},{i % 7}.5,{i % 7}.25\n" for i, day in enumerate(days))
    ids = ["--id", "day", "--id", "who", "--time", "day", "--groups", "who"]
    code, out, _ = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", *ids, "--json", *QUICK)
    assert code == 0
    assert json.loads(out)["scores"]["rows"] == 6
    assert list(fastbp.load_model(tmp_path / "m").feature_names_in_) == ["x"]
    _, out, _ = run("predict", tmp_path / "m", csv(text))
    assert table_of(out)["day"].tolist() == days
    odd = text.replace("04.01.2024", "soon")
    code, _, err = run("train", csv(odd), "--target", "y", "--out", tmp_path / "n", "--time", "day", *QUICK)
    assert code == 2
    assert err == [
        "note: column 'day': 'soon' in row 4 is no date, taken as missing.",
        "fastbp: --time day: row 4 has no value in it.",
    ]
    code, _, err = run("train", csv(odd), "--target", "y", "--out", tmp_path / "n", *ids, *QUICK)
    assert (code, err) == (2, ["fastbp: --time day holds 'soon' in row 4, which is no date."])


def test_ids_do_not_hide_predictions(run, csv, tmp_path):
    text = "x,prediction,y\n" + "".join(f"{i}.5,a{i},{i % 2}\n" for i in range(40))
    code, _, err = run("train", csv(text), "--target", "y", "--out", tmp_path / "m", "--id", "prediction", *QUICK)
    assert (code, err[-1]) == (
        2,
        "fastbp: --id prediction: the predictions have a column of this name: rename it in the table.",
    )
    run("train", csv(text), "--target", "y", "--out", tmp_path / "m", "--ignore", "prediction", *QUICK)
    code, _, err = run("predict", tmp_path / "m", csv(text), "--id", "prediction", "--json")
    assert (code, err[-1][:24]) == (2, "fastbp: --id prediction:")


def test_odd_text_of_parquet_is_told_as_that_of_a_csv(run, tmp_path):
    frame = pd.DataFrame({"price": [*(f"${i}.5" for i in range(39)), "soon"], "y": [0, 1] * 20})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert run("train", tmp_path / "t.parquet", "--target", "y", "--out", tmp_path / "m", *QUICK)[0] == 0
    outs = [run("predict", tmp_path / "m", tmp_path / name) for name in ("t.parquet", "t.csv")]
    assert outs[0] == outs[1]
    assert (outs[0][0], outs[0][2]) == (0, ["note: column 'price': 'soon' in row 40 is no number, taken as missing."])
