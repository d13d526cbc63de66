"""A character-level language model of a text that comes with Python: it learns to spell, and then writes.

What one learns: an embedding gives characters vectors, a GRU reads them, a softmax tells which one follows; the loss
in bits is to be compared with that of counting pairs of characters. To write, a twin of the network takes one
character at a time and is stateful: it goes on from the state that the text so far has left.
"""

import argparse
import re
from pydoc_data.topics import topics

import numpy as np

import fastbp

WINDOW = 20  # characters that a prediction sees in training
LENGTH = 12_000  # of the text


def read_text():
    """Return some pages of Python's own help, without lines drawn of signs, one blank for each white space."""
    pages = " ".join(topics[name] for name in sorted(topics) if name.islower())
    return " ".join(re.sub(r"([^\w\s])\1{2,}", " ", pages).split())[:LENGTH]


def windows(codes):
    """codes (m,) -> x (m - WINDOW, WINDOW), y (m - WINDOW,): the character that follows each window."""
    return np.lib.stride_tricks.sliding_window_view(codes[:-1], WINDOW), codes[WINDOW:]


def bits_of_pairs(codes, kinds):
    """Return the bits a character of a text costs when each is foretold by the one before."""
    counts = np.zeros((kinds, kinds))
    np.add.at(counts, (codes[:-1], codes[1:]), 1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return float(-(counts * np.log2(np.where(counts > 0, share, 1))).sum() / counts.sum())


def layers(kinds, **settings):
    return [fastbp.Embedding(kinds, 16), fastbp.GRU(96, **settings), fastbp.Dense(kinds, activation="softmax")]


def write(model, start, alphabet, n, temperature=0.5):
    """Return `start` and `n` characters more, drawn from the predictions (low temperature: the likely ones)."""
    writer = fastbp.Sequential(layers(len(alphabet), stateful=True, batch_size=1), input_shape=(1,), seed=0)
    writer.params[:] = model.params
    rng, text = np.random.default_rng(0), ""
    for character in start:
        text += character
        chances = writer.predict(np.array([[alphabet.index(character)]]))[0]
    for _ in range(n):
        weights = chances.astype(float) ** (1 / temperature)
        drawn = rng.choice(len(alphabet), p=weights / weights.sum())
        text += alphabet[drawn]
        chances = writer.predict(np.array([[drawn]]))[0]
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    text = read_text()
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(character) for character in text])
    x, y = windows(codes)
    print(f"{len(text)} characters of {len(alphabet)} kinds, from {text[:40]!r}")

    model = fastbp.Sequential(layers(len(alphabet)), seed=0)
    model.compile(fastbp.Adam(0.005, global_clipnorm=1.0), "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=parser.parse_args().epochs, batch_size=64, verbose=2)
    bits, pairs = history.history["loss"][-1] / np.log(2), bits_of_pairs(codes, len(alphabet))
    print(f"bits a character: {bits:.2f}; by counting pairs {pairs:.2f}")
    print(write(model, "The ", alphabet, 200))
    assert bits < 0.85 * pairs


if __name__ == "__main__":
    main()
