"""An autoencoder on handwritten digits, beside principal components: 64 pixels through a code of a few numbers.

What one learns: a model's targets may be its inputs; the encoder is a model of the first layers with the trained
weights. Principal components are the best *linear* code, in closed form: what a network is worth is what it
saves beyond them, on digits that it did not train on, and for small codes that is much.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

import fastbp


def load():
    """x_train, x_test (n, 64) with pixels from 0 to 1, and y_train, y_test."""
    x, y = load_digits(return_X_y=True)
    return train_test_split((x / 16).astype("float32"), y, test_size=0.25, random_state=0, stratify=y)


def encoder_layers(code_size):
    return [fastbp.Dense(128, "selu"), fastbp.Dense(64, "selu"), fastbp.Dense(code_size)]


def train(x, code_size, epochs):
    """A model of inputs on themselves."""
    decoder = [fastbp.Dense(64, "selu"), fastbp.Dense(128, "selu"), fastbp.Dense(64, "sigmoid")]
    model = fastbp.Sequential([*encoder_layers(code_size), *decoder], seed=0)
    steps = epochs * -(-len(x) // 32)
    model.compile(fastbp.Adam(fastbp.CosineDecay(2e-3, steps)), "mean_squared_error")
    model.fit(x, x, batch_size=32, epochs=epochs, verbose=0)
    return model


def encoder_of(model, code_size):
    """The first layers of a trained model, with its weights."""
    encoder = fastbp.Sequential(encoder_layers(code_size), input_shape=(64,))
    encoder.set_weights(model.get_weights()[: len(encoder.get_weights())])
    return encoder


def neighbours_score(code_train, y_train, code_test, y_test):
    """How many digits have the class of the five nearest codes."""
    return KNeighborsClassifier(5).fit(code_train, y_train).score(code_test, y_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    x_train, x_test, y_train, y_test = load()
    print("Of 450 digits not trained on: squared error of a pixel, and correct classes of the nearest codes.")
    for code_size in (2, 8):
        pca = PCA(code_size).fit(x_train)
        model = train(x_train, code_size, epochs)
        encoder = encoder_of(model, code_size)
        linear = np.mean((pca.inverse_transform(pca.transform(x_test)) - x_test) ** 2)
        error = np.mean((model.predict(x_test) - x_test) ** 2)
        for name, value, encode in (("components", linear, pca.transform), ("autoencoder", error, encoder.predict)):
            score = neighbours_score(encode(x_train), y_train, encode(x_test), y_test)
            print(f"  code of {code_size}, {name:11}: error {value:.4f}, classes {score:.3f}")
        assert epochs < 100 or error < linear


if __name__ == "__main__":
    main()
