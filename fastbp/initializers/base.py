"""The registry of initializers, and how a parameter's shape tells its fans."""

import math

from fastbp.registry import Registry

__all__ = ["INITIALIZERS"]


INITIALIZERS = Registry("initializer")


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
