"""House prices with a range: quantile regression on a table.

What one learns: `quantiles=[0.1, 0.5, 0.9]` gives a median and a band that holds about 80 % of the prices; the band is
wider where prices differ more; quantiles of a row never cross.
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import fastbp

QUARTERS = {"centre": 1.6, "harbour": 1.3, "hills": 1.1, "suburb": 0.8}


def houses(n, seed=0):
    """Return a table of houses, and their prices in thousands: the larger, and the older, the less certain."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "area": rng.lognormal(4.7, 0.4, n).round(),
            "rooms": rng.integers(1, 9, n),
            "built": rng.integers(1890, 2024, n).astype(float),
            "quarter": rng.choice(list(QUARTERS), n),
            "garden": rng.random(n) < 0.4,
        }
    )
    value = frame["area"] * frame["quarter"].map(QUARTERS) * (1 + 0.1 * frame["garden"]) * 2.5
    spread = 0.06 + 0.0015 * (2024 - frame["built"])
    price = value * np.exp(spread * rng.normal(size=n))
    frame.loc[rng.random(n) < 0.1, "built"] = np.nan
    return frame, price.round(1).rename("price")


def main():
    frame, price = houses(4000)
    x_train, x_test, y_train, y_test = train_test_split(frame, price, random_state=0)
    levels = [0.1, 0.5, 0.9]
    model = fastbp.TabularRegressor(quantiles=levels, random_state=0).fit(x_train, y_train)
    low, median, high = model.predict(x_test).T

    for i in range(4):
        house = ", ".join(f"{name} {value}" for name, value in x_test.iloc[i].items())
        print(f"{house}: {low[i]:.0f} to {high[i]:.0f}, median {median[i]:.0f}; sold for {y_test.iloc[i]:.0f}")
    covered = np.mean((low <= y_test) & (y_test <= high))
    print(f"{covered:.1%} of {len(y_test)} prices lie in their band (80 % should)")
    for level, values in zip(levels, (low, median, high), strict=True):
        print(f"  quantile {level}: {np.mean(y_test <= values):.1%} of the prices are at most that")
    new = x_test["built"] > 2000
    widths = [np.median((high - low)[mask] / median[mask]) for mask in (new, x_test["built"] < 1920)]
    print(f"width of the band: {widths[0]:.0%} of the median for new houses, {widths[1]:.0%} for old ones")
    assert 0.75 < covered < 0.85
    assert np.all(low <= median)
    assert np.all(median <= high)
    assert widths[1] > 1.5 * widths[0]


if __name__ == "__main__":
    main()
