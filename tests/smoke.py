"""A walk of a minute through fastbp, for the versions of dependencies and of Python that CI tries beside its own.

    python -W error tests/smoke.py

needs the package's own dependencies and pyarrow, no pytest.  Each part asserts what it made.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numba
import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score

import fastbp


def rows(n=200):
    """Three columns, and a label and a number that depend on them."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    return x, (x[:, 0] > x[:, 1]).astype(int), x[:, 0] - 2 * x[:, 1] + np.abs(x[:, 2])


def train_and_keep(folder):
    """Dense layers: the bar, the same bits again, gradients, a file."""
    x, label, number = rows()

    def fitted():
        model = fastbp.Sequential([fastbp.Dense(16, "relu"), fastbp.Dropout(0.1), fastbp.Dense(2, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            model.fit(x, label, batch_size=16, epochs=30, validation_split=0.1)
        assert "val_loss" in told.getvalue()
        return model

    model = fitted()
    assert model.evaluate(x, label)[1] > 0.9
    assert model.params.tobytes() == fitted().params.tobytes()
    model.save(folder / "model")
    np.testing.assert_array_equal(fastbp.load_model(folder / "model").predict(x), model.predict(x))
    model = fastbp.Sequential([fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0, dtype="float64")
    model.compile(loss="mean_squared_error")
    assert fastbp.check_gradients(model, x[:9], number[:9]).max_relative_error < 1e-6


@numba.njit
def absolute_error(y_true, y_pred, dout):
    error = y_pred[0] - y_true[0]
    dout[0] = np.sign(error)
    return abs(error)


def write_a_loss():
    """A user's compiled function as the loss."""
    x, _, number = rows()
    model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    model.compile("sgd", fastbp.CustomLoss(absolute_error))
    before = model.evaluate(x, number)
    model.fit(x, number, epochs=3, verbose=0)
    assert model.evaluate(x, number) < before


def fit_estimators():
    """scikit-learn's tools around the estimators, with two of its solvers."""
    x, label, number = rows()
    classifier = fastbp.MLPClassifier((8,), learning_rate_init=0.02, max_iter=1000, random_state=0)
    assert cross_val_score(classifier, x, label, cv=2).min() > 0.85
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000, random_state=0)
    assert regressor.fit(x, number).score(x, number) > 0.95


def fit_tables(folder):
    """A frame of pandas with text and gaps, and the command line on a CSV and on Parquet."""
    x, label, _ = rows(120)
    frame = pd.DataFrame(x, columns=list("abc"))
    frame["text"] = np.where(label, "yes", "no")
    frame.loc[::7, "c"] = None
    frame["when"] = pd.date_range("2024-01-01", periods=len(frame))
    model = fastbp.TabularClassifier("fast", random_state=0).fit(frame, label)
    assert model.score(frame, label) > 0.95
    frame["label"] = label
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_parquet(folder / "table.parquet")
    run = [sys.executable, *(f"-W{action}" for action in sys.warnoptions), "-m", "fastbp"]
    train = [*run, "train", "table.csv", "--target", "label", "--preset", "fast", "--out", "table.fastbp"]
    for command in (train, [*run, "evaluate", "table.fastbp", "table.parquet"], [*run, "info"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert metadata.version("numba") in done.stdout


def main():
    # Relative imports of the folder that this stands in are not those of users.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
    print(
        "Python", sys.version.split()[0], *(f"{name} {metadata.version(name)}" for name in ("numba", "numpy", "pandas"))
    )
    with tempfile.TemporaryDirectory() as name:
        train_and_keep(Path(name))
        write_a_loss()
        fit_estimators()
        fit_tables(Path(name))
    print("all parts work")


if __name__ == "__main__":
    main()
