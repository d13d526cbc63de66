"""Networks that double in one direction: a step's cost should grow with its arithmetic, without a cliff."""

import fastbp

from ..shared.workloads import Workload


def doubling(first, last):
    """Return first, 2 first ... last."""
    sizes = [first]
    while sizes[-1] < last:
        sizes.append(2 * sizes[-1])
    return sizes


# A direction: the network in words, the sizes, and the network of one size.
DIRECTIONS = {
    "width": ("64-w-w-10, batch 128", doubling(8, 1024), lambda w: Workload((64, w, w, 10), 128, 2048)),
    "depth": ("64-128 d times-10, batch 128", doubling(1, 8), lambda d: Workload((64, *[128] * d, 10), 128, 2048)),
    "batch": ("30-128-128-10, batch b", doubling(8, 4096), lambda b: Workload((30, 128, 128, 10), b, 8192)),
    "rows": ("30-64-64-3, batch 64", doubling(1000, 128_000), lambda n: Workload((30, 64, 64, 3), 64, n)),
}


class Scaling:
    """One epoch of each size, on one thread."""

    params = [f"{direction} {size}" for direction, (_, sizes, _) in DIRECTIONS.items() for size in sizes]
    param_names = ("size",)
    timeout = 300

    def setup(self, size):
        direction, number = size.split()
        fastbp.set_num_threads(1)
        self.workload = DIRECTIONS[direction][2](int(number))
        self.x, self.y = self.workload.data()
        self.model = self.workload.model()
        self.time_epoch(size)

    def teardown(self, size):
        fastbp.set_num_threads(None)

    def time_epoch(self, size):
        self.model.fit(self.x, self.y, batch_size=self.workload.batch, verbose=0)
