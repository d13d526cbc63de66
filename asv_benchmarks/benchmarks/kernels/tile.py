"""The product of matrices alone, without a network around it."""

import numpy as np

from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, null
from fastbp.kernels.tile import product_address


@kernel
def multiply(product, out, a, b, m, n, k, times):
    """Compute out (m, n) = a (m, k) @ b (k, n), `times` times."""
    for _ in range(times):
        call(product, (at(out, 0), n, null(out), 0, at(a, 0), k, 1, at(b, 0), n, m, n, k))


class Product:
    """The register-tiled product; 2 m n k operations a time."""

    params = (["float32", "float64"], [(64, 64, 30), (128, 128, 128), (256, 256, 256), (256, 7, 256), (128, 1, 128)])
    param_names = ("dtype", "(m, n, k)")

    def setup(self, dtype, sizes):
        m, n, k = sizes
        rng = np.random.default_rng(0)
        self.address = product_address(np.dtype(dtype))
        self.a, self.b = rng.normal(size=m * k).astype(dtype), rng.normal(size=k * n).astype(dtype)
        self.out = np.zeros(m * n, dtype)
        self.time_product(dtype, sizes)

    def time_product(self, dtype, sizes):
        multiply(self.address, self.out, self.a, self.b, *sizes, 10)
