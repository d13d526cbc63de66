"""Soak: random networks, fitted, saved, loaded, asked, and stopped by signals, in two processes for a while.

``python tests/soak.py 600`` by hand; the suite takes some seconds.  Memory, open files and threads must not grow.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

import fastbp
from fastbp import GRU, BatchNormalization, Conv1D, Dense, Dropout, Embedding, Flatten, GlobalAveragePooling1D
from fastbp.engine import limits, threads

ROWS = 300
# What a process may need more at the end than in its first third, in MB: the allocator's own ups and downs.
MOST_GROWTH = 40


class TimeUp(Exception):
    """What the handler of SIGALRM raises."""


def raise_time_up(number, frame):
    raise TimeUp


def dense(draws):
    middle = [layer for layer in (BatchNormalization(), Dropout(0.2)) if draws.random() < 0.5]
    return [Dense(draws.randint(1, 40), activation="relu"), *middle, Dense(1)], (6,)


def series(draws):
    return [GRU(draws.randint(1, 9)), Dense(1)], (5, 3)


def waves(draws):
    return [Conv1D(draws.randint(1, 9), 3, activation="relu"), GlobalAveragePooling1D(), Dense(1)], (8, 2)


def table(draws):
    return [Embedding(draws.randint(50, 90), 3, lazy=draws.random() < 0.5), Flatten(), Dense(1)], (4,)


NETWORKS = [dense, series, waves, table]
OPTIMIZERS = [fastbp.Adam(0.01), fastbp.SGD(0.01, momentum=0.9), fastbp.AdamW(0.01, global_clipnorm=1.0)]


def live(draws, folder, interrupted):
    """One model's life; where `interrupted`, a signal comes at some time, and the life goes on from there."""
    rng = np.random.default_rng(draws.randint(0, 2**30))
    layers, shape = draws.choice(NETWORKS)(draws)
    ids = isinstance(layers[0], Embedding)
    x = rng.integers(0, 50, (ROWS, *shape)) if ids else rng.standard_normal((ROWS, *shape)).astype(np.float32)
    y = rng.standard_normal((ROWS, 1))
    model = fastbp.Sequential(layers, input_shape=shape, seed=draws.randint(0, 99))
    model.compile(draws.choice(OPTIMIZERS), "mean_squared_error")
    path = Path(folder, "model.safetensors")

    def save_and_load():
        model.save(path)
        np.testing.assert_array_equal(fastbp.load_model(path).predict(x), model.predict(x))

    acts = [
        lambda: model.fit(x, y, epochs=3, batch_size=draws.choice([7, 60, ROWS]), verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model.value_and_grad(x, y),
        lambda: model.evaluate(x, y),
        save_and_load,
        lambda: fastbp.MLPRegressor(hidden_layer_sizes=(9,), max_iter=3).fit(x.reshape(ROWS, -1), y.ravel()),
    ]
    for act in draws.sample(acts, len(acts)):
        try:
            try:
                if interrupted:
                    signal.setitimer(signal.ITIMER_REAL, draws.expovariate(300))
                act()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeUp:
            pass
    assert np.isfinite(model.params).all()
    assert threads._busy == 0


def figures():
    """Return {name: value} of this process: resident memory in MB, open files, threads."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "memory": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def soak(seconds, seed):
    """Run lives for so many seconds; print the figures of the first third and the last."""
    limits.SLICE_MULTIPLY_ADDS = limits.ITEM_MULTIPLY_ADDS = 1
    limits.THREAD_MULTIPLY_ADDS = 0
    threads.available_cores, threads.IDLE_SECONDS = (lambda: 2), 0.5
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, raise_time_up)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draws, started, lives = random.Random(seed), time.monotonic(), 0
    early, late = [], []
    with tempfile.TemporaryDirectory() as folder:
        # Each kernel is loaded once.
        for _ in range(int(min(12 + seconds, 60))):
            live(draws, folder, interrupted=False)
        while (elapsed := time.monotonic() - started) < seconds or len(late) < 9:
            live(draws, folder, interrupted=True)
            lives += 1
            (early if elapsed < seconds / 3 else late).append(figures())
    ends = late[-9:-6], late[-6:-3], late[-3:]
    for name in ("memory", "files", "threads"):
        before = max(one[name] for one in early[-20:] or late[:5])
        after = min(max(one[name] for one in some) for some in ends)
        print(f"process {seed}: {lives} lives; {name} {before:.0f} after a third, {after:.0f} at the end", flush=True)
        assert after - before <= {"memory": MOST_GROWTH, "files": 0, "threads": 0}[name], name


def main(seconds):
    """Soak in two processes at once."""
    command = [sys.executable, "-X", "faulthandler", __file__, str(seconds)]
    processes = [subprocess.Popen([*command, str(seed)]) for seed in (1, 2)]
    codes = [process.wait() for process in processes]
    print("flat" if codes == [0, 0] else f"failed: {codes}")
    return max(map(abs, codes))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        soak(float(sys.argv[1]), int(sys.argv[2]))
    else:
        sys.exit(main(float(sys.argv[1])))
