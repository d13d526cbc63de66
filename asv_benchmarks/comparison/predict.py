"""Microseconds of a prediction, one row and many, beside a dedicated runtime and the training libraries."""

import timeit

from benchmarks.shared.workloads import WORKLOADS

from comparison.workers import medians, ratios, threads_text, workers

PEERS = ["onnxruntime", "torch", "sklearn"]
NETWORK = "W2 30-64-64-3, batch 64"
ROWS = [1, 10_000]
# Seconds of one turn.
TURN_SECONDS = 0.4


def run(report, options, peers):
    """Print a table for each number of threads: NumPy array in, NumPy array out.

    "difference": how far any peer's probabilities are from fastbp's, at most.
    """
    names = ["fastbp", *peers]
    columns = {"30-64-64-3, softmax": ""} | dict.fromkeys(names, ".1f") | {f"x {peer}": ".2f" for peer in peers}
    columns["difference"] = ".1e"
    for threads in options.threads:
        title = (
            f"{threads_text(threads)}, microseconds a prediction (median of {options.repeats} turns; x: times fastbp's)"
        )
        row = report.table(title, columns)
        with workers("predict", names, NETWORK, threads) as running:
            difference = largest_difference(running) if peers else None
            for rows in ROWS:
                turns = [{name: w.ask(rows=rows) for name, w in running.items()} for _ in range(options.repeats)]
                times = [seconds * 1e6 for seconds in medians(turns, "seconds", names)]
                row(f"{rows:,} row{'s' if rows > 1 else ''}", *times, *ratios(turns, "seconds", names), difference)


def largest_difference(running):
    """Return how far a peer's probabilities are from fastbp's, at most."""
    import numpy as np

    outputs = {name: np.array(worker.about["outputs"]) for name, worker in running.items()}
    return max(float(np.abs(out - outputs["fastbp"]).max()) for name, out in outputs.items() if name != "fastbp")


def make(name, case, threads):
    """Return a worker."""
    return TimedPredictor(name, WORKLOADS[case], threads)


class TimedPredictor:
    """Predicts for a while; answers with the seconds of one call."""

    def __init__(self, name, workload, threads):
        from benchmarks.shared.predictors import PREDICTORS

        self._predictor = PREDICTORS[name](workload, threads)
        x, _ = workload.data()
        self._x = {rows: x[:rows] for rows in ROWS}
        self.about = {"outputs": self._predictor.predict(x[:1000]).tolist()}

    def answer(self, rows):
        """Predict `rows` rows, as often as fits a turn."""
        predict, x = self._predictor.predict, self._x[rows]
        timer = timeit.Timer(lambda: predict(x))
        # The first call's time tells how many; it may build buffers, so it is the second one's.
        timer.timeit(1)
        calls = max(int(TURN_SECONDS / timer.timeit(1)), 3)
        return {"seconds": timer.timeit(calls) / calls}
