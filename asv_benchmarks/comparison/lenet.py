"""Milliseconds a training step of LeNet-5 (28 x 28 images, batches of 128, Adam), beside the peers, and the losses."""

from comparison.steps import TimedTrainer, measure
from comparison.workers import threads_text

PEERS = ["jax", "jax-steps", "torch"]
NETWORK = "LeNet-5, batch 128"


def run(report, options, peers):
    """Print a table for each number of threads: times with ratios, then the losses after as many epochs."""
    names = ["fastbp", *peers]
    columns = {"network": ""} | dict.fromkeys(names, ".1f") | {f"x {peer}": ".2f" for peer in peers}
    for threads in options.threads:
        title = f"{threads_text(threads)}, milliseconds a step (median of {options.repeats} turns; x: times fastbp's)"
        row = report.table(title, columns | {"x best": ".2f", "of peak": ".0%"})
        figures, losses = measure("lenet", NETWORK, names, threads, options.repeats)
        row(NETWORK, *(microseconds / 1000 for microseconds in figures[: len(names)]), *figures[len(names) :])
        report.table("Mean loss of the last epoch", {"network": ""} | dict.fromkeys(names, ".4f"))(NETWORK, *losses)


def make(name, case, threads):
    """Return a worker."""
    from benchmarks.shared.lenet import LENET_TRAINERS, LeNet

    return TimedTrainer(name, LENET_TRAINERS[name], LeNet(), threads)
