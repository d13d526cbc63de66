"""Weights for other programs: a model's file is a safetensors file, read here by NumPy alone.

What one learns: tensors bear the names of the layers and weights ("dense/kernel"), as `model.views` does, in the shapes
that Keras has; a file of TabularClassifier has those of all its networks.
"""

import numpy as np
from safetensors.numpy import load_file

import fastbp


def main():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(3)], input_shape=(4,), seed=0)
    model.save("model.fastbp")
    weights = load_file("model.fastbp")
    for name, array in sorted(weights.items()):
        print(f"{name}: {array.dtype} {array.shape}")
    hidden = np.maximum(x @ weights["dense/kernel"] + weights["dense/bias"], 0)
    by_hand = hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    print(f"largest difference from predict: {np.abs(by_hand - model.predict(x)).max():.1e}")
    assert np.allclose(by_hand, model.predict(x), atol=1e-6)


if __name__ == "__main__":
    main()
