"""Classification of sequences of different lengths: padding, and how masking takes its harm away.

What one learns: sequences of 6 to 40 steps become one array, filled up with zeros; `Masking` in front has recurrent
layers skip what was filled, so that a prediction does not depend on how long the others are. Without it the state
runs on through the padding and forgets. A bidirectional layer needs the mask even more: one of its ways begins there.
"""

import copy

import numpy as np

import fastbp

LENGTHS = (6, 40)
# Steps of a wave of each class.
PERIODS = np.array([5.0, 7.0, 10.0])


def make_waves(n, rng):
    """Return a list of sequences (steps, 2), noisy waves that begin anywhere, and the class of each."""
    y = rng.integers(0, len(PERIODS), n)
    sequences = []
    for period in PERIODS[y]:
        angles = 2 * np.pi * (np.arange(rng.integers(*LENGTHS)) / period + rng.random())
        sequences.append(np.stack([np.sin(angles), np.cos(angles)], 1) + rng.normal(0, 0.3, (len(angles), 2)))
    return sequences, y


def pad(sequences, steps):
    """Return sequences (steps of each, d) as one array (n, steps, d): zeros after the end of each."""
    x = np.zeros((len(sequences), steps, sequences[0].shape[1]))
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x


def train(layers, x, y):
    model = fastbp.Sequential([*layers, fastbp.Dense(len(PERIODS), activation="softmax")], seed=0)
    model.compile(fastbp.Adam(0.01, global_clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=12, batch_size=32, verbose=0)
    return model


def main():
    rng = np.random.default_rng(0)
    sequences, y = make_waves(1200, rng)
    test_sequences, y_test = make_waves(600, rng)
    # Everything is filled up to 80 steps: as if one sequence were that long.
    x, x_test = pad(sequences, 80), pad(test_sequences, 80)
    print(f"lengths {min(map(len, sequences))} to {max(map(len, sequences))}, padded to {x.shape[1]}")

    networks = {
        "LSTM": [fastbp.LSTM(16)],
        "Masking, LSTM": [fastbp.Masking(), fastbp.LSTM(16)],
        "Masking, two ways": [fastbp.Masking(), fastbp.Bidirectional(fastbp.LSTM(8))],
    }
    accuracy = {}
    for name, layers in networks.items():
        model = train(layers, x, y)
        accuracy[name] = model.evaluate(x_test, y_test)[1]
        print(f"{name:20} test accuracy {accuracy[name]:.3f}")

    # The last one again, on a batch padded to its own longest sequence: same bits.
    longest = max(map(len, test_sequences))
    narrow = fastbp.Sequential(copy.deepcopy(model.layers), input_shape=(longest, 2), seed=0)
    narrow.set_weights(model.get_weights())
    same = np.array_equal(
        narrow.predict(pad(test_sequences, narrow.engine.network.input_shape[0])), model.predict(x_test)
    )
    print(f"less padding, same predictions: {same}")
    assert same
    assert accuracy["Masking, LSTM"] > max(0.85, accuracy["LSTM"])
    assert accuracy["Masking, two ways"] > 0.85


if __name__ == "__main__":
    main()
