"""Training through the public API, warm."""

from dataclasses import replace

import numpy as np

import fastbp

from ..shared.workloads import WORKLOADS, Workload, read_table


class Epoch:
    """One epoch of `fit`, shuffled; the loss after ten epochs is tracked beside it, so that faster cannot mean less."""

    params = (list(WORKLOADS), [1, 2])
    param_names = ("network", "threads")
    timeout = 300
    dropout = 0.0

    def setup(self, network, threads):
        fastbp.set_num_threads(threads)
        self.workload = replace(WORKLOADS[network], dropout=self.dropout)
        self.x, self.y = self.workload.data()
        self.model = self.workload.model()
        self._fit(1)

    def teardown(self, network, threads):
        fastbp.set_num_threads(None)

    def _fit(self, epochs):
        return self.model.fit(self.x, self.y, epochs=epochs, batch_size=self.workload.batch, verbose=0)

    def time_epoch(self, network, threads):
        self._fit(1)

    def track_loss_after_ten_epochs(self, network, threads):
        model = self.workload.model()
        history = model.fit(self.x, self.y, epochs=10, batch_size=self.workload.batch, verbose=0)
        return history.history["loss"][-1]


class EpochWithDropout(Epoch):
    """The same with a layer of dropout behind each hidden layer."""

    params = ([network for network in WORKLOADS if network.startswith(("W2", "W3", "W7"))], [1, 2])
    dropout = 0.2


class ShortEpochs:
    """A hundred epochs of one step of some 2 us: what an epoch costs beside its compiled steps."""

    params = ["number", "schedule"]
    param_names = ("learning rate",)
    timeout = 60

    def setup(self, learning_rate):
        fastbp.set_num_threads(1)
        workload = Workload((10, 32, 1), batch=32, rows=32)
        self.x, self.y = workload.data()
        self.model = workload.model()
        rate = fastbp.CosineDecay(1e-3, 10_000) if learning_rate == "schedule" else 1e-3
        self.model.compile(fastbp.Adam(rate), "mean_squared_error")
        self.time_hundred_epochs(learning_rate)

    def teardown(self, learning_rate):
        fastbp.set_num_threads(None)

    def time_hundred_epochs(self, learning_rate):
        self.model.fit(self.x, self.y, epochs=100, batch_size=32, verbose=0)


class Digits:
    """A whole fit on scikit-learn's digits: its time, and its test accuracy beside it."""

    timeout = 300

    def setup(self):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        self.data = train_test_split((x / 16).astype(np.float32), y, test_size=0.25, random_state=0)
        self._fit()

    def _fit(self):
        x, _, y, _ = self.data
        layers = [fastbp.Dense(128, activation="relu"), fastbp.Dropout(0.2), fastbp.Dense(10, activation="softmax")]
        model = fastbp.Sequential(layers, seed=0)
        model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=20, batch_size=32, verbose=0)
        return model

    def time_fit(self):
        self._fit()

    def track_test_accuracy(self):
        _, x, _, y = self.data
        return self._fit().evaluate(x, y)[1]


class Covertype:
    """An epoch on real rows, 11,000 x 54 with 7 classes, and the test accuracy after 20; needs FASTBP_DATA."""

    timeout = 300

    def setup(self):
        from sklearn.model_selection import train_test_split

        table = read_table("covertype_15k")
        y = table.pop("Cover_Type").to_numpy() - 1
        x = table.to_numpy(np.float32)
        x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
        self.data = train_test_split(x, y, test_size=0.25, random_state=0)
        self.model = self._model()
        self._fit(self.model, 1)

    def _model(self):
        layers = [fastbp.Dense(256, activation="relu") for _ in range(2)] + [fastbp.Dense(7, activation="softmax")]
        model = fastbp.Sequential(layers, seed=0)
        model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def _fit(self, model, epochs):
        x, _, y, _ = self.data
        model.fit(x, y, epochs=epochs, batch_size=256, verbose=0)

    def time_epoch(self):
        self._fit(self.model, 1)

    def track_test_accuracy(self):
        model = self._model()
        self._fit(model, 20)
        _, x, _, y = self.data
        return model.evaluate(x, y)[1]


class Memory:
    """Peak memory of a fit on 1,000,000 x 28 float32 rows (112 MB of data)."""

    timeout = 300

    def setup(self):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((1_000_000, 28), dtype=np.float32)
        self.y = (self.x[:, 0] > 0).astype(np.float32)

    def peakmem_fit(self):
        model = fastbp.Sequential([fastbp.Dense(64, activation="relu"), fastbp.Dense(1, activation="sigmoid")], seed=0)
        model.compile(fastbp.Adam(1e-3), "binary_crossentropy")
        model.fit(self.x, self.y, epochs=1, batch_size=1024, verbose=0)
