"""A network that does not learn, and what the doctor says: from findings to a cure, one after the other.

What one learns: each finding names the layer, the figure, what is normal and the remedy; a learning-rate range test
suggests a rate; a healthy training has no findings.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import fastbp


def network(ending, depth, activation):
    hidden = [fastbp.Dense(16, activation) for _ in range(depth)]
    return fastbp.Sequential([*hidden, fastbp.Dense(1, ending)], input_shape=(10,), seed=0)


def main():
    x, y = load_diabetes(return_X_y=True)
    centred = (y - y.mean()) / y.std()

    # Ten sigmoid layers, inputs 1,000 times as large as they should be, an ending that cannot be negative.
    ill = network("relu", 10, "sigmoid")
    ill.compile(fastbp.SGD(1e-6), "mean_squared_error")
    doctor = fastbp.Doctor(verbose=0)
    ill.fit(20_000 * x, centred, epochs=5, callbacks=[doctor], verbose=0)
    print(doctor.diagnosis)

    # What it asks for: scaled inputs, relu, fewer layers, a linear ending; and a rate that the model can take.
    x = x / x.std(axis=0)
    cured = network(None, 2, "relu")
    cured.compile("adam", "mean_squared_error")
    found = fastbp.doctor.learning_rate_range(cured, x[:350], centred[:350])
    print(f"\n{found}")
    cured.compile(fastbp.Adam(fastbp.CosineDecay(found.suggestion / 3, 10 * 11)), "mean_squared_error")
    history = cured.fit(x[:350], centred[:350], validation_data=(x[350:], centred[350:]), epochs=10, verbose=0)
    print(f"\nR^2 of rows that are new to it: {1 - history.history['val_loss'][-1] / np.var(centred[350:]):.2f}")
    diagnosis = fastbp.diagnose(cured, x[:350], centred[:350], history=history)
    print(diagnosis)

    assert {"vanishing_gradients", "target_range", "input_scale"} <= set(doctor.diagnosis.checks)
    assert not diagnosis
    assert history.history["val_loss"][-1] < 0.7 * np.var(centred[350:])


if __name__ == "__main__":
    main()
