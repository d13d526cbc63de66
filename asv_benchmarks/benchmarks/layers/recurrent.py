"""Recurrent networks: an LSTM that classifies sequences of 7 to 29 steps, and a GRU that forecasts a series."""

from dataclasses import dataclass

import numpy as np

import fastbp

from ..shared.workloads import read_table

CLASSES = 9


@dataclass(frozen=True)
class RecurrentWorkload:
    """A recurrent layer with one dense layer behind it, and the sequences it trains on.

    Attributes
    ----------
    kind : str
        "LSTM": sequences of different lengths, padded and masked, to classes; "GRU": whole ones, to a number.
    steps : int
        Time steps of a row.
    channels, units, batch, rows : int
    """

    kind: str
    time_steps: int
    channels: int
    units: int
    batch: int
    rows: int

    @property
    def steps(self) -> int:
        """Training steps of one epoch."""
        return -(-self.rows // self.batch)

    def data(self):
        """Return x (rows, t, d) float32, y, and the lengths (rows,): zeros fill up what is shorter."""
        rng = np.random.default_rng(0)
        t = self.time_steps
        if self.kind == "GRU":
            series = np.sin(np.arange(self.rows + t) / 9) + 0.1 * rng.standard_normal(self.rows + t)
            x = np.lib.stride_tricks.sliding_window_view(series[:-1], t)[: self.rows, :, None]
            return np.ascontiguousarray(x, np.float32), series[t:].astype(np.float32), np.full(self.rows, t)
        # As the speakers of JapaneseVowels: each class has its own mean.
        y, lengths = rng.integers(0, CLASSES, self.rows), rng.integers(7, t + 1, self.rows)
        means = rng.standard_normal((CLASSES, 1, self.channels))
        x = means[y] + 0.7 * rng.standard_normal((self.rows, t, self.channels))
        return (x * (np.arange(t) < lengths[:, None])[:, :, None]).astype(np.float32), y, lengths

    def model(self):
        """Return the compiled model: Adam, crossentropy of classes or squared error."""
        if self.kind == "GRU":
            layers, loss = [fastbp.GRU(self.units), fastbp.Dense(1)], "mean_squared_error"
        else:
            head = fastbp.Dense(CLASSES, activation="softmax")
            layers, loss = [fastbp.Masking(), fastbp.LSTM(self.units), head], "sparse_categorical_crossentropy"
        model = fastbp.Sequential(layers, input_shape=(self.time_steps, self.channels), seed=0)
        model.compile(fastbp.Adam(1e-3), loss)
        return model


RECURRENT = {
    "R1 LSTM 12 x 29-64-9, batch 32": RecurrentWorkload("LSTM", 29, 12, 64, 32, 1280),
    "R2 GRU 1 x 24-32-1, batch 64": RecurrentWorkload("GRU", 24, 1, 32, 64, 2560),
}


class Epoch:
    """One epoch of `fit`, shuffled, and beside it the loss after ten epochs."""

    params = (list(RECURRENT), [1, 2])
    param_names = ("network", "threads")
    timeout = 300

    def setup(self, network, threads):
        fastbp.set_num_threads(threads)
        self.workload = RECURRENT[network]
        self.x, self.y, _ = self.workload.data()
        self.model = self.workload.model()
        self._fit(self.model, 1)

    def teardown(self, network, threads):
        fastbp.set_num_threads(None)

    def _fit(self, model, epochs):
        return model.fit(self.x, self.y, epochs=epochs, batch_size=self.workload.batch, verbose=0)

    def time_epoch(self, network, threads):
        self._fit(self.model, 1)

    def track_loss_after_ten_epochs(self, network, threads):
        return self._fit(self.workload.model(), 10).history["loss"][-1]


class JapaneseVowels:
    """Nine speakers told by 12 channels of a vowel, 7 to 29 steps: time and test accuracy; needs FASTBP_DATA."""

    timeout = 300

    def setup(self):
        self.train, self.test = vowels("train"), vowels("test")
        self._fit(1)

    def _fit(self, epochs):
        layers = [fastbp.Masking(), fastbp.LSTM(64), fastbp.Dropout(0.3), fastbp.Dense(CLASSES, activation="softmax")]
        model = fastbp.Sequential(layers, seed=0)
        schedule = fastbp.CosineDecay(0.01, epochs * -(-len(self.train[0]) // 32))
        model.compile(fastbp.Adam(schedule, global_clipnorm=1.0), "sparse_categorical_crossentropy", ["accuracy"])
        model.fit(*self.train, epochs=epochs, batch_size=32, verbose=0)
        return model

    def time_fit(self):
        self._fit(60)

    def track_test_accuracy(self):
        return self._fit(60).evaluate(*self.test)[1]


def vowels(split):
    """Return x (n, 29, 12), filled up with zeros, and the speakers (n,) of one split of JapaneseVowels."""
    table = read_table("JapaneseVowels")
    table = table[table["split"] == split]
    sequences = [rows for _, rows in table.groupby("series", sort=True)]
    x = np.zeros((len(sequences), 29, 12), np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence.filter(regex="^x").to_numpy()
    return x, np.array([sequence["label"].iloc[0] - 1 for sequence in sequences])
