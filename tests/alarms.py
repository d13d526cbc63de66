"""Time limits at random moments: ``python tests/alarms.py 2000`` (by hand; the suite takes 120).

A handler of SIGALRM raises in the middle of fits, predictions and single steps, with two helpers at work.  After each,
nothing is left behind; and the model is as `step` updates leave it, bit for bit.
"""

import random
import signal
import sys
import threading
import time
import warnings

import numpy as np

import fastbp
from fastbp import BatchNormalization, Dense, Dropout
from fastbp.engine import exclusive, limits, threads


class TimeUp(Exception):
    """What the handler raises."""


def raise_time_up(number, frame):
    raise TimeUp


def build():
    layers = [Dense(32, activation="tanh"), Dropout(0.2), BatchNormalization(), Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(21,), seed=0)
    model.compile("adam", "mean_squared_error")
    return model


def tasks(tables):
    """Return {name: function}, the model that they train, and its rows."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 21)).astype(np.float32)
    y, model = x[:, :1].copy(), build()
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=(16,), max_iter=5, random_state=0)
    table = fastbp.TabularRegressor("fast", random_state=0)
    found = {
        # One batch of all rows: each update is like any other, so that `step` says what the model must be.
        "fit": lambda: model.fit(x, y, epochs=4, batch_size=len(x), shuffle=False, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "value_and_grad": lambda: model.value_and_grad(x, y),
        "predict": lambda: model.predict(x),
        "evaluate": lambda: model.evaluate(x, y),
        "MLPRegressor": lambda: mlp.fit(x, y.ravel()),
    }
    if tables:
        found["TabularRegressor"] = lambda: table.fit(x[:150, :4], y[:150, 0])
    return found, model, x, y


def run(n, seed, tables):
    """Set n alarms; return how many of them went off in time."""
    found, model, x, y = tasks(tables)
    seconds, draws, raised = {}, random.Random(seed), 0
    for name, task in found.items():
        task()
        started = time.perf_counter()
        task()
        seconds[name] = time.perf_counter() - started
    for _ in range(n):
        name = draws.choice(list(found))
        try:
            signal.setitimer(signal.ITIMER_REAL, draws.uniform(1e-5, 1.2 * seconds[name]))
            try:
                found[name]()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeUp:
            raised += 1
        check_nothing_is_left(name)
    check_model(model, x, y)
    return raised


def check_nothing_is_left(name):
    assert threads._busy == 0, (name, threads._busy)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, name
    assert not exclusive._changing, (name, exclusive._changing)
    assert not exclusive._reading, (name, exclusive._reading)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("fastbp-helper") <= 2, (name, names)


def check_model(model, x, y):
    """Compare with a model that made as many updates without any alarm."""
    other = build()
    for _ in range(model.step):
        other.train_on_batch(x, y)
    for array in ("params", "state", "buffers"):
        np.testing.assert_array_equal(getattr(model.engine, array), getattr(other.engine, array), err_msg=array)
    # Training goes on, and its threads help.
    assert (
        model.fit(x, y, epochs=3, batch_size=100, shuffle=False, verbose=0).history["loss"][0]
        == (other.fit(x, y, epochs=3, batch_size=100, shuffle=False, verbose=0).history["loss"][0])
    )


def main(n, seed=0, tables=True):
    """Let small problems be cut as large ones, for threads that the machine may not have."""
    limits.SLICE_MULTIPLY_ADDS = limits.ITEM_MULTIPLY_ADDS = 1
    limits.THREAD_MULTIPLY_ADDS = 0
    threads.available_cores = lambda: 3
    # Helpers end, and others begin, all the time.
    threads.IDLE_SECONDS = 0.01
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, raise_time_up)
    raised = run(n, seed, tables)
    print(f"{raised} of {n} alarms went off in time; nothing was left behind")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
