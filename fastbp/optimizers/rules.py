"""Optimizers: each a settings dataclass and the kernel that updates a slice of the flat parameters.

    update(row, c, factor, params, grads, state, start, stop)

overwrites entries start..stop of params (P,) and of each slot of state (S * P,), slot s of entry i at
``state[s * P + i]``, from grads (P,).  `row` holds the settings, c (C,) the step's coefficients in
float64, c[0] the learning rate, which `factor` multiplies.  Clipping and weight decay come before the
update and are the caller's: ``p -= p * learning_rate * weight_decay``.

Formulas, names and defaults are those of ``keras.optimizers`` 3.  What depends on the step alone (bias
corrections) is computed in float64 from the step's number: how steps are split into calls does not
matter.  The times in the kernels are of one entry, in float32 (AMD Zen 3, 256-bit vectors, in cache);
a vector's square root and division are most of them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.kernels.repeatable import whole_power
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def sgd_update(row, c, factor, params, grads, state, start, stop):
    """Slots: momentum m, unless it is 0.  0.07 ns, with momentum 0.16."""
    real = params.dtype.type
    lr, momentum = real(c[0] * factor), real(row.momentum)
    if row.momentum == 0.0:
        # p -= lr * g
        for i in entries(start, stop):
            params[i] -= lr * grads[i]
    elif row.nesterov:
        # m = momentum * m - lr * g;  p += momentum * m - lr * g
        for i in entries(start, stop):
            step = lr * grads[i]
            m = momentum * state[i] - step
            state[i] = m
            params[i] += momentum * m - step
    else:
        # m = momentum * m - lr * g;  p += m
        for i in entries(start, stop):
            m = momentum * state[i] - lr * grads[i]
            state[i] = m
            params[i] += m


@OPTIMIZERS.register("sgd")
@dataclass
class SGD(Optimizer):
    """Gradient descent, ``p -= lr * g``, or with momentum ``m = momentum * m - lr * g; p += m``.

    Nesterov's form (Sutskever et al., 2013) then steps by ``momentum * m - lr * g`` in place of ``m``.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
    momentum : float, default 0.0
        From 0 to 1.
    nesterov : bool, default False
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> SGD(0.1, momentum=0.9, nesterov=True).n_slots()
    1
    """

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    kernel = staticmethod(sgd_update)
    dtype = optimizer_dtype(momentum="f8", nesterov="i8")
    intervals: ClassVar = {"momentum": "[0, 1]"}

    def n_slots(self) -> int:
        """Return S, the numbers kept for each parameter."""
        return 1 if self.momentum else 0


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

    def init_state(self, size: int, dtype) -> np.ndarray:
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


@kernel
def adam_update(row, c, factor, params, grads, state, start, stop):
    """Slots: mean m, mean square v, with amsgrad its maximum.  c[1]: the bias corrections.  0.36 ns, amsgrad 0.5."""
    real = params.dtype.type
    alpha, epsilon, amsgrad = real(c[0] * factor * c[1]), real(row.epsilon), row.amsgrad != 0
    keep_1, keep_2 = real(1.0 - row.beta_1), real(1.0 - row.beta_2)
    second = np.uint64(params.size)
    # m += (g - m) * (1 - beta_1);  v += (g * g - v) * (1 - beta_2);  p -= alpha * m / (sqrt(v) + epsilon)
    for i in entries(start, stop):
        g = grads[i]
        m = state[i] + (g - state[i]) * keep_1
        v = state[second + i] + (g * g - state[second + i]) * keep_2
        state[i] = m
        state[second + i] = v
        if amsgrad:
            # Not `v if v > largest else largest`: LLVM makes masked stores of that, at 1.3 to 1.9 times the time.
            v = np.maximum(v, state[second + second + i])
            state[second + second + i] = v
        params[i] -= m * alpha / (np.sqrt(v) + epsilon)


@OPTIMIZERS.register("adam")
@dataclass
class Adam(Optimizer):
    """Means of gradient and squared gradient, corrected for their start at 0 (Kingma and Ba, 2015).

    ``m += (g - m) * (1 - beta_1); v += (g * g - v) * (1 - beta_2); p -= alpha * m / (sqrt(v) + epsilon)``
    with ``alpha = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)``: epsilon is outside the correction.
    AMSGrad (Reddi et al., 2018) takes the largest v so far.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        From 0 to below 1.
    epsilon : float, default 1e-7
    amsgrad : bool, default False
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> Adam().coefficients(np.array([1, 2]), np.array([0.001, 0.001])).round(4).tolist()
    [[0.001, 0.3162], [0.001, 0.2353]]
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    kernel = staticmethod(adam_update)
    dtype = optimizer_dtype(beta_1="f8", beta_2="f8", epsilon="f8", amsgrad="i8")
    intervals: ClassVar = {"beta_1": "[0, 1)", "beta_2": "[0, 1)", "epsilon": "[0, inf)"}

    def _corrections(self, t):
        return [np.sqrt(1.0 - whole_power(self.beta_2, t)) / (1.0 - whole_power(self.beta_1, t))]

    def n_slots(self) -> int:
        """Return S, the numbers kept for each parameter."""
        return 2 + bool(self.amsgrad)


