"""What the ranks of test_distributed.py run: ``mpiexec -n RANKS python distributed_jobs.py JOB FOLDER``."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import fastbp
from fastbp.engine import threads

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5)).astype("float32")
LABELS = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
WEIGHTS = RNG.uniform(0, 2, size=203) * (RNG.random(203) > 0.2)
MORE_X, MORE_LABELS = X[:37] + 0.1, LABELS[:37]
ONLY_LAYERS = {"dropout": [fastbp.Dropout(0.3)], "normalized": [fastbp.BatchNormalization(), fastbp.Dropout(0.3)]}


def network(kind="dropout", seed=3, metrics=("accuracy",), optimizer="adam"):
    first = fastbp.Dense(12, "relu", kernel_regularizer=fastbp.L2(1e-3))
    layers = [first, *ONLY_LAYERS[kind], fastbp.Dense(2, "softmax")]
    model = fastbp.Sequential(layers, input_shape=(5,), seed=seed)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


SEQUENCES = RNG.normal(size=(192, 6, 3)).astype("float32") * (RNG.random((192, 6, 1)) > 0.3)
IMAGES = RNG.normal(size=(192, 6, 6, 1)).astype("float32")
# Layers, inputs, targets, loss, optimizer, settings of fit: each rank has half of the 192 rows.
OTHERS = {
    "masked": (
        lambda: [fastbp.Masking(), fastbp.GRU(5, return_sequences=True, dropout=0.2), fastbp.Dense(1)],
        SEQUENCES,
        SEQUENCES.sum(axis=2, keepdims=True),
        "mean_squared_error",
        fastbp.Adam(use_ema=True),
        {},
    ),
    "images": (
        lambda: [fastbp.Conv2D(3, 3), fastbp.SpatialDropout2D(0.2), fastbp.Flatten(), fastbp.Dense(2, "softmax")],
        IMAGES,
        LABELS[:192],
        "sparse_categorical_crossentropy",
        fastbp.SGD(0.1, global_clipnorm=0.5),
        {"class_weight": "balanced"},
    ),
    "lookup": (
        lambda: [fastbp.Embedding(500, 4, lazy=True), fastbp.Flatten(), fastbp.Dense(2, "softmax")],
        np.abs(SEQUENCES[:, 0] * 100).astype("float32") // 1,
        LABELS[:192],
        "sparse_categorical_crossentropy",
        "adam",
        {},
    ),
}


def other(name):
    """Return a model of OTHERS."""
    layers, x, _, loss, optimizer, _ = OTHERS[name]
    model = fastbp.Sequential(layers(), input_shape=x.shape[1:], seed=1)
    model.compile(optimizer, loss)
    return model


def part(n, rank, size):
    """The rows of a rank."""
    return slice(rank * n // size, (rank + 1) * n // size)


class Job:
    """The process's rank, and where it writes what it found."""

    def __init__(self, folder):
        from mpi4py import MPI

        self.comm, self.folder = MPI.COMM_WORLD, Path(folder)
        self.rank, self.size = self.comm.rank, self.comm.size

    def fit(self, model, x, y, weights=None, **settings):
        """Train on this rank's part of the rows."""
        rows = part(len(x), self.rank, self.size)
        if weights is not None:
            settings["sample_weight"] = weights[rows]
        settings = {"epochs": 3, "batch_size": 32, "verbose": 0, "timeout": 60, **settings}
        return fastbp.distributed.fit(model, x[rows], y[rows], **settings)

    def keep(self, name, model, history):
        """Write a training's result, which must be that of every rank."""
        mine = model.params.tobytes(), model.engine.buffers.tobytes(), json.dumps(history.history), model.step
        assert self.comm.allgather(mine) == [mine] * self.size, name
        if self.rank == 0:
            np.savez(self.folder / f"{name}_{self.size}", params=model.params, buffers=model.engine.buffers)
            (self.folder / f"{name}_{self.size}.json").write_text(json.dumps(history.history))


