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

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(2, "relu", bias_initializer=fastbp.Constant(0.25))
    >>> model = fastbp.Sequential([layer], input_shape=(3,), seed=0)
    >>> model.get_weights()[1].tolist()
    [0.25, 0.25]
    """

    value: float = 0.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.full(shape, self.value, dtype)


@INITIALIZERS.register("zeros")
@dataclass(frozen=True)
class Zeros:
    """Every entry is 0.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(2, bias_initializer=fastbp.Zeros())
    >>> model = fastbp.Sequential([layer], input_shape=(3,), seed=0)
    >>> model.get_weights()[1].round(2).tolist()
    [0.0, 0.0]
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.zeros(shape, dtype)


@INITIALIZERS.register("ones")
@dataclass(frozen=True)
class Ones:
    """Every entry is 1.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(2, bias_initializer=fastbp.Ones())
    >>> model = fastbp.Sequential([layer], input_shape=(3,), seed=0)
    >>> model.get_weights()[1].round(2).tolist()
    [1.0, 1.0]
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype`; `rng` is not used."""
        return np.ones(shape, dtype)
