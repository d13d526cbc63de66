"""Adam, which divides the mean gradient by the root of the mean square, and its relatives AdamW and Nadam."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.kernels.repeatable import whole_power
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def adam_update(record, c, factor, params, grads, state, start, stop):
    """Slots: mean m, mean square v, with amsgrad the largest v.  c[1]: the bias corrections.  0.36 ns, amsgrad 0.5."""
    real = params.dtype.type
    alpha, epsilon, amsgrad = real(c[0] * factor * c[1]), real(record.epsilon), record.amsgrad != 0
    keep_1, keep_2 = real(1.0 - record.beta_1), real(1.0 - record.beta_2)
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
    >>> model.compile(fastbp.Adam(0.02), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
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
        Before its update, a parameter loses this fraction of itself, times the learning rate.
    beta_1, beta_2 : float, default 0.9 and 0.999
        From 0 to below 1.
    epsilon : float, default 1e-7
    amsgrad : bool, default False
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
    >>> model.compile(fastbp.AdamW(0.02, weight_decay=0.004), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
    """

    weight_decay: float = 0.004

    def __post_init__(self):
        if self.weight_decay is None:
            raise ValueError("AdamW(weight_decay=None): it must be a number; without decay, write Adam().")
        super().__post_init__()


# The momentum's warm-up, 1 - 0.96**t / 2, is 1 to the last bit from step 902 on.
_WARMUP_STEPS = 1024


@kernel
def nadam_update(record, c, factor, params, grads, state, start, stop):
    """Slots: mean m, mean square v.  c[1], c[2], c[3]: the corrections of m, g and v.  0.43 ns."""
    real = params.dtype.type
    lr, epsilon = real(c[0] * factor), real(record.epsilon)
    of_m, of_g, of_v = real(c[1]), real(c[2]), real(c[3])
    keep_1, keep_2 = real(1.0 - record.beta_1), real(1.0 - record.beta_2)
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
    >>> model.compile(fastbp.Nadam(0.02), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
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
