"""Linear regression: gradient descent beside the closed form.

What one learns: a single `Dense(1)` layer without an activation is a linear model, the mean squared error of a
linear model has one minimum, and plain gradient descent (SGD with all rows in each batch) walks to the weights
that `numpy.linalg.lstsq` computes in one go.
"""

import numpy as np

import fastbp


def make_data(n=200, noise=0.1, seed=0):
    """Rows x (n, 3) and y (n,) = x @ weights + intercept + noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = x @ [2.0, -1.0, 0.5] + 3.0 + noise * rng.normal(size=n)
    return x, y


def closed_form(x, y):
    """Weights (3,) and intercept of least squares."""
    with_ones = np.column_stack([x, np.ones(len(x))])
    solution = np.linalg.lstsq(with_ones, y)[0]
    return solution[:-1], solution[-1]


def main():
    x, y = make_data()
    exact_weights, exact_intercept = closed_form(x, y)

    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0, dtype="float64")
    model.compile(optimizer=fastbp.SGD(learning_rate=0.1), loss="mean_squared_error")
    weights, intercept = model.views["dense/kernel"][:, 0], model.views["dense/bias"]

    print("steps   distance to the closed form")
    distances = []
    for epochs in (0, 10, 20, 40, 80, 150):
        if epochs > model.step:
            # One batch of all rows: an epoch is a step.
            model.fit(x, y, epochs=epochs - model.step, batch_size=len(x), verbose=0)
        distances.append(np.linalg.norm([*(weights - exact_weights), intercept[0] - exact_intercept]))
        print(f"{model.step:5d}   {distances[-1]:.2e}")
    print(f"closed form       {exact_weights.round(6)} {exact_intercept:.6f}")
    print(f"gradient descent  {weights.round(6)} {intercept[0]:.6f}")

    assert distances == sorted(distances, reverse=True)
    np.testing.assert_allclose(weights, exact_weights, rtol=1e-9)
    np.testing.assert_allclose(intercept[0], exact_intercept, rtol=1e-9)
    # At the minimum the gradient is zero.
    _, grad = model.value_and_grad(x, y)
    assert np.abs(grad).max() < 1e-9


if __name__ == "__main__":
    main()
