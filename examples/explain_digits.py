"""Which pixels speak for a digit: integrated gradients of a network, and what its layers do.

What one learns: contributions add up to the prediction, plain gradients do not; a look at the layers' outputs and
gradients tells whether all units take part.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

SHADES = " .:-=+*#%@"


def main():
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=0)
    model = fastbp.Sequential([fastbp.Dense(64, "relu"), fastbp.Dense(32, "relu"), fastbp.Dense(10, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=20, verbose=0)

    row = int(np.flatnonzero(y_test == 3)[0])
    found = model.explain(x_test[row : row + 1], output=3)
    total = found.base_values[0] + found.values.sum()
    print(f"probability of a 3: {total:.4f}, for a blank picture {found.base_values[0]:.4f}")
    for picture, pixels in zip(x_test[row].reshape(8, 8), found.values.reshape(8, 8), strict=True):
        shades = "".join(2 * SHADES[int(9 * pixel)] for pixel in picture)
        print(shades, " ".join(f"{pixel:+.2f}" if abs(pixel) > 0.02 else "  .  " for pixel in pixels))

    gradients = model.explain(x_test[row : row + 1], "gradients", output=3).values
    print(f"input gradients sum to {float((gradients * x_test[row]).sum()):.4f}: near its top a softmax is flat")
    print("units of the first layer that see this digit:", int((model.outputs_of("dense", x_test[[row]]) > 0).sum()))
    print(model.layer_statistics(x_test, y_test)[["mean", "zeros", "constant", "gradient"]].round(4))
    assert abs(total - model.predict(x_test[[row]])[0, 3]) < 1e-5


if __name__ == "__main__":
    main()
