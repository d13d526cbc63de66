"""One network on many processes: what a step takes, what a model says it should take, and what torch's DDP takes.

    python asv_benchmarks/compare_distributed.py [--cases W3,W5,10M] [--turns 5] [--torch PYTHON] [--nice -10]

Each measurement is a job of its own, of some seconds; the jobs take turns, and the fastest epoch of all turns counts,
because whatever else runs on the machine only adds.  ``--torch`` names a Python that has torch.  On a machine that is
shared, two processes hardly ever run at the same moment: ``--nice`` gives the measured epochs (not the start of the
processes) another priority.  Needs fastbp[mpi] and an ``mpiexec``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
# Sizes, rows of a batch, batches of an epoch.
CASES = {
    "W1": ((10, 32, 1), 32, 200),
    "W3": ((54, 256, 256, 7), 256, 100),
    "W5": ((784, 512, 512, 10), 128, 100),
    "10M": ((1000, 2048, 2048, 1840, 10), 256, 16),
}
EPOCHS = 6
priority = 0


def main():
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", default="W3,W5,10M")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--torch", help="a Python that has torch")
    parser.add_argument("--nice", type=int, default=0, help="priority of the measured epochs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        seconds = serve(**json.loads(options.worker))
        if seconds is not None:  # of rank 0
            print(seconds, flush=True)
        return
    for case in options.cases.split(","):
        compare(case, options)


def jobs(case, torch):
    """Return {name: (kind, ranks, threads of each, rows of a rank's batch, more)}."""
    rows = CASES[case][1]
    wanted = {
        "1 process, 1 thread": ("fit", 1, 1, rows, {}),
        "1 process, 1 thread, half batch": ("fit", 1, 1, rows // 2, {}),
        "1 process, 2 threads": ("fit", 1, 2, rows, {}),
        "2 processes, strong": ("fit", 2, 1, rows // 2, {}),
        "2 processes, strong, reproducible": ("fit", 2, 1, rows // 2, {"reproducible": True}),
        "2 processes, weak": ("fit", 2, 1, rows, {}),
        "all-reduce of the gradient": ("reduce", 2, 1, rows, {}),
        "all-reduce of 1 number": ("reduce", 2, 1, 0, {}),
        "a step's other costs (W1)": ("fit", 2, 1, 16, {"case": "W1"}),
        "a step's arithmetic (W1)": ("fit", 1, 1, 16, {"case": "W1"}),
    }
    if torch:
        wanted |= {f"torch DDP, 2 processes, {name}": ("torch", 2, 1, n, {}) for name, n in
                   (("strong", rows // 2), ("weak", rows))}  # fmt: skip
    return wanted


def compare(case, options):
    """Measure a case and print its table."""
    wanted = jobs(case, options.torch)
    best = dict.fromkeys(wanted, float("inf"))
    for _ in range(options.turns):
        for name, (kind, ranks, threads, rows, more) in wanted.items():
            request = {"kind": kind, "case": case, "threads": threads, "rows": rows, "nice": options.nice} | more
            best[name] = min(best[name], run(request, ranks, options.torch))
    sizes, rows, _ = CASES[case]
    print(f"\n{case}: {'-'.join(map(str, sizes))}, batch {rows}; load {os.getloadavg()[0]:.1f}")
    for name, seconds in best.items():
        print(f"  {name:<36}{seconds * 1e6:12.0f} us")
    for name, seconds in predicted(best).items():
        measured = best[name]
        print(f"  {name + ', predicted':<36}{seconds * 1e6:12.0f} us  ({seconds / measured - 1:+.0%} of the measured)")
    extrapolate(best, case)


def predicted(best):
    """Return what the model says of two processes: arithmetic + what Python and MPI add + the all-reduce."""
    rest = best["a step's other costs (W1)"] - best["a step's arithmetic (W1)"]
    shared = best["all-reduce of the gradient"] - best["all-reduce of 1 number"] + max(rest, 0)
    return {
        "2 processes, strong": best["1 process, 1 thread, half batch"] + shared,
        "2 processes, weak": best["1 process, 1 thread"] + shared,
    }


def extrapolate(best, case):
    """Print what the model says of more machines, of which each has two threads and a network card."""
    sizes, _, _ = CASES[case]
    n_bytes = 4 * sum((a + 1) * b for a, b in pairwise(sizes))
    alone = best["1 process, 2 threads"]
    for gigabits, latency in ((10, 30e-6), (100, 5e-6)):
        for machines in (8, 64, 512):
            # A ring: each machine sends and receives 2 (n - 1) times one n-th of the gradient.
            seconds = 2 * (machines - 1) * (n_bytes / machines / (gigabits * 1e9 / 8) + latency)
            share = alone / (alone + seconds)
            print(
                f"  {machines:4d} machines, {gigabits:3d} Gbit/s: a step {1e3 * (alone + seconds):8.2f} ms, of which "
                f"{1e3 * seconds:7.2f} ms all-reduce; {machines * share:6.1f} times the rows a second of one"
            )


def run(request, ranks, torch):
    """Run one job; return the seconds of a step."""
    threads = str(request["threads"])
    env = os.environ | {f"{library}_NUM_THREADS": threads for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    program = [str(HERE / "compare_distributed.py"), "--worker", json.dumps(request)]
    if request["kind"] == "torch":
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": str(ranks)}
        started = [
            subprocess.Popen([torch, *program], env=env | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
            for rank in range(ranks)
        ]
        texts = [process.communicate()[0] for process in started]
    else:
        launch = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
        texts = [subprocess.run([*launch, sys.executable, *program], env=env, stdout=subprocess.PIPE, text=True).stdout]
    return float("".join(texts))


def serve(kind, case, threads, rows, nice, **more):
    """Measure in this process, one of a job's; return the seconds of a step, the fastest."""
    global priority
    priority = nice
    if kind == "torch":
        return torch_step(case, rows)
    return reduce_step(case, rows) if kind == "reduce" else fit_step(case, threads, rows, **more)


def begin():
    """Take the priority of what is measured."""
    if priority:
        os.setpriority(os.PRIO_PROCESS, 0, priority)


def table(case, rows):
    """Return x and class numbers for the batches of an epoch."""
    import numpy as np

    sizes, _, batches = CASES[case]
    rng = np.random.default_rng(0)
    n = rows * batches
    return rng.normal(size=(n, sizes[0])).astype(np.float32), rng.integers(0, max(sizes[-1], 2), size=n), batches


def fit_step(case, threads, rows, **settings):
    """Train with fastbp."""
    import fastbp

    fastbp.set_num_threads(threads)
    sizes, (x, y, batches) = CASES[case][0], table(case, rows)
    hidden = [fastbp.Dense(units, activation="relu") for units in sizes[1:-1]]
    model = fastbp.Sequential([*hidden, fastbp.Dense(max(sizes[-1], 2), "softmax")], input_shape=sizes[:1], seed=0)
    model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
    times = []
    note = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: times.append(time.perf_counter()))
    size = int(os.environ.get("PMI_SIZE", "1"))
    begin()
    common = {"epochs": EPOCHS, "batch_size": rows * size, "callbacks": [note], "verbose": 0}
    if size > 1:
        fastbp.distributed.fit(model, x, y, **common, **settings)
    else:
        model.fit(x, y, **common)
    return min(b - a for a, b in pairwise(times)) / batches if times else None


def reduce_step(case, rows):
    """Add up gradients alone, as `fit` does."""
    import numpy as np
    from mpi4py import MPI

    from fastbp.distributed.ranks import Ranks
    from fastbp.distributed.sums import FastSum

    sizes = CASES[case][0]
    n = sum((a + 1) * b for a, b in pairwise(sizes)) if rows else 1
    with Ranks(MPI.COMM_WORLD, 60.0) as ranks:
        add, flats, times = FastSum(ranks), np.ones((1, n), np.float32), []
        begin()
        for _ in range(max(20, min(500, 20_000_000 // n))):
            flats[:] = 1
            ranks.exchange(None)
            started = time.perf_counter()
            add(flats)
            times.append(time.perf_counter() - started)
        return min(times) if ranks.rank == 0 else None


def torch_step(case, rows):
    """Train with torch's DistributedDataParallel over gloo."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    sizes, (x, y, batches) = CASES[case][0], table(case, rows)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    layers = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers[:-1]), gradient_as_bucket_view=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    loss_of, times = torch.nn.CrossEntropyLoss(), []
    begin()
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        started = time.perf_counter()
        for batch in order.split(rows):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(x[batch]), y[batch]).backward()
            optimizer.step()
        times.append(time.perf_counter() - started)
    dist.destroy_process_group()
    return min(times[1:]) / batches if os.environ["RANK"] == "0" else None


if __name__ == "__main__":
    main()
