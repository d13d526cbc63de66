"""XOR with two hidden units, with and without dropout.

What one learns: no linear model separates XOR, two tanh units do, from most starts: from some, gradient descent
ends in a local minimum where two of the four answers stay at 1/2. Dropout, which keeps wide networks from
overfitting, takes from so small a network what it needs: its answers draw back towards 1/2. The masks are drawn
in training only, anew for every step: predictions repeat.
"""

import numpy as np

import fastbp

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
Y = np.array([0, 1, 1, 0])


def train(layers, seed=4, epochs=1000):
    """A model of `layers`, trained on the four rows at once."""
    model = fastbp.Sequential(layers, seed=seed, dtype="float64")
    model.compile(optimizer=fastbp.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=epochs, batch_size=4, verbose=0)
    return model


def main():
    hidden, output = fastbp.Dense(2, activation="tanh"), fastbp.Dense(1, activation="sigmoid")
    models = {
        "linear": train([output]),
        "2-2-1": train([hidden, output]),
        "2-2-1, a bad start": train([hidden, output], seed=0),
        "2-2-1, dropout": train([hidden, fastbp.Dropout(0.5), output]),
    }
    losses = {}
    print(f"{'model':20}  loss    0 xor 0  0 xor 1  1 xor 0  1 xor 1")
    for name, model in models.items():
        losses[name], accuracy = model.evaluate(X, Y)
        probabilities = "  ".join(f"{p:7.3f}" for p in model.predict(X)[:, 0])
        print(f"{name:20}  {losses[name]:.4f}  {probabilities}   accuracy {accuracy:.2f}")

    # The best linear answer is 1/2 everywhere, with the loss log 2.
    assert abs(losses["linear"] - np.log(2)) < 1e-3
    assert losses["2-2-1"] < 0.01
    assert abs(losses["2-2-1, a bad start"] - np.log(2) / 2) < 0.01
    assert losses["2-2-1, dropout"] > 10 * losses["2-2-1"]

    # At the learning rate 0 the weights rest, and only the masks differ from one training step to the next.
    dropped = models["2-2-1, dropout"]
    assert (dropped.predict(X) == dropped.predict(X)).all()
    dropped.optimizer.learning_rate = 0.0
    losses = {dropped.train_on_batch(X, Y)[0] for _ in range(10)}
    print(f"ten masks on the same weights: {len(losses)} losses from {min(losses):.4f} to {max(losses):.4f}")
    assert len(losses) > 5


if __name__ == "__main__":
    main()
