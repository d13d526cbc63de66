"""One model file of each kind, and what the models predict: `python tests/io/model_files.py tests/data/models/VERSION`.

They are written once, by the release of the version, and never again: `test_model_files.py` reads them with the code of
today.  The networks are tiny, so that a folder takes 100 kB.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import fastbp
from fastbp.tabular import recipe

SMALL = {"folds": 2, "networks": 2, "few_rows_networks": 2, "hidden": ((8, 8),), "epochs": 4, "least_steps": 20}


def networks():
    """Return by name a trained `Sequential`, and rows (n, ...) to predict."""
    rng = np.random.default_rng(0)
    normed = [fastbp.Dense(8, "relu"), fastbp.BatchNormalization(), fastbp.Dropout(0.2), fastbp.Dense(3, "softmax")]
    image = [fastbp.Conv2D(4, 3, activation="relu"), fastbp.MaxPooling2D(2), fastbp.Flatten()]
    sequence = [fastbp.Embedding(10, 4), fastbp.LSTM(4, return_sequences=True), fastbp.GRU(4)]
    cases = {
        "normed": (normed, rng.normal(size=(40, 4))),
        "image": ([*image, fastbp.Dense(3, "softmax")], rng.normal(size=(40, 8, 8, 2))),
        "sequence": ([*sequence, fastbp.Dense(3, "softmax")], rng.integers(0, 10, size=(40, 6))),
    }
    for name, (layers, x) in cases.items():
        model = fastbp.Sequential(layers, input_shape=x.shape[1:], seed=0)
        model.compile(fastbp.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, np.arange(40) % 3, epochs=2, verbose=0)
        yield name, model, np.round(x[:3], 3)


def estimators():
    """Return by name a trained estimator, and rows to predict."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(80, 3)), 3)
    word = np.where(x[:, 0] > 0, "yes", "no")
    yield (
        "mlp_classifier",
        fastbp.MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=0).fit(x, word),
        x[:3],
    )
    yield (
        "mlp_regressor",
        fastbp.MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0).fit(x, x[:, 0]),
        x[:3],
    )
    table = pd.DataFrame({"size": x[:, 0], "town": rng.choice(["Oslo", "Rome", None], 80)})
    table["day"] = pd.date_range("2026-01-01", periods=80).strftime("%Y-%m-%d")
    table.loc[5, "size"] = None
    both = pd.DataFrame({"number": x[:, 1], "word": word})
    for name, kind, y in (
        ("tabular_classifier", fastbp.TabularClassifier, word),
        ("tabular_regressor", fastbp.TabularRegressor, x[:, 1]),
        ("tabular_multitask", fastbp.TabularMultiTask, both),
    ):
        yield name, kind("fast", random_state=0).fit(table, y), table[3:8]


def predictions(model, rows):
    """Return what a model says of rows, as lists."""
    said = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    if isinstance(said, list):  # several targets: None where a quantity has no classes
        return [part if part is None else np.asarray(part).tolist() for part in said]
    return np.asarray(said).tolist()


def write(folder):
    """Write the files and `predictions.json` into a new folder."""
    folder.mkdir(parents=True)
    recipe.PRESETS["fast"] = replace(recipe.PRESETS["fast"], **SMALL)
    told = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model, rows in [*networks(), *estimators()]:
            model.save(folder / f"{name}.fastbp")
            is_table = isinstance(rows, pd.DataFrame)
            # None where a value is missing.
            held = rows.astype(object).where(rows.notna(), None).to_dict("list") if is_table else rows.tolist()
            told[name] = {"rows": held, "predictions": predictions(model, rows)}
    next(networks())[1].save_weights(folder / "weights.safetensors")
    (folder / "predictions.json").write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
