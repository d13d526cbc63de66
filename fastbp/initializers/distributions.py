"""Initializers that draw from a distribution of their own settings, whatever the shape; and orthogonal matrices."""

import math
from dataclasses import dataclass

import numpy as np

from fastbp.initializers.base import INITIALIZERS
from fastbp.kernels.repeatable import orthonormal_columns
from fastbp.settings.validation import is_number


@INITIALIZERS.register("random_normal")
@dataclass(frozen=True)
class RandomNormal:
    """Normal numbers.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        At least 0.

    Raises
    ------
    ValueError
        Where `mean` or `stddev` is no number, or `stddev` is below 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.RandomNormal(stddev=0.02))
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.02
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

    Raises
    ------
    ValueError
        Where a bound is no number, or `minval` is the larger.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.RandomUniform(-0.05, 0.05))
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.03
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


@INITIALIZERS.register("random_signs")
@dataclass(frozen=True)
class RandomSigns:
    """-1 or 1, each with probability 1/2: the adapters of ensembles (Wen et al., 2020).

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.RandomSigns())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    1.0
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return (2 * rng.integers(0, 2, shape) - 1).astype(dtype)


@INITIALIZERS.register("orthogonal")
@dataclass(frozen=True)
class Orthogonal:
    """A random matrix with orthonormal rows or columns (whichever are fewer), times `gain` (Saxe et al., 2014).

    The shape is taken as a matrix ``(everything before the last axis, last axis)``; at least two axes.

    Parameters
    ----------
    gain : float, default 1.0

    Raises
    ------
    ValueError
        Where `gain` is no number, or (at building) the shape has one axis.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> layer = fastbp.Dense(3, kernel_initializer=fastbp.Orthogonal())
    >>> q = fastbp.Sequential([layer], input_shape=(5,), seed=0, dtype="float64").get_weights()[0]
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
