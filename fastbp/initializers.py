"""Initial values of parameters: `init(shape, rng, dtype)` returns a new array.

Formulas, names and defaults are those of ``keras.initializers``.  Numbers are drawn in float64 and
then rounded, so that a seed means the same network in float32 and in float64.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastbp.kernels.arraymath import matmul
from fastbp.kernels.repeatable import orthonormal_columns
from fastbp.registry import Registry
from fastbp.settings.checked import is_number

__all__ = [
    "INITIALIZERS",
    "Constant",
    "FanInNormal",
    "FanInUniform",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "MinusRandomProducts",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomSigns",
    "RandomUniform",
    "RepeatedColumns",
    "SameForMembers",
    "UnitVariance",
    "Zeros",
]

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

    def __post_init__(self):
        if not is_number(self.gain):
            raise ValueError(f"Orthogonal(gain={self.gain!r}): it is a number.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        if len(shape) < 2:
            raise ValueError(
                f"orthogonal needs a shape of at least two axes, not {tuple(shape)}; "
                "for a vector take 'zeros', 'constant' or 'random_normal'."
            )
        rows, cols = math.prod(shape[:-1]), shape[-1]
        q = orthonormal_columns(rng.standard_normal((max(rows, cols), min(rows, cols))))
        # The basis's R has a positive diagonal: that makes it uniform over all orthogonal matrices.
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
        if not is_number(self.mean):
            raise ValueError(f"RandomNormal(mean={self.mean!r}): it is a number.")
        if not is_number(self.stddev) or not self.stddev >= 0:
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
        for name in ("minval", "maxval"):
            if not is_number(getattr(self, name)):
                raise ValueError(f"RandomUniform({name}={getattr(self, name)!r}): it is a number.")
        if not self.minval <= self.maxval:
            raise ValueError(f"RandomUniform(minval={self.minval!r}, maxval={self.maxval!r}): minval is the larger.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return rng.uniform(self.minval, self.maxval, shape).astype(dtype)


@INITIALIZERS.register("fan_in_uniform")
@dataclass(frozen=True)
class FanInUniform(VarianceScaling):
    """Uniform in ``+-1 / sqrt(fan_in)``, PyTorch's start of its linear layers."""

    scale, average, normal = 1 / 3, False, False


@INITIALIZERS.register("fan_in_normal")
@dataclass(frozen=True)
class FanInNormal:
    """Normal of variance ``1 / fan_in``, not truncated: what the NTK parametrisation starts from.

    There the product is ``x @ kernel / sqrt(fan_in)`` of a standard normal kernel (Jacot et al., 2018); here the
    kernel has the factor in it.
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return (rng.standard_normal(shape) / math.sqrt(max(fans(shape)[0], 1))).astype(dtype)


@INITIALIZERS.register("unit_variance")
@dataclass(frozen=True)
class UnitVariance:
    """A kernel whose products have variance 1 over the training data, each output's (Krähenbühl et al., 2016).

    It is drawn as `FanInNormal` draws it; `fastbp.initialize_from_data` then divides every column by the standard
    deviation of ``x @ column`` (of none: by 1).
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return FanInNormal()(shape, rng, dtype)

    def adapt(self, kernel, x, rng):
        """kernel (d, k) for inputs x (n, d): return it adapted."""
        deviation = matmul(x, kernel).std(axis=0)
        return kernel / np.where(deviation > 0, deviation, 1.0)


@INITIALIZERS.register("minus_random_products")
@dataclass(frozen=True)
class MinusRandomProducts:
    """Biases that set each output's kink amid the training data: RealMLP's "he+5" (Holzmueller et al., 2024).

    They are zero until `fastbp.initialize_from_data` draws `rows` random rows for every output and weights of an
    exponential distribution, normed to the sum 1: minus the weighted sum of these rows' ``x @ kernel`` is the bias.

    Parameters
    ----------
    rows : int, default 5
    """

    rows: int = 5

    def __post_init__(self):
        if not isinstance(self.rows, int | np.integer) or isinstance(self.rows, bool) or self.rows < 1:
            raise ValueError(f"MinusRandomProducts(rows={self.rows!r}): it is a whole number of at least 1.")
        object.__setattr__(self, "rows", int(self.rows))

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of zeros of `shape` and `dtype`; `rng` is not used."""
        return np.zeros(shape, dtype)

    def adapt(self, products, rng):
        """products (n, k) of the inputs and the kernel: return the bias (k,)."""
        n, k = products.shape
        chosen = np.take_along_axis(products, rng.integers(0, n, (self.rows, k)), axis=0)
        weights = rng.standard_exponential((self.rows, k))
        return -(chosen * weights).sum(axis=0) / weights.sum(axis=0)


@INITIALIZERS.register("random_signs")
@dataclass(frozen=True)
class RandomSigns:
    """-1 or 1, each with probability 1/2: the adapters of ensembles (Wen et al., 2020)."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return (2 * rng.integers(0, 2, shape) - 1).astype(dtype)


@INITIALIZERS.register("same_for_members")
@dataclass(frozen=True)
class SameForMembers:
    """One draw for all indices of the first axis: the members of an ensemble start alike.

    Parameters
    ----------
    initializer : str or initializer object, default "random_uniform"
        Draws one member's values.

    Examples
    --------
    >>> values = SameForMembers("random_normal")((3, 2), np.random.default_rng(0))
    >>> bool((values == values[0]).all())
    True
    """

    initializer: Any = "random_uniform"

    def __post_init__(self):
        object.__setattr__(self, "initializer", INITIALIZERS.resolve(self.initializer))

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return np.repeat(self.initializer(shape[1:], rng, dtype)[None], shape[0], axis=0)


@INITIALIZERS.register("repeated_columns")
@dataclass(frozen=True)
class RepeatedColumns:
    """One draw for each feature, repeated over the columns that the feature has in the last axis.

    Parameters
    ----------
    initializer : str or initializer object, default "random_signs"
        Draws ``(..., features)`` values.
    columns : tuple of int, default (1,)
        Columns of each feature: their sum is the size of the last axis.

    Examples
    --------
    >>> RepeatedColumns("random_normal", (2, 1))((4, 3), np.random.default_rng(0)).shape
    (4, 3)
    """

    initializer: Any = "random_signs"
    columns: tuple[int, ...] = (1,)

    def __post_init__(self):
        object.__setattr__(self, "initializer", INITIALIZERS.resolve(self.initializer))
        object.__setattr__(self, "columns", tuple(int(count) for count in self.columns))
        if not self.columns or min(self.columns) < 1:
            raise ValueError(f"RepeatedColumns(columns={self.columns}): each feature has at least one column.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        if sum(self.columns) != shape[-1]:
            raise ValueError(
                f"RepeatedColumns: the columns of all features are {sum(self.columns)}, but the last axis of the "
                f"parameter's shape {tuple(shape)} has {shape[-1]}."
            )
        values = self.initializer((*shape[:-1], len(self.columns)), rng, dtype)
        return np.repeat(values, self.columns, axis=-1)


@dataclass(frozen=True)
class EachOnItsOwn:
    """Draws every index of the first axis as a parameter of its own: fans are those of one."""

    initializer: Any

    def __call__(self, shape, rng, dtype="float32"):
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return np.stack([self.initializer(shape[1:], rng, dtype) for _ in range(shape[0])])
