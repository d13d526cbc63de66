"""Compare a training step of fastbp with its peers, here and now.

    python asv_benchmarks/compare.py [--only W1,W3] [--threads 1,2] [--peers jax,torch,sklearn] [--repeats 5]

Every trainer runs in a process of its own that may use as many cores as it has threads.  The trainers take turns,
and medians over the turns are printed: microseconds a step, the ratio of each peer's step to fastbp's, the share of
the multiply-add peak that fastbp's step reaches (the peak is measured beside it, by a loop that stays in registers)
and every trainer's loss after equally many epochs.  Peers that are not installed are left out, and it says so.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
# Seconds of one turn of fastbp; peers do the same epochs.
TURN_SECONDS = 0.05
# Threads of a peer that has just ended its turn go on polling for work, some for 0.2 s; nobody's turn begins then.
PAUSE_SECONDS = 0.3


def main():
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="workloads, by the start of their names: W1,W3")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default="jax,torch,sklearn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(*options.worker)
        return
    peers = [peer for peer in options.peers.split(",") if peer and installed(peer)]
    for threads in (int(number) for number in options.threads.split(",")):
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        print(f"\n{count}, microseconds a step (median of {options.repeats} turns)")
        names = ["fastbp", *peers]
        print(row("network", *names, *(f"{peer}/fastbp" for peer in peers), "of peak", *(f"loss {n}" for n in names)))
        for workload in chosen_workloads(options.only):
            print(compare(workload, names, threads, options.repeats), flush=True)


def installed(peer):
    """Is the peer there?  Say so if not."""
    found = importlib.util.find_spec(peer) is not None
    if not found:
        print(f"{peer} is not installed and left out")
    return found


def chosen_workloads(only):
    """Return the names of the workloads whose names start with one of `only`."""
    from benchmarks.common import WORKLOADS

    return [name for name in WORKLOADS if any(name.startswith(start) for start in only.split(","))]


def row(first, *cells):
    """Return a line of the table."""
    return first.ljust(32) + "".join(str(cell).rjust(15) for cell in cells)


def compare(workload, names, threads, repeats):
    """Return the line of one workload."""
    workers = {name: start_worker(name, workload, threads) for name in names}
    try:
        steps = {name: read(worker)["steps"] for name, worker in workers.items()}["fastbp"]
        # Everybody warms up with two epochs; then as many a turn as fastbp does in TURN_SECONDS.
        warm = {name: [ask(workers[name], 1)["seconds"] for _ in range(2)] for name in names}
        epochs = min(max(round(TURN_SECONDS / warm["fastbp"][1]), 1), 50)
        turns = [{name: ask(workers[name], epochs) for name in names} for _ in range(repeats)]
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    times = {n: statistics.median(t[n]["seconds"] for t in turns) / (epochs * steps) * 1e6 for n in names}
    share = statistics.median(turn["fastbp"]["peak_share"] / turn["fastbp"]["seconds"] for turn in turns)
    ratios = [statistics.median(t[n]["seconds"] / t["fastbp"]["seconds"] for t in turns) for n in names[1:]]
    cells = [f"{times[name]:.1f}" for name in names] + [f"{ratio:.2f}" for ratio in ratios]
    cells += [f"{share:.0%}", *(f"{turns[-1][name]['loss']:.4f}" for name in names)]
    return row(workload, *cells)


def start_worker(name, workload, threads):
    """Start a process that trains on request."""
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    command = [sys.executable, __file__, "--worker", name, workload, str(threads)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env={**os.environ, **limits}, cwd=HERE, **pipes)


def ask(worker, epochs):
    """Have a worker train, alone on the machine; return what it measured."""
    time.sleep(PAUSE_SECONDS)
    worker.stdin.write(f"{epochs}\n")
    worker.stdin.flush()
    return read(worker)


def read(worker):
    """Return a worker's next answer."""
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(worker.args[2:])} failed")
    return json.loads(line)


def serve(name, workload_name, threads):
    """Be a worker: read numbers of epochs, answer with seconds and loss."""
    threads = int(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from benchmarks.common import WORKLOADS
    from benchmarks.peak import peak_multiply_adds
    from benchmarks.peers import TRAINERS

    workload = WORKLOADS[workload_name]
    trainer = TRAINERS[name](workload, threads)
    print(json.dumps({"steps": workload.steps}), flush=True)
    for line in sys.stdin:
        epochs = int(line)
        started = time.perf_counter()
        loss = trainer.train(epochs)
        answer = {"seconds": time.perf_counter() - started, "loss": loss}
        if name == "fastbp":
            # Seconds that the arithmetic alone would take at the peak.
            work = epochs * workload.rows * workload.multiply_adds
            answer["peak_share"] = work / (peak_multiply_adds() * threads)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
