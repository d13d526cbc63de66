"""Penalties on parameters, and the constraint on their norm: settings that layers carry."""

from dataclasses import dataclass

from fastbp.registry import Registry
from fastbp.settings.validation import is_number

__all__ = [
    "CONSTRAINTS",
    "L1",
    "L1L2",
    "L2",
    "REGULARIZERS",
    "MaxNorm",
]


def __dir__():
    return __all__


REGULARIZERS = Registry("regularizer")
CONSTRAINTS = Registry("constraint")


def _check_not_negative(settings, *names):
    for name in names:
        value = getattr(settings, name)
        if not is_number(value) or not value >= 0:
            raise ValueError(f"{type(settings).__name__}({name}={value!r}): the value must be at least 0.")


@REGULARIZERS.register("l1")
@dataclass(frozen=True)
class L1:
    """Penalty ``l1 * sum(|w|)``, added to the mean loss.

    Parameters
    ----------
    l1 : float, default 0.01

    Raises
    ------
    ValueError
        Where a factor is no number of at least 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_regularizer=fastbp.L1(1e-4))
    >>> layer.kernel_regularizer
    L1(l1=0.0001)
    """

    l1: float = 0.01

    def __post_init__(self):
        _check_not_negative(self, "l1")

    @property
    def factors(self) -> tuple[float, float]:
        """The factors of ``sum(|w|)`` and of ``sum(w**2)``."""
        return self.l1, 0.0


@REGULARIZERS.register("l2")
@dataclass(frozen=True)
class L2:
    """Penalty ``l2 * sum(w**2)``, added to the mean loss (its gradient is ``2 * l2 * w``).

    Parameters
    ----------
    l2 : float, default 0.01

    Raises
    ------
    ValueError
        Where a factor is no number of at least 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_regularizer=fastbp.L2(1e-4))
    >>> layer.kernel_regularizer
    L2(l2=0.0001)
    """

    l2: float = 0.01

    def __post_init__(self):
        _check_not_negative(self, "l2")

    @property
    def factors(self) -> tuple[float, float]:
        """The factors of ``sum(|w|)`` and of ``sum(w**2)``."""
        return 0.0, self.l2


@REGULARIZERS.register("l1_l2")
@dataclass(frozen=True)
class L1L2:
    """Penalty ``l1 * sum(|w|) + l2 * sum(w**2)``, added to the mean loss.

    Parameters
    ----------
    l1, l2 : float, default 0.0

    Raises
    ------
    ValueError
        Where a factor is no number of at least 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_regularizer=fastbp.L1L2(l1=1e-4, l2=1e-3))
    >>> layer.kernel_regularizer
    L1L2(l1=0.0001, l2=0.001)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self):
        _check_not_negative(self, "l1", "l2")

    @property
    def factors(self) -> tuple[float, float]:
        """The factors of ``sum(|w|)`` and of ``sum(w**2)``."""
        return self.l1, self.l2


@CONSTRAINTS.register("max_norm")
@dataclass(frozen=True)
class MaxNorm:
    """Scale a unit's incoming weights (a kernel's column) down to at most this Euclidean norm.

    Applied after every update (Srebro and Shraibman, 2005): ``w *= min(1, max_value / norm(w))``.

    Parameters
    ----------
    max_value : float, default 2.0
        Above 0.

    Raises
    ------
    ValueError
        Where `max_value` is no number above 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_constraint=fastbp.MaxNorm(3.0))
    >>> layer.kernel_constraint
    MaxNorm(max_value=3.0)
    """

    max_value: float = 2.0

    def __post_init__(self):
        if not is_number(self.max_value) or not self.max_value > 0:
            raise ValueError(f"MaxNorm(max_value={self.max_value!r}): the value must be above 0.")
