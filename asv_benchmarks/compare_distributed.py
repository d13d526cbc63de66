"""One network on many processes: what a step takes, what a model says it should take, and what torch's DDP takes.

    python asv_benchmarks/compare_distributed.py [--cases W3,W5,10M,pipeline,overlap] [--turns 5] [--torch PYTHON]

Each measurement is a job of its own, of some seconds; the jobs take turns, and the fastest step of all turns counts,
because whatever else runs on the machine only adds.  ``--torch`` names a Python that has torch.  On a machine that is
shared, two processes hardly ever run at the same moment: ``--nice`` gives the measured steps (not the start of the
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
    "10M": ((1000, 2048, 2048, 1840, 10), 256, 8),
}
# Steps that are timed, one by one.
STEPS = {"W1": 1000, "W3": 1500, "W5": 600, "10M": 24}
priority = 0


def main():
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", default="W3,W5,10M,pipeline,overlap")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--torch", help="a Python that has torch")
    parser.add_argument("--nice", type=int, default=0, help="priority of the measured steps")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        seconds = serve(**json.loads(options.worker))
        if seconds is not None:  # of rank 0
            print(json.dumps(seconds), flush=True)
        return
    for case in options.cases.split(","):
        if case == "pipeline":
            compare_pipelines(options)
        elif case == "overlap":
            compare_overlap(options)
        else:
            compare(case, options)


def jobs(case, torch):
    """Return {name: (kind, ranks, threads of each, rows of a rank's batch, more)}."""
    rows = CASES[case][1]
    wanted = {
        "1 process, 1 thread": ("fit", 1, 1, rows, {}),
        "1 process, 1 thread, half batch": ("fit", 1, 1, rows // 2, {}),
        "1 process, 2 threads": ("fit", 1, 2, rows, {}),
        "2 processes apart, half batch": ("fit", 2, 1, rows // 2, {"apart": True}),
        "2 processes apart": ("fit", 2, 1, rows, {"apart": True}),
        "2 processes, strong": ("fit", 2, 1, rows // 2, {}),
        "2 processes, strong, reproducible": ("fit", 2, 1, rows // 2, {"reproducible": True}),
        "2 processes, weak": ("fit", 2, 1, rows, {}),
        "all-reduce of the gradient": ("reduce", 2, 1, rows, {}),
        "all-reduce of 1 number": ("reduce", 2, 1, 0, {}),
        "a small step, W1": ("fit", 2, 1, 16, {"case": "W1"}),
        "a small step of 2 processes apart, W1": ("fit", 2, 1, 16, {"case": "W1", "apart": True}),
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


def compare_pipelines(options):
    """Print what steps of a pipeline of two segments take, and the share that rank 0 waits, by micro-batches."""
    print(f"\nW5 in two segments, batch {CASES['W5'][1]}; load {os.getloadavg()[0]:.1f}")
    for micro in (1, 2, 4, 8):
        request = {"kind": "pipeline", "case": "W5", "threads": 1, "rows": CASES["W5"][1], "nice": options.nice}
        turns = [run(request | {"micro": micro}, 2, None, floats) for _ in range(options.turns)]
        seconds, waited = min(turns)
        ideal = 1 / (micro + 1)
        print(f"  {micro:2d} micro-batches: {seconds * 1e6:8.0f} us, waiting {waited:4.0%} (ideally {ideal:.0%})")


def compare_overlap(options):
    """Print what work and an all-reduce take one after the other, at once, and at once in four parts."""
    request = {"kind": "overlap", "case": "W5", "threads": 1, "rows": 0, "nice": options.nice}
    turns = [run(request, 2, None, floats) for _ in range(options.turns)]
    print(f"\n1 ms of work in two processes and the all-reduce of W5's gradient; load {os.getloadavg()[0]:.1f}")
    names = "work alone", "one after the other", "at once", "at once, in four parts as they are made"
    for name, *seconds in zip(names, *turns, strict=True):
        print(f"  {name:<42}{min(seconds) * 1e6:8.0f} us")


def floats(text):
    """Return the numbers of a line "[1.0, 2.0]"."""
    return tuple(json.loads(text))


def predicted(best):
    """Return what the model says of two processes: arithmetic + what MPI adds to a small step + the all-reduce.

    Two processes of one machine share its last cache and its memory's bus, through which each moves weights, gradients
    and two moments: their arithmetic is that of two processes at once, which tell each other nothing.  Each makes the
    steps of a rank: the whole gradient is written before the update reads it, where one process alone updates a block
    while its gradient is in the cache.
    """
    rest = best["a small step, W1"] - best["a small step of 2 processes apart, W1"]
    shared = best["all-reduce of the gradient"] - best["all-reduce of 1 number"] + max(rest, 0)
    return {
        "2 processes, strong": best["2 processes apart, half batch"] + shared,
        "2 processes, weak": best["2 processes apart"] + shared,
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
                f"{1e3 * seconds:7.2f} ms all-reduce; {machines * share:6.1f} times the rows a second of one machine"
            )


def run(request, ranks, torch, read=float):
    """Run one job; return the seconds of a step, or what `read` makes of the line that the job writes."""
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
    return read("".join(texts))


def serve(kind, case, threads, rows, nice, **more):
    """Measure in this process, one of a job's; return the seconds of a step, the fastest."""
    global priority
    priority = nice
    if kind == "torch":
        return torch_step(case, rows)
    if kind == "overlap":
        return overlap_step(case)
    if kind == "pipeline":
        return pipeline_step(case, rows, **more)
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


def fit_step(case, threads, rows, apart=False, **settings):
    """Train with fastbp; return the seconds of the fastest step. `apart`: ranks do not add up their gradients."""
    import fastbp
    from fastbp.distributed.epochs import RankEpochs
    from fastbp.distributed.sums import FastSum

    fastbp.set_num_threads(threads)
    sizes, (x, y, batches) = CASES[case][0], table(case, rows)
    hidden = [fastbp.Dense(units, activation="relu") for units in sizes[1:-1]]
    model = fastbp.Sequential([*hidden, fastbp.Dense(max(sizes[-1], 2), "softmax")], input_shape=sizes[:1], seed=0)
    model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
    begun, over, clock = [], [], time.perf_counter
    ranks = int(os.environ.get("PMI_SIZE", "1"))
    common = {"epochs": -(-STEPS[case] // batches), "batch_size": rows * ranks, "verbose": 0}
    begin()
    if ranks == 1:
        # Calls of one step each, which take 20 us longer than those of many.
        hooks = {"begin": lambda batch, logs: begun.append(clock()), "end": lambda batch, logs: over.append(clock())}
        note = fastbp.LambdaCallback(**{f"on_train_batch_{name}": hook for name, hook in hooks.items()})
        model.fit(x, y, callbacks=[note], **common)
    else:
        step = RankEpochs._step

        def timed(*arguments):
            begun.append(clock())
            step(*arguments)
            over.append(clock())

        RankEpochs._step = timed
        if apart:
            FastSum.__call__ = lambda add, gradients: None
        fastbp.distributed.fit(model, x, y, **common, **settings)
    # Of all ranks the first answers.
    return fastest(begun, over) if os.environ.get("PMI_RANK", "0") == "0" else None


def fastest(begun, over):
    """Return the seconds of the fastest step."""
    return min(b - a for a, b in zip(begun, over, strict=True))


def pipeline_step(case, rows, micro):
    """Train a pipeline; return the seconds of the fastest step, and the share of them that this rank waited."""
    import fastbp
    from fastbp.distributed.stages import PipelineEpochs

    fastbp.set_num_threads(1)
    sizes, (x, y, _) = CASES[case][0], table(case, rows)
    layers = [*(fastbp.Dense(units, "relu") for units in sizes[1:-1]), fastbp.Dense(sizes[-1], "softmax")]
    model = fastbp.distributed.PipelineModel(layers, sizes[:1], seed=0)
    model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
    step, steps = PipelineEpochs._step, []

    def timed(run, *arguments):
        before, begun = run.waited, time.perf_counter()
        step(run, *arguments)
        seconds = time.perf_counter() - begun
        steps.append((seconds, (run.waited - before) / seconds))

    PipelineEpochs._step = timed
    begin()
    model.fit(x, y, epochs=4, batch_size=rows, micro_batches=micro, verbose=0)
    return min(steps) if os.environ["PMI_RANK"] == "0" else None


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


def overlap_step(case):
    """Return the seconds of 1 ms of work, of it and an all-reduce in a row, at once, and at once in four parts."""
    import numpy as np
    from mpi4py import MPI

    comm, sizes = MPI.COMM_WORLD, CASES[case][0]
    total = np.ones(sum((a + 1) * b for a, b in pairwise(sizes)), np.float32)
    a, parts = np.ones(50_000, np.float32), np.array_split(total, 4)

    def work(n):
        for _ in range(n):
            np.add(a, 1e-9, out=a)

    def in_a_row():
        work(n)
        comm.Allreduce(MPI.IN_PLACE, total)

    def at_once():
        sent = comm.Iallreduce(MPI.IN_PLACE, total)
        work(n)
        sent.Wait()

    def in_parts():
        sent = []
        for bucket in parts:
            work(n // 4)
            sent.append(comm.Iallreduce(MPI.IN_PLACE, bucket))
        MPI.Request.Waitall(sent)

    def seconds_of(function):
        times = []
        for _ in range(200):
            total[:] = 1
            comm.Barrier()
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
        return min(times)

    n = 4
    n = comm.bcast(4 * max(round(1e-3 / seconds_of(lambda: work(4))), 1))
    begin()
    found = [seconds_of(one) for one in (lambda: work(n), in_a_row, at_once, in_parts)]
    return found if comm.rank == 0 else None


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
    loss_of = torch.nn.CrossEntropyLoss()
    begin()
    begun, over = [], []
    for _ in range(-(-STEPS[case] // batches)):
        order = torch.randperm(len(x))
        for batch in order.split(rows):
            begun.append(time.perf_counter())
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(x[batch]), y[batch]).backward()
            optimizer.step()
            over.append(time.perf_counter())
    dist.destroy_process_group()
    return fastest(begun, over) if os.environ["RANK"] == "0" else None


if __name__ == "__main__":
    main()
