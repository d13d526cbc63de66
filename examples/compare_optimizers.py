"""Optimizers on one loss surface, drawn as a picture.

What one learns: the network ``out = v * tanh(w * x)`` has two parameters, so its loss is a landscape that can be
drawn: two valleys with flat floors and steep walls. All optimizers start at one point on a wall. Plain SGD falls to
the floor at once and then creeps along it; momentum shoots over the floor, swings back and runs along it; the
adaptive methods divide by the size of the gradients they saw and walk down at a steady pace.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import fastbp

START, STEPS = (3.5, -2.0), 300
OPTIMIZERS = {
    "SGD": fastbp.SGD(0.1),
    "SGD, momentum": fastbp.SGD(0.1, momentum=0.9),
    "SGD, Nesterov": fastbp.SGD(0.1, momentum=0.9, nesterov=True),
    "Adagrad": fastbp.Adagrad(0.5),
    "RMSprop": fastbp.RMSprop(0.03),
    "Adam": fastbp.Adam(0.1),
    "Nadam": fastbp.Nadam(0.1),
}
X = np.linspace(-2, 2, 41)[:, None]
Y = 1.5 * np.tanh(2 * X)


def make_model(optimizer):
    layers = [fastbp.Dense(1, activation="tanh", use_bias=False), fastbp.Dense(1, use_bias=False)]
    model = fastbp.Sequential(layers, input_shape=(1,), seed=0, dtype="float64")
    model.compile(optimizer=optimizer, loss="mean_squared_error")
    return model


def trajectory(optimizer):
    """The parameters (STEPS + 1, 2) and losses (STEPS,) on the way down from START."""
    model = make_model(optimizer)
    model.params[:] = START
    path, losses = [model.params.copy()], []
    for _ in range(STEPS):
        losses.append(model.train_on_batch(X, Y))
        path.append(model.params.copy())
    return np.array(path), np.array(losses)


def surface(w, v):
    """The loss (len(v), len(w)) at every pair."""
    model = make_model("sgd")
    losses = np.empty((len(v), len(w)))
    for i, j in np.ndindex(losses.shape):
        model.params[:] = w[j], v[i]
        losses[i, j] = model.evaluate(X, Y)
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("compare_optimizers.png"))
    out = parser.parse_args().out

    w, v = np.linspace(-3, 4, 71), np.linspace(-3, 4, 71)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    left.contourf(w, v, np.log(surface(w, v) + 1e-3), levels=30, cmap="Greys")
    final = {}
    for name, optimizer in OPTIMIZERS.items():
        path, losses = trajectory(optimizer)
        final[name] = losses[-1]
        print(f"{name:14} ends at w = {path[-1, 0]:6.3f}, v = {path[-1, 1]:6.3f}, loss {losses[-1]:.2e}")
        assert losses[-1] < losses[0] / 100
        left.plot(*path.T, ".-", markersize=3, linewidth=1, label=name)
        right.semilogy(losses, label=name)
    left.set(xlabel="w", ylabel="v", title="log loss, and the ways down")
    right.set(xlabel="step", ylabel="loss")
    right.legend()
    figure.savefig(out, dpi=120, bbox_inches="tight")
    plt.close(figure)
    print(f"drawn in {out}")
    # On the floor the gradient is small, and plain SGD is slow.
    assert all(loss < final["SGD"] for name, loss in final.items() if name != "SGD")


if __name__ == "__main__":
    main()
