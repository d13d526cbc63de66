"""TensorBoard's files, a schedule by epochs, and a hook after every batch.

What one learns: callbacks bear Keras's names; the event files are TensorBoard's own (`tensorboard --logdir logs` shows
them), and read back here; a callback that defines `on_train_batch_end` is called after each batch.
"""

from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fastbp


class BatchLosses(fastbp.Callback):
    """Keeps the loss of every batch."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def main():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3))
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:]
    model = fastbp.Sequential([fastbp.Dense(16, "tanh"), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.Adam(0.01), "mean_squared_error")
    batches = BatchLosses()
    callbacks = [
        fastbp.TensorBoard("logs", histogram_freq=1),
        fastbp.LearningRateScheduler(lambda epoch, rate: rate if epoch < 3 else rate * 0.5),
        batches,
    ]
    history = model.fit(x, y, epochs=6, batch_size=32, validation_split=0.25, callbacks=callbacks, verbose=0)
    print(history)
    print(f"losses of {len(batches.losses)} batches, the largest {max(batches.losses):.3f}")

    for folder in sorted(path for path in Path("logs").iterdir() if path.is_dir()):
        events = EventAccumulator(str(folder)).Reload()
        tags = events.Tags()
        for tag in tags["scalars"]:
            print(f"{folder.name}: {tag}: {len(events.Scalars(tag))} values")
    assert len(batches.losses) == 6 * 6


if __name__ == "__main__":
    main()
