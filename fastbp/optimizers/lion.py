"""Lion: steps along the sign of a momentum."""

from dataclasses import dataclass
from typing import ClassVar

from fastbp.compiler.jit import kernel
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def lion_update(row, c, factor, params, grads, state, start, stop):
    """Slots: momentum m.  0.25 ns."""
    real = params.dtype.type
    lr, zero, one = real(c[0] * factor), real(0.0), real(1.0)
    beta_1, keep_1 = real(row.beta_1), real(1.0 - row.beta_1)
    beta_2, keep_2 = real(row.beta_2), real(1.0 - row.beta_2)
    # p -= lr * sign(beta_1 * m + (1 - beta_1) * g);  m = beta_2 * m + (1 - beta_2) * g
    for i in entries(start, stop):
        g, m = grads[i], state[i]
        u = beta_1 * m + keep_1 * g
        # 0 and NaN are their own sign.
        sign = one if u > zero else (-one if u < zero else u)
        params[i] -= lr * sign
        state[i] = beta_2 * m + keep_2 * g


@OPTIMIZERS.register("lion")
@dataclass
class Lion(Optimizer):
    """Steps of the learning rate's size along the sign of a momentum (Chen et al., 2023).

    ``p -= lr * sign(beta_1 * m + (1 - beta_1) * g); m = beta_2 * m + (1 - beta_2) * g``.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    beta_1 : float, default 0.9
        Above 0, at most 1.
    beta_2 : float, default 0.99
        From 0 to 1.
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> Lion(1e-4, weight_decay=0.1).learning_rates(np.array([1, 2])).tolist()
    [0.0001, 0.0001]
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    kernel = staticmethod(lion_update)
    dtype = optimizer_dtype(beta_1="f8", beta_2="f8")
    intervals: ClassVar = {"beta_1": "(0, 1]", "beta_2": "[0, 1]"}
