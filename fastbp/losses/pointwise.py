"""Losses: each a settings class that holds its formula; names, defaults and formulas are those of `keras.losses`.

base.py has what all losses share.  `CustomLoss`, a loss of one's own, is at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import (
    call_float,
    compile_errors,
    compiled_address,
    kernel,
    need_compiler,
    unkept_kernel,
)
from fastbp.compiler.records import make_record
from fastbp.compiler.signatures import signature
from fastbp.kernels.vecmath import log
from fastbp.losses.base import LOSSES, Loss, loss_dtype, mean_over_outputs, sum_over_outputs
from fastbp.losses.targets import bounded_targets, dense_targets, table_targets
from fastbp.settings.validation import is_number

# Keras's fuzz factor, for the logarithm of a predicted count.
EPSILON = 1e-7


@LOSSES.register("mean_squared_error")
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over outputs of ``(y_pred - y_true)**2``.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(2,))
    >>> model.compile("adam", fastbp.MeanSquaredError())
    >>> round(model.evaluate([[1.0, 2.0]], [[1.0, 4.0]]), 4)
    2.0
    """

    @mean_over_outputs
    def kernel(out, y, setting):
        error = out - y
        return error * error, error + error


@LOSSES.register("mean_absolute_error")
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over outputs of ``|y_pred - y_true|``; the derivative at 0 is taken as 0.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(2,))
    >>> model.compile("adam", fastbp.MeanAbsoluteError())
    >>> round(model.evaluate([[1.0, 2.0]], [[1.0, 4.0]]), 4)
    1.0
    """

    @mean_over_outputs
    def kernel(out, y, setting):
        error = out - y
        sign = select(error > 0, like(out, 1), select(error < 0, like(out, -1), error))
        return abs(error), sign


@LOSSES.register("huber")
@dataclass(frozen=True)
class Huber(Loss):
    """Squared near 0, absolute beyond `delta` (Huber, 1964).

    With ``e = y_pred - y_true``, the mean over outputs of ``e**2 / 2`` where ``|e| <= delta``, else of
    ``delta * (|e| - delta / 2)``.

    Parameters
    ----------
    delta : float, default 1.0

    Raises
    ------
    ValueError
        Where `delta` is not a finite number above 0.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(2,))
    >>> model.compile("adam", fastbp.Huber(delta=1.0))
    >>> round(model.evaluate([[1.0, 2.0]], [[1.5, 4.0]]), 4)
    0.8125
    """

    delta: float = 1.0

    def __post_init__(self):
        if not is_number(self.delta) or not 0 < self.delta < np.inf:
            raise ValueError(f"Huber(delta={self.delta!r}): delta is a number above 0.")

    @property
    def setting(self) -> float:  # type: ignore[override]
        return self.delta

    @mean_over_outputs
    def kernel(out, y, delta):
        error = out - y
        limited = select(error > delta, delta, select(error < -delta, -delta, error))
        return limited * (error - like(out, 0.5) * limited), limited


@LOSSES.register("poisson")
@dataclass(frozen=True)
class Poisson(Loss):
    """Mean over outputs of ``y_pred - y_true * log(y_pred + 1e-7)``: counts, predicted as positive rates.

    End the model in ``"softplus"`` or another activation with positive outputs.

    Raises
    ------
    ValueError
        In training, where a target is below 0.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(1,))
    >>> model.compile("adam", fastbp.Poisson())
    >>> round(model.evaluate([[2.0]], [[3.0]]), 4)
    -0.0794
    """

    @mean_over_outputs
    def kernel(out, y, setting):
        rate = out + like(out, EPSILON)
        return out - y * log(rate), like(out, 1) - y / rate

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return bounded_targets(y, n_out, dtype, 0, np.inf, "the poisson loss takes counts of at least 0")


@LOSSES.register("hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """Mean over outputs of ``max(1 - y_true * y_pred, 0)`` for targets -1 and 1 (0 and 1 are converted).

    Raises
    ------
    ValueError
        In training, where a target is none of -1, 0 and 1, or where -1 and 0 stand beside each other.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(2,))
    >>> model.compile("adam", fastbp.Hinge())
    >>> round(model.evaluate([[0.5, -2.0]], [[1, -1]]), 4)
    0.25
    """

    accuracy = "sign_accuracy"

    @mean_over_outputs
    def kernel(out, y, setting):
        margin = like(out, 1) - y * out
        value = select(margin < 0, like(out, 0), margin)
        return value, -y * select(margin <= 0, like(out, 0), select(margin > 0, like(out, 1), margin))

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        y = dense_targets(y, n_out, dtype)
        from_zero = (y == 0).any()
        known = (y == 1) | (y == (0 if from_zero else -1))
        if not known.all():
            bad = y[~known][0]
            raise ValueError(f"y holds {bad:g}{' and 0' if from_zero else ''}, but hinge takes -1 and 1, or 0 and 1.")
        return 2 * y - 1 if from_zero else y


@LOSSES.register("vector_jacobian")
@dataclass(frozen=True)
class VectorJacobian(Loss):
    """``sum(out * y)``: its gradient is `y`, so `Sequential.vjp` goes back from this loss.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Activation("tanh")], input_shape=(2,))
    >>> model.compile("sgd", "mse")
    >>> model.loss.name  # `vjp` takes this loss in its place for one call
    'mean_squared_error'
    """

    whole_rows = True
    listed = False  # no name of the package's

    @sum_over_outputs
    def kernel(out, y, setting):
        return out * y, y


@kernel
def custom_loss(record, dout, out, y, weight, scale):
    """loss = the user's function of one row of targets and outputs."""
    k, t, real = record.n_out, record.n_targets, out.dtype.type
    total = 0.0
    for i in range(weight.size):
        d = dout[i * k : i * k + k]
        total += weight[i] * call_float(record.function, (y[i * t : i * t + t], out[i * k : i * k + k], d))
        factor = real(scale) * weight[i]
        for j in range(k):
            d[j] *= factor
    return total


