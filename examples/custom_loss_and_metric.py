"""A loss and a metric of one's own: a network that predicts quantiles.

What one learns: a loss is a numba function of one row that returns the value and writes the derivatives, so it
runs inside the compiled steps like the built-in ones; a metric is any Python function of arrays. The pinball loss
at 0.1, 0.5 and 0.9 makes three outputs the 10 %, 50 % and 90 % quantiles of y at x, which spread
where the data do.
"""

import tempfile
from pathlib import Path

import numba
import numpy as np

import fastbp

QUANTILES = (0.1, 0.5, 0.9)
TRAIN_ROWS, EPOCHS, BATCH_SIZE = 3000, 60, 50


@numba.njit
def pinball(y_true, y_pred, dout):
    """sum over outputs of max(q e, (q - 1) e), e = y - out."""
    total = 0.0
    for j in range(y_pred.size):
        error = y_true[0] - y_pred[j]
        slope = QUANTILES[j] if error > 0 else QUANTILES[j] - 1
        dout[j] = -slope
        total += slope * error
    return total


def coverage(y_true, y_pred):
    """Share of targets between the lowest and the highest quantile: 0.8 is right."""
    return np.mean((y_true >= y_pred[:, 0]) & (y_true <= y_pred[:, 2]))


def make_model(dtype="float32"):
    model = fastbp.Sequential([fastbp.Dense(32, activation="tanh"), fastbp.Dense(3)], seed=0, dtype=dtype)
    # Quantiles are decided by few rows: a rate that decays averages over many batches.
    optimizer = fastbp.Adam(fastbp.CosineDecay(0.01, decay_steps=EPOCHS * TRAIN_ROWS // BATCH_SIZE))
    model.compile(optimizer=optimizer, loss=fastbp.CustomLoss(pinball, name="pinball"), metrics=[coverage])
    return model


def main():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 2, size=(4000, 1))
    y = np.sin(3 * x[:, 0]) + (0.1 + 0.4 * x[:, 0]) * rng.normal(size=len(x))

    # A loss with hand-written derivatives wants a check.
    print(fastbp.check_gradients(make_model("float64"), x[:20], y[:20]))

    model = make_model()
    model.fit(x[:TRAIN_ROWS], y[:TRAIN_ROWS], epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
    loss, covered = model.evaluate(x[TRAIN_ROWS:], y[TRAIN_ROWS:])
    print(f"test rows: pinball loss {loss:.4f}, coverage of the 80 % interval {covered:.3f}")
    grid = np.array([[0.2], [1.0], [1.8]])
    quantiles = model.predict(grid)
    for point, row in zip(grid[:, 0], quantiles, strict=True):
        print(f"x = {point:.1f}: quantiles {row.round(2)}, width {row[2] - row[0]:.2f}")
    assert 0.75 < covered < 0.85
    assert quantiles[2, 2] - quantiles[2, 0] > 2 * (quantiles[0, 2] - quantiles[0, 0])

    # A file holds no code: loading takes the functions again.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quantiles.fastbp")
        model.save(path)
        own = {"pinball": fastbp.CustomLoss(pinball, name="pinball"), "coverage": coverage}
        again = fastbp.load_model(path, custom_objects=own)
    assert again.evaluate(x, y) == model.evaluate(x, y)


if __name__ == "__main__":
    main()
