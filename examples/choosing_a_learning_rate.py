"""Choosing a learning rate: a sweep over four decades, and schedules.

What one learns: too small a rate has not arrived when the epochs are over, too large a one jumps about or ends the
run; the best is a little below the largest that still works. A rate that falls over the run forgives a large start.
"""

import warnings

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from fastbp import MLPRegressor

EPOCHS = 40


def final_losses(rates, **parameters):
    """The mean loss of the last five epochs at every rate; infinite where the run diverged."""
    x, y = load_diabetes(return_X_y=True)
    x, y = scale(x), scale(y)
    losses = []
    for rate in rates:
        network = MLPRegressor(
            hidden_layer_sizes=(32,),
            solver="sgd",
            batch_size=16,
            learning_rate_init=rate,
            max_iter=EPOCHS,
            n_iter_no_change=EPOCHS,
            random_state=0,
            **parameters,
        )
        try:
            losses.append(np.mean(network.fit(x, y).loss_curve_[-5:]))
        except ValueError:
            losses.append(np.inf)
    return np.array(losses)


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    rates = np.geomspace(1e-4, 1, 9)
    ways = ("constant", "invscaling", "cosine_decay", "one_cycle")
    losses = {way: final_losses(rates, learning_rate=way) for way in ways}
    print(f"loss after {EPOCHS} epochs of SGD with momentum, by the learning rate and what becomes of it")
    print("rate     " + "".join(f"{way:>14}" for way in ways))
    for i, rate in enumerate(rates):
        print(f"{rate:<9.4f}" + "".join(f"{losses[way][i]:14.4f}" for way in ways))
    for way in ways:
        print(f"{way}: best at {rates[np.argmin(losses[way])]:.4f}")
    constant = losses["constant"]
    assert constant.min() < 0.8 * constant[0]
    assert not np.isfinite(constant[-1])
    assert np.argmin(losses["cosine_decay"]) >= np.argmin(constant)


if __name__ == "__main__":
    main()
