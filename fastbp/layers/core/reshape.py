"""Flatten and Reshape: the same entries under another shape.  Nothing is copied, and the layer table has no record."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.build import Build


@LAYERS.register("Flatten")
@dataclass
class Flatten(Layer):
    """All axes but the batch made one: ``(n, a, b)`` becomes ``(n, a * b)``.

    Parameters
    ----------
    name : str, optional
        Default ``"flatten"``, ``"flatten_1"`` and so on.

    Raises
    ------
    ValueError
        Where `name` is no text.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Flatten()], input_shape=(2, 3)).output_shape
    (6,)
    """

    name: str | None = None

    alias = True

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=(math.prod(input_shape),))

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        return x.reshape(len(x), -1)


@LAYERS.register("Reshape")
@dataclass
class Reshape(Layer):
    """The entries of a row under another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch; one size may be -1 and follows from the others.
    name : str, optional
        Default ``"reshape"``, ``"reshape_1"`` and so on.

    Raises
    ------
    ValueError
        Where `target_shape` is not such a tuple, or (at building) holds another number of entries.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Reshape((-1, 2))], input_shape=(6,)).output_shape
    (3, 2)
    """

    target_shape: Any
    name: str | None = None

    alias = True

    def __post_init__(self):
        shape = self.target_shape
        sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
        if not all(isinstance(size, int | np.integer) and (size > 0 or size == -1) for size in sizes):
            sizes = ()
        if not sizes or sizes.count(-1) > 1:
            raise ValueError(f"Reshape(target_shape={shape!r}): it is a tuple of sizes, of which one may be -1.")
        self.target_shape = tuple(int(size) for size in sizes)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        entries, known = math.prod(input_shape), math.prod(size for size in self.target_shape if size > 0)
        shape = tuple(entries // known if size == -1 else size for size in self.target_shape)
        if math.prod(shape) != entries:
            raise ValueError(
                f"Reshape(target_shape={self.target_shape}): an input of shape {input_shape} has {entries} entries "
                "(without the batch), which do not fit that shape."
            )
        return Build(output_shape=shape)

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        return x.reshape(len(x), *self.target_shape)
