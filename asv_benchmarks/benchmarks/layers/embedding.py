"""Embedding tables: a training step for tables of three heights, lazy and not, and the memory that a fit takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import fastbp

from ..shared.memory import peak_memory

FOLDER = Path(__file__).parents[2]

WIDTH, BATCH, ROWS = 16, 256, 25_600
HEIGHTS = [1_000, 100_000, 1_000_000]


def model_of(height, lazy):
    """Return a compiled model: a table, one dense layer, Adam."""
    layers = [fastbp.Embedding(height, WIDTH, lazy=lazy), fastbp.Flatten(), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(1,), seed=0)
    model.compile(fastbp.Adam(1e-3), "mean_squared_error")
    return model


def data_of(height):
    """Return ids x (rows, 1), spread over the whole table, and y (rows,), made of the ids' bits."""
    ids = np.random.default_rng(0).integers(0, height, ROWS)
    return ids[:, None].astype(np.float32), (ids % 7 / 7).astype(np.float32)


class Step:
    """Fits of 100 steps, shuffled, and beside them the loss after ten epochs."""

    params = (HEIGHTS, [False, True], [1, 2])
    param_names = ("height", "lazy", "threads")
    timeout = 300

    def setup(self, height, lazy, threads):
        fastbp.set_num_threads(threads)
        self.x, self.y = data_of(height)
        self.model = model_of(height, lazy)
        self.fit(self.model)

    def teardown(self, height, lazy, threads):
        fastbp.set_num_threads(None)

    def fit(self, model, epochs=1):
        return model.fit(self.x, self.y, epochs=epochs, batch_size=BATCH, verbose=0)

    def time_a_hundred_steps(self, height, lazy, threads):
        self.fit(self.model)

    def track_loss_after_ten_epochs(self, height, lazy, threads):
        return self.fit(model_of(height, lazy), 10).history["loss"][-1]


class Memory:
    """Peak memory of a process that makes a model and fits it for one epoch; MB above that with 1,000 rows."""

    params = (HEIGHTS[1:], [False, True])
    param_names = ("height", "lazy")
    timeout = 300
    unit = "MB"

    def setup(self, height, lazy):
        peak(HEIGHTS[0], lazy)  # compiles, which takes memory, too

    def track_peak(self, height, lazy):
        return peak(height, lazy) - peak(HEIGHTS[0], lazy)


def peak(height, lazy):
    """Return the peak resident memory, in MB, of a new process that runs this file."""
    command = [sys.executable, "-m", __name__, str(height), str(int(lazy))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=FOLDER).stdout)


if __name__ == "__main__":
    height, lazy = int(sys.argv[1]), sys.argv[2] == "1"
    model_of(height, lazy).fit(*data_of(height), batch_size=BATCH, verbose=0)
    print(peak_memory() / 2**20)