def trainings(job):
    """Four slices on whatever ranks there are; each rank has its own seed, and takes rank 0's."""
    for kind in ONLY_LAYERS:
        for name, settings in {"ordered": {"reproducible": True}, "fast": {}}.items():
            model = network(kind, seed=3 + job.rank)
            settings |= {"slices": 4, "validation_split": 0.2, "weights": WEIGHTS}
            job.keep(f"{kind}_{name}", model, job.fit(model, X, LABELS, **settings))
    model = network()
    rows = part(len(MORE_X), job.rank, job.size)
    more = {"validation_data": (MORE_X[rows], MORE_LABELS[rows]), "steps_per_epoch": 5, "class_weight": {1: 2.0}}
    job.keep("steps", model, job.fit(model, X, LABELS, slices=4, reproducible=True, **more))


def two_ranks(job):
    """What needs two ranks: batches that one process has too, an empty rank, callbacks, errors."""
    model = network()
    job.keep("unshuffled", model, job.fit(model, X[:192], LABELS[:192], shuffle=False))
    for name, (_, x, y, _, _, settings) in OTHERS.items():
        model = other(name)
        job.keep(name, model, job.fit(model, x, y, shuffle=False, **settings))
    model, n = network(), (1 - job.rank) * len(X)
    job.keep("empty", model, fastbp.distributed.fit(model, X[:n], LABELS[:n], epochs=3, verbose=0))
    callbacks_and_stops(job)
    interrupted(job)
    errors(job)


