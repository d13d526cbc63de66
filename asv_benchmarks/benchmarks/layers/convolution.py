"""Convolution and pooling: layers alone, an epoch of LeNet-5, and the accuracy of a small network on digits."""

import numpy as np

import fastbp

from ..shared.lenet import LeNet

# An input's shape, the layer.
LAYERS = {
    "5x5, 1 -> 6, 28x28": ((28, 28, 1), lambda: fastbp.Conv2D(6, 5, padding="same")),
    "5x5, 6 -> 16, 14x14": ((14, 14, 6), lambda: fastbp.Conv2D(16, 5)),
    "3x3, 64 -> 64, 32x32": ((32, 32, 64), lambda: fastbp.Conv2D(64, 3, padding="same")),
    "3x3 depthwise, 64, 32x32": ((32, 32, 64), lambda: fastbp.DepthwiseConv2D(3, padding="same")),
    "1D, 9, 12 -> 32, 128 steps": ((128, 12), lambda: fastbp.Conv1D(32, 9, padding="causal")),
    "max 2x2, 6, 28x28": ((28, 28, 6), fastbp.MaxPooling2D),
    "max 3x3 stride 2, 64, 32x32": ((32, 32, 64), lambda: fastbp.MaxPooling2D(3, 2, "same")),
    "average 2x2, 6, 28x28": ((28, 28, 6), fastbp.AveragePooling2D),
}
ROWS = 64


class Layer:
    """One layer on 64 inputs: forward, and forward and backward with all gradients."""

    params = (list(LAYERS), [1, 2])
    param_names = ("layer", "threads")

    def setup(self, name, threads):
        fastbp.set_num_threads(threads)
        shape, make = LAYERS[name]
        self.model = fastbp.Sequential([make()], input_shape=shape, seed=0)
        self.model.compile(loss="mean_squared_error")
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(ROWS, *shape)).astype(np.float32)
        self.dout = rng.normal(size=(ROWS, *self.model.output_shape)).astype(np.float32)
        self.time_forward(name, threads)
        self.time_forward_and_backward(name, threads)

    def teardown(self, name, threads):
        fastbp.set_num_threads(None)

    def time_forward(self, name, threads):
        self.model.predict(self.x)

    def time_forward_and_backward(self, name, threads):
        self.model.vjp(self.x, self.dout)


class LeNetEpoch:
    """6,400 images in batches of 128; MNIST's where FASTBP_DATA holds them."""

    params = [1, 2]
    param_names = ("threads",)
    timeout = 300

    def setup(self, threads):
        fastbp.set_num_threads(threads)
        self.workload = LeNet()
        self.x, self.y = self.workload.data()
        self.model = self.workload.model()
        self.time_epoch(threads)

    def teardown(self, threads):
        fastbp.set_num_threads(None)

    def time_epoch(self, threads):
        self.model.fit(self.x, self.y, epochs=1, batch_size=self.workload.batch, verbose=0)

    def track_loss_after_two_epochs(self, threads):
        model = self.workload.model()
        return model.fit(self.x, self.y, epochs=2, batch_size=self.workload.batch, verbose=0).history["loss"][-1]


class DigitsConvolution:
    """A whole fit of a small convolutional network on scikit-learn's digits, and its test accuracy."""

    timeout = 300

    def setup(self):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        x = (digits.images / 16)[..., None].astype(np.float32)
        self.data = train_test_split(x, digits.target, test_size=0.25, random_state=0)
        self._fit()

    def _fit(self):
        x, _, y, _ = self.data
        layers = [
            fastbp.Conv2D(12, 3, padding="same", activation="relu"),
            fastbp.MaxPooling2D(),
            fastbp.Conv2D(24, 3, activation="relu"),
            fastbp.GlobalMaxPooling2D(),
            fastbp.Dense(10, activation="softmax"),
        ]
        model = fastbp.Sequential(layers, input_shape=(8, 8, 1), seed=0)
        model.compile(fastbp.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=20, batch_size=32, verbose=0)
        return model

    def time_fit(self):
        self._fit()

    def track_test_accuracy(self):
        _, x, _, y = self.data
        return self._fit().evaluate(x, y)[1]