@LOSSES.accept
@dataclass(frozen=True)
class CustomLoss(Loss):
    """A loss of one's own: a compiled function of one row.

    Parameters
    ----------
    function : numba.njit function
        ``f(y_true, y_pred, dout) -> float`` for arrays ``y_true (t,)``, ``y_pred (k,)``, the outputs after the
        last activation, and ``dout (k,)``, which it fills with all the derivatives; the arrays are in the
        model's dtype. No exceptions, no allocation.
    name : str, default "custom_loss"
        By which `load_model` asks for it: files hold no code.

    Raises
    ------
    TypeError
        Where `function` is not compiled with numba.njit, or (at the first use) not for such arguments.

    Examples
    --------
    >>> import numba, numpy as np, fastbp
    >>> @numba.njit
    ... def log_cosh(y_true, y_pred, dout):
    ...     error = y_pred[0] - y_true[0]
    ...     dout[0] = np.tanh(error)
    ...     return np.log(np.cosh(error))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0, dtype="float64")
    >>> model.compile(loss=fastbp.CustomLoss(log_cosh, name="log_cosh"))
    >>> x = np.eye(3)
    >>> bool(fastbp.check_gradients(model, x, x.sum(1)).max_relative_error < 1e-6)
    True
    """

    function: Any
    name: str = "custom_loss"

    kernel = staticmethod(custom_loss)
    whole_rows = True
    dtype = loss_dtype(function="i8")

    def __post_init__(self):
        if not hasattr(self.function, "py_func"):
            need_compiler(f"the function of the loss {self.name!r}")
            raise TypeError(f"CustomLoss takes a function compiled with numba.njit, not {self.function!r}.")

    def record(self, n_out: int, n_targets: int, kernel_address: int, float_type: np.dtype) -> Any:
        try:
            where, _ = _compiled(self.function, float_type)
        except compile_errors() as error:
            raise TypeError(
                f"the function of the loss {self.name!r} does not compile as f(y_true, y_pred, dout) -> float for "
                f"three arrays of {float_type}: {error}"
            ) from error
        return make_record(self.dtype, kernel=kernel_address, n_out=n_out, n_targets=n_targets, function=where)

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return table_targets(y, dtype)


@cache
def _compiled(function, float_type):
    """Return the address of a compiled function with a float64 result, and what keeps its machine code alive."""

    @unkept_kernel
    def in_float64(y_true, y_pred, dout):
        return np.float64(function(y_true, y_pred, dout))

    return compiled_address(in_float64, signature("f[:] f[:] f[:] -> f8", f=float_type)), in_float64
