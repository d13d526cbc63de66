"""A table that no machine has to hold: Dask's partitions, and networks that draw their rows from all of them.

What one learns: each network of the ensemble is trained on a sample of the rows, drawn over all partitions; the table
is never in one place. The workers here are processes of this machine; with the address of a cluster's scheduler in
``Client("...")`` they are those of many.
"""

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from fastbp.interop.dask import TabularClassifier

PARTITIONS, ROWS = 4, 2_000


def month(number):
    """Return the rows of one month: a partition, made where a worker needs it, as a file would be read."""
    rng = np.random.default_rng(number)
    hours, town = rng.uniform(0, 24, ROWS), rng.choice(["Ulm", "Bonn", "Kiel"], ROWS)
    busy = (np.abs(hours - 12) < 4) ^ (town == "Kiel")
    late = rng.random(ROWS) < np.where(busy, 0.9, 0.1)
    return pd.DataFrame({"hour": hours, "town": town, "late": np.where(late, "yes", "no")})


def main():
    # One thread a worker: dashboard_address=":0" takes any free port.
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster):
        table = dd.from_map(month, range(PARTITIONS))
        model = TabularClassifier("fast", sample_rows=1_000, random_state=0).fit(table, "late")
        print(f"{model.n_rows_} rows in {table.npartitions} partitions, {model.sample_rows_} for each network")

        # Lazily: nothing is predicted until something is asked for.
        predicted = model.predict(table)
        right = float((predicted == table["late"]).mean().compute())
        print(f"accuracy {right:.3f}; nobody can be better than 0.9, for that is how the table was made")

    # Of rows in memory the fitted estimator predicts without Dask.
    rows = month(PARTITIONS)
    print(f"a month that was not there: {model.model_.score(rows, rows['late']):.3f}")
    assert right > 0.85


if __name__ == "__main__":
    main()
