"""Networks and data that the benchmarks share.  Nothing is downloaded: data is generated, or read from FASTBP_DATA."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fastbp


@dataclass(frozen=True)
class Workload:
    """A network, its batch size and the rows it trains on.

    Attributes
    ----------
    sizes : tuple of int
        Inputs, hidden layers, outputs.
    batch : int
    rows : int
    activation : str
    dropout : float
        The rate of a layer of dropout behind each hidden layer; 0: there is none.
    """

    sizes: tuple[int, ...]
    batch: int
    rows: int = 10_000
    activation: str = "relu"
    dropout: float = 0.0

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return -(-self.rows // self.batch)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of training on one row: forward, weights' gradient, and inputs' but for the first layer."""
        products = [a * b for a, b in zip(self.sizes[:-1], self.sizes[1:], strict=True)]
        return 3 * sum(products) - products[0]

    def data(self, dtype="float32"):
        """Return x (rows, d) and y: numbers (rows,) for one output, else class numbers made by a fixed network."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.rows, self.sizes[0])).astype(dtype)
        scores = np.tanh(x @ rng.normal(size=(self.sizes[0], self.sizes[-1])).astype(dtype))
        return x, scores[:, 0] if self.sizes[-1] == 1 else scores.argmax(1)

    def model(self, dtype="float32"):
        """Return the compiled model: Adam, crossentropy of classes or squared error."""
        hidden = []
        for units in self.sizes[1:-1]:
            hidden.append(fastbp.Dense(units, activation=self.activation))
            if self.dropout:
                hidden.append(fastbp.Dropout(self.dropout))
        regression = self.sizes[-1] == 1
        last = fastbp.Dense(self.sizes[-1], activation=None if regression else "softmax")
        model = fastbp.Sequential([*hidden, last], input_shape=self.sizes[:1], seed=0, dtype=dtype)
        loss = "mean_squared_error" if regression else "sparse_categorical_crossentropy"
        model.compile(optimizer=fastbp.Adam(1e-3), loss=loss)
        return model


WORKLOADS = {
    "W1 10-32-1, batch 32": Workload((10, 32, 1), 32),
    "W2 30-64-64-3, batch 64": Workload((30, 64, 64, 3), 64),
    "W3 54-256-256-7, batch 256": Workload((54, 256, 256, 7), 256),
    "W4 784-128-10, batch 128": Workload((784, 128, 10), 128),
    "W5 784-512-512-10, batch 128": Workload((784, 512, 512, 10), 128),
    "W6 4-32-16-4 tanh, full batch": Workload((4, 32, 16, 4), 10_000, activation="tanh"),
    "W7 8-256-256-256-1, batch 256": Workload((8, 256, 256, 256, 1), 256),
}


def read_table(name):
    """Return `name`.csv.gz from the folder that FASTBP_DATA names, or one below it; skip the benchmark without it."""
    import pandas as pd

    folder = os.environ.get("FASTBP_DATA")
    path = next(Path(folder).rglob(f"{name}.csv.gz"), None) if folder else None
    if path is None:
        reason = f"skipped: set FASTBP_DATA to a folder that holds {name}.csv.gz"
        print(reason, file=sys.stderr)
        raise NotImplementedError(reason)
    return pd.read_csv(path)
