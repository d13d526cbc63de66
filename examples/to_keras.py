"""There and back: a model of fastbp goes to Keras, trains there, and its weights come home.

What one learns: `fastbp.to_keras` makes a Keras model with the same layers and weights; `set_weights` and
`to_keras_weights` carry weights between the two. (pip install keras jax)
"""

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from sklearn.datasets import load_digits

import fastbp


def main():
    # Keras 3.15 reads its own variables in a way that NumPy 2 warns of.
    warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
    digits = load_digits()
    x, y = (digits.images[..., None] / 16).astype("float32"), digits.target
    layers = [
        fastbp.Conv2D(8, 3, activation="relu"),
        fastbp.MaxPooling2D(),
        fastbp.Flatten(),
        fastbp.Dense(10, "softmax"),
    ]
    ours = fastbp.Sequential(layers, input_shape=(8, 8, 1), seed=0)
    ours.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ours.fit(x[:1500], y[:1500], epochs=8, verbose=0)
    print(f"trained by fastbp: accuracy {ours.evaluate(x[1500:], y[1500:])[1]:.3f}")

    theirs = fastbp.to_keras(ours)
    difference = np.abs(np.asarray(theirs(x[1500:])) - ours.predict(x[1500:])).max()
    print(f"the same in Keras: {len(theirs.layers)} layers, predictions differ by {difference:.1g}")

    kernel, *others = theirs.get_weights()
    theirs.set_weights([kernel * 0.5, *others])
    ours.set_weights(theirs.get_weights())
    difference = np.abs(np.asarray(theirs(x[:5])) - ours.predict(x[:5])).max()
    print(f"weights changed there and brought home: predictions differ by {difference:.1g}")
    again = fastbp.from_keras(theirs)
    print(f"from_keras makes {[type(layer).__name__ for layer in again.layers]} of it")
    assert difference < 1e-5


if __name__ == "__main__":
    main()
