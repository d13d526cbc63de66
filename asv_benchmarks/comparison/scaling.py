"""Whether a step's cost grows with its arithmetic: width, depth, batch and rows doubled again and again."""

import time

from comparison.workers import threads_text, workers

PEERS = []
# Seconds of one burst; the fastest one counts, because whatever else runs on the machine only adds.
BURST_SECONDS = 0.005
BURSTS = 10
# Costs of the same arithmetic, over those of half the size, from which on it is called a cliff.
CLIFF = 1.3


def run(report, options, peers):
    """Print a table for each number of threads and each direction."""
    from benchmarks.engine.scaling import DIRECTIONS

    columns = {"us a step": ".1f", "us a row": ".3f", "ns / 1000 multiply-adds": ".1f", "over half": ".2f", "cliff": ""}
    for threads in options.threads:
        for direction, (description, sizes, network) in DIRECTIONS.items():
            title = f"{threads_text(threads)}, {direction} doubled: {description}"
            row = report.table(
                f"{title} (fastest of {options.repeats} times {BURSTS} bursts)", {direction: ""} | columns
            )
            with workers("scaling", ["fastbp"], direction, threads) as running:
                turns = [running["fastbp"].ask()["seconds"] for _ in range(options.repeats)]
            before = None
            for size, *seconds in zip(sizes, *turns, strict=True):
                before = row_of(row, size, network(size), min(seconds), before)


def row_of(row, size, workload, seconds, before):
    """Print the row of one size; return its seconds a multiply-add (`before`: that of half the size)."""
    cost = seconds / (workload.rows * workload.multiply_adds)
    grown = before and cost / before
    figures = seconds / workload.steps * 1e6, seconds / workload.rows * 1e6, cost * 1e12
    row(f"{size:,}", *figures, grown, "CLIFF" if grown and grown > CLIFF else "")
    return cost


def make(name, case, threads):
    """Return a worker."""
    return TimedDirection(case, threads)


class TimedDirection:
    """Trains the networks of one direction; answers with the seconds of an epoch of each."""

    about = {}

    def __init__(self, direction, threads):
        from benchmarks.engine.scaling import DIRECTIONS

        import fastbp

        fastbp.set_num_threads(threads)
        _, sizes, network = DIRECTIONS[direction]
        self._fits = [fit_function(network(size)) for size in sizes]
        for _ in range(2):
            self._epochs = [max(round(BURST_SECONDS / seconds_of(fit, 1)), 1) for fit in self._fits]

    def answer(self):
        """Train each network in bursts; the fastest one counts."""
        pairs = zip(self._fits, self._epochs, strict=True)
        return {"seconds": [min(seconds_of(fit, epochs) for _ in range(BURSTS)) / epochs for fit, epochs in pairs]}


def fit_function(workload):
    """Return a function that trains for a number of epochs."""
    model, (x, y) = workload.model(), workload.data()
    return lambda epochs: model.fit(x, y, epochs=epochs, batch_size=workload.batch, verbose=0)


def seconds_of(fit, epochs):
    """Return the seconds of fit(epochs)."""
    started = time.perf_counter()
    fit(epochs)
    return time.perf_counter() - started
