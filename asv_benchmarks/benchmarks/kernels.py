"""Kernels alone: the product, every activation, every optimizer, straight from the registries."""

import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, null
from fastbp.kernels.tile import product_address
from fastbp.optimizers import OPTIMIZERS

ENTRIES = 65_536


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


class ActivationPair:
    """Forward and backward of each activation over 65,536 float32 entries."""

    params = [name for name, activation in ACTIVATIONS.items() if activation.forward is not None]
    param_names = ("activation",)

    def setup(self, name):
        self.activation = ACTIVATIONS[name]()
        self.x = np.random.default_rng(0).normal(size=ENTRIES).astype(np.float32)
        self.out, self.d = np.empty_like(self.x), np.ones_like(self.x)
        self.time_forward(name)
        self.time_backward(name)

    def time_forward(self, name):
        self.activation.forward(self.out, self.x, 64, self.activation.alpha)

    def time_backward(self, name):
        self.activation.backward(self.d, self.x, self.out, 64, self.activation.alpha)


class OptimizerUpdate:
    """One update of 65,536 float32 parameters by each optimizer, with the settings it has by default."""

    params = list(OPTIMIZERS)
    param_names = ("optimizer",)

    def setup(self, name):
        self.optimizer = OPTIMIZERS[name]()
        rng = np.random.default_rng(0)
        self.params_, self.grads = (rng.normal(size=ENTRIES).astype(np.float32) for _ in range(2))
        self.state = self.optimizer.init_state(ENTRIES, np.dtype(np.float32))
        step = np.array([1])
        self.coefficients = self.optimizer.coefficients(step, self.optimizer.learning_rates(step))[0]
        self.row = self.optimizer.row(0)[0]
        self.time_update(name)

    def time_update(self, name):
        arguments = (self.row, self.coefficients, 1.0, self.params_, self.grads, self.state, 0, ENTRIES)
        self.optimizer.kernel(*arguments)
