"""``fastbp warmup``: compile what the other commands use, so that they find it in the cache."""

import time

HELP = "compile the kernels that train, predict and evaluate use, ahead of time"


def add_arguments(parser):
    """No arguments."""


def run(arguments):
    """Train and apply the networks of ``fastbp train`` on a few made-up rows."""
    from fastbp.compiler.kernelfolder import cache_dir
    from fastbp.tabular.model import ESTIMATORS

    start = time.perf_counter()
    for name, kind in ESTIMATORS.items():
        for n_columns in (8, 128):  # with few columns gradients are added up over slices of rows
            print(f"{name} of {n_columns} columns ...", flush=True)
            _train_small(kind, n_columns)
    print(f"ready after {time.perf_counter() - start:.1f} s, in {cache_dir()}")


def _train_small(kind, n_columns, n_rows=600):
    import numpy as np
    import pandas as pd

    x = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    frame = pd.DataFrame(x).rename(columns=str)
    frame["category"] = [f"category {i % 12}" for i in range(n_rows)]  # more than 8 are embedded
    y = np.sign(x[:, 0]) if hasattr(kind, "predict_proba") else x[:, 0]
    if hasattr(kind, "tasks_"):
        y = pd.DataFrame({"number": x[:, 0], "class": np.where(x[:, 1] > 0, "a", "b")})
    kind("fast", random_state=0).fit(frame, y).predict(frame)
