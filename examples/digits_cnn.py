"""Handwritten digits with a small convolutional network, beside a dense one of as many parameters.

What one learns: images are arrays (n, height, width, channels); convolution, pooling and a dense end, as in Keras; what
`summary` says of parameters and arithmetic (a filter is used at every place, so a convolution has few parameters and
much to do); and that the same number of parameters goes further where the layers know that neighbours belong together.
scikit-learn's 8 x 8 digits.
"""

import argparse

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp


def load():
    """x_train, x_test (n, 8, 8, 1) with pixels from 0 to 1, and y_train, y_test."""
    digits = load_digits()
    images = (digits.images / 16)[..., None]
    return train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)


def convolutional():
    return [
        fastbp.Conv2D(12, 3, padding="same", activation="relu"),
        fastbp.MaxPooling2D(),
        fastbp.Conv2D(24, 3, activation="relu"),
        fastbp.GlobalMaxPooling2D(),
        fastbp.Dense(10, activation="softmax"),
    ]


def dense():
    return [fastbp.Flatten(), fastbp.Dense(40, activation="relu"), fastbp.Dense(10, activation="softmax")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    x_train, x_test, y_train, y_test = load()

    accuracies = {}
    for name, layers in (("convolutional", convolutional()), ("dense", dense())):
        model = fastbp.Sequential(layers, input_shape=(8, 8, 1), seed=0)
        model.compile(fastbp.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x_train, y_train, epochs=arguments.epochs, batch_size=32, verbose=0)
        model.summary()
        loss, accuracies[name] = model.evaluate(x_test, y_test)
        print(f"{name}: test loss {loss:.4f}, test accuracy {accuracies[name]:.4f}\n")

    assert accuracies["convolutional"] > 0.98
    assert accuracies["convolutional"] > accuracies["dense"]


if __name__ == "__main__":
    main()
