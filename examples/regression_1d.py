"""Nonlinear regression of one variable from noisy points.

What one learns: standardise inputs and targets, train on small batches with a learning rate that decays, watch
points that were not trained on; and a network interpolates well but knows nothing outside the range it saw.
"""

import numpy as np

import fastbp

NOISE = 0.2


def truth(x):
    return np.sin(2 * x) + 0.3 * x


def main():
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, size=800)
    y = truth(x) + NOISE * rng.normal(size=x.size)
    x_scale, y_mean, y_scale = x.std(), y.mean(), y.std()

    hidden = [fastbp.Dense(32, activation="tanh", kernel_initializer="glorot_normal") for _ in range(2)]
    model = fastbp.Sequential([*hidden, fastbp.Dense(1)], seed=0)
    epochs, batch_size = 200, 32
    steps = epochs * 640 // batch_size
    model.compile(
        optimizer=fastbp.Adam(fastbp.CosineDecay(0.01, decay_steps=steps)),
        loss="mean_squared_error",
        metrics=["r2_score"],
    )
    history = model.fit(
        x[:, None] / x_scale,
        (y - y_mean) / y_scale,
        epochs=epochs,
        batch_size=batch_size,
        validation_split=0.2,
        verbose=0,
    ).history

    def predict(points):
        return model.predict(points[:, None] / x_scale)[:, 0] * y_scale + y_mean

    print(f"R2: training {history['r2_score'][-1]:.3f}, validation {history['val_r2_score'][-1]:.3f}")
    print("    x   truth  predicted")
    for point in (-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0):
        note = "  outside" if abs(point) > 3 else ""
        print(f"{point:5.1f}  {truth(point):6.2f}  {predict(np.array([point]))[0]:9.2f}{note}")

    inside, outside = np.linspace(-2.9, 2.9, 200), np.linspace(4.5, 7.0, 100)
    inside_error = np.sqrt(np.mean((predict(inside) - truth(inside)) ** 2))
    outside_error = np.sqrt(np.mean((predict(outside) - truth(outside)) ** 2))
    print(f"error: inside {inside_error:.3f} (the noise is {NOISE}), outside {outside_error:.3f}")
    assert history["val_r2_score"][-1] > 0.9
    assert inside_error < NOISE / 2 < outside_error


if __name__ == "__main__":
    main()
