"""How the loss depends on the rows that each network draws: `python compare_sample.py [ROWS] [SHARE ...]`.

A generated table (ten numbers, of which five count as in Friedman's first function, and two columns of categories) lies
in partitions of Dask; networks of the preset `fast` are trained on 1 %, 10 % and all of its rows, and judged by 100,000
other rows.  By default 1,000,000 rows.
"""

import sys
import time

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from fastbp.interop.dask import TabularRegressor

PARTITION_ROWS, TEST_ROWS, NOISE = 100_000, 100_000, 1.0


def rows(n, seed):
    """Return n rows of the table; the noise has the variance 1."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 10), dtype=np.float32)
    places, days = rng.integers(0, 50, n), rng.integers(0, 7, n)
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y += 2 * np.sin(places) + np.where(days > 4, x[:, 5], 0) + rng.normal(0, NOISE, n)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(10)])
    return frame.assign(place=[f"p{place}" for place in places], day=[f"d{day}" for day in days], y=y)


def main(n, shares):
    table = dd.from_map(rows, [PARTITION_ROWS] * (n // PARTITION_ROWS), list(range(n // PARTITION_ROWS)))
    test = rows(TEST_ROWS, 2**31)
    print(f"{n} rows; mean squared error of {TEST_ROWS} others, whose noise alone has {NOISE**2:g}")
    for share in shares:
        started = time.perf_counter()
        model = TabularRegressor("fast", sample_rows=max(int(share * n), 1), random_state=0).fit(table, "y")
        seconds = time.perf_counter() - started
        error = float(np.mean((model.predict(test) - test["y"]) ** 2))
        print(f"{share:7.2%} {model.sample_rows_:9d} rows a network  {error:.4f}  {seconds:6.0f} s", flush=True)


if __name__ == "__main__":
    arguments = [float(argument) for argument in sys.argv[1:]]
    with (
        dask.config.set({"dataframe.convert-string": False}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        main(int(arguments[0]) if arguments else 1_000_000, arguments[1:] or [0.01, 0.1, 1.0])
