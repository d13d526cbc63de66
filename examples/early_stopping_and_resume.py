"""Early stopping, and a training that goes on from a file as if it had never stopped.

What one learns: callbacks act between epochs (stop, keep the best weights, log, save); and a model file holds the
optimizer's state, the step and the seed, so that training, saving, loading and training on gives the same bits as
training without a break, shuffles and dropout masks included.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

import fastbp


def load():
    """Standardised rows and targets in a random order, for the validation rows are the last ones."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return scale(x[order]), scale(y[order])


def make_model():
    layers = [fastbp.Dense(64, activation="relu"), fastbp.Dropout(0.2), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, seed=0)
    model.compile(optimizer=fastbp.Adam(0.003), loss="mean_squared_error")
    return model


def stop_early(x, y, folder):
    """Train until the validation loss has not got better for 10 epochs."""
    model = make_model()
    stopping = fastbp.EarlyStopping(patience=10, restore_best_weights=True)
    callbacks = [
        stopping,
        fastbp.CSVLogger(folder / "log.csv"),
        fastbp.ModelCheckpoint(folder / "best.fastbp", save_best_only=True),
    ]
    history = model.fit(x, y, epochs=500, batch_size=32, validation_split=0.25, callbacks=callbacks, verbose=0)
    val_loss = history.history["val_loss"]
    print(f"stopped after {len(val_loss)} epochs; the best was {stopping.best_epoch + 1}, val_loss {min(val_loss):.4f}")
    assert len(val_loss) == stopping.best_epoch + 1 + 10
    assert stopping.best == min(val_loss)
    assert (model.params == fastbp.load_model(folder / "best.fastbp").params).all()
    assert len((folder / "log.csv").read_text().splitlines()) == len(val_loss) + 1


def resume(x, y, folder):
    """Train 10 epochs in one go, and 4 + 6 with a file between."""
    settings = {"batch_size": 32, "verbose": 0}
    straight = make_model()
    straight.fit(x, y, epochs=10, **settings)

    first = make_model()
    first.fit(x, y, epochs=4, **settings)
    first.save(folder / "first.fastbp")
    second = fastbp.load_model(folder / "first.fastbp")
    second.fit(x, y, epochs=6, **settings)
    print(f"10 epochs in one go: {straight.step} steps, loss {straight.evaluate(x, y):.8f}")
    print(f"4 + 6 with a file:   {second.step} steps, loss {second.evaluate(x, y):.8f}")
    assert second.params.tobytes() == straight.params.tobytes()


def main():
    x, y = load()
    with tempfile.TemporaryDirectory() as folder:
        stop_early(x, y, Path(folder))
        resume(x, y, Path(folder))


if __name__ == "__main__":
    main()
