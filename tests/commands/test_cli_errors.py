"""The command line: one line on stderr and exit code 2 for each mistake."""

import pytest

from fastbp.commands.main import main
from fastbp.tabular.reading import read_table


@pytest.fixture
def fails(capsys):
    """Return a function that checks that a command fails with one line on stderr, and returns the line."""

    def run(*words):
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("fastbp")
        return lines[0]

    return run


def test_demo_leaves_a_users_file_alone(tmp_path, fails):
    (tmp_path / "wine.csv").write_text("mine")
    assert "exists and is another file" in fails("demo", "wine", "--dir", tmp_path)
    assert (tmp_path / "wine.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required"),
        (["trian"], "invalid choice"),
        (["train", "x.csv"], "--target"),
        (["train", "x.csv", "--target", "y", "--preset", "slow"], "invalid choice"),
        (["train", "x.csv", "--target", "y", "--time-limit", "0"], "above 0"),
        (["train", "x.csv", "--target", "y", "--time-limit", "nan"], "above 0"),
        (["train", "x.csv", "--target", "y", "--time-limit", "long"], "'long' is not a number"),
        (["train", "x.csv", "--target", "y", "--seed", "-1"], "at least 0"),
        (["train", "x.csv", "--target", "y", "--threads", "1.5"], "'1.5' is not a whole number"),
        (["train", "no_such_file.csv", "--target", "y"], "there is no file"),
        (["train", "no_such_file.csv", "--target", "y", "--out", "no_such_folder/m"], "no folder 'no_such_folder'"),
        (["predict", "no_such_model", "x.csv"], "does not exist"),
        (["demo", "titanic"], "invalid choice"),
        (["demo", "--dir", "no_such_folder"], "no such folder"),
    ],
)
def test_wrong_words(fails, words, message):
    assert message in fails(*words)


ROWS = "".join(f"{i},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
BAD_TABLES = {
    "wrong target": (f"x,z,Y\n{ROWS}", "Did you mean 'Y'?"),
    "empty": ("", "is empty"),
    "header only": ("x,z,y\n", "no rows"),
    "constant target": ("x,y\n" + "".join(f"{i},1\n" for i in range(20)), "one value only"),
    "empty target": ("x,y\n" + "".join(f"{i},\n" for i in range(20)), "'y' is empty"),
    "only the target": ("y\n" + "a\nb\n" * 10, "no column beside"),
    "too few rows": ("x,y\n1,a\n2,b\n3,a\n", "too few rows: 3"),
    "too many classes": ("x,y\n" + "".join(f"{i % 7},name {i}\n" for i in range(20)), "too many to be classes"),
    "nothing to learn from": ("x,y\n" + "7,a\n7,b\n" * 10, "no column is left"),
    "infinite target": ("x,y\n" + "".join(f"{i},{i}.5\n" for i in range(20)) + "1,inf\n", "infinite"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_cannot_be_learnt(csv, fails, tmp_path, case):
    text, message = BAD_TABLES[case]
    assert message in fails("train", csv(text), "--target", "y", "--out", tmp_path / "m", "--seed", 1)
    assert not (tmp_path / "m").exists()


def test_text_target_forced_to_regression(csv, fails, tmp_path):
    line = fails("train", csv(f"x,z,y\n{ROWS}"), "--target", "y", "--task", "regression", "--out", tmp_path / "m")
    assert "regression needs numbers" in line


def test_output_over_an_input(folder, csv, fails):
    table = csv("x,y\n1,2\n")
    assert "would overwrite" in fails("train", table, "--target", "y", "--out", table)
    model = folder / "wine.fastbp"
    assert "would overwrite" in fails("predict", model, folder / "wine.csv", "--out", model)
    assert "is a folder" in fails("predict", model, folder / "wine.csv", "--out", folder)


def test_wrong_model_files(folder, csv, fails):
    data = folder / "wine.csv"
    assert "Did you mean 'wine.fastbp'?" in fails("predict", folder / "vine.fastbp", data)
    fails("predict", data, data)
    whole = (folder / "wine.fastbp").read_bytes()
    truncated = folder / "truncated.fastbp"
    truncated.write_bytes(whole[: len(whole) // 2])
    fails("evaluate", truncated, data)
    assert "is a folder" in fails("predict", folder, data)


def test_a_model_without_a_table(tmp_path, csv, fails):
    import fastbp

    fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0).save(tmp_path / "plain.fastbp")
    line = fails("predict", tmp_path / "plain.fastbp", csv("a,b\n1,2\n"))
    assert "without its table's encoding" in line


def test_a_model_without_the_name_of_its_target(tmp_path, csv, fails):
    import numpy as np

    import fastbp

    x = np.random.default_rng(0).normal(size=(60, 2))
    fastbp.TabularRegressor("fast").fit(x, x[:, 0]).save(tmp_path / "m")
    assert "does not know its target's name" in fails("evaluate", tmp_path / "m", csv("a,b\n1,2\n"))


def test_tables_that_do_not_fit_the_model(folder, csv, fails):
    model, frame = folder / "wine.fastbp", read_table(folder / "wine.csv")
    renamed = csv(frame.rename(columns={"alcohol": "Alcohol"}), "renamed.csv")
    assert "'alcohol' is missing. Did you mean 'Alcohol'?" in fails("predict", model, renamed)
    words = csv(frame.astype({"hue": object}).assign(hue="green"), "words.csv")
    assert "'hue' held numbers in training and holds 'green'" in fails("predict", model, words)
    assert "no column 'cultivar'" in fails("evaluate", model, csv(frame.drop(columns="cultivar"), "no target.csv"))
    assert "which training did not see" in fails("evaluate", model, csv(frame.assign(cultivar="class_9"), "new.csv"))
    assert "no probabilities" in fails("predict", folder / "diabetes.fastbp", folder / "diabetes.csv", "--proba")
