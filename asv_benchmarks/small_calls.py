"""Microseconds of small calls, from Python to Python: `python asv_benchmarks/small_calls.py [--turns N]`.

30-64-64-3 in batches of 64, one thread; the least of many short turns, which another process hardly disturbs.
"""

import argparse
import timeit

import numpy as np
from benchmarks.shared.predictors import OnnxPredictor
from benchmarks.shared.workloads import WORKLOADS

import fastbp

WORKLOAD = WORKLOADS["W2 30-64-64-3, batch 64"]
SIZES = range(33, 64)


def calls():
    """Return {what it is: (function, calls a turn)}."""
    x, y = WORKLOAD.data()
    model, row, batch, labels = WORKLOAD.model(), x[:1], x[:64], y[:64]

    def step_by_hand():
        model.value_and_grad(batch, labels)
        model.apply_gradients()

    def other_sizes():
        for size in SIZES:
            model.train_on_batch(x[:size], y[:size])

    return {
        "predict, one row": (lambda: model.predict(row), 1),
        "onnxruntime, one row": (onnx_call(row), 1),
        "train_on_batch": (lambda: model.train_on_batch(batch, labels), 1),
        "value_and_grad, apply_gradients": (step_by_hand, 1),
        "train_on_batch, another size each time": (other_sizes, len(SIZES)),
    }


def onnx_call(row):
    """Return a function that predicts one row with onnxruntime, or None where it is not installed."""
    try:
        predictor = OnnxPredictor(WORKLOAD, 1)
    except ImportError:
        return None
    return lambda: predictor.predict(row)


def main():
    """Print the least microseconds of each call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].partition(":")[0] + ".")
    parser.add_argument("--turns", type=int, default=200, help="of some 20 calls each (default: 200)")
    turns = parser.parse_args().turns
    fastbp.set_num_threads(1)
    timed = {name: (function, count) for name, (function, count) in calls().items() if function is not None}
    for function, _ in timed.values():
        function()
    seconds = {name: [] for name in timed}
    for _ in range(turns):
        for name, (function, count) in timed.items():
            times = max(1, 20 // count)
            seconds[name].append(timeit.timeit(function, number=times) / times / count)
    for name, times in seconds.items():
        print(f"{name:40}{np.min(times) * 1e6:8.1f} us")


if __name__ == "__main__":
    main()
