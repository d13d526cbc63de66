"""What every optimizer has: its registry, its row of settings, and the checks of what all share."""

from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from fastbp.compiler.jit import inline
from fastbp.compiler.records import make_row, row_dtype
from fastbp.registry import Registry
from fastbp.schedules import SCHEDULES, check_numbers
from fastbp.settings.checked import Settings

__all__ = ["OPTIMIZERS", "Optimizer"]

OPTIMIZERS = Registry("optimizer")
OPT_HEADER = [("kernel", "i8")]
OPT_ROW_SIZE = 128
OPT_ROW = row_dtype(OPT_ROW_SIZE, OPT_HEADER)


@inline
def entries(start, stop):
    """range(start, stop), unsigned: an index that might be negative, and so wrap around, would not vectorise."""
    return range(np.uint64(start), np.uint64(stop))


@dataclass
class Optimizer(Settings):
    """What every optimizer has.

    A model has a copy of its own, `model.optimizer`, from `compile` on. What is assigned to a setting of that one is
    checked at once and holds from the next update on.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        A number, or an object of ``fastbp.schedules`` that gives one for each step.
    weight_decay : float, optional
        Decoupled: before its update, a parameter loses this fraction of itself, times the learning rate.
    clipvalue : float, optional
        Gradients are limited to ``+-clipvalue``.
    global_clipnorm : float, optional
        The whole gradient is scaled down to this Euclidean norm where it is longer.  One of the two at most.

    Raises
    ------
    ValueError, TypeError
        For settings out of their range, or of another type; the message names the setting and the value.
    """

    learning_rate: Any = 0.001
    _: KW_ONLY
    weight_decay: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None

    changes: ClassVar = [0]  # type: ignore[misc]  # of all optimizers
    kernel: ClassVar[Any]
    dtype: ClassVar[np.dtype]
    intervals: ClassVar[dict[str, str]] = {}
    slots: ClassVar[int] = 1

    def __post_init__(self):
        name = type(self).__name__
        if not isinstance(self.learning_rate, tuple(SCHEDULES.values())):
            if isinstance(self.learning_rate, (str, type)) or callable(self.learning_rate):
                raise TypeError(
                    f"{name}(learning_rate={self.learning_rate!r}): it is a number or a schedule object, "
                    "as in learning_rate=fastbp.CosineDecay(1e-3, decay_steps=10_000)."
                )
            check_numbers(self, learning_rate="[0, inf)")
        optional = {"weight_decay": "[0, inf)", "clipvalue": "(0, inf)", "global_clipnorm": "(0, inf)"}
        check_numbers(self, **{key: at for key, at in optional.items() if getattr(self, key) is not None})
        check_numbers(self, **self.intervals)
        if self.clipvalue is not None and self.global_clipnorm is not None:
            raise ValueError(f"{name}: set clipvalue or global_clipnorm, not both.")

    def learning_rates(self, t: np.ndarray) -> np.ndarray:
        """Return the learning rates (float64) of the steps numbered t (int, from 1)."""
        if callable(self.learning_rate):
            return self.learning_rate(np.asarray(t) - 1)
        return np.full(np.shape(t), self.learning_rate, np.float64)

    def coefficients(self, t: np.ndarray, lr: np.ndarray) -> np.ndarray:
        """Return what the kernel needs of the steps t (n,), from 1, with learning rates lr (n,): (n, C) float64."""
        columns = [lr, *self._corrections(np.asarray(t, np.float64))]
        coefficients = np.empty((len(t), len(columns)))
        for i, column in enumerate(columns):
            coefficients[:, i] = column
        return coefficients

    def _corrections(self, t):
        """Return the columns of `coefficients` after the learning rate."""
        return []

    def n_slots(self) -> int:
        """Return S, the numbers kept for each parameter."""
        return self.slots

    def state_kind(self) -> tuple:
        """Return what the state depends on: a state goes on with settings that have the same."""
        return (self.n_slots(),)

    def init_state(self, size: int, dtype) -> np.ndarray:
        """Return the state (S * size,) before the first step."""
        return np.zeros(self.n_slots() * size, dtype)

    def row(self, kernel_address: int) -> np.ndarray:
        """Return the settings as an array of one row of `dtype`."""
        settings = [(name, getattr(self, name)) for name in self.dtype.names or () if name != "kernel"]
        return _row(self.dtype, kernel_address, *settings)


# Kept, because it takes 5 us, and made anew when a callback has changed a setting.
@lru_cache(maxsize=64)
def _row(dtype, kernel_address, *settings):
    return make_row(dtype, kernel=kernel_address, **dict(settings))


def optimizer_dtype(**fields):
    """Return the row dtype of an optimizer with these settings, name="f8" or "i8"."""
    return row_dtype(OPT_ROW_SIZE, OPT_HEADER, fields.items())
