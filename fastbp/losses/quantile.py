"""QuantileLoss: several quantiles of one quantity, each an output of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.entry import address_of
from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import float64s_at
from fastbp.compiler.records import make_record
from fastbp.kernels.lanes import lane_sum
from fastbp.losses.base import LOSSES, Loss, loss_dtype, scale_rows
from fastbp.losses.targets import table_targets


@kernel
def quantile(record, dout, out, y, weight, scale):
    """loss = mean over outputs j of max(tau_j e, (tau_j - 1) e), e = y - out[j]; y (n, 1)."""
    k, levels = record.n_out, float64s_at(record.levels, record.n_out)
    for i in range(weight.size):
        for j in range(k):
            error, tau = y[i] - out[i * k + j], out.dtype.type(levels[j])
            dout[i * k + j] = select(error < 0, (tau - like(tau, 1)) * error, tau * error)
    scale_rows(dout, weight, k, 1.0)
    total = lane_sum(dout, 0, dout.size)
    for i in range(weight.size):
        for j in range(k):
            # dout = -tau above the output, 1 - tau below it, 0 on it; NaN stays.
            error, tau = y[i] - out[i * k + j], out.dtype.type(levels[j])
            dout[i * k + j] = select(error > 0, -tau, select(error < 0, like(tau, 1) - tau, error))
    scale_rows(dout, weight, k, scale / k)
    return total / k


@LOSSES.register("quantile")
@dataclass(frozen=True)
class QuantileLoss(Loss):
    """The pinball loss of several quantiles of one target: the mean over outputs of
    ``max(tau * (y_true - y_pred), (tau - 1) * (y_true - y_pred))`` (Koenker and Bassett, 1978).

    The model has a linear output for each quantile; targets are (n,) or (n, 1). The derivative at 0 is taken as 0.
    The outputs of a row may cross. Sorting them never raises the loss.

    Parameters
    ----------
    quantiles : sequence of float, default (0.1, 0.5, 0.9)
        Above 0 and below 1, rising.

    Raises
    ------
    ValueError
        Where `quantiles` are not such numbers; when the model is compiled, where it does not have one output for each.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (2000, 1))
    >>> y = x[:, 0] + rng.normal(size=2000)
    >>> model = fastbp.Sequential([fastbp.Dense(2)], seed=0)
    >>> model.compile(fastbp.Adam(0.02), fastbp.QuantileLoss([0.1, 0.9]))
    >>> history = model.fit(x, y, epochs=10, verbose=0)
    >>> inside = (model.predict(x) > y[:, None]) == [False, True]
    >>> bool(0.75 < inside.all(axis=1).mean() < 0.85)
    True
    """

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    kernel = staticmethod(quantile)
    dtype = loss_dtype(levels="i8")

    def __post_init__(self):
        object.__setattr__(self, "quantiles", checked_quantiles(self.quantiles))

    def record(self, n_out: int, n_targets: int, kernel_address: int, float_type: np.dtype) -> Any:
        numbers = {"kernel": kernel_address, "n_out": n_out, "n_targets": n_targets}
        levels = np.array(self.quantiles, np.float64)
        return make_record(self.dtype, levels, levels=address_of(levels), **numbers)

    def check_output(self, activation: Any, n_out: int) -> None:
        if n_out != len(self.quantiles):
            raise ValueError(
                f"QuantileLoss has {len(self.quantiles)} quantiles, but the model has {n_out} "
                f"output{'s' * (n_out > 1)}: give the last layer a unit for each quantile."
            )

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        table = table_targets(y, dtype)
        if table.shape[1] != 1:
            raise ValueError(f"y has shape {np.shape(y)}: the quantiles are of one target, (n,) or (n, 1).")
        return table


def checked_quantiles(quantiles):
    """Return quantiles as a tuple of floats, or raise ValueError."""
    try:
        levels = tuple(float(level) for level in quantiles)
    except (TypeError, ValueError):
        raise ValueError(f"quantiles={quantiles!r}: they are a list of numbers, such as [0.1, 0.5, 0.9].") from None
    rising = all(low < high for low, high in zip((0.0, *levels), (*levels, 1.0), strict=True))
    if not levels or not rising:
        raise ValueError(f"quantiles={quantiles!r}: they are above 0, below 1, and each is above the one before it.")
    return levels