@OPTIMIZERS.register("adamw")
@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay by default (Loshchilov and Hutter, 2019): ``p -= lr * weight_decay * p``.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    weight_decay : float, default 0.004
    beta_1, beta_2, epsilon, amsgrad
        As in `Adam`.
    clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> AdamW(1e-3, 0.01).weight_decay
    0.01
    """

    weight_decay: float = 0.004

    def __post_init__(self):
        if self.weight_decay is None:
            raise ValueError("AdamW(weight_decay=None): it must be a number; without decay, write Adam().")
        super().__post_init__()


# The momentum's warm-up, 1 - 0.96**t / 2, is 1 to the last bit from step 902 on.
_WARMUP_STEPS = 1024


@kernel
def nadam_update(row, c, factor, params, grads, state, start, stop):
    """Slots: mean m, mean square v.  c[1], c[2], c[3]: the corrections of m, g and v.  0.43 ns."""
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(row.epsilon)
    of_m, of_g, of_v = real(c[1]), real(c[2]), real(c[3])
    keep_1, keep_2 = real(1.0 - row.beta_1), real(1.0 - row.beta_2)
    second = np.uint64(params.size)
    # As Adam, then p -= lr * (c1 * m + c2 * g) / (sqrt(c3 * v) + epsilon)
    for i in entries(start, stop):
        g = grads[i]
        m = state[i] + (g - state[i]) * keep_1
        v = state[second + i] + (g * g - state[second + i]) * keep_2
        state[i] = m
        state[second + i] = v
        params[i] -= (of_m * m + of_g * g) * lr / (np.sqrt(of_v * v) + epsilon)


@OPTIMIZERS.register("nadam")
@dataclass
class Nadam(Optimizer):
    """Adam with Nesterov's momentum, which warms up (Dozat, 2016).

    ``m`` and ``v`` as in `Adam`; with ``u_t = beta_1 * (1 - 0.96**t / 2)`` and ``U_t = u_1 * ... * u_t``,
    ``p -= lr * (u_{t+1} * m / (1 - U_{t+1}) + (1 - u_t) * g / (1 - U_t)) / (sqrt(v / (1 - beta_2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        From 0 to below 1.
    epsilon : float, default 1e-7
    weight_decay, clipvalue, global_clipnorm : float, optional
        As in `Optimizer`.

    Examples
    --------
    >>> Nadam().coefficients(np.array([1]), np.array([0.002])).shape
    (1, 4)
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    kernel = staticmethod(nadam_update)
    dtype = optimizer_dtype(beta_1="f8", beta_2="f8", epsilon="f8")
    intervals: ClassVar = {"beta_1": "[0, 1)", "beta_2": "[0, 1)", "epsilon": "[0, inf)"}
    slots = 2

    def _corrections(self, t):
        of_m = self._momentum(t + 1) / (1.0 - self._momentum_product(t + 1))
        of_g = (1.0 - self._momentum(t)) / (1.0 - self._momentum_product(t))
        return [of_m, of_g, 1.0 / (1.0 - whole_power(self.beta_2, t))]

    def _momentum(self, t):
        """Return u_t."""
        return self.beta_1 * (1.0 - 0.5 * whole_power(0.96, t))

    def _momentum_product(self, t):
        """Return U_t; past the warm-up each factor is beta_1."""
        products = np.cumprod(self._momentum(np.arange(1.0, _WARMUP_STEPS + 1)))
        warm = np.minimum(t, _WARMUP_STEPS).astype(np.int64)
        return products[warm - 1] * whole_power(self.beta_1, t - warm)


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
    >>> Lion(1e-4, weight_decay=0.1).learning_rates(np.array([1, 2])).tolist()
    [0.0001, 0.0001]
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    kernel = staticmethod(lion_update)
    dtype = optimizer_dtype(beta_1="f8", beta_2="f8")
    intervals: ClassVar = {"beta_1": "(0, 1]", "beta_2": "[0, 1]"}
