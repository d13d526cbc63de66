"""Microseconds a training step after 300 epochs, beside the first ones and beside the peers.

Late steps have numbers that early ones have not (benchmarks/engine/late.py): what only they make slow shows here.  By
then threads are warm, too, and how many of them pay has been measured.
"""

from benchmarks.engine.late import LATE
from benchmarks.shared.workloads import WORKLOADS

from comparison.steps import TimedTrainer, epochs_of_turn, share_of_peak
from comparison.workers import best, medians, ratios, threads_text, workers

PEERS = ["jax", "torch", "sklearn"]
LATE_EPOCHS = 300
NETWORKS = WORKLOADS | LATE


def run(report, options, peers):
    """Print a table for each number of threads: fastbp's early steps, everybody's late ones, the peers' multiples."""
    names = ["fastbp", *peers]
    columns = {"network": "", "early": ".1f"} | dict.fromkeys(names, ".1f") | {f"x {peer}": ".2f" for peer in peers}
    columns |= {"x best": ".2f", "of peak": ".0%"}
    for threads in options.threads:
        title = (
            f"{threads_text(threads)}, microseconds a step after {LATE_EPOCHS} epochs (early: fastbp's, before them; "
            f"median of {options.repeats} turns)"
        )
        row = report.table(title, columns)
        for workload in NETWORKS:
            if workload.startswith(tuple(options.only)):
                row(workload, *measure(workload, names, threads, options.repeats))


def measure(workload, names, threads, repeats):
    """Return fastbp's microseconds for an early step, everybody's for a late one, the ratios, the share of the peak."""
    with workers("late", names, workload, threads) as running:
        epochs = epochs_of_turn(running)
        early = [{"fastbp": running["fastbp"].ask(epochs=epochs)} for _ in range(repeats)]
        for worker in running.values():
            worker.ask(epochs=LATE_EPOCHS)
        late = [{name: worker.ask(epochs=epochs) for name, worker in running.items()} for _ in range(repeats)]
    times = [*medians(early, "seconds", ["fastbp"]), *medians(late, "seconds", names)]
    steps = epochs * NETWORKS[workload].steps
    shares = ratios(late, "seconds", names)
    return [*(seconds / steps * 1e6 for seconds in times), *shares, best(shares), share_of_peak(late)]


def make(name, case, threads):
    """Return a worker."""
    from benchmarks.shared.peers import TRAINERS

    return TimedTrainer(name, TRAINERS[name], NETWORKS[case], threads)
