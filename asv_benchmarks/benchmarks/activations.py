"""Every activation alone, straight from the registry."""

import numpy as np

from fastbp.activations import ACTIVATIONS

ENTRIES = 65_536


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
