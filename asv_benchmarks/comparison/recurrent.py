"""Microseconds a training step of recurrent networks, beside the peers; their losses after as many epochs."""

import time

from benchmarks.layers.recurrent import RECURRENT

from comparison.workers import medians, ratios, threads_text, workers

PEERS = ["jax", "torch"]
# Seconds of one turn of fastbp, and of the slowest peer at most; all do the same epochs.
TURN_SECONDS = 0.3
SLOWEST_SECONDS = 3


def run(report, options, peers):
    """Print a table for each number of threads: times, each peer's multiple of fastbp's, losses."""
    names = ["fastbp", *peers]
    columns = {"network": ""} | dict.fromkeys(names, ".0f") | {f"x {peer}": ".2f" for peer in peers}
    columns |= {f"loss {name}": ".4f" for name in names}
    for threads in options.threads:
        title = f"{threads_text(threads)}, microseconds a step (median of {options.repeats} turns; x: times fastbp's)"
        row = report.table(title, columns)
        for workload in RECURRENT:
            if workload.startswith(tuple(options.only)):
                row(workload, *compare(workload, names, threads, options.repeats))


def compare(workload, names, threads, repeats):
    """Return the times, ratios and losses of one workload."""
    steps = RECURRENT[workload].steps
    with workers("recurrent", names, workload, threads) as running:
        # Everybody warms up with two epochs, and the second tells how many make a turn.
        for _ in range(2):
            warm = {name: worker.ask(epochs=1)["seconds"] for name, worker in running.items()}
        epochs = max(round(min(TURN_SECONDS / warm["fastbp"], SLOWEST_SECONDS / max(warm.values()))), 1)
        turns = [{name: worker.ask(epochs=epochs) for name, worker in running.items()} for _ in range(repeats)]
    times = [seconds / (epochs * steps) * 1e6 for seconds in medians(turns, "seconds", names)]
    return [*times, *ratios(turns, "seconds", names), *(turns[-1][name]["loss"] for name in names)]


def make(name, case, threads):
    """Return a worker."""
    return TimedRecurrent(name, RECURRENT[case], threads)


class TimedRecurrent:
    """Trains for a number of epochs; answers with the seconds and the loss."""

    about = {}

    def __init__(self, name, workload, threads):
        from benchmarks.shared.recurrent_peers import TRAINERS

        self._trainer = TRAINERS[name](workload, threads)

    def answer(self, epochs):
        """Train."""
        started = time.perf_counter()
        loss = self._trainer.train(epochs)
        return {"seconds": time.perf_counter() - started, "loss": loss}
