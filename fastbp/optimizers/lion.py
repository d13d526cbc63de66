"""Lion: steps along the sign of a momentum."""

from dataclasses import dataclass
from typing import ClassVar

from fastbp.compiler.jit import kernel
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype


@kernel
def lion_update(record, c, factor, params, grads, state, start, stop):
    """Slots: momentum m.  0.25 ns."""
    real = params.dtype.type
    lr, zero, one = real(c[0] * factor), real(0.0), real(1.0)
    beta_1, keep_1 = real(record.beta_1), real(1.0 - record.beta_1)
    beta_2, keep_2 = real(record.beta_2), real(1.0 - record.beta_2)
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
    >>> model.compile(fastbp.Lion(0.01), "mse")
    >>> losses = model.fit(x, x[:, 0] + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 0.2 * losses[0]
    True
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    kernel = staticmethod(lion_update)
    dtype = optimizer_dtype(beta_1="f8", beta_2="f8")
    intervals: ClassVar = {"beta_1": "(0, 1]", "beta_2": "[0, 1]"}
