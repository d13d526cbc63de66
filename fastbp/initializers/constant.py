"""Initializers that give every entry one value."""

from dataclasses import dataclass

import numpy as np

from fastbp.initializers.base import INITIALIZERS


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
