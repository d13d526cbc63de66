"""What optimizers share: the registry, the record of settings, the base class.

An optimizer is its settings and a kernel:

    update(record, c, factor, params, grads, state, start, stop)

overwrites entries start to before stop of params (P,) and of each slot of state (S * P,), by grads (P,).  Slot s of
entry i is ``state[s * P + i]``.  `record` holds the settings.  c (C,) holds the step's coefficients in float64: c[0] is
the learning rate, which `factor` multiplies.  The caller clips gradients and decays weights before the update:
``p -= p * learning_rate * weight_decay``.

Formulas, names and defaults are those of ``keras.optimizers`` 3.  Coefficients that depend on the step alone (bias
corrections) are computed in float64 from the step's number.  So the way in which steps are split into calls does not
matter.  The times in the kernels are of one entry, in float32 (AMD Zen 3, 256-bit vectors, in cache); square roots and
divisions take most of them.
"""

from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from fastbp.compiler.jit import inline
from fastbp.compiler.records import make_record, record_dtype
from fastbp.registry import Registry
from fastbp.schedules import SCHEDULES, check_numbers
from fastbp.settings.validation import Settings

__all__ = ["OPTIMIZERS", "Optimizer"]


def _check(cls):
    """Raise TypeError where a class is no optimizer."""
    if not issubclass(cls, Optimizer):
        raise TypeError(f"{cls.__name__} is not derived from fastbp.custom.Optimizer.")
    update = getattr(cls, "kernel", None)
    if not hasattr(update, "py_func"):
        raise TypeError(
            f"{cls.__name__}.kernel is {update!r}: write kernel = staticmethod(update), and @fastbp.custom.kernel over "
            "the function update(row, c, factor, params, grads, state, start, stop)."
        )
    if not isinstance(getattr(cls, "dtype", None), np.dtype):
        raise TypeError(f"{cls.__name__} has no dtype: write dtype = optimizer_dtype(), with a name for each setting.")


OPTIMIZERS = Registry("optimizer", _check)
OPT_HEADER = [("kernel", "i8")]
OPTIMIZER = record_dtype(OPT_HEADER)


@inline
def entries(start, stop):
    """range(start, stop) of unsigned numbers: a loop over signed indices, which may wrap around, is not vectorised."""
    return range(np.uint64(start), np.uint64(stop))


