"""Steps of a long run, beside those of its beginning.

Late numbers are not early ones: of a separable problem the gradients go to zero, Adam's moments of what has no gradient
shrink for ever, a long sequence's first steps get a gradient of next to nothing.  Unless denormal numbers are flushed
such steps take 5 to 40 times as long on many CPUs (not on AMD's Zen 3 and Zen 5, which compute with them at once).
"""

import numpy as np

import fastbp

from ..shared.workloads import Workload

# Small data, so that a thousand epochs take seconds.
LATE = {
    "10-32-1, batch 32, late": Workload((10, 32, 1), 32, rows=640),
    "30-64-64-3, batch 64, late": Workload((30, 64, 64, 3), 64, rows=640),
}


def separable(name):
    """Return a compiled model, x, y and the batch size: two or three classes or values that x tells for certain."""
    workload = LATE[name]
    return workload.model(), *workload.data(), workload.batch


def dead_units(name):
    """Return a network of which half the hidden units never answer: neither they nor their moments get a gradient."""
    layers = [fastbp.Dense(256, activation="relu"), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(20,), seed=0)
    model.compile("adam", "mean_squared_error")
    model.views["dense/bias"][::2] = -1000
    x = np.random.default_rng(0).standard_normal((640, 20), dtype=np.float32)
    return model, x, x.sum(1), 32


def unread_rows(name):
    """Return a table of which a batch reads 32 rows of 50,000."""
    model = fastbp.Sequential(
        [fastbp.Embedding(50_000, 16), fastbp.Flatten(), fastbp.Dense(1)], input_shape=(1,), seed=0
    )
    model.compile("adam", "mean_squared_error")
    rng = np.random.default_rng(0)
    return model, rng.integers(0, 50_000, (32, 1)), rng.standard_normal(32), 32


NETWORKS = {**dict.fromkeys(LATE, separable), "dead units": dead_units, "unread rows of a table": unread_rows}


class LateSteps:
    """An epoch after so many others."""

    params = (list(NETWORKS), [3, 1000])
    param_names = ("network", "epochs before")
    timeout = 600

    def setup(self, network, epochs):
        fastbp.set_num_threads(1)
        self.model, self.x, self.y, self.batch = NETWORKS[network](network)
        self._fit(epochs)

    def teardown(self, network, epochs):
        fastbp.set_num_threads(None)

    def _fit(self, epochs):
        self.model.fit(self.x, self.y, epochs=epochs, batch_size=self.batch, verbose=0)

    def time_ten_epochs(self, network, epochs):
        self._fit(10)


class LongSequences:
    """A gradient through 400 steps of which only the last output counts: the first ones get next to nothing."""

    params = (["SimpleRNN", "GRU", "LSTM"], [20, 400])
    param_names = ("layer", "time steps")
    timeout = 300

    def setup(self, layer, steps):
        fastbp.set_num_threads(1)
        layers = [getattr(fastbp, layer)(16), fastbp.Dense(1)]
        self.model = fastbp.Sequential(layers, input_shape=(steps, 4), seed=0)
        self.model.compile("adam", "mean_squared_error")
        rng = np.random.default_rng(0)
        self.x, self.y = rng.standard_normal((32, steps, 4), dtype=np.float32), rng.standard_normal(32)
        self.model.value_and_grad(self.x, self.y)

    def teardown(self, layer, steps):
        fastbp.set_num_threads(None)

    def time_value_and_grad(self, layer, steps):
        self.model.value_and_grad(self.x, self.y)