def statistics(job):
    """One epoch of a network that begins with batch statistics, of two slices."""
    layers = [fastbp.BatchNormalization(), fastbp.Dense(2, "softmax")]
    model = fastbp.Sequential(layers, input_shape=(5,), seed=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    settings = {"epochs": 1, "slices": 2, "reproducible": True, "shuffle": False}
    job.keep("statistics", model, job.fit(model, X[:192], LABELS[:192], **settings))


def interrupted(job):
    """Ctrl-C in one rank ends training in all, after the same step; cores are shared."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    model, limits = network(), []
    draw = model.engine.next_update

    def next_update(n_steps):
        limits.append(threads.get_num_threads())
        if model.engine.epoch == 1 and job.rank == 1:
            signal.raise_signal(signal.SIGINT)
        return draw(n_steps)

    model.engine.next_update = next_update
    history = job.fit(model, X, LABELS, epochs=50)
    del model.engine.next_update
    job.keep("interrupted", model, history)
    assert 1 <= len(history.epoch) <= 2  # the call of several steps that runs goes on
    assert limits == [1, 1]


def callbacks_and_stops(job):
    """Callbacks run in rank 0; what they do to the model, and that they end training, holds for all."""
    seen = []

    class Note(fastbp.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)
            self.model.params[:] += 0.125

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = epoch_is_over = len(seen) == 3 and batch == 1
            assert not epoch_is_over or np.isfinite(logs["loss"])

    model = network()
    rates = fastbp.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1))
    history = job.fit(model, X, LABELS, epochs=9, callbacks=[Note(), rates])
    job.keep("callbacks", model, history)
    assert seen == ([0, 1, 2] if job.rank == 0 else [])
    assert history.history["learning_rate"] == [0.01, 0.005, 0.01 / 3]
    assert model.step == 2 * 7 + 2
    model = network(optimizer=fastbp.SGD(1e30))
    ended = job.fit(model, X, LABELS, callbacks=[fastbp.TerminateOnNaN()])
    assert ended.history == {}
    assert_raises(job, fastbp.TrainingDiverged, "diverged in epoch 1, at or before step", model, X, LABELS)
    assert np.array_equal(model.params, network().params)


def assert_raises(job, expected, text, *arguments, **settings):
    """Every rank raises `expected`, or, where only rank `only` does, the others tell what it raised."""
    only, raised = settings.pop("only", None), None
    try:
        job.fit(*arguments, **settings)
    except Exception as error:
        raised = error
    mine = only is None or only == job.rank
    assert type(raised) is (expected if mine else fastbp.distributed.RankFailed), repr(raised)
    assert mine or str(raised).startswith(f"rank {only} of {job.size} failed: {expected.__name__}: "), repr(raised)
    assert text in str(raised), repr(raised)


def errors(job):
    """An error of one rank is raised by all, and the ranks can train again."""
    broken = X.copy()
    broken[150, 2] = np.nan
    assert_raises(job, ValueError, "is nan", network(), broken, LABELS, only=1)

    def metric(y, outputs):
        raise KeyError("metric of one's own")

    def on_epoch_end(epoch, logs):
        raise OSError("no space left")

    before = network().params
    model = network(metrics=[metric])
    assert_raises(job, KeyError, "metric of one's own", model, X, LABELS, only=0)
    assert np.array_equal(model.params, before)
    full = [fastbp.LambdaCallback(on_epoch_end=on_epoch_end)]
    assert_raises(job, OSError, "no space left", network(), X, LABELS, callbacks=full, only=0)
    bar = [fastbp.LambdaCallback(on_train_batch_end=on_epoch_end)]
    assert_raises(job, OSError, "no space left", network(), X, LABELS, callbacks=bar, only=0)
    assert_raises(job, ValueError, f"batch_size is {31 + job.rank}", network(), X, LABELS, batch_size=31 + job.rank)
    assert_raises(job, ValueError, "multiple of the number of ranks, 2", network(), X, LABELS, slices=3)
    assert_raises(job, ValueError, "empty in every rank", network(), X[:0], LABELS[:0])
    assert_raises(job, ValueError, "timeout=0", network(), X, LABELS, timeout=0)
    other = network("normalized" if job.rank else "dropout")
    assert_raises(job, ValueError, "the list of the layers is", other, X, LABELS)
    rank = job.rank
    given = {"class_weight": {0: 1.0, 1: 1.0 + rank}}
    assert_raises(
        job, ValueError, f"class_weight is {given['class_weight']} in rank {rank}", network(), X, LABELS, **given
    )
    metrics = ["accuracy"] * rank
    assert_raises(
        job, ValueError, f"the list of metrics is {metrics} in rank {rank}", network(metrics=metrics), X, LABELS
    )
    wide = X[:, : 5 - rank]
    unbuilt = fastbp.Sequential([fastbp.Dense(2 + rank, "softmax")])
    unbuilt.compile("sgd", "sparse_categorical_crossentropy")
    assert_raises(job, ValueError, f"units of layer 0 (Dense) is {2 + rank} in rank {rank}", unbuilt, X, LABELS)
    unbuilt = fastbp.Sequential([fastbp.Dense(2, "softmax")])
    unbuilt.compile("sgd", "sparse_categorical_crossentropy")
    assert_raises(job, ValueError, f"the input shape is {wide.shape[1:]} in rank {rank}", unbuilt, wide, LABELS)
    assert_raises(job, TypeError, "trains a fastbp.Sequential, not 3", 3, X, LABELS)
    assert_raises(job, TypeError, "Did you mean 'batch_size'", network(), X, LABELS, batchsize=3)
    assert_raises(job, TypeError, "comm=3: it is a communicator", network(), X, LABELS, comm=3)
    states = fastbp.Sequential([fastbp.GRU(2, stateful=True, batch_size=4), fastbp.Dense(1)], input_shape=(3, 1))
    states.compile("sgd", "mse")
    assert_raises(job, ValueError, "stateful", states, np.ones((8, 3, 1)), np.ones(8), shuffle=False)
    job.fit(network(), X, LABELS)


def broken_off(job):
    """Six epochs with a backup; where the folder has a file "kill", rank 1 is killed in the third."""
    model = network()
    backup = fastbp.BackupAndRestore(job.folder / "run")
    if job.rank == 1 and (job.folder / "kill").exists():
        metric = model.engine.next_update

        def killed(n_steps):
            if model.engine.epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return metric(n_steps)

        model.engine.next_update = killed
    history = job.fit(model, X, LABELS, epochs=6, slices=4, reproducible=True, callbacks=[backup])
    job.keep("broken_off", model, history)


def gone(job):
    """Rank 1 dies unseen by mpiexec, which started the program that waits for it."""
    model = network()
    if job.rank == 1:
        begin = time.monotonic()
        model.engine.next_update = lambda n: os.kill(os.getpid(), signal.SIGKILL) or begin
    job.fit(model, X, LABELS, timeout=2)


def deep_layers():
    first = fastbp.Dense(12, "relu", kernel_regularizer=fastbp.L2(1e-2))
    more = [fastbp.Dropout(0.3), fastbp.Dense(8, "tanh"), fastbp.Dropout(0.2), fastbp.Dense(2, "softmax")]
    return [first, *more]


def unlike(rank):
    return [fastbp.Dense(4 + rank), *deep_layers()]


PIPELINES = {"adam": "adam", "clipped": fastbp.SGD(0.5, global_clipnorm=0.3)}


def pipelines(job):
    """A network of five layers in as many segments as there are ranks; and what pipelines refuse."""
    for name, optimizer in PIPELINES.items():
        model = fastbp.distributed.PipelineModel(deep_layers(), (5,), seed=3, timeout=60)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        first = model.predict(X)
        seen = []
        note = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))  # noqa: B023
        others = MORE_X, MORE_LABELS
        history = model.fit(X, LABELS, epochs=3, callbacks=[note], validation_data=others, verbose=0)
        assert seen == (history.history["loss"] if job.rank == 0 else [])
        assert 0 <= model.bubble <= 1
        weights, outputs = model.get_weights(), model.predict(X)
        if job.rank == 0:
            arrays = {"first": first, "outputs": outputs, "loss": history.history["loss"]}
            arrays["val_loss"] = history.history["val_loss"]
            np.savez(job.folder / f"{name}_{job.size}", *weights, **arrays)
    model = fastbp.distributed.PipelineModel(deep_layers(), (5,), seed=3, starts=list(range(job.size)), timeout=60)
    model.compile(fastbp.SGD(1e30), "sparse_categorical_crossentropy")
    backup = fastbp.BackupAndRestore(job.folder / "pipeline")
    stopping = fastbp.EarlyStopping(restore_best_weights=True)
    for expected, text, call in [
        (fastbp.TrainingDiverged, "epoch 1", lambda: model.fit(X, LABELS, epochs=9, verbose=0)),
        (ValueError, "batch_size", lambda: model.fit(X, LABELS, batch_size=31 + job.rank, verbose=0)),
        (ValueError, "starts=", lambda: fastbp.distributed.PipelineModel(deep_layers(), (5,), starts=[1, 2])),
        (ValueError, "BackupAndRestore keeps", lambda: model.fit(X, LABELS, callbacks=[backup], verbose=0)),
        (ValueError, "EarlyStopping keeps", lambda: model.fit(X, LABELS, callbacks=[stopping], verbose=0)),
        (TypeError, "fit has no class_weight=", lambda: model.fit(X, LABELS, class_weight={0: 2.0})),
        (TypeError, "compile has no metrics=", lambda: model.compile("adam", "mse", metrics=["accuracy"])),
        (ValueError, "give (x, y)", lambda: model.fit(X, LABELS, validation_data=(X, LABELS, WEIGHTS), verbose=0)),
        (ValueError, "units of layer 0 (Dense) is", lambda: fastbp.distributed.PipelineModel(unlike(job.rank), (5,))),
        (ValueError, "input_shape=5: it is a tuple", lambda: fastbp.distributed.PipelineModel(deep_layers(), 5)),
        (TypeError, "x is None: all ranks are given the same rows", lambda: model.predict(None)),
        (Exception, "the model takes 5", lambda: model.predict(X[:, :3])),
        (ValueError, "the number of rows of x is", lambda: model.predict(X[: 9 + job.rank])),
        (ValueError, "the optimizer is", lambda: model.compile(fastbp.SGD(0.1 + job.rank), "mse")),
        (ValueError, "make no", lambda: fastbp.distributed.PipelineModel([fastbp.Dense(1)], (5,))),
    ]:
        raised = None
        try:
            call()
        except Exception as error:
            raised = error
        assert isinstance(raised, expected), repr(raised)
        assert text in str(raised), repr(raised)


def main(name, folder):
    warnings.simplefilter("error")
    threads.available_cores = lambda: 2
    if name == "gone" and os.environ["PMI_RANK"] == "1" and "CHILD" not in os.environ:
        subprocess.run([sys.executable, *sys.argv], env=os.environ | {"CHILD": "1"}, close_fds=False)
        time.sleep(60)
        return
    globals()[name](Job(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
