"""Branches in a network: residual blocks in a deep dense one, and an Inception block in a convolutional one.

What one learns: `Residual(layers)` adds its input to what the layers make of it (He et al., 2016), so that thirty-two
dense layers train where the same layers without the way around them learn little; `Concatenate(branches)` puts the
outputs of several ways side by side, here windows of three sizes along the channels (Szegedy et al., 2015). Blocks are
layers like others, so functions that return them are all that a larger network needs. scikit-learn's 8 x 8 digits.
"""

import argparse

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp
from fastbp import BatchNormalization, Concatenate, Conv2D, Dense, Flatten, GlobalAveragePooling2D, MaxPooling2D


def load():
    """x_train, x_test (n, 8, 8, 1) with pixels from 0 to 1, and y_train, y_test."""
    digits = load_digits()
    images = (digits.images / 16)[..., None]
    return train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)


def block(units, last="glorot_uniform"):
    """Two dense layers with relu between; `last` draws the second one's kernel."""
    return [Dense(units, activation="relu"), Dense(units, kernel_initializer=last)]


def dense(depth, residual):
    """A dense network of `depth` blocks, with ways around them (which begin as almost nothing) or without."""
    small = fastbp.RandomNormal(stddev=0.02)
    if residual:
        blocks = [fastbp.Residual(block(32, small)) for _ in range(depth)]
    else:
        blocks = [layer for _ in range(depth) for layer in block(32)]
    return [Flatten(), Dense(32), *blocks, Dense(10, activation="softmax")]


def inception(filters):
    """Windows of 1 x 1, 3 x 3 and 5 x 5, and the largest of each 3 x 3, side by side: 4 * filters channels."""

    def conv(size):
        return Conv2D(filters, size, padding="same", activation="relu")

    return Concatenate(
        [
            [conv(1)],
            [conv(1), conv(3)],
            [conv(1), conv(5)],
            [MaxPooling2D(3, strides=1, padding="same"), conv(1)],
        ]
    )


def convolutional():
    """Two Inception blocks, normalised, pooled between."""
    return [
        *(inception(4), BatchNormalization(), MaxPooling2D()),
        *(inception(8), BatchNormalization(), GlobalAveragePooling2D()),
        Dense(10, activation="softmax"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    arguments = parser.parse_args()
    x_train, x_test, y_train, y_test = load()

    accuracies = {}
    for name, layers in (
        ("32 dense layers, residual", dense(16, residual=True)),
        ("32 dense layers", dense(16, residual=False)),
        ("Inception blocks", convolutional()),
    ):
        model = fastbp.Sequential(layers, input_shape=(8, 8, 1), seed=0)
        model.compile(fastbp.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x_train, y_train, epochs=arguments.epochs, batch_size=32, verbose=0)
        loss, accuracies[name] = model.evaluate(x_test, y_test)
        print(f"{name}: {model.count_params()} parameters, test loss {loss:.4f}, accuracy {accuracies[name]:.4f}")
    model.summary()

    assert accuracies["32 dense layers, residual"] > 0.95
    assert accuracies["32 dense layers, residual"] > accuracies["32 dense layers"] + 0.05
    assert accuracies["Inception blocks"] > 0.95


if __name__ == "__main__":
    main()
