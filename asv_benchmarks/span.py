"""How a training step would scale to many cores, by counting: the work of each phase, and how long so many cores take.

    python asv_benchmarks/span.py [cores ...]

Work is multiply-adds of products, as the plan counts them.  The pieces of a phase, slices of rows and then items of
parameters, are taken by whoever is free, in the plan's order; a phase ends when its last piece does.  What is not
counted: the waiting at a phase's end (0.1 us where cores are free), memory that cores share, the optimizer's update.
"""

import argparse
import heapq

from benchmarks.shared.workloads import WORKLOADS

from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan


def phases(workload):
    """Return the multiply-adds of the pieces of both phases of a step."""
    model = workload.model()
    plan = Plan(model.engine.network, workload.batch, 1, "float32", Purpose(training=True, fused_output=True))
    sizes = list(zip(workload.sizes[:-1], workload.sizes[1:], strict=True))
    forward = sum(d * k for d, k in sizes)
    row = 2 * forward - sizes[0][0] * sizes[0][1] + (forward if plan.sliced else 0)
    starts = range(0, workload.batch, plan.slice_rows)
    slices = [row * min(plan.slice_rows, workload.batch - start) for start in starts]
    times = plan.n_slices if plan.sliced else workload.batch  # sums of partial gradients, or products
    return slices, [int(item["stop"] - item["start"]) * times for item in plan.items]


def span(pieces, cores):
    """Return the work of the core that is done last."""
    ends = [0] * cores
    for piece in pieces:
        heapq.heapreplace(ends, ends[0] + piece)
    return max(ends)


def main():
    """Print a line for each workload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cores", type=int, nargs="*", default=[2, 8, 16, 64])
    cores = parser.parse_args().cores
    print("network".ljust(34), "slices items", *(f"{n} cores".rjust(9) for n in cores))
    for name, workload in WORKLOADS.items():
        parts = phases(workload)
        work = sum(map(sum, parts))
        speeds = [work / sum(span(pieces, n) for pieces in parts) for n in cores]
        print(name.ljust(34), *(str(len(p)).rjust(6) for p in parts), *(f"{speed:.1f}".rjust(9) for speed in speeds))


if __name__ == "__main__":
    main()
