"""Microseconds a training step after 300 epochs, beside the first ones and beside the peers.

Late steps have numbers that early ones have not (benchmarks/late.py): what only they make slow shows here.
"""

from benchmarks.engine.late import LATE

from comparison.steps import TimedTrainer
from comparison.workers import best, medians, ratios, threads_text, workers

PEERS = ["jax", "torch", "sklearn"]
LATE_EPOCHS = 300
TURN_EPOCHS = 20


def run(report, options, peers):
    """Print a table for each number of threads: fastbp's early steps, everybody's late ones, the peers' multiples."""
    names = ["fastbp", *peers]
    columns = {"network": "", "early": ".1f"} | dict.fromkeys(names, ".1f") | {f"x {peer}": ".2f" for peer in peers}
    columns["x best"] = ".2f"
    for threads in options.threads:
        title = (
            f"{threads_text(threads)}, microseconds a step after {LATE_EPOCHS} epochs (early: fastbp's, before them)"
        )
        row = report.table(title, columns)
        for workload in LATE:
            if workload.startswith(tuple(options.only)):
                row(workload, *measure(workload, names, threads, options.repeats))


def measure(workload, names, threads, repeats):
    """Return fastbp's microseconds for an early step, everybody's for a late one, and the late ratios."""
    with workers("late", names, workload, threads) as running:
        steps = TURN_EPOCHS * running["fastbp"].about["steps"]
        for worker in running.values():
            worker.ask(epochs=2)
        early = [{"fastbp": running["fastbp"].ask(epochs=TURN_EPOCHS)} for _ in range(repeats)]
        for worker in running.values():
            worker.ask(epochs=LATE_EPOCHS)
        late = [{name: worker.ask(epochs=TURN_EPOCHS) for name, worker in running.items()} for _ in range(repeats)]
    times = [*medians(early, "seconds", ["fastbp"]), *medians(late, "seconds", names)]
    shares = ratios(late, "seconds", names)
    return [*(seconds / steps * 1e6 for seconds in times), *shares, best(shares)]


def make(name, case, threads):
    """Return a worker."""
    from benchmarks.shared.peers import TRAINERS

    return TimedTrainer(name, TRAINERS[name], LATE[case], threads)
