"""TensorBoard: the run's figures and weights as event files, which the program `tensorboard` shows."""

import time
from pathlib import Path

import numpy as np

from fastbp.callbacks.base import Callback

# Buckets of a histogram.
BUCKETS = 30


class TensorBoard(Callback):
    """Write event files for ``tensorboard --logdir logs``.

    The figures of an epoch stand under Keras's tags, ``epoch_loss``, ``epoch_learning_rate`` and so on, in the
    subfolders ``train`` and ``validation``; the step is the epoch, counted from 0. Of a `TabularClassifier` or
    `TabularRegressor` each network has a subfolder, ``network_0`` and so on.

    Parameters
    ----------
    log_dir : str or path, default "logs"
        A folder for this run; it is made where there is none.
    histogram_freq : int, default 0
        After every so many epochs, histograms of each weight (``dense/kernel/histogram``) and of its gradient for the
        epoch's last batch (``dense/kernel/gradient``); 0: none. (Of tables whose gradient is made row by row there is
        none.)
    write_graph : bool, default True
        Write the model's summary as a text (``keras``'s graph is another one), with its layers, shapes and settings.
    write_steps_per_second : bool, default False
        Write ``epoch_steps_per_second``.
    update_freq : "epoch" or int, default "epoch"
        With a number, ``batch_loss`` (the mean of the epoch so far) after every so many batches, at the price of
        `Callback.on_train_batch_end`.

    Raises
    ------
    ImportError
        Before training, without the package tensorboard.

    Examples
    --------
    >>> import fastbp, numpy as np, tempfile
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile("sgd", "mean_squared_error")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = fastbp.TensorBoard(folder, histogram_freq=1)
    ...     history = model.fit(np.eye(4), np.ones(4), callbacks=[board], verbose=0)
    """

    def __init__(
        self,
        log_dir: str | Path = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
    ):
        if isinstance(histogram_freq, bool) or not isinstance(histogram_freq, int | np.integer) or histogram_freq < 0:
            raise ValueError(f"TensorBoard(histogram_freq={histogram_freq!r}): it is a number of epochs, at least 0.")
        if update_freq != "epoch" and (
            isinstance(update_freq, bool) or not isinstance(update_freq, int | np.integer) or update_freq < 1
        ):
            raise ValueError(f'TensorBoard(update_freq={update_freq!r}): it is "epoch" or a number of batches.')
        self.log_dir, self.histogram_freq, self.write_graph = Path(log_dir), int(histogram_freq), write_graph
        self.write_steps_per_second, self.update_freq = write_steps_per_second, update_freq
        self._files: dict = {}
        if update_freq != "epoch":
            self.on_train_batch_end = self._batch_ends  # type: ignore[method-assign]

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._close()
        _protocol()
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._started = time.perf_counter()
        self._graph_due = self.write_graph

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = dict(logs or {})
        network = logs.pop("network", None)
        start = "" if network is None else f"network_{int(network)}/"
        if self._graph_due:
            self._write_summary(f"{start}train")
            self._graph_due = False
        if self.write_steps_per_second:
            logs["steps_per_second"] = self.params["steps"] / max(time.perf_counter() - self._started, 1e-9)
        for name, value in logs.items():
            folder = "validation" if name.startswith("val_") else "train"
            self._write_scalar(f"{start}{folder}", f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            self._write_histograms(f"{start}train", epoch)
        for file in self._files.values():
            file.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._close()

    def _batch_ends(self, batch, logs=None):
        if (batch + 1) % self.update_freq == 0:
            step = self._epoch * self.params["steps"] + batch
            self._write_scalar("train", "batch_loss", logs["loss"], step)

    def _write_scalar(self, folder, tag, value, step):
        protocol = _protocol()
        self._write(folder, [protocol.Summary.Value(tag=tag, simple_value=float(value))], step)

    def _write_histograms(self, folder, step):
        protocol = _protocol()
        engine = _network_of(self.model).engine
        arrays = {f"{name}/histogram": view for name, view in engine.views.items()}
        for placed in engine.network.params:
            if engine.network.layers[placed.layer].spec.trainable:
                arrays[f"{placed.name}/gradient"] = engine.grads[placed.start : placed.stop]
        values = []
        for tag, array in arrays.items():
            if array.size:
                values.append(protocol.Summary.Value(tag=tag, histo=_histogram(protocol, array)))
        self._write(folder, values, step)

    def _write_summary(self, folder):
        from tensorboard.plugins.text import summary_v2

        # A block of code in Markdown, which keeps columns.
        text = "\n".join(f"    {line}" for line in _network_of(self.model)._summary().splitlines())
        self._write(folder, summary_v2.text_pb("model", text).value, 0)

    def _write(self, folder, values, step):
        protocol = _protocol()
        event = protocol.Event(wall_time=time.time(), step=int(step), summary=protocol.Summary(value=values))
        if folder not in self._files:
            self._files[folder] = protocol.EventFileWriter(str(self.log_dir / folder))
        self._files[folder].add_event(event)

    def _close(self):
        for file in self._files.values():
            file.close()
        self._files: dict = {}

    def __getstate__(self):
        return self.__dict__ | {"_files": {}}


def _network_of(model):
    """Return the network of a model or of an estimator."""
    return getattr(model, "model_", model)


def _histogram(protocol, array):
    """Return the message of a histogram of all entries, in buckets of one width."""
    values = np.asarray(array, np.float64).ravel()
    counts, edges = np.histogram(values, BUCKETS)
    return protocol.HistogramProto(
        min=float(values.min()),
        max=float(values.max()),
        num=float(values.size),
        sum=float(values.sum()),
        sum_squares=float((values * values).sum()),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.astype(float).tolist(),
    )


class _Protocol:
    """What is used of the package tensorboard."""

    def __init__(self):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.Event, self.HistogramProto, self.Summary = Event, HistogramProto, Summary
        self.EventFileWriter = EventFileWriter


_known: list = []


def _protocol():
    if not _known:
        try:
            _known.append(_Protocol())
        except ImportError:
            raise ImportError(
                'fastbp.TensorBoard writes by the package tensorboard: pip install "fastbp[tensorboard]"'
            ) from None
    return _known[0]
