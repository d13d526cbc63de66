"""LeNet-5 on MNIST: the network with which convolution began (LeCun et al., 1998), with today's activations.

What one learns: reading IDX files; a convolutional network on data of a real size; and how long an epoch of 60,000
images takes. Give the folder that holds MNIST's four files, compressed or not, as ``--mnist FOLDER``; without it, a few
noisy, shifted copies of scikit-learn's digits stand for them, enlarged to 28 x 28, so that the script runs anywhere.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import fastbp


def read_mnist(folder):
    """x_train, y_train, x_test, y_test of MNIST: images (n, 28, 28, 1) with pixels from 0 to 1."""
    arrays = []
    for part in ("train", "t10k"):
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            names = (f"{part}-{kind}", f"{part}-{kind}.gz")
            path = next((folder / name for name in names if (folder / name).exists()), None)
            if path is None:
                raise SystemExit(f"{folder} holds neither {names[0]} nor {names[1]}.")
            arrays.append(fastbp.read_idx(path))
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = (x[..., None].astype(np.float32) / 255 for x in (x_train, x_test))
    return x_train, y_train, x_test, y_test


def make_digits(rows=3000):
    """Return as much of scikit-learn's digits: every image three times as large, at a random place, with noise."""
    digits, rng = load_digits(), np.random.default_rng(0)
    x = np.zeros((rows, 28, 28, 1), np.float32)
    chosen = rng.integers(0, len(digits.images), rows)
    for image, small, (top, left) in zip(x, digits.images[chosen], rng.integers(0, 5, (rows, 2)), strict=True):
        image[top : top + 24, left : left + 24, 0] = small.repeat(3, 0).repeat(3, 1) / 16
    x += rng.normal(0, 0.05, x.shape).astype(np.float32)
    y, kept = digits.target[chosen], rows * 4 // 5
    return x[:kept], y[:kept], x[kept:], y[kept:]


def lenet():
    return [
        fastbp.Conv2D(6, 5, padding="same", activation="relu"),
        fastbp.MaxPooling2D(),
        fastbp.Conv2D(16, 5, activation="relu"),
        fastbp.MaxPooling2D(),
        fastbp.Flatten(),
        fastbp.Dense(120, activation="relu"),
        fastbp.Dense(84, activation="relu"),
        fastbp.Dense(10, activation="softmax"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's four IDX files")
    parser.add_argument("--epochs", type=int, help="3 of MNIST unless told, 10 of the digits")
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = read_mnist(arguments.mnist) if arguments.mnist else make_digits()

    model = fastbp.Sequential(lenet(), input_shape=(28, 28, 1), seed=0)
    # The rate that did best, of 0.001, 0.002 and 0.003, on the last 10,000 training images.
    model.compile(fastbp.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.summary()
    epochs = arguments.epochs or (3 if arguments.mnist else 10)
    started = time.perf_counter()
    model.fit(x_train, y_train, epochs=epochs, batch_size=128, verbose=0)
    print(f"{(time.perf_counter() - started) / epochs:.2f} s an epoch of {len(x_train):,} images")
    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
    assert accuracy > (0.98 if arguments.mnist else 0.95)


if __name__ == "__main__":
    main()
