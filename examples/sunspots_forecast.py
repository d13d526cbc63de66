"""A GRU that forecasts monthly sunspots from the two years before.

What one learns: how a series becomes rows of windows (n, t, 1) with the value that follows each as the target, split
by time and not by chance; to compare with the forecast that nothing changes; and how forecasts many months ahead feed
each one back into the window. ``--csv FILE`` takes any series: a header, and the values in the last column, as in the
monthly sunspot numbers of SILSO or of Brownlee's data sets. Without it, a series with cycles of 9 to 13 years is made.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import fastbp

WINDOW = 24  # months that a forecast sees
AHEAD = 120  # months of the forecast that is fed back


def read_series(path):
    """Return the last column of a CSV file with a header."""
    with Path(path).open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([float(row[-1]) for row in rows if row])


def make_series(years=230):
    """Return monthly numbers like sunspots: cycles of changing length and height, which rise faster than they fall."""
    rng = np.random.default_rng(0)
    cycles = []
    while sum(map(len, cycles)) < 12 * years:
        months = rng.integers(108, 156)
        place = np.linspace(0, 1, months, endpoint=False)
        cycles.append(rng.uniform(60, 160) * np.sin(np.pi * place**0.7) ** 2)
    level = np.concatenate(cycles)[: 12 * years]
    return np.maximum(level + rng.normal(0, 0.12 * level + 4), 0)


def windows(values):
    """values (m,) -> x (m - WINDOW, WINDOW, 1), y (m - WINDOW,): what follows each window."""
    x = np.lib.stride_tricks.sliding_window_view(values[:-1], WINDOW)
    return x[:, :, None], values[WINDOW:]


def forecast(model, window, months):
    """Return the months after `window` (WINDOW,): each forecast is fed back as if it had been seen."""
    values = list(window)
    for _ in range(months):
        values.append(float(model.predict(np.array(values[-WINDOW:])[None, :, None])[0, 0]))
    return np.array(values[WINDOW:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="a series: its values stand in the last column")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    series = read_series(arguments.csv) if arguments.csv else make_series()

    # The last fifth is the future; the scale comes from the past alone. The root evens out the noise.
    root = np.sqrt(series)
    split = len(series) * 4 // 5
    mean, scale = root[:split].mean(), root[:split].std()
    values = (root - mean) / scale
    x, y = windows(values[:split])
    x_test, _ = windows(values[split - WINDOW :])

    model = fastbp.Sequential([fastbp.GRU(32), fastbp.Dense(1)], seed=0)
    steps = arguments.epochs * -(-len(x) // 64)
    model.compile(fastbp.Adam(fastbp.CosineDecay(5e-3, steps), global_clipnorm=1.0), "mean_squared_error")
    history = model.fit(x, y, epochs=arguments.epochs, batch_size=64, verbose=0)
    print(f"{len(x)} windows of {WINDOW} months; loss {history.history['loss'][0]:.3f}, at the end "
          f"{history.history['loss'][-1]:.3f}")  # fmt: skip

    def original(values):
        return np.maximum(values * scale + mean, 0) ** 2

    errors = {
        "GRU": original(model.predict(x_test)[:, 0]) - series[split:],
        "as the month before": original(x_test[:, -1, 0]) - series[split:],
        "mean of the window": original(x_test[:, :, 0]).mean(1) - series[split:],
    }
    rmse = {name: float(np.sqrt((error**2).mean())) for name, error in errors.items()}
    for name, value in rmse.items():
        print(f"{name:20} root mean squared error {value:6.2f}")

    future = original(forecast(model, values[-WINDOW:], AHEAD))
    print(f"the next {AHEAD // 12} years, one month of each: {np.round(future[::12]).astype(int)}")
    assert rmse["GRU"] < rmse["as the month before"]
    assert np.isfinite(future).all()


if __name__ == "__main__":
    main()
