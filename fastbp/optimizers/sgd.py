"""Gradient descent, with momentum and Nesterov's form of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.compiler.jit import kernel
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
