"""Learning-rate schedules: settings that, called with step indices (from 0), return learning rates.

`Optimizer.learning_rates` (optimizers/base.py) asks them for the rates of a call's steps.

Formulas and argument names are those of ``keras.optimizers.schedules``, and of
``torch.optim.lr_scheduler.OneCycleLR`` (whose ``max_lr`` is ``max_learning_rate`` here).  All of a
call's rates are computed at once, in float64, and each depends on its own step only, to the last bit: how
training is split into calls does not matter.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastbp.kernels.repeatable import by_element, power
from fastbp.registry import Registry
from fastbp.settings.validation import checked_switch

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "LogCosine",
    "OneCycle",
    "PiecewiseConstantDecay",
]


def __dir__():
    return __all__


SCHEDULES = Registry("schedule")


def check_numbers(settings, **intervals):
    """Make settings plain Python numbers; raise ValueError, naming the setting, outside "[low, high)"."""
    for name, interval in intervals.items():
        value = getattr(settings, name)
        if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
            value = value.item()
            object.__setattr__(settings, name, value)  # JSON knows no NumPy numbers
        low, high = (float(limit) for limit in interval[1:-1].split(","))
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= high
            or (value == low and interval[0] == "(")
            or (value == high and interval[-1] == ")")
        ):
            raise ValueError(f"{type(settings).__name__}({name}={value!r}): it must be a number in {interval}.")


def _steps(step):
    return np.asarray(step, np.float64)


@SCHEDULES.register("piecewise_constant_decay")
@dataclass(frozen=True)
class PiecewiseConstantDecay:
    """A constant learning rate between boundaries: ``values[i]`` up to and including step ``boundaries[i]``.

    Parameters
    ----------
    boundaries : sequence of int
        Step indices, strictly increasing.
    values : sequence of float
        Learning rates, one more than there are boundaries.

    Raises
    ------
    ValueError
        Where the boundaries do not increase, or there is not one value more, each finite and at least 0.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.PiecewiseConstantDecay([1, 3], [1.0, 0.5, 0.1])
    >>> schedule(np.arange(6)).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    """

    boundaries: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self):
        # Plain numbers, so that the description is JSON.
        object.__setattr__(self, "boundaries", tuple(np.asarray(self.boundaries).tolist()))
        object.__setattr__(self, "values", tuple(np.asarray(self.values, np.float64).tolist()))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: {len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}."
            )
        if not all(a < b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"PiecewiseConstantDecay(boundaries={self.boundaries}): they must increase.")
        if not all(0 <= value < math.inf for value in self.values):
            raise ValueError(f"PiecewiseConstantDecay(values={self.values}): each must be finite, at least 0.")

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        return np.asarray(self.values)[np.searchsorted(np.asarray(self.boundaries), _steps(step), side="left")]


@SCHEDULES.register("exponential_decay")
@dataclass(frozen=True)
class ExponentialDecay:
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate is multiplied by `decay_rate`; above 0.
    decay_rate : float
        Above 0.
    staircase : bool, default False
        Whether ``step / decay_steps`` is rounded down, so that the rate falls at once every `decay_steps`.

    Raises
    ------
    ValueError
        Where a setting is no number, or out of range.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.25)
    >>> schedule(np.arange(3)).round(4).tolist()
    [0.1, 0.05, 0.025]
    >>> optimizer = fastbp.SGD(schedule, momentum=0.9)
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self):
        check_numbers(self, initial_learning_rate="[0, inf)", decay_steps="(0, inf)", decay_rate="(0, inf)")
        object.__setattr__(self, "staircase", checked_switch(self, "staircase", self.staircase))

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        exponent = _steps(step) / self.decay_steps
        exponent = np.floor(exponent) if self.staircase else exponent
        return self.initial_learning_rate * power(self.decay_rate, exponent)


def _cosine(start, end, fraction):
    """Half a cosine wave, from `start` at fraction 0 to `end` at fraction 1."""
    return end + (start - end) * (0.5 * (1.0 + by_element(math.cos, np.pi * fraction)))


@SCHEDULES.register("cosine_decay")
@dataclass(frozen=True)
class CosineDecay:
    """Half a cosine wave down to ``alpha`` times the start, after an optional linear warm-up.

    Warm-up: from `initial_learning_rate` up to `warmup_target` in `warmup_steps`; the decay then starts from
    `warmup_target` and takes `decay_steps`; the rate stays at its end (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps of the decay (those of the warm-up not counted); above 0.
    alpha : float, default 0.0
        The last learning rate as a fraction of the highest, 0 to 1.
    warmup_target : float, optional
        The learning rate at the end of the warm-up; None: no warm-up.
    warmup_steps : int, default 0

    Raises
    ------
    ValueError
        Where a setting is no number, or out of range.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.CosineDecay(0.0, 2, warmup_target=1.0, warmup_steps=2)
    >>> schedule(np.arange(6)).round(4).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Over a whole fit of 1,000 rows, 20 epochs and batches of 32:

    >>> optimizer = fastbp.Adam(fastbp.CosineDecay(1e-3, decay_steps=20 * -(-1000 // 32)))
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self):
        check_numbers(self, initial_learning_rate="[0, inf)", decay_steps="(0, inf)", alpha="[0, 1]")
        check_numbers(self, warmup_steps="[0, inf)")
        if self.warmup_target is not None:
            check_numbers(self, warmup_target="[0, inf)")
        elif self.warmup_steps:
            raise ValueError(f"CosineDecay(warmup_steps={self.warmup_steps!r}) needs a warmup_target as well.")

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        step = _steps(step)
        peak = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        fraction = np.clip((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        decayed = _cosine(peak, self.alpha * peak, fraction)
        if not self.warmup_steps:
            return decayed
        warming = self.initial_learning_rate + (peak - self.initial_learning_rate) * (step / self.warmup_steps)
        return np.where(step < self.warmup_steps, warming, decayed)


@SCHEDULES.register("cosine_decay_restarts")
@dataclass(frozen=True)
class CosineDecayRestarts:
    """Cosine decays one after the other, each `t_mul` times as long and starting `m_mul` times as high.

    Stochastic gradient descent with warm restarts (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Steps of the first decay, above 0.
    t_mul : float, default 2.0
        At least 1.
    m_mul : float, default 1.0
        Above 0.
    alpha : float, default 0.0
        The lowest learning rate as a fraction of `initial_learning_rate`, 0 to 1.

    Raises
    ------
    ValueError
        Where a setting is no number, or out of range.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.CosineDecayRestarts(1.0, 2, m_mul=0.5)
    >>> schedule(np.arange(6)).round(4).tolist()
    [1.0, 0.5, 0.5, 0.4268, 0.25, 0.0732]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self):
        check_numbers(self, initial_learning_rate="[0, inf)", first_decay_steps="(0, inf)")
        check_numbers(self, t_mul="[1, inf)", m_mul="(0, inf)", alpha="[0, 1]")

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        restarts, fraction = self._position(_steps(step) / self.first_decay_steps)
        height = self.initial_learning_rate * (1.0 - self.alpha) * power(self.m_mul, restarts)
        return self.initial_learning_rate * self.alpha + _cosine(height, 0.0, fraction)

    def _position(self, periods):
        """Return (restarts so far, fraction of the present decay) after that many first periods."""
        if self.t_mul == 1:
            restarts = np.floor(periods)
            return restarts, periods - restarts
        restarts = np.floor(by_element(math.log1p, periods * (self.t_mul - 1.0)) / math.log(self.t_mul))
        # The logarithm may be just below a restart (t_mul=3, the fifth), `_start` just above it (t_mul=1.3, the
        # second); whole steps are never as near to one without being it.
        restarts += periods >= self._start(restarts + 1) * (1.0 - 1e-12)
        return restarts, (periods - self._start(restarts)) / power(self.t_mul, restarts)

    def _start(self, restarts):
        """Return the first periods before a restart: ``1 + t_mul + ... + t_mul ** (restarts - 1)``."""
        return (power(self.t_mul, restarts) - 1.0) / (self.t_mul - 1.0)


@SCHEDULES.register("one_cycle")
@dataclass(frozen=True)
class OneCycle:
    """Up to `max_learning_rate` and down to almost nothing, both by half a cosine wave (Smith and Topin, 2018).

    It starts from ``max_learning_rate / div_factor``, has its maximum at step ``pct_start * total_steps - 1``
    and ends, at step ``total_steps - 1``, with the start divided by `final_div_factor`; it stays there.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Steps of the whole cycle, above 0.
    pct_start : float, default 0.3
        The fraction of the steps in which the rate rises, 0 to 1.
    div_factor : float, default 25.0
    final_div_factor : float, default 1e4

    Raises
    ------
    ValueError
        Where a setting is no number, or out of range.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.OneCycle(1.0, total_steps=10)
    >>> schedule(np.arange(10)).round(3).tolist()
    [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0]
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self):
        check_numbers(self, max_learning_rate="[0, inf)", total_steps="(0, inf)", pct_start="[0, 1]")
        check_numbers(self, div_factor="(0, inf)", final_div_factor="(0, inf)")

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        first = self.max_learning_rate / self.div_factor
        top, last = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        step = np.minimum(_steps(step), last)
        # A rise (top <= 0) or fall (pct_start = 1) of no steps is kept finite.
        rise = _cosine(first, self.max_learning_rate, step / top if top > 0 else 1.0)
        falling = (step - top) / (last - top) if last > top else 1.0
        fall = _cosine(self.max_learning_rate, first / self.final_div_factor, falling)
        return np.where(step <= top, rise, fall)


@SCHEDULES.register("log_cosine")
@dataclass(frozen=True)
class LogCosine:
    """Waves that double in length: RealMLP's schedule "coslog4" (Holzmueller et al., 2024).

    ``max_learning_rate * (1 - cos(2 pi log2(1 + (2**cycles - 1) * step / total_steps))) / 2``: from 0 up and down
    `cycles` times, each time taking twice as many steps as before; it ends at 0 and stays there.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Steps of all waves, above 0.
    cycles : int, default 4
        At least 1.

    Raises
    ------
    ValueError
        Where a setting is no number, or out of range.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> schedule = fastbp.LogCosine(1.0, total_steps=6, cycles=2)  # waves of 2 and of 4 steps
    >>> schedule(np.arange(7)).round(2).tolist()
    [0.0, 0.93, 0.0, 0.72, 0.93, 0.32, 0.0]
    """

    max_learning_rate: float
    total_steps: int
    cycles: int = 4

    def __post_init__(self):
        check_numbers(self, max_learning_rate="[0, inf)", total_steps="(0, inf)", cycles="[1, 50]")

    def __call__(self, step) -> np.ndarray:
        """Return the learning rates (float64) at the step indices `step` (int, from 0)."""
        done = np.minimum(_steps(step) / self.total_steps, 1.0)
        waves = by_element(math.log2, 1.0 + (math.ldexp(1.0, self.cycles) - 1.0) * done)
        return self.max_learning_rate * (0.5 * (1.0 - by_element(math.cos, 2.0 * np.pi * waves)))
