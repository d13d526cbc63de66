"""A loss of one's own: log cosh, quadratic for small errors and linear for large ones.

What one learns: a class with a formula for one entry, which returns the loss and its derivative, is a loss like
fastbp's own. (A loss that mixes the outputs of a row is a CustomLoss: custom_loss_and_metric.py.) Finite differences
prove the derivative; then outliers pull at its fit less than at that of squared errors.
"""

import math
from dataclasses import dataclass

import numpy as np

import fastbp
from fastbp.custom import LOSSES, Loss, like, mean_over_outputs
from fastbp.kernels.vecmath import softplus, tanh

LOG_2 = math.log(2)


@LOSSES.register("log_cosh")
@dataclass(frozen=True)
class LogCosh(Loss):
    """Mean over outputs of ``scale * log(cosh((y_pred - y_true) / scale))``: errors beyond `scale` count linearly."""

    scale: float = 1.0

    @property
    def setting(self):
        return self.scale

    @mean_over_outputs
    def kernel(out, y, setting):
        # log(cosh(e)) = |e| + softplus(-2 |e|) - log(2), which does not overflow
        error = (out - y) / setting
        size = abs(error)
        return setting * (size + softplus(like(out, -2) * size) - like(out, LOG_2)), tanh(error)


def make_model(loss, dtype="float32"):
    model = fastbp.Sequential([fastbp.Dense(1)], seed=0, dtype=dtype)
    model.compile(fastbp.Adam(0.05), loss)
    return model


def main():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    weights = np.array([1.0, -2.0, 0.5])
    y = x @ weights + 0.1 * rng.normal(size=400)
    y[::20] += 30 * np.abs(x[::20, 0])  # outliers that a column explains in part

    checked = fastbp.check_gradients(make_model(LogCosh(2.0), "float64"), x[:30], y[:30])
    print(checked)
    assert checked.max_relative_error < 1e-6

    distances = {}
    for loss in ("log_cosh", LogCosh(0.3), "mean_squared_error"):
        model = make_model(loss)
        model.fit(x, y, batch_size=40, epochs=60, verbose=0)
        distances[loss] = np.abs(model.views["dense/kernel"][:, 0] - weights).max()
        print(f"{loss}: the weights are off by {distances[loss]:.3f} at most")
    assert distances[LogCosh(0.3)] < 0.1 < distances["mean_squared_error"]


if __name__ == "__main__":
    main()
