"""Initial values of parameters: `init(shape, rng, dtype)` returns a new array.

Formulas, names and defaults are those of ``keras.initializers``.  Numbers are drawn in float64 and
then rounded, so that a seed means the same network in float32 and in float64.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp._registry import Registry

INITIALIZERS = Registry("initializer")

# The standard deviation of a standard normal variable that is drawn again while beyond +-2.
_TRUNCATED_STD = 0.87962566103423978


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a parameter, as Keras counts them.

    Parameters
    ----------
    shape : tuple of int
        ``(d, k)`` of a dense layer, ``(..., c, k)`` of a convolution, whose leading sizes are its window.

    Examples
    --------
    >>> fans((784, 128)), fans((3, 3, 16, 32)), fans((7,)), fans(())
    ((784, 128), (144, 288), (7, 7), (1, 1))
    """
    if len(shape) < 2:
        size = int(shape[0]) if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return int(window * shape[-2]), int(window * shape[-1])


def _truncated_normal(shape, rng):
    """Draw standard normal numbers; those beyond two standard deviations are drawn again."""
    values = rng.standard_normal(math.prod(shape))
    beyond = np.flatnonzero(np.abs(values) > 2.0)
    while beyond.size:
        values[beyond] = rng.standard_normal(beyond.size)
        beyond = beyond[np.abs(values[beyond]) > 2.0]
    return values.reshape(shape)


@dataclass(frozen=True)
class VarianceScaling:
    """Zero mean and variance ``scale / fan``: the base of the glorot, he and lecun initializers.

    ``fan`` is ``fan_in`` or, for `average`, ``(fan_in + fan_out) / 2``.  Uniform: within
    ``+-sqrt(3 * scale / fan)``.  Normal: truncated at two standard deviations, widened so that the
    variance after truncation is the one asked for.
    """

    scale: ClassVar[float]
    average: ClassVar[bool]
    normal: ClassVar[bool]

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        fan_in, fan_out = fans(shape)
        fan = (fan_in + fan_out) / 2 if self.average else fan_in
        variance = self.scale / max(1.0, fan)
        if self.normal:
            values = _truncated_normal(shape, rng) * (math.sqrt(variance) / _TRUNCATED_STD)
        else:
            limit = math.sqrt(3.0 * variance)
            values = rng.uniform(-limit, limit, shape)
        return values.astype(dtype)


@INITIALIZERS.register("glorot_uniform")
@dataclass(frozen=True)
class GlorotUniform(VarianceScaling):
    """Uniform in ``+-sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010); for tanh and sigmoid layers.

    Examples
    --------
    >>> GlorotUniform()((784, 128), np.random.default_rng(0)).shape
    (784, 128)
    """

    scale, average, normal = 1.0, True, False


@INITIALIZERS.register("glorot_normal")
@dataclass(frozen=True)
class GlorotNormal(VarianceScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""

    scale, average, normal = 1.0, True, True


@INITIALIZERS.register("he_uniform")
@dataclass(frozen=True)
class HeUniform(VarianceScaling):
    """Uniform in ``+-sqrt(6 / fan_in)`` (He et al., 2015); for relu layers."""

    scale, average, normal = 2.0, False, False


@INITIALIZERS.register("he_normal")
@dataclass(frozen=True)
class HeNormal(VarianceScaling):
    """Truncated normal of variance ``2 / fan_in`` (He et al., 2015); for relu layers."""

    scale, average, normal = 2.0, False, True


@INITIALIZERS.register("lecun_uniform")
@dataclass(frozen=True)
class LecunUniform(VarianceScaling):
    """Uniform in ``+-sqrt(3 / fan_in)`` (LeCun et al., 1998)."""

    scale, average, normal = 1.0, False, False


@INITIALIZERS.register("lecun_normal")
@dataclass(frozen=True)
class LecunNormal(VarianceScaling):
    """Truncated normal of variance ``1 / fan_in`` (LeCun et al., 1998); for selu layers."""

    scale, average, normal = 1.0, False, True


@INITIALIZERS.register("orthogonal")
@dataclass(frozen=True)
class Orthogonal:
    """A random matrix with orthonormal rows or columns (whichever are fewer), times `gain` (Saxe et al., 2014).

    The shape is taken as a matrix ``(everything before the last axis, last axis)``; at least two axes.

    Parameters
    ----------
    gain : float, default 1.0

    Examples
    --------
    >>> q = Orthogonal()((5, 3), np.random.default_rng(0), "float64")
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """

    gain: float = 1.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        if len(shape) < 2:
            raise ValueError(
                f"orthogonal needs a shape of at least two axes, not {tuple(shape)}; "
                "for a vector take 'zeros', 'constant' or 'random_normal'."
            )
        rows, cols = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, cols), min(rows, cols))))
        # QR is unique up to signs; a positive diagonal of r makes q uniform over all orthogonal matrices.
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        return np.ascontiguousarray(self.gain * (q if rows >= cols else q.T), dtype).reshape(shape)


@INITIALIZERS.register("constant")
@dataclass(frozen=True)
class Constant:
    """Every entry is `value`.

    Parameters
    ----------
    value : float, default 0.0
    """

    value: float = 0.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.full(shape, self.value, dtype)


@INITIALIZERS.register("zeros")
@dataclass(frozen=True)
class Zeros:
    """Every entry is 0."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.zeros(shape, dtype)


@INITIALIZERS.register("ones")
@dataclass(frozen=True)
class Ones:
    """Every entry is 1."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.ones(shape, dtype)


@INITIALIZERS.register("random_normal")
@dataclass(frozen=True)
class RandomNormal:
    """Normal numbers.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        At least 0.
    """

    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self):
        if not self.stddev >= 0:
            raise ValueError(f"RandomNormal(stddev={self.stddev!r}): the value must be at least 0.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return rng.normal(self.mean, self.stddev, shape).astype(dtype)


@INITIALIZERS.register("random_uniform")
@dataclass(frozen=True)
class RandomUniform:
    """Uniform numbers from `minval` up to `maxval`.

    Parameters
    ----------
    minval : float, default -0.05
    maxval : float, default 0.05
        At least `minval`.
    """

    minval: float = -0.05
    maxval: float = 0.05

    def __post_init__(self):
        if not self.minval <= self.maxval:
            raise ValueError(f"RandomUniform(minval={self.minval!r}, maxval={self.maxval!r}): minval is the larger.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return rng.uniform(self.minval, self.maxval, shape).astype(dtype)
