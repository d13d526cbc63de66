"""Backpropagation by hand: every number of a 2-2-1 network.

What one learns: the forward pass is a chain of functions, the backward pass is the chain of their derivatives in
reverse, and each link is a formula of one line. Here each link is a model of one layer: `predict` goes forward
through it, `vjp` goes back (it turns the gradient of the loss by a link's output into the gradient by its input
and, in `grads`, by its parameters). The numbers are compared with the formulas and with `value_and_grad` of the
whole network.
"""

import numpy as np

import fastbp

X, Y = np.array([[0.05, 0.10]]), np.array([[0.01]])
W1, B1 = np.array([[0.15, 0.25], [0.20, 0.30]]), np.array([0.35, 0.35])
W2, B2 = np.array([[0.40], [0.45]]), np.array([0.60])


def show(name, value, formula, expected):
    """Print a value and how it comes about; check it against the formula's."""
    digits = " ".join(f"{number:.6f}" for number in np.ravel(value))
    print(f"{name:4} = {digits:36} {formula}")
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def link(layer, n_inputs, *weights):
    """A model of one layer, with these weights."""
    model = fastbp.Sequential([layer], input_shape=(n_inputs,), seed=0, dtype="float64")
    model.set_weights(list(weights))
    return model


def main():
    hidden, output = link(fastbp.Dense(2), 2, W1, B1), link(fastbp.Dense(1), 2, W2, B2)
    squash, squash_output = link(fastbp.Activation("sigmoid"), 2), link(fastbp.Activation("sigmoid"), 1)

    print("forward")
    z1 = hidden.predict(X)
    show("z1", z1, "x @ W1 + b1", X @ W1 + B1)
    a1 = squash.predict(z1)
    show("a1", a1, "1 / (1 + exp(-z1))", 1 / (1 + np.exp(-z1)))
    z2 = output.predict(a1)
    show("z2", z2, "a1 @ W2 + b2", a1 @ W2 + B2)
    a2 = squash_output.predict(z2)
    show("a2", a2, "1 / (1 + exp(-z2))", 1 / (1 + np.exp(-z2)))

    print("backward: d is the derivative of loss = (a2 - y)**2")
    da2 = 2 * (a2 - Y)
    show("da2", da2, "2 (a2 - y)", 2 * (a2 - Y))
    dz2 = squash_output.vjp(z2, da2)
    show("dz2", dz2, "da2 a2 (1 - a2)", da2 * a2 * (1 - a2))
    da1 = output.vjp(a1, dz2)
    dW2, db2 = gradients(output)
    show("dW2", dW2, "a1^T @ dz2", a1.T @ dz2)
    show("db2", db2, "dz2", dz2[0])
    show("da1", da1, "dz2 @ W2^T", dz2 @ W2.T)
    dz1 = squash.vjp(z1, da1)
    show("dz1", dz1, "da1 a1 (1 - a1)", da1 * a1 * (1 - a1))
    dx = hidden.vjp(X, dz1)
    dW1, db1 = gradients(hidden)
    show("dW1", dW1, "x^T @ dz1", X.T @ dz1)
    show("db1", db1, "dz1", dz1[0])
    show("dx", dx, "dz1 @ W1^T", dz1 @ W1.T)

    print("the whole network at once")
    layers = [fastbp.Dense(2, activation="sigmoid"), fastbp.Dense(1, activation="sigmoid")]
    model = fastbp.Sequential(layers, input_shape=(2,), seed=0, dtype="float64")
    model.set_weights([W1, B1, W2, B2])
    model.compile(loss="mean_squared_error")
    loss, grad = model.value_and_grad(X, Y)
    show("loss", loss, "(a2 - y)**2", (a2 - Y).item() ** 2)
    by_hand = np.concatenate([dW1.ravel(), db1, dW2.ravel(), db2])
    np.testing.assert_allclose(grad, by_hand, rtol=1e-12)
    print("grad =", grad.round(6), "is dW1, db1, dW2, db2")
    np.testing.assert_allclose(model.vjp(X, da2), dx, rtol=1e-12)
    print(fastbp.check_gradients(model, X, Y))


def gradients(model):
    """The last gradient of a Dense layer: of its kernel (d, k) and its bias (k,)."""
    kernel = model.views["dense/kernel"]
    return model.grads[: kernel.size].reshape(kernel.shape), model.grads[kernel.size :]


if __name__ == "__main__":
    main()
