"""How the loss depends on the rows that each network draws: `python compare_sample.py [--rows N] [--shares 0.01 1]`.

A generated table (ten numbers, of which five count as in Friedman's first function, and two columns of categories) lies
in partitions of Dask; networks of the preset `fast` are trained on 1 %, 10 % and all of its rows, and judged by 100,000
other rows.  `--epochs` and `--networks` make the preset smaller, `--seeds` repeats all with other draws and networks.
"""

import argparse
import dataclasses
import time

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from fastbp.interop.dask import TabularRegressor
from fastbp.tabular.recipe import PRESETS

PARTITION_ROWS, TEST_ROWS, NOISE = 100_000, 100_000, 1.0
PLACES, DAYS = [f"p{place}" for place in range(50)], [f"d{day}" for day in range(7)]


def rows(n, seed):
    """Return n rows of the table; the noise has the variance 1."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 10), dtype=np.float32)
    places, days = rng.integers(0, 50, n), rng.integers(0, 7, n)
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y += 2 * np.sin(places) + np.where(days > 4, x[:, 5], 0) + rng.normal(0, NOISE, n)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(10)])
    place, day = pd.Categorical.from_codes(places, PLACES), pd.Categorical.from_codes(days, DAYS)
    return frame.assign(place=place, day=day, y=y.astype(np.float32))


def main(n, shares, seeds):
    table = dd.from_map(rows, [PARTITION_ROWS] * (n // PARTITION_ROWS), list(range(n // PARTITION_ROWS)))
    test = rows(TEST_ROWS, 2**31)
    print(f"{n} rows; mean squared error of {TEST_ROWS} others, whose noise alone has {NOISE**2:g}; {PRESETS['fast']}")
    for seed in seeds:
        for share in shares:
            started = time.perf_counter()
            model = TabularRegressor("fast", sample_rows=max(int(share * n), 1), random_state=seed).fit(table, "y")
            seconds = time.perf_counter() - started
            error = float(np.mean((model.predict(test) - test["y"]) ** 2))
            print(
                f"seed {seed}: {share:7.2%} {model.sample_rows_:9d} rows a network  {error:.4f}  {seconds:6.0f} s",
                flush=True,
            )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=PRESETS["fast"].epochs)
    parser.add_argument("--networks", type=int, default=PRESETS["fast"].networks)
    parser.add_argument("--memory", default="4GB", help="of each of the two workers")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    PRESETS["fast"] = dataclasses.replace(PRESETS["fast"], epochs=given.epochs, networks=given.networks)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=given.memory) as cluster,
        Client(cluster),
    ):
        main(given.rows, given.shares, given.seeds)
