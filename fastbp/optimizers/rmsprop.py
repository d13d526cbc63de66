"""Steps relative to the size of the gradients: Adagrad by all of them so far, RMSprop by the recent ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def adagrad_update(row, c, factor, params, grads, state, start, stop):
    """Slots: sum of squares a.  0.34 ns."""
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(row.epsilon)
    # a += g * g;  p -= lr * g / sqrt(a + epsilon)
    for i in entries(start, stop):
        g = grads[i]
        a = state[i] + g * g
        state[i] = a
        params[i] -= lr * g / np.sqrt(a + epsilon)


@OPTIMIZERS.register("adagrad")
@dataclass
class Adagrad(Optimizer):
    """Steps shrink with all squared gradients so far, ``a += g * g; p -= lr * g / sqrt(a + epsilon)``.

    (Duchi, Hazan and Singer, 2011.)

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    initial_accumulator_value : float, default 0.1
        The first ``a``, at least 0.
    epsilon : float, default 1e-7
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> Adagrad(0.1).init_state(2, "float64").tolist()
    [0.1, 0.1]
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    kernel = staticmethod(adagrad_update)
    dtype = optimizer_dtype(epsilon="f8")
    intervals: ClassVar = {"initial_accumulator_value": "[0, inf)", "epsilon": "[0, inf)"}

    def state_kind(self) -> tuple:
        """Return what the state depends on: it began with this number."""
        return (self.initial_accumulator_value,)

    def init_state(self, size: int, dtype: np.dtype) -> np.ndarray:
        """Return the state (S * size,) before the first step."""
        return np.full(size, self.initial_accumulator_value, dtype)


@kernel
def rmsprop_update(row, c, factor, params, grads, state, start, stop):
    """Slots: mean square v, the mean a if centered, momentum m if not 0.  0.35 ns, with both 0.5.

    LLVM makes a loop of each of the four variants (guarded by `test_float32_loops_are_packed`).
    """
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(row.epsilon)
    rho, keep, momentum = real(row.rho), real(1.0 - row.rho), real(row.momentum)
    centered, heavy, zero = row.centered != 0, row.momentum != 0.0, real(0.0)
    second = np.uint64(params.size)
    last = second + second if centered else second
    for i in entries(start, stop):
        g = grads[i]
        v = rho * state[i] + keep * (g * g)
        state[i] = v
        if centered:
            a = rho * state[second + i] + keep * g
            state[second + i] = a
            v = np.maximum(v - a * a, zero)
        step = lr * g / np.sqrt(v + epsilon)
        if heavy:
            step += momentum * state[last + i]
            state[last + i] = step
        params[i] -= step


@OPTIMIZERS.register("rmsprop")
@dataclass
class RMSprop(Optimizer):
    """Steps relative to the recent size of the gradient (Hinton, 2012).

    ``v = rho * v + (1 - rho) * g * g; p -= lr * g / sqrt(v + epsilon)``.  Centered: the mean gradient's
    square is subtracted from v (not below 0: Keras gives NaN where rounding brings it there).  With
    momentum: ``m = momentum * m + step; p -= m``.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    rho : float, default 0.9
        From 0 to 1.
    momentum : float, default 0.0
        From 0 to 1.
    epsilon : float, default 1e-7
    centered : bool, default False
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> RMSprop(momentum=0.9, centered=True).n_slots()
    3
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    kernel = staticmethod(rmsprop_update)
    dtype = optimizer_dtype(rho="f8", momentum="f8", epsilon="f8", centered="i8")
    intervals: ClassVar = {"rho": "[0, 1]", "momentum": "[0, 1]", "epsilon": "[0, inf)"}

    def n_slots(self) -> int:
        """Return S, the numbers kept for each parameter."""
        return 1 + bool(self.centered) + (self.momentum != 0)

    def state_kind(self) -> tuple:
        """Return what the state depends on: two numbers may be the mean square and either of the others."""
        return bool(self.centered), self.momentum != 0
