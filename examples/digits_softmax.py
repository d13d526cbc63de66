"""Handwritten digits with a softmax classifier, written as one would in Keras.

What one learns: the whole way from arrays to test accuracy: layers, compile, fit, evaluate, predict. Without
arguments it trains 64-128-10 on scikit-learn's 8 x 8 digits; ``--mnist mnist.npz`` takes the file that Keras
downloads and trains 784-128-10.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

import fastbp


def load(mnist=None):
    """x_train, y_train, x_test, y_test with pixels from 0 to 1, an image a row."""
    if mnist:
        with np.load(mnist) as file:
            x_train, y_train, x_test, y_test = (file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
        return x_train.reshape(len(x_train), -1) / 255, y_train, x_test.reshape(len(x_test), -1) / 255, y_test
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)
    return x_train, y_train, x_test, y_test


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", help="path of Keras's mnist.npz")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = load(arguments.mnist)

    model = fastbp.Sequential(
        [fastbp.Dense(128, activation="relu"), fastbp.Dropout(0.2), fastbp.Dense(10, activation="softmax")], seed=0
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=arguments.epochs, batch_size=32, validation_split=0.1)
    model.summary()

    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
    probabilities = model.predict(x_test)
    print("confusion matrix, rows are the true digits:")
    print(confusion_matrix(y_test, probabilities.argmax(1)))

    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert accuracy > 0.95


if __name__ == "__main__":
    main()
