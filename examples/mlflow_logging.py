"""
Runs in MLflow
==============

A logger of another service is a plain callback: `on_train_begin` writes the settings, `on_epoch_end` the figures,
`on_train_end` the model's file. The run is opened around `fit`, so that MLflow marks it as failed where training fails.
Runs lie where MLflow keeps them: by default in ``mlflow.db`` and ``mlruns/`` of the working directory, shown by
``mlflow ui``, else where the variable ``MLFLOW_TRACKING_URI`` says. Without mlflow (``pip install mlflow``) the example
prints the calls.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np

import fastbp

try:
    import mlflow
except ImportError:
    mlflow = None
    print("mlflow is not installed (pip install mlflow): its calls are printed.")


class MLflowLogger(fastbp.Callback):
    """Write a training to the active MLflow run, or print the calls where there is no mlflow."""

    def __init__(self, client=mlflow):
        self.client = client

    def call(self, name, *arguments, **settings):
        """Call a function of mlflow."""
        if self.client is not None:
            return getattr(self.client, name)(*arguments, **settings)
        shown = ", ".join([*map(repr, arguments), *(f"{key}={value!r}" for key, value in settings.items())])
        print(f"mlflow.{name}({shown[:100]})")
        return None

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        settings = {"optimizer": type(optimizer).__name__, "learning_rate": optimizer.learning_rate}
        self.call("log_params", settings | {"epochs": self.params["epochs"], "params": self.model.count_params()})

    def on_epoch_end(self, epoch, logs=None):
        self.call("log_metrics", {name: float(value) for name, value in logs.items()}, step=epoch)

    def on_train_end(self, logs=None):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.fastbp")
            self.model.save(path)
            self.call("log_artifact", str(path))


def main(epochs=5):
    """Train on a sine wave; return the history."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (400, 1)).astype("float32")
    model = fastbp.Sequential([fastbp.Dense(32, "tanh"), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.Adam(0.01), "mean_squared_error")
    with contextlib.nullcontext() if mlflow is None else mlflow.start_run(run_name="sine"):
        return model.fit(x, np.sin(x), epochs=epochs, validation_split=0.2, callbacks=[MLflowLogger()], verbose=0)


if __name__ == "__main__":
    history = main()
    print(history)
