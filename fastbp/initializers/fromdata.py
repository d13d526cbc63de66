"""Initializers that `fastbp.initialize_from_data` adapts to the training data."""

from dataclasses import dataclass

import numpy as np

from fastbp.initializers.base import INITIALIZERS
from fastbp.initializers.variance import FanInNormal
from fastbp.kernels.arraymath import matmul


@INITIALIZERS.register("unit_variance")
@dataclass(frozen=True)
class UnitVariance:
    """A kernel whose products have variance 1 over the training data, each output's (Krähenbühl et al., 2016).

    It is drawn as `FanInNormal` draws it; `fastbp.initialize_from_data` then divides every column by the standard
    deviation of ``x @ column`` (of none: by 1).

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 100]
    >>> layer = fastbp.Dense(2, kernel_initializer=fastbp.UnitVariance())
    >>> model = fastbp.Sequential([layer], input_shape=(3,), seed=0)
    >>> fastbp.initialize_from_data(model, x)
    >>> model.predict(x).std(axis=0).round(3).tolist()
    [1.0, 1.0]
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return FanInNormal()(shape, rng, dtype)

    def adapt(self, kernel: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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

    Raises
    ------
    ValueError
        Where `rows` is no whole number of at least 1.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(500, 3)) + 100
    >>> layer = fastbp.Dense(8, "relu", bias_initializer=fastbp.MinusRandomProducts())
    >>> model = fastbp.Sequential([layer], input_shape=(3,), seed=0)
    >>> fastbp.initialize_from_data(model, x)
    >>> bool((model.predict(x) > 0).mean(axis=0).max() < 1)  # no unit is linear over all rows
    True
    """

    rows: int = 5

    def __post_init__(self):
        if not isinstance(self.rows, int | np.integer) or isinstance(self.rows, bool) or self.rows < 1:
            raise ValueError(f"MinusRandomProducts(rows={self.rows!r}): it is a whole number of at least 1.")
        object.__setattr__(self, "rows", int(self.rows))

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of zeros of `shape` and `dtype`; `rng` is not used."""
        return np.zeros(shape, dtype)

    def adapt(self, products: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """products (n, k) of the inputs and the kernel: return the bias (k,)."""
        n, k = products.shape
        chosen = np.take_along_axis(products, rng.integers(0, n, (self.rows, k)), axis=0)
        weights = rng.standard_exponential((self.rows, k))
        return -(chosen * weights).sum(axis=0) / weights.sum(axis=0)
