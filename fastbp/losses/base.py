"""What losses share: the registry, the record, the base class, and how a formula for one entry becomes a kernel.

    value_and_grad(record, dout, out, y, weight, scale) -> float64

takes the raw outputs out (n, k) of the last layer, targets y (n, t) and weights weight (n,), all flat and in the
model's dtype.  It returns the sum over rows of weight * loss, and overwrites dout (n, k) with scale * weight *
dloss/dout.  None of the arrays overlap.  If outputs have several axes, such as (time steps, classes), every time step
has a loss and a weight of its own: it is a row to the kernel.

A sum in the order of the entries is a chain of additions, which no vector unit can run.  So the kernels write the terms
of the sum to dout, in loops without sums, and add them up afterwards in four float64 lanes, in an order that this
project decides.  Nanoseconds an entry, float32, on one AVX2 core of 2.45 GHz, for batches (n x k); in brackets the time
of a single loop for values and sums:

    loss                               256 x 1      256 x 10     128 x 1000
    mean_squared_error               0.5 (1.6)     0.9 (0.6)     1.0 (0.9)
    poisson                          1.4 (9.5)     1.7 (7.8)     1.5 (7.5)
    binary_crossentropy               3.0 (20)      3.3 (18)      3.0 (25)
    categorical_crossentropy                 -      5.2 (10)     1.9 (5.7)
    sparse_categorical_crossentropy          -     3.1 (8.0)     1.1 (5.3)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.formulas import check_formula
from fastbp.compiler.jit import compiled_address, inline, kernel
from fastbp.compiler.records import make_record, record_dtype
from fastbp.compiler.signatures import signature
from fastbp.kernels.lanes import lane_sum
from fastbp.losses.targets import dense_targets
from fastbp.registry import Registry

__all__ = ["LOSSES", "Loss"]

LOSS_HEADER = [
    ("kernel", "i8"),  # address
    ("n_out", "i8"),
    ("n_targets", "i8"),
]
LOSS = record_dtype(LOSS_HEADER)


def loss_dtype(**fields):
    """Return the record dtype of a loss with these fields of its own, name="f8" or "i8"."""
    return record_dtype([*LOSS_HEADER, *fields.items()])


class Loss:
    """What every loss has.

    Attributes
    ----------
    kernel : kernel
        `value_and_grad` of the module's docstring.
    link : str or None
        The activation that `kernel` includes: the engine leaves it out of the last layer in training.
    setting : float
        The one number that the kernel reads from its record.
    whole_rows : bool
        Outputs with several axes have one loss a row, not one for each entry of the first axes.
    accuracy : str
        The metric that ``metrics=["accuracy"]`` means beside this loss, a name of `fastbp.metrics.METRICS`.
    greater_is_better : bool
        Whether a greater value is better: False.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from fastbp.custom import Loss, mean_over_outputs
    >>> @dataclass(frozen=True)
    ... class Squares(Loss):
    ...     @mean_over_outputs
    ...     def kernel(out, y, setting):
    ...         return (out - y) * (out - y), 2 * (out - y)
    >>> Squares().greater_is_better
    False
    """

    dtype = loss_dtype(setting="f8")
    name: str
    kernel: Any = None
    link: str | None = None
    setting: Any = 0.0
    whole_rows = False
    greater_is_better = False

    @property
    def accuracy(self) -> str:
        """The metric that "accuracy" means; for logits the sign decides."""
        return "sign_accuracy" if getattr(self, "from_logits", False) else "class_accuracy"

    def entries(self, shape: tuple[int, ...]) -> int:
        """Return how many entries of a row of outputs, (k,), (t, k) or longer, have a loss of their own."""
        return 1 if self.whole_rows else math.prod(shape[:-1])

    def record(self, n_out: int, n_targets: int, kernel_address: int, float_type: np.dtype) -> Any:
        """Return what the kernel needs to know: a `Record` of `dtype`."""
        numbers = {"kernel": kernel_address, "n_out": n_out, "n_targets": n_targets}
        return make_record(self.dtype, setting=self.setting, **numbers)

    def check_output(self, activation: Any, n_out: int) -> None:
        """Raise ValueError where the model's last activation or number of outputs does not suit the loss."""

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        """Return the targets as a C-contiguous array (n, t)."""
        return dense_targets(y, n_out, dtype)