@dataclass
class Optimizer(Settings):
    """What every optimizer has.

    `compile` gives the model a copy of its own, `model.optimizer`. A value that is assigned to a setting of the copy is
    checked at once, and holds from the next update on.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        A number, or an object of ``fastbp.schedules`` that gives one for each step.
    weight_decay : float, optional
        Decoupled: before its update, a parameter loses this fraction of itself, times the learning rate.
    clipvalue : float, optional
        Gradients are limited to ``+-clipvalue``.
    clipnorm : float, optional
        The gradient of each parameter (a kernel, a bias) is scaled down to this Euclidean norm where it is longer.
    global_clipnorm : float, optional
        The whole gradient is scaled down to this Euclidean norm where it is longer.  One of the three at most.
    use_ema : bool, default False
        Keep an exponential moving average of the parameters, which takes their place when `fit` ends:
        ``average = ema_momentum * average + (1 - ema_momentum) * parameter`` after each update.
    ema_momentum : float, default 0.99
        From 0 to 1.
    ema_overwrite_frequency : int, optional
        After every so many updates the average takes the parameters' place as well.
    gradient_accumulation_steps : int, optional
        The update is made after every so many batches, at least 2, with the mean of their gradients. Bias corrections
        count updates; schedules count batches, as in Keras.

    Raises
    ------
    ValueError, TypeError
        For settings out of their range, or of another type; the message names the setting and the value.

    Examples
    --------
    >>> import fastbp
    >>> optimizer = fastbp.SGD(fastbp.CosineDecay(0.1, decay_steps=1000), global_clipnorm=1.0)
    >>> isinstance(optimizer, fastbp.optimizers.Optimizer), optimizer.global_clipnorm
    (True, 1.0)
    """

    learning_rate: Any = 0.001
    _: KW_ONLY
    weight_decay: float | None = None
    clipvalue: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None

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
        norms = ("clipvalue", "clipnorm", "global_clipnorm")
        optional = {"weight_decay": "[0, inf)", **dict.fromkeys(norms, "(0, inf)")}
        check_numbers(self, **{key: at for key, at in optional.items() if getattr(self, key) is not None})
        check_numbers(self, **self.intervals)
        limits = [limit for limit in norms if getattr(self, limit) is not None]
        if len(limits) > 1:
            raise ValueError(f"{name}: set {limits[0]} or {limits[1]}, not both.")
        check_numbers(self, ema_momentum="[0, 1]")
        _check_count(self, "ema_overwrite_frequency", 1)
        _check_count(self, "gradient_accumulation_steps", 2)
        if self.ema_overwrite_frequency is not None and not self.use_ema:
            raise ValueError(f"{name}(ema_overwrite_frequency={self.ema_overwrite_frequency}): it needs use_ema=True.")

    def learning_rates(self, t: np.ndarray) -> np.ndarray:
        """Return the learning rates (float64) of the steps numbered t (int, from 1)."""
        if callable(self.learning_rate):
            return self.learning_rate(np.asarray(t) - 1)
        return np.full(np.shape(t), self.learning_rate, np.float64)

    def coefficients(self, t: np.ndarray, lr: np.ndarray) -> np.ndarray:
        """Return the coefficients c of steps numbered t (n,), from 1, with learning rates lr (n,): (n, C) float64."""
        columns = [lr, *self._corrections(np.asarray(t, np.float64))]
        coefficients = np.empty((len(t), len(columns)))
        for i, column in enumerate(columns):
            coefficients[:, i] = column
        return coefficients

    def _corrections(self, t):
        """Return the columns of `coefficients` after the learning rate."""
        return []

    def kept_slots(self) -> tuple[str, ...]:
        """Return the names of the slots after the rule's own ones: the "gradient" so far, the "average"."""
        return ("gradient",) * (self.gradient_accumulation_steps is not None) + ("average",) * self.use_ema

    def all_coefficients(self, steps: np.ndarray) -> np.ndarray:
        """Return `coefficients` of steps (n,), from 0, with the columns that accumulation_and_average.py needs."""
        numbers = steps + 1
        if not self.use_ema and self.gradient_accumulation_steps is None:
            return self.coefficients(numbers, self.learning_rates(numbers))
        often, every = self.ema_overwrite_frequency, self.gradient_accumulation_steps or 1
        t = steps // every + 1
        coefficients = self.coefficients(t, self.learning_rates(numbers))
        share = np.where(numbers % every == 0, 1.0 / every, 0.0)
        momentum = np.where(t == 1, 0.0, self.ema_momentum)
        overwrites = np.zeros(len(t)) if often is None else np.where(t % often == 0, 1.0, 0.0)
        return np.column_stack([coefficients, share, momentum, overwrites])

    def n_slots(self) -> int:
        """Return S, the numbers kept for each parameter."""
        return self.slots

    def state_kind(self) -> tuple:
        """Return what the state's meaning depends on: another optimizer with the same can go on with the state."""
        return (self.n_slots(),)

    def init_state(self, size: int, dtype: np.dtype) -> np.ndarray:
        """Return the state (S * size,) before the first step."""
        return np.zeros(self.n_slots() * size, dtype)

    def record(self, kernel_address: int) -> np.ndarray:
        """Return the settings: a `Record` of `dtype`."""
        settings = [(name, getattr(self, name)) for name in self.dtype.names or () if name != "kernel"]
        return _cached_record(self.dtype, kernel_address, *settings)


def _check_count(optimizer, name, least):
    """Raise ValueError where a setting is neither None nor a whole number of at least `least`."""
    value = getattr(optimizer, name)
    if value is None or (isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least):
        return
    raise ValueError(
        f"{type(optimizer).__name__}({name}={value!r}): it is a whole number of at least {least}, or None."
    )


# Kept, because it takes 5 us, and made anew when a callback has changed a setting.
@lru_cache(maxsize=64)
def _cached_record(dtype, kernel_address, *settings):
    return make_record(dtype, kernel=kernel_address, **dict(settings))


def optimizer_dtype(**fields: str) -> np.dtype:
    """Return the record dtype of an optimizer with these settings, name="f8" or "i8".

    Parameters
    ----------
    **fields : str
        "f8" or "i8", by the settings' names.

    Returns
    -------
    dtype

    Examples
    --------
    >>> from fastbp.custom import optimizer_dtype
    >>> optimizer_dtype(momentum="f8").names
    ('kernel', 'momentum')
    """
    return record_dtype([*OPT_HEADER, *fields.items()])
