"""Microseconds a step and a prediction by kernels of the library, and by the same kernels compiled for this very CPU.

Both are fastbp, in processes that take turns.  "x": how many times as long the compiled ones take, the median of the
ratios within a turn and the ratio of the fastest turns, which a busy machine disturbs less.  "MB": the largest resident
set of each process after its turns, data and imports included.  Compiling needs Numba, which the library's process does
not load; the kernels of the other one come from the user's cache where they are there, so run it twice.
"""

from benchmarks.layers.recurrent import RECURRENT
from benchmarks.shared.workloads import WORKLOADS

from comparison.workers import COMPILED, medians, ratios, threads_text, workers

PEERS = []
NAMES = ["fastbp", COMPILED]
LENET = "LeNet-5, batch 128"
ROWS = {"predict, 1 row": 1, "predict, 10,000 rows": 10_000}
TURN_SECONDS = 0.1


def run(report, options, peers):
    """Print a table for each number of threads."""
    columns = {"network": "", "library": ".1f", COMPILED: ".1f", "x": ".3f", "x fastest": ".3f", "same loss": ""}
    columns |= {"MB": ".0f", f"MB {COMPILED}": ".0f"}
    for threads in options.threads:
        title = f"{threads_text(threads)}, microseconds a step or a call (median of {options.repeats} turns)"
        row = report.table(title, columns)
        for case in (*WORKLOADS, LENET, *RECURRENT, *ROWS):
            if case.startswith(tuple(options.only)):
                row(case, *_compare(case, threads, options.repeats))


def _compare(case, threads, repeats):
    with workers("library", NAMES, case, threads) as running:
        steps = running["fastbp"].about["steps"]
        request = {"rows": ROWS[case]} if case in ROWS else {"epochs": 1}
        for _ in range(2):  # the first one warms up
            warm = max(worker.ask(**request)["seconds"] for worker in running.values())
        if case not in ROWS:
            request = {"epochs": max(round(TURN_SECONDS / warm), 1)}
        # Each goes first by turns: what the machine does meanwhile favours neither.
        orders = [list(running.items())[:: -1 if turn % 2 else 1] for turn in range(repeats)]
        turns = [{name: worker.ask(**request) for name, worker in order} for order in orders]
    count = request.get("epochs", 1) * steps
    times = [seconds / count * 1e6 for seconds in medians(turns, "seconds", NAMES)]
    fastest = [min(turn[name]["seconds"] for turn in turns) for name in NAMES]
    losses = {turn[name].get("loss") for turn in turns[-1:] for name in NAMES}
    same = "yes" if len(losses) == 1 else "no"
    memory = [turns[-1][name]["memory"] / 1e6 for name in NAMES]
    return [*times, *ratios(turns, "seconds", NAMES), fastest[1] / fastest[0], same, *memory]


def make(name, case, threads):
    """Return a worker; the environment tells it which kernels to take."""
    from benchmarks.shared.lenet import LENET_TRAINERS, LeNet
    from benchmarks.shared.peers import TRAINERS

    from comparison import predict, recurrent, steps

    if case in ROWS:
        worker = predict.TimedPredictor("fastbp", WORKLOADS[predict.NETWORK], threads)
        worker.about = {"steps": 1}
    elif case in RECURRENT:
        worker = recurrent.TimedRecurrent("fastbp", RECURRENT[case], threads)
        worker.about = {"steps": RECURRENT[case].steps}
    elif case == LENET:
        worker = steps.TimedTrainer(COMPILED, LENET_TRAINERS["fastbp"], LeNet(), threads)
    else:
        worker = steps.TimedTrainer(COMPILED, TRAINERS["fastbp"], WORKLOADS[case], threads)
    return worker