# Cached by the kernel and not by the class, because a class may be given another kernel.
@cache
def loss_address(kernel, dtype, float_type):
    """Return the address of a loss's kernel for records of `dtype`."""
    return compiled_address(kernel, signature("record f[:] f[:] f[:] f[:] f8 -> f8", f=float_type, record=dtype))


def _check(cls):
    """Raise TypeError where a class is no loss."""
    if not issubclass(cls, Loss):
        raise TypeError(f"{cls.__name__} is not derived from fastbp.custom.Loss.")
    if not hasattr(cls.kernel, "py_func"):
        raise TypeError(
            f"{cls.__name__}.kernel is {cls.kernel!r}: name the loss's formula `kernel` and put "
            "@fastbp.custom.mean_over_outputs or @fastbp.custom.sum_over_outputs over it."
        )


LOSSES = Registry("loss", _check)


def mean_over_outputs(formula: Callable) -> Any:
    """Make the kernel of a loss that is the mean over a row's outputs of formula(out, y, setting).

    The formula (a method without self) is for one entry and returns the value and its derivative.  A comparison with
    NaN is false, so the third argument of each `select` should be the one that passes NaN on.

    Parameters
    ----------
    formula : function
        A method without `self`: (out, y, setting) -> (the loss, its derivative by out), all of them one entry's.

    Returns
    -------
    kernel
        What the class's `kernel` is to be.

    Examples
    --------
    >>> from fastbp.custom import Loss, mean_over_outputs
    >>> class Squares(Loss):
    ...     @mean_over_outputs
    ...     def kernel(out, y, setting):
    ...         return (out - y) * (out - y), 2 * (out - y)
    >>> hasattr(Squares.kernel, "py_func")
    True
    """
    return _kernel_of(formula, mean=True)


def sum_over_outputs(formula: Callable) -> Any:
    """As `mean_over_outputs`, for a sum.

    Parameters
    ----------
    formula : function
        A method without `self`: (out, y, setting) -> (the loss, its derivative by out), all of them one entry's.

    Returns
    -------
    kernel
        What the class's `kernel` is to be.

    Examples
    --------
    >>> from fastbp.custom import Loss, sum_over_outputs
    >>> class Squares(Loss):
    ...     @sum_over_outputs
    ...     def kernel(out, y, setting):
    ...         return (out - y) * (out - y), 2 * (out - y)
    >>> hasattr(Squares.kernel, "py_func")
    True
    """
    return _kernel_of(formula, mean=False)


def _kernel_of(formula, mean):
    check_formula("mean_over_outputs" if mean else "sum_over_outputs", formula, ("out", "y", "setting"))
    entry = inline(formula)

    def loop(record, dout, out, y, weight, scale):
        setting = out.dtype.type(record.setting)
        parts = record.n_out if mean else 1
        # The formula returns the value and its derivative, but dout has room for one number an entry.  So the formula
        # runs in two loops, and LLVM removes from each what the loop does not use.
        for i in range(out.size):
            dout[i] = entry(out[i], y[i], setting)[0]
        scale_rows(dout, weight, record.n_out, 1.0)
        total = lane_sum(dout, 0, dout.size)
        for i in range(out.size):
            dout[i] = entry(out[i], y[i], setting)[1]
        scale_rows(dout, weight, record.n_out, scale / parts)
        return total / parts

    # The cache and Numba tell kernels apart by these names.
    loop.__name__, loop.__qualname__ = formula.__name__, formula.__qualname__
    made = kernel(loop, origin=formula)
    made.advice = " It returns two numbers, the loss of an entry and the derivative of that by the output."
    return staticmethod(made)


@inline
def scale_rows(d, weight, k, scale):
    """d (n, k) *= scale * weight (n,) of its row."""
    scale = d.dtype.type(scale)
    if k == 1:
        for i in range(weight.size):
            d[i] *= scale * weight[i]
    else:
        for i in range(weight.size):
            factor = scale * weight[i]
            for j in range(np.uint64(i * k), np.uint64(i * k + k)):
                d[j] *= factor
