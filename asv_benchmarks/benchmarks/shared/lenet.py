"""LeNet-5 as a workload, and the same network, with the same weights, of each peer."""

import os
from pathlib import Path

import numpy as np

import fastbp

from .peers import FastbpTrainer, JaxTrainer, TorchTrainer


class LeNet:
    """28 x 28 images, convolutions of 6 and 16 filters, max pooling, dense layers of 120, 84 and 10; batches of 128.

    Images are MNIST's where the folder FASTBP_DATA holds it, else noise: the arithmetic is the same.
    """

    sizes = (784, 10)  # inputs, outputs
    batch = 128
    rows = 6400
    steps = rows // batch

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of training on one row: forward, weights' gradient, and inputs' but for the first layer."""
        first, *others = (28 * 28 * 25 * 6, 100 * 150 * 16, 400 * 120, 120 * 84, 84 * 10)
        return 2 * first + 3 * sum(others)

    def data(self, dtype="float32"):
        """Return x (rows, 28, 28, 1) from 0 to 1 and classes y."""
        folder = os.environ.get("FASTBP_DATA")
        path = next(Path(folder).rglob("train-images-idx3-ubyte*"), None) if folder else None
        if path is None:
            rng = np.random.default_rng(0)
            return rng.random((self.rows, 28, 28, 1)).astype(dtype), rng.integers(0, 10, self.rows)
        labels = next(path.parent.glob("train-labels-idx1-ubyte*"))
        x = fastbp.read_idx(path)[: self.rows, :, :, None].astype(dtype) / 255
        return x, fastbp.read_idx(labels)[: self.rows].astype(np.int64)

    def model(self, dtype="float32"):
        """Return the compiled model."""
        layers = [
            fastbp.Conv2D(6, 5, padding="same", activation="relu"),
            fastbp.MaxPooling2D(),
            fastbp.Conv2D(16, 5, activation="relu"),
            fastbp.MaxPooling2D(),
            fastbp.Flatten(),
            fastbp.Dense(120, activation="relu"),
            fastbp.Dense(84, activation="relu"),
            fastbp.Dense(10, activation="softmax"),
        ]
        model = fastbp.Sequential(layers, input_shape=(28, 28, 1), seed=0, dtype=dtype)
        model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
        return model


class TorchLeNet(TorchTrainer):
    """PyTorch eager, channels first as it likes them."""

    def __init__(self, workload, threads):
        super().__init__(workload, threads)
        self.x = self.x.permute(0, 3, 1, 2).contiguous()

    @staticmethod
    def network(workload):
        """Return the network as torch modules, without its last activation."""
        import torch
        from torch import nn

        layers = [
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        ]
        weights = iter(workload.model().get_weights())
        for number, layer in enumerate(layers):
            if not hasattr(layer, "weight"):
                continue
            kernel, bias = next(weights), next(weights)
            if kernel.ndim == 4:
                kernel = kernel.transpose(3, 2, 0, 1)
            else:
                # Its Flatten puts channels first.
                kernel = kernel.reshape(25, 16, -1).swapaxes(0, 1).reshape(400, -1).T if number == 7 else kernel.T
            layer.weight.data, layer.bias.data = torch.from_numpy(kernel.copy()), torch.from_numpy(bias)
        return nn.Sequential(*layers)


class JaxLeNet(JaxTrainer):
    """JAX, a jitted `lax.scan` epoch."""

    @staticmethod
    def network(workload):
        """Return outputs(weights, x), without the last activation."""
        import jax
        import jax.numpy as jnp
        from jax import lax

        def convolve(x, kernel, bias, padding):
            out = lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return lax.reduce_window(jax.nn.relu(out + bias), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

        def outputs(weights, x):
            x = convolve(x, weights[0], weights[1], "SAME")
            x = convolve(x, weights[2], weights[3], "VALID").reshape(len(x), -1)
            x = jax.nn.relu(x @ weights[4] + weights[5])
            x = jax.nn.relu(x @ weights[6] + weights[7])
            return x @ weights[8] + weights[9]

        return outputs


class JaxStepsLeNet(JaxLeNet):
    """JAX, one jitted call a step: on a CPU convolutions within a scan took twice to three times as long.

    Channels first took as long as channels last, within what the machine's noise let see.
    """

    def train(self, epochs):
        """Train; return the last epoch's mean loss."""
        import jax

        for _ in range(epochs):
            self.key, key = self.split(self.key)
            order = jax.random.permutation(key, len(self.x)).reshape(-1, LeNet.batch)
            losses = []
            for rows in order:
                self.state, loss = self.step(self.state, rows, self.x, self.y)
                losses.append(loss)
        return float(sum(losses)) / len(losses)


LENET_TRAINERS = {"fastbp": FastbpTrainer, "jax": JaxLeNet, "jax-steps": JaxStepsLeNet, "torch": TorchLeNet}
