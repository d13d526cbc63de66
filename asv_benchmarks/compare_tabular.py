"""Compare learners on a folder of tables: loss, score, fit and prediction times, ranks and wins.

    FASTBP_DATA=folder python asv_benchmarks/compare_tabular.py [--learners fastbp,lgbm] [--splits 2] [--only adult]
        [--results results.jsonl] [--reference lgbm] [--threads 2]

The folder has an index.json beside its CSV files.  Results are appended to a file, a line a fit, and fits that stand
there already are not repeated: a table of several learners may be collected over days.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path


def main():
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--learners", default="fastbp-fast,fastbp,lgbm,xgb,skmlp")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--results", type=Path, default=Path("tabular_results.jsonl"))
    parser.add_argument("--reference", default="lgbm")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(options.threads)

    from tabular import learners, suite, table

    place = suite.folder()
    if place is None:
        raise SystemExit("no data: set FASTBP_DATA to a folder with an index.json.")
    names = [name for name in options.learners.split(",") if not absent(learners, name)]
    results = read(options.results)
    for entry in suite.entries(place, [name for name in options.only.split(",") if name]):
        frame, target = suite.load(place, entry)
        for number in range(options.splits):
            split = suite.split(frame, target, entry["task"] == "regression", number)
            for name in names:
                if any(
                    (row["dataset"], row["method"], row["split"]) == (entry["name"], name, number) for row in results
                ):
                    continue
                learner = learners.make(name, entry["task"] == "regression", options.threads)
                row = {"dataset": entry["name"], "task": entry["task"], "method": name, "split": number}
                row |= measured(learner, split)
                results.append(row)
                with options.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    table.print_table(results, options.reference)


def absent(learners, name):
    """Tell, and say so, whether a learner's package is not installed."""
    package = learners.missing(name)
    if package:
        print(f"{name} is left out: {package} is not installed.")
    return package is not None


def read(path):
    """Return the rows of a file of results, without those of fits that failed."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "error" not in row]


def measured(learner, split):
    """Return the figures of one fit: score (accuracy or R2), loss, seconds to fit and to predict the test rows."""
    import numpy as np
    from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error

    warnings.simplefilter("ignore")
    started = time.perf_counter()
    learner.fit(split.train, split.y_train)
    fitted = time.perf_counter()
    if split.n_classes:
        outputs = learner.predict_proba(split.test)
        predicted = time.perf_counter()
        score = accuracy_score(split.y_test, outputs.argmax(axis=1))
        loss = log_loss(split.y_test, np.clip(outputs, 1e-7, 1), labels=range(split.n_classes))
    else:
        outputs = np.asarray(learner.predict(split.test)).ravel()
        predicted = time.perf_counter()
        score = r2_score(split.y_test, outputs)
        loss = root_mean_squared_error(split.y_test, outputs) / split.y_test.std()
    seconds = {"fit_s": round(fitted - started, 3), "predict_s": round(predicted - fitted, 4)}
    return {"n": len(split.train), "score": float(score), "loss": float(loss)} | seconds


if __name__ == "__main__":
    main()
