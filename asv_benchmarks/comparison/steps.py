"""Microseconds a training step, beside the peers; the ratios, the share of the peak, and the losses."""

import statistics
import time

from benchmarks.shared.workloads import WORKLOADS

from comparison.workers import best, medians, ratios, threads_text, workers

PEERS = ["jax", "torch", "torch-compile", "sklearn"]
# Seconds of one turn of fastbp, and of the slowest peer at most; all do the same epochs.  A turn after a rest begins
# with some milliseconds in which fastbp measures anew how many threads pay (engine/thread_choice.py).
TURN_SECONDS = 0.4
SLOWEST_SECONDS = 4


def run(report, options, peers):
    """Print two tables for each number of threads: times with ratios, and losses, so that equal work is visible."""
    names = ["fastbp", *peers]
    columns = {"network": ""} | dict.fromkeys(names, ".1f") | {f"x {peer}": ".2f" for peer in peers}
    for threads in options.threads:
        title = f"{threads_text(threads)}, microseconds a step (median of {options.repeats} turns; x: times fastbp's)"
        row = report.table(title, columns | {"x best": ".2f", "of peak": ".0%"})
        losses = {}
        for workload in WORKLOADS:
            if workload.startswith(tuple(options.only)):
                figures, losses[workload] = measure("steps", workload, names, threads, options.repeats)
                row(workload, *figures)
        row = report.table("Mean loss of the last epoch", {"network": ""} | dict.fromkeys(names, ".4f"))
        for workload, values in losses.items():
            row(workload, *values)


def measure(section, workload, names, threads, repeats):
    """Return the microseconds a step, ratios and share of the peak of one of a section's workloads, and its losses."""
    with workers(section, names, workload, threads) as running:
        epochs = epochs_of_turn(running)
        steps = epochs * running["fastbp"].about["steps"]
        turns = [{name: worker.ask(epochs=epochs) for name, worker in running.items()} for _ in range(repeats)]
    times = [seconds / steps * 1e6 for seconds in medians(turns, "seconds", names)]
    shares = ratios(turns, "seconds", names)
    return [*times, *shares, best(shares), share_of_peak(turns)], [turns[-1][name]["loss"] for name in names]


def epochs_of_turn(running):
    """Return how many epochs make a turn: everybody warms up with two, and the second tells."""
    for _ in range(2):
        warm = {name: worker.ask(epochs=1)["seconds"] for name, worker in running.items()}
    return max(round(min(TURN_SECONDS / warm["fastbp"], SLOWEST_SECONDS / max(warm.values()))), 1)


def share_of_peak(turns):
    """Return the seconds that fastbp's arithmetic takes at the peak, as a share of those it took, the median."""
    return statistics.median(turn["fastbp"]["peak_seconds"] / turn["fastbp"]["seconds"] for turn in turns)


def make(name, case, threads):
    """Return a worker."""
    from benchmarks.shared.peers import TRAINERS

    return TimedTrainer(name, TRAINERS[name], WORKLOADS[case], threads)


class TimedTrainer:
    """Trains for a number of epochs; answers with the seconds and the loss."""

    def __init__(self, name, trainer, workload, threads):
        self._name, self._workload, self._threads = name, workload, threads
        self._trainer = trainer(workload, threads)
        self.about = {"steps": workload.steps}

    def answer(self, epochs):
        """Train; for fastbp also tell the seconds that the arithmetic alone would take at the peak."""
        started = time.perf_counter()
        loss = self._trainer.train(epochs)
        answer = {"seconds": time.perf_counter() - started, "loss": loss}
        if self._name == "fastbp":
            from benchmarks.shared.peak import peak_multiply_adds

            work = epochs * self._workload.rows * self._workload.multiply_adds
            answer["peak_seconds"] = work / (peak_multiply_adds() * self._threads)
        return answer
