"""Initializers with a variance by the number of inputs and outputs: Glorot's, He's, LeCun's, and the NTK's."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.initializers.base import INITIALIZERS, fans

# The standard deviation of a standard normal variable that is drawn again while beyond +-2.
_TRUNCATED_STD = 0.87962566103423978


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
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "tanh", kernel_initializer=fastbp.GlorotUniform())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.11
    """

    scale, average, normal = 1.0, True, False


@INITIALIZERS.register("glorot_normal")
@dataclass(frozen=True)
class GlorotNormal(VarianceScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010).

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.GlorotNormal())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.11
    """

    scale, average, normal = 1.0, True, True


@INITIALIZERS.register("he_uniform")
@dataclass(frozen=True)
class HeUniform(VarianceScaling):
    """Uniform in ``+-sqrt(6 / fan_in)`` (He et al., 2015); for relu layers.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.HeUniform())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.14
    """

    scale, average, normal = 2.0, False, False


@INITIALIZERS.register("he_normal")
@dataclass(frozen=True)
class HeNormal(VarianceScaling):
    """Truncated normal of variance ``2 / fan_in`` (He et al., 2015); for relu layers.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.HeNormal())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.14
    """

    scale, average, normal = 2.0, False, True


@INITIALIZERS.register("lecun_uniform")
@dataclass(frozen=True)
class LecunUniform(VarianceScaling):
    """Uniform in ``+-sqrt(3 / fan_in)`` (LeCun et al., 1998).

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.LecunUniform())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.1
    """

    scale, average, normal = 1.0, False, False


@INITIALIZERS.register("lecun_normal")
@dataclass(frozen=True)
class LecunNormal(VarianceScaling):
    """Truncated normal of variance ``1 / fan_in`` (LeCun et al., 1998); for selu layers.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.LecunNormal())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.1
    """

    scale, average, normal = 1.0, False, True


@INITIALIZERS.register("fan_in_uniform")
@dataclass(frozen=True)
class FanInUniform(VarianceScaling):
    """Uniform in ``+-1 / sqrt(fan_in)``, PyTorch's start of its linear layers.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.FanInUniform())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.06
    """

    scale, average, normal = 1 / 3, False, False


@INITIALIZERS.register("fan_in_normal")
@dataclass(frozen=True)
class FanInNormal:
    """Normal of variance ``1 / fan_in``, not truncated: what the NTK parametrisation starts from.

    There the product is ``x @ kernel / sqrt(fan_in)`` of a standard normal kernel (Jacot et al., 2018); here the
    kernel has the factor in it.

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Dense(64, "relu", kernel_initializer=fastbp.FanInNormal())
    >>> model = fastbp.Sequential([layer], input_shape=(100,), seed=0)
    >>> round(float(model.get_weights()[0].std()), 2)
    0.1
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return (rng.standard_normal(shape) / math.sqrt(max(fans(shape)[0], 1))).astype(dtype)
