"""The command line on the data sets that scikit-learn bundles."""

import io
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import fastbp
from fastbp.commands import demo
from fastbp.commands.main import COMMANDS, main
from fastbp.compiler import library
from fastbp.tabular import estimator
from fastbp.tabular.reading import read_table

FAST = ["--preset", "fast"]


def value_of(output, name):
    """Return the numbers of a line "name  0.1  0.2" of a report."""
    line = re.search(rf"^{re.escape(name)} +(.*)$", output, re.MULTILINE)
    return [float(word) for word in line.group(1).split()]


def test_training_learns_and_reports(folder, tmp_path, capsys):
    out = tmp_path / "w.fastbp"
    assert main(["train", f"{folder}/wine.csv", "--target", "cultivar", "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert value_of(output, "accuracy")[0] > 0.9
    assert value_of(output, "rows") == [178]
    assert "classification of 'cultivar', 3 classes (the target is text)" in output
    assert out.exists()


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_evaluate_and_predict_tell_what_the_estimator_does(folder, tmp_path, capsys, name):
    target, data, path = demo.TARGETS[name][0], folder / f"{name}.csv", folder / f"{name}.fastbp"
    frame, model = read_table(data), fastbp.load_model(path)
    kind = fastbp.TabularClassifier if name == "wine" else fastbp.TabularRegressor
    same = kind("fast", random_state=0).fit(frame.drop(columns=target), frame[target])
    predicted = model.predict(frame)
    np.testing.assert_array_equal(predicted, same.predict(frame))

    some = frame.iloc[::3]
    some.to_csv(tmp_path / "some.csv", index=False)
    assert main(["evaluate", str(path), str(tmp_path / "some.csv")]) == 0
    evaluated = capsys.readouterr().out
    if name == "wine":
        p = model.predict_proba(some)
        expected = {
            "accuracy": model.score(some, some[target]),
            "log loss": metrics.log_loss(some[target], p),
            "ROC AUC": metrics.roc_auc_score(some[target], p, multi_class="ovr"),
            "Brier score": metrics.brier_score_loss(some[target], p),
        }
    else:
        expected = {
            "RMSE": metrics.root_mean_squared_error(some[target], predicted[::3]),
            "MAE": metrics.mean_absolute_error(some[target], predicted[::3]),
            "R2": model.score(some, some[target]),
        }
    for score, value in expected.items():
        assert value_of(evaluated, score) == [pytest.approx(value, abs=6e-5, rel=1e-5)]

    assert main(["predict", str(path), str(tmp_path / "some.csv"), "--out", str(tmp_path / "p.csv")]) == 0
    written = pd.read_csv(tmp_path / "p.csv")["prediction"].to_numpy()
    if name == "wine":
        np.testing.assert_array_equal(written, predicted[::3])
    else:
        np.testing.assert_allclose(written, predicted[::3], rtol=1e-8)


def test_training_reports_the_out_of_fold_scores(folder, capsys, tmp_path):
    words = ["train", f"{folder}/wine.csv", "--target", "cultivar", "--out", str(tmp_path / "m"), *FAST, "--seed", "5"]
    assert main(words) == 0
    output = capsys.readouterr().out
    frame = read_table(folder / "wine.csv")
    same = fastbp.TabularClassifier("fast", random_state=5).fit(frame.drop(columns="cultivar"), frame["cultivar"])
    known = ~np.isnan(same.oof_proba_).any(axis=1)
    assert value_of(output, "rows") == [known.sum()]
    assert value_of(output, "log loss") == [pytest.approx(same.best_score_, abs=6e-5)]
    assert output.index("out of fold") < output.index("accuracy")


def test_same_seed_same_file(folder, tmp_path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        words = ["train", f"{folder}/wine.csv", "--target", "cultivar", "--out", str(tmp_path / name), *FAST]
        assert main([*words, "--seed", seed, "--threads", "1" if name == "b" else "2"]) == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_time_limit_still_gives_a_model(folder, tmp_path, capsys):
    words = ["train", f"{folder}/diabetes.csv", "--target", "progression", "--out", str(tmp_path / "m")]
    assert main([*words, "--preset", "best", "--time-limit", "0.01"]) == 0
    assert value_of(capsys.readouterr().out, "rows")[0] < 442  # fewer networks than parts
    assert main(["evaluate", str(tmp_path / "m"), f"{folder}/diabetes.csv"]) == 0


def test_quantiles_fitted_in_python(folder, tmp_path, capsys):
    frame = read_table(folder / "diabetes.csv")
    y = frame.pop("progression")
    model = fastbp.TabularRegressor("fast", quantiles=[0.1, 0.9], random_state=0).fit(frame, y)
    model.save(tmp_path / "m")
    assert main(["evaluate", str(tmp_path / "m"), f"{folder}/diabetes.csv"]) == 0
    output, predicted = capsys.readouterr().out, model.predict(frame)
    for i, level in enumerate((0.1, 0.9)):
        loss = metrics.mean_pinball_loss(y, predicted[:, i], alpha=level)
        expected = [(y <= predicted[:, i]).mean(), loss]
        assert value_of(output, str(level)) == pytest.approx(expected, abs=6e-5, rel=1e-5)
    assert main(["predict", str(tmp_path / "m"), f"{folder}/diabetes.csv"]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(written.columns) == ["quantile_0.1", "quantile_0.9"]
    np.testing.assert_allclose(written.to_numpy(), predicted, rtol=1e-8)


def test_predict_writes_to_standard_output(folder, capsys):
    assert main(["predict", f"{folder}/wine.fastbp", f"{folder}/wine.csv", "--proba"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "prediction,proba_class_0,proba_class_1,proba_class_2"
    assert len(lines) == 179
    assert sum(map(float, lines[1].split(",")[1:])) == pytest.approx(1)


def test_evaluate_shows_a_confusion_matrix_with_names(folder, capsys):
    assert main(["evaluate", f"{folder}/wine.fastbp", f"{folder}/wine.csv"]) == 0
    output = capsys.readouterr().out
    matrix = [value_of(output[output.index("confusion matrix") :], f"class_{i}") for i in range(3)]
    assert np.sum(matrix) == 178
    assert np.trace(matrix) / 178 == pytest.approx(value_of(output, "accuracy")[0], abs=1e-4)
    precision, _, _, rows = value_of(output, "class_1")
    assert rows == 71
    assert precision == pytest.approx(matrix[1][1] / np.sum(matrix, axis=0)[1], abs=1e-4)


def test_evaluate_shows_how_reliable_probabilities_are(folder, capsys):
    assert main(["evaluate", f"{folder}/wine.fastbp", f"{folder}/wine.csv"]) == 0
    output = capsys.readouterr().out
    lines = output[output.index("reliability") : output.index("confusion matrix")].split("\n")[2:-2]
    rows, mean, right = np.array([[float(word) for word in line.split()[3:]] for line in lines]).T
    assert rows.sum() == 178
    assert (rows * right).sum() / 178 == pytest.approx(value_of(output, "accuracy")[0], abs=1e-4)
    error = (rows * np.abs(mean - right)).sum() / 178
    assert value_of(output, "calibration error") == [pytest.approx(error, abs=2e-4)]


def test_evaluate_rows_of_one_class(folder, csv, capsys):
    frame = read_table(folder / "wine.csv")
    assert main(["evaluate", f"{folder}/wine.fastbp", str(csv(frame[frame["cultivar"] == "class_1"]))]) == 0
    assert re.search(r"ROC AUC +n/a", capsys.readouterr().out)


def test_many_classes_get_a_list_of_confusions(csv, tmp_path, capsys):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 40, 400)
    data = csv(pd.DataFrame({"x": label + rng.normal(size=400), "label": [f"c{i}" for i in label]}))
    assert main(["train", str(data), "--target", "label", "--out", str(tmp_path / "m"), *FAST]) == 0
    assert main(["evaluate", str(tmp_path / "m"), str(data)]) == 0
    assert "most frequent confusions (40 classes" in capsys.readouterr().out


def test_mixed_columns_missing_values_and_unseen_categories(csv, tmp_path, capsys):
    rng = np.random.default_rng(1)
    n = 300
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "age": rng.integers(20, 60, n),
            "pet": rng.choice(["cat", "dog", "None"], n),
            "code": rng.choice(["1", "2", "x"], n),
            "id": [f"row {i}" for i in range(n)],
        }
    )
    frame["happy"] = np.where(frame["pet"] == "dog", "yes", "no")
    frame.loc[:4, "happy"] = None
    model = tmp_path / "m.fastbp"
    assert main(["train", str(csv(frame)), "--target", "happy", "--out", str(model), *FAST]) == 0
    output = capsys.readouterr().out
    assert "5 rows have no value in 'happy'" in output
    assert "'id' is left out" in output
    assert value_of(output, "accuracy")[0] > 0.9

    new = frame[["age", "pet", "size", "code"]].iloc[:4].copy()  # another order, no target, no id
    new["pet"] = ["cow", "dog", None, "None"]
    new["age"] = [None, 30, 40, 50]
    new["code"] = ["1", "2", "1", "2"]  # looks like numbers now
    assert main(["predict", str(model), str(csv(new))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'age': missing in 1 row (in none of training)" in line
    assert "(and 2 more such columns)" in line
    assert "--allow-unseen" in line
    assert main(["predict", str(model), str(csv(new)), "--allow-unseen"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 5
    assert captured.out.splitlines()[2] == "yes"
    assert len(captured.err.splitlines()) == 3
    assert "'cow'" in captured.err
    assert "median" in captured.err
    assert main(["evaluate", str(model), str(csv(frame))]) == 0


def test_demo_says_what_it_does_before_it_imports_for_a_second(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match="sklearn"):
        main(["demo", "wine", "--dir", str(tmp_path)])
    assert capsys.readouterr().out == "reading wine, which scikit-learn bundles\n"


def test_demo_prints_the_commands_it_runs(tmp_path, capsys):
    assert main(["demo", "wine", "--dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    commands = [line[len("$ fastbp ") :].split() for line in output.splitlines() if line.startswith("$ fastbp ")]
    assert [words[0] for words in commands] == ["train", "evaluate", "predict"]
    assert value_of(output, "accuracy")[0] > 0.9
    model, predictions = (tmp_path / "wine.fastbp"), (tmp_path / "wine_predictions.csv")
    before = model.read_bytes(), predictions.read_bytes()
    for words in commands:
        assert main(words) == 0
    assert before == (model.read_bytes(), predictions.read_bytes())


def test_info_and_warmup(capsys):
    assert main(["info"]) == 0
    output = capsys.readouterr().out
    for fact in ("fastbp", "numba", "CPU", "vector width", "threads", "cache folder"):
        assert re.search(rf"^{fact} ", output, re.MULTILINE)
    assert main(["warmup"]) == 0
    assert "ready after" in capsys.readouterr().out


def test_python_m_fastbp_is_the_command_line(tmp_path, capsys):
    def run(*words):
        return subprocess.run([sys.executable, "-m", "fastbp", *words], cwd=tmp_path, capture_output=True, text=True)

    told, mistake = run("--help"), run("predict", "no_model.fastbp", "table.csv")
    assert main(["--help"]) == 0
    assert (told.stdout, told.stderr, told.returncode) == (capsys.readouterr().out, "", 0)
    assert all(f"\n    {name} " in told.stdout for name in COMMANDS)
    assert (mistake.stdout, mistake.returncode) == ("", 2)
    assert mistake.stderr == "fastbp: model 'no_model.fastbp' does not exist.\n"


@pytest.mark.parametrize(
    ("words", "stream"), [(["table.csv"], "stdout"), (["-"], "stdout"), (["table.csv", "--json"], "stderr")]
)
def test_training_tells_what_it_reads_before_it_imports_what_reads_it(tmp_path, words, stream):
    """A process that lacks pandas ends where it would import it."""
    code = """import sys
sys.modules |= dict.fromkeys(["pandas", "sklearn", "narwhals"])
from fastbp.commands.main import main
main(["train", *sys.argv[1:], "--target", "y"])"""
    text = "x,y\n1,2\n" * 9
    (tmp_path / "table.csv").write_text(text)
    command = [sys.executable, "-c", code, *words]
    run = subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, text=True)
    name = "standard input" if words == ["-"] else "table.csv"
    assert getattr(run, stream).startswith(f"reading {name}\n")
    assert "ModuleNotFoundError: import of pandas halted" in run.stderr


def test_help_imports_nothing_heavy():
    code = """import sys, fastbp.commands.main
fastbp.commands.main.main(["--help"])
heavy = {"numpy", "numba", "pandas", "sklearn", "narwhals", "tqdm"} & set(sys.modules)
assert not heavy, heavy"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("there", [False, True], ids=["no file yet", "an older model"])
def test_ctrl_c_in_training_exits_with_130_and_replaces_no_model(there, folder, tmp_path, capsys, monkeypatch, ctrl_c):
    @contextmanager
    def interrupting(verbose):
        told = []

        def progress(share):
            if not told:
                os.kill(os.getpid(), signal.SIGINT)
            told.append(share)

        yield progress

    monkeypatch.setattr(estimator, "progress_bar", interrupting)
    out = tmp_path / "w.fastbp"
    if there:
        out.write_bytes(b"older")
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        code = main(["train", f"{folder}/wine.csv", "--target", "cultivar", "--out", str(out), "--preset", "best"])
    assert code == 130
    said = capsys.readouterr().err
    if there:
        assert out.read_bytes() == b"older"
        assert f"stopped by Ctrl-C. {out} is left as it was" in said
    else:
        n = len(fastbp.load_model(out).ensemble_.networks)
        assert f"stopped by Ctrl-C. {out} holds what was trained until then: networks: {n}." in said


LATER = """
import sys
from fastbp.commands.lazy_imports import import_later
import_later("scipy.stats")
import sklearn.base
assert "scipy.optimize" not in sys.modules  # which scipy.stats imports
from sklearn.utils.fixes import _mode
assert _mode([1, 2, 2]).mode == 2
import scipy, scipy.stats
from scipy.stats import norm
assert scipy.stats.norm.cdf(0) == norm.cdf(0) == 0.5
import scipy.stats.distributions
print(type(sys.modules["scipy.stats"]).__name__)
"""


def test_a_module_that_loads_later_is_the_real_one_when_it_is_used():
    run = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True)
    assert run.stdout == "module\n", run.stderr


@pytest.mark.parametrize(("argument", "told"), [("", "True True 100000"), ("['info']", "False True 700")])
def test_a_command_s_own_process_collects_garbage_seldom_and_not_at_its_end(argument, told):
    """A process that calls `main(["info"])` is left as it is."""
    code = f"""import atexit, gc, sys
gc.set_threshold(700, 10, 10)
atexit.register(lambda: print(gc.get_freeze_count() > 10_000, gc.isenabled(), gc.get_threshold()[0]))
sys.argv = ["fastbp", "info"]
from fastbp.commands.main import main
assert main({argument}) == 0
assert gc.get_freeze_count() == 0"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == told


def test_ten_rows_are_predicted_without_numba(folder, tmp_path):
    """Where the kernel library has the sources' kernels: pandas and what reads the model are enough."""
    if not library.is_up_to_date(library.library().file.index, "fastbp.layers.tables.periodic"):
        pytest.skip("first run python -m fastbp.compiler.build --level machine")
    pd.read_csv(folder / "wine.csv").head(10).to_csv(tmp_path / "ten.csv", index=False)
    code = """import sys
sys.argv = ["fastbp", "predict", *sys.argv[1:]]
from fastbp.commands.main import main
assert main() == 0
print(*({"numba", "scipy.optimize", "matplotlib"} & set(sys.modules)))"""
    command = [sys.executable, "-c", code, folder / "wine.fastbp", "ten.csv", "--out", "p.csv"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["wrote 10 predictions of 'cultivar' to p.csv", ""]
