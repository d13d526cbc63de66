"""Steps relative to the size of the gradients: Adagrad takes all gradients so far, RMSprop the recent ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def adagrad_update(record, c, factor, params, grads, state, start, stop):
    """Slots: sum of squares a.  0.34 ns."""
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(record.epsilon)
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
    weight_decay : float, optional
        Decoupled: before its update, a parameter loses this fraction of itself, times the learning rate.
    clipvalue : float, optional
        Gradients are limited to ``+-clipvalue``.
    clipnorm : float, optional
        The gradient of each parameter (a kernel, a bias) is scaled down to this Euclidean norm where it is longer.
    global_clipnorm : float, optional
        The whole gradient is scaled down to this Euclidean norm where it is longer. One of the three at most.
    use_ema : bool, default False
        Keep an exponential moving average of the parameters, which takes their place when `fit` ends.
    ema_momentum : float, default 0.99
        The share of the average that stays at each update.
    ema_overwrite_frequency : int, optional
        After every so many updates the average takes the parameters' place as well.
    gradient_accumulation_steps : int, optional
        The update is made after every so many batches, at least 2, with the mean of their gradients.

    Raises
    ------
    ValueError, TypeError
        For settings out of their range, or of another type; the message names the setting and the value.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.Adagrad(0.3), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    kernel = staticmethod(adagrad_update)
    dtype = optimizer_dtype(epsilon="f8")
    intervals: ClassVar = {"initial_accumulator_value": "[0, inf)", "epsilon": "[0, inf)"}

    def state_kind(self) -> tuple:
        """Return what the state's meaning depends on: the number with which it began."""
        return (self.initial_accumulator_value,)

    def init_state(self, size: int, dtype: np.dtype) -> np.ndarray:
        """Return the state (S * size,) before the first step."""
        return np.full(size, self.initial_accumulator_value, dtype)


@kernel
def rmsprop_update(record, c, factor, params, grads, state, start, stop):
    """Slots: mean square v, the mean a if centered, momentum m if not 0.  0.35 ns, with both 0.5.

    LLVM makes a loop of each of the four variants (guarded by `test_float32_loops_are_packed`).
    """
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(record.epsilon)
    rho, keep, momentum = real(record.rho), real(1.0 - record.rho), real(record.momentum)
    centered, heavy, zero = record.centered != 0, record.momentum != 0.0, real(0.0)
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
    square is subtracted from v; the result is at least 0 (in Keras rounding may make it negative, then NaN).  With
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
    weight_decay : float, optional
        Decoupled: before its update, a parameter loses this fraction of itself, times the learning rate.
    clipvalue : float, optional
        Gradients are limited to ``+-clipvalue``.
    clipnorm : float, optional
        The gradient of each parameter (a kernel, a bias) is scaled down to this Euclidean norm where it is longer.
    global_clipnorm : float, optional
        The whole gradient is scaled down to this Euclidean norm where it is longer. One of the three at most.
    use_ema : bool, default False
        Keep an exponential moving average of the parameters, which takes their place when `fit` ends.
    ema_momentum : float, default 0.99
        The share of the average that stays at each update.
    ema_overwrite_frequency : int, optional
        After every so many updates the average takes the parameters' place as well.
    gradient_accumulation_steps : int, optional
        The update is made after every so many batches, at least 2, with the mean of their gradients.

    Raises
    ------
    ValueError, TypeError
        For settings out of their range, or of another type; the message names the setting and the value.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.RMSprop(0.02), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
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
        """Return what the state's meaning depends on: of two slots, the second one is the mean or the momentum."""
        return bool(self.centered), self.momentum != 0
