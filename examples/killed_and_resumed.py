"""A training that is killed, and goes on as if it had not been.

What one learns: `BackupAndRestore` keeps a training after each epoch, `fit(checkpoint=...)` the finished networks
of a tabular estimator (on the command line: `fastbp train --resume run.ckpt`); run anew, both end with the bits
of an unbroken training. Here an exception stands for the kill.
"""

import numpy as np
from sklearn.datasets import load_iris

import fastbp

X, Y = load_iris(return_X_y=True)


class Kill(fastbp.Callback):
    """Ends the process, so to speak, in the epoch of this number."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def train(*callbacks):
    model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dropout(0.2), fastbp.Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=10, batch_size=16, callbacks=list(callbacks), verbose=0)
    return model


def main():
    unbroken = train()
    try:
        train(fastbp.BackupAndRestore("backup"), Kill(6))
    except KeyboardInterrupt:
        print("killed in epoch 7")
    resumed = train(fastbp.BackupAndRestore("backup"), Kill(None))
    print(f"resumed, {resumed.engine.epoch} epochs in all: same bits {np.array_equal(resumed.params, unbroken.params)}")
    assert np.array_equal(resumed.params, unbroken.params)

    resumed.save_weights("weights.fastbp")
    other = train()
    other.load_weights("weights.fastbp")
    assert np.array_equal(other.predict(X), unbroken.predict(X))

    whole = fastbp.TabularClassifier("fast", random_state=0).fit(X, Y, checkpoint="run.ckpt")
    again = fastbp.TabularClassifier("fast", random_state=0).fit(X, Y, checkpoint="run.ckpt")  # trains no network
    print(f"a table's {len(again.ensemble_.networks)} networks, taken from the checkpoint")
    assert np.array_equal(again.predict_proba(X), whole.predict_proba(X))


if __name__ == "__main__":
    main()
