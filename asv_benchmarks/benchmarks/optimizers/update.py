"""Every optimizer's update alone, straight from the registry."""

import numpy as np

from fastbp.optimizers import OPTIMIZERS

ENTRIES = 65_536


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
        self.record = self.optimizer.record(0)[0]
        self.time_update(name)

    def time_update(self, name):
        arguments = (self.record, self.coefficients, 1.0, self.params_, self.grads, self.state, 0, ENTRIES)
        self.optimizer.kernel(*arguments)
