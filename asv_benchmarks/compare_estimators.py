"""Compare fastbp's estimators with scikit-learn's, here and now.

    python asv_benchmarks/compare_estimators.py [--threads 1,2] [--repeats 5] [--skip-search]

Each library works in a process of its own that may use as many cores as it has threads.  The two take turns, and
medians over the turns are printed: a fit of equally many epochs (data already loaded, kernels compiled), the
prediction of one row, checks included, and a grid search over 12 points in 5 folds with two jobs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = ("fastbp", "sklearn")
# BLAS's threads go on polling for work for a while; nobody's turn begins then.
PAUSE_SECONDS = 0.3
PREDICTIONS = 500


def main():
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip-search", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker)
        return
    from benchmarks.estimators.scikit_learn import CASES

    print(row("", "dtype", "threads", "fastbp", "sklearn", "sklearn/fastbp", "losses"))
    for threads in (int(number) for number in options.threads.split(",")):
        workers = {library: Worker(library, threads) for library in LIBRARIES}
        for case in CASES:
            for dtype in ("float32", "float64"):
                fit, predict = take_turns(workers, options.repeats, {"case": case, "dtype": dtype})
                print(row(f"fit {case}", dtype, threads, *fit), flush=True)
                print(row(f"predict one row of {case.split(',')[0]}", dtype, threads, *predict), flush=True)
        if threads > 1 and not options.skip_search:
            searchers = {library: Worker(library, threads, limited=False) for library in LIBRARIES}
            (search,) = take_turns(searchers, options.repeats, {"search": threads})
            print(row(f"grid search, {threads} jobs", "float64", threads, *search), flush=True)
            for worker in searchers.values():
                worker.end()
        for worker in workers.values():
            worker.end()


def row(first, *cells):
    """Return a line of the table."""
    return first.ljust(52) + "".join(str(cell).rjust(16) for cell in cells)


def take_turns(workers, repeats, request):
    """Return, for each figure of the answers, the cells of its line."""
    turns = [{name: worker.ask(request) for name, worker in workers.items()} for _ in range(repeats + 1)][1:]
    figures = [name for name in turns[0]["fastbp"] if name != "score"]
    lines = []
    for figure in figures:
        times = [statistics.median(turn[name][figure] for turn in turns) for name in LIBRARIES]
        ratio = statistics.median(turn["sklearn"][figure] / turn["fastbp"][figure] for turn in turns)
        scores = " ".join(f"{turns[-1][name]['score']:.5f}" for name in LIBRARIES)
        lines.append([*map(shown, times), f"{ratio:.1f}", scores if figure != "predict" else ""])
    return lines


def shown(seconds):
    """Return a time in the unit that suits it."""
    if seconds > 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds > 1e-3 else f"{seconds * 1e6:.1f} us"


class Worker:
    """A process that works with one library on request, on as many cores as it has threads.

    For a search it is not `limited`: joblib would hand the limit down to every job, so many threads to each, and
    BLAS's wait for each other. Left alone, joblib gives each job its share of the cores.
    """

    def __init__(self, library, threads, limited=True):
        names = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")]
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        limits = dict.fromkeys(names, str(threads)) if limited else {}
        command = [sys.executable, __file__, "--worker", library]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:threads])
        environment = {**inherited, **limits, "CORES": cores}
        self._process = subprocess.Popen(command, text=True, env=environment, cwd=HERE, **pipes)

    def ask(self, request):
        """Have it work, alone on the machine; return what it measured."""
        time.sleep(PAUSE_SECONDS)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"the worker failed at {request}")
        return json.loads(line)

    def end(self):
        """Let it go."""
        self._process.stdin.close()
        self._process.wait()


def serve(library):
    """Be a worker: read requests, answer with seconds."""
    os.sched_setaffinity(0, {int(core) for core in os.environ["CORES"].split(",")})
    from benchmarks.estimators.scikit_learn import grid_search

    for line in sys.stdin:
        request = json.loads(line)
        if "search" in request:
            seconds, found = timed(lambda: grid_search(library, request["search"]))  # noqa: B023
            answer = {"search": seconds, "score": found.best_score_}
        else:
            answer = measure(library, request["case"], request["dtype"])
        print(json.dumps(answer), flush=True)


def measure(library, case, dtype):
    """Return the seconds of a fit and of the prediction of a row, and the last loss."""
    from benchmarks.estimators.scikit_learn import CASES, quiet

    x, y = CASES[case].data()
    x = x.astype(dtype)
    with quiet():
        seconds, fitted = timed(lambda: CASES[case].make(library).fit(x, y))
    one = x[:1].copy()
    times = [timed(lambda: fitted.predict(one))[0] for _ in range(PREDICTIONS)]
    return {"fit": seconds, "predict": statistics.median(times), "score": fitted.loss_}


def timed(function):
    """Return the seconds of a call, and what it returned."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
