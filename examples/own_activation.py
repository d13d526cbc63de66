"""An activation of one's own: squareplus (Barron, 2021), a softplus without an exponential.

What one learns: a class with two formulas for one entry, registered by name, is an activation like fastbp's own; its
setting is a field. Finite differences prove the derivative; then it meets relu on a curve.
"""

from dataclasses import dataclass

import numpy as np

import fastbp
from fastbp.custom import ACTIVATIONS, Activation, backward, forward, like


@ACTIVATIONS.register("squareplus")
@dataclass(frozen=True)
class Squareplus(Activation):
    """out = (x + sqrt(x^2 + b)) / 2; `b` is the width of the bend."""

    b: float = 4.0
    needs_input = True

    @property
    def alpha(self):
        return self.b

    @forward
    def forward(x, alpha):
        return like(x, 0.5) * (x + np.sqrt(x * x + alpha))

    @backward
    def backward(d, x, out, alpha):
        return d * like(x, 0.5) * (like(x, 1) + x / np.sqrt(x * x + alpha))


def make_model(activation, dtype="float32"):
    model = fastbp.Sequential([fastbp.Dense(24, activation), fastbp.Dense(1)], seed=0, dtype=dtype)
    model.compile(fastbp.Adam(0.03), "mean_squared_error")
    return model


def main():
    x = np.linspace(-3, 3, 300)[:, None]
    y = np.sin(2 * x[:, 0])

    model = make_model(Squareplus(1.0), "float64")
    checked = fastbp.check_gradients(model, x[::10], y[::10])
    print(checked)
    assert checked.max_relative_error < 1e-6

    errors = {}
    for activation in ("squareplus", Squareplus(0.1), "relu"):
        model = make_model(activation)
        model.fit(x, y, batch_size=25, epochs=100, verbose=0)
        errors[activation] = model.evaluate(x, y)
        print(f"{activation}: mean squared error {errors[activation]:.5f}")
    assert errors[Squareplus(0.1)] < 0.1


if __name__ == "__main__":
    main()
