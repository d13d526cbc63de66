"""``fastbp warmup``: compile what the other commands use, so that they find it in the cache."""

import time

HELP = "compile the kernels that train, predict and evaluate use, ahead of time"


def add_arguments(parser):
    """No arguments."""


def run(arguments):
    """Train and apply the networks of ``fastbp train`` on a few made-up rows."""
    from fastbp._jit import cache_dir

    start = time.perf_counter()
    for task in ("classification", "regression"):
        for dropout in (0.0, 0.1):
            print(f"{task}{', with dropout' if dropout else ''} ...", flush=True)
            for n_columns in (8, 128):  # with few columns gradients are added up over slices of rows
                _train_small(task, dropout, n_columns)
    print(f"ready after {time.perf_counter() - start:.1f} s, in {cache_dir()}")


def _train_small(task, dropout, n_columns, n_rows=600):
    import numpy as np
    import pandas as pd

    from fastbp.tabular.trainer import Settings, train_table

    x = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    frame = pd.DataFrame(x).rename(columns=str)
    frame["category"] = [f"category {i % 12}" for i in range(n_rows)]  # more than 8 are embedded
    frame["target"] = np.sign(x[:, 0]).astype(int) if task == "classification" else x[:, 0]
    # Batches of 256 rows have enough work for several threads, whose code is compiled too.
    settings = Settings(task=task, dropout=dropout, epochs=1, batch_size=256)
    train_table(frame, "target", settings, verbose=0).model.predict(frame)
