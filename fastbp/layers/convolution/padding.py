"""ZeroPadding: out (n, h', w', c) = x (n, h, w, c) with zeros around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, copy_entries
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.convolution.windows import as_image, fill_entries

PADDING = layer_dtype(
    ("rows", "i8"),  # rows of the input's image
    ("row", "i8"),  # entries of such a row
    ("padded_row", "i8"),  # entries of a row of the output
    ("corner", "i8"),  # zeros of the output before the input's first entry
)


@kernel
def padding_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c) -> out (n, h', w', c)."""
    fill_entries(work, layer.out + start * layer.n_out, (stop - start) * layer.n_out, work.dtype.type(0))
    for i in range(start, stop):
        for j in range(layer.rows):
            to = layer.out + i * layer.n_out + layer.corner + j * layer.padded_row
            copy_entries(at(work, to), at(work, layer.x + i * layer.n_in + j * layer.row), layer.row)


@kernel
def padding_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, h', w', c) -> dx (n, h, w, c)."""
    for i in range(start, stop):
        for j in range(layer.rows):
            from_ = layer.dout + i * layer.n_out + layer.corner + j * layer.padded_row
            copy_entries(at(work, layer.dx + i * layer.n_in + j * layer.row), at(work, from_), layer.row)


class Padding:
    """What ZeroPadding1D and ZeroPadding2D share: pairs of whole numbers, before and after, for each axis."""

    axes: int
    padding: Any
    pairs: Callable[[], tuple]
    dtype = PADDING
    forward, backward = padding_forward, padding_backward

    def build(self, input_shape: tuple[int, ...]) -> Build:
        height, width, channels = as_image(self, input_shape, self.axes)
        (top, bottom), (left, right) = self.pairs()
        padded_height, padded_row = top + height + bottom, (left + width + right) * channels
        return Build(
            output_shape=(padded_height, padded_row // channels, channels)[-self.axes - 1 :],
            fields={
                "rows": height,
                "row": width * channels,
                "padded_row": padded_row,
                "corner": top * padded_row + left * channels,
            },
        )

    def refuse(self, forms: str) -> None:
        """Raise ValueError that names the setting."""
        raise ValueError(f"{type(self).__name__}(padding={self.padding!r}): it is {forms}, all of them at least 0.")


def is_size(value):
    """Is it a whole number of at least 0?"""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0


def is_pair(value):
    """Is it a pair of such numbers?"""
    return isinstance(value, tuple | list) and len(value) == 2 and all(is_size(size) for size in value)


@LAYERS.register("ZeroPadding1D")
@dataclass
class ZeroPadding1D(Padding, Layer):
    """Zeros before and after a sequence.

    Parameters
    ----------
    padding : int or (int, int), default 1
        Steps at both ends, or before and after.
    name : str, optional
        Default ``"zeropadding1d"``, ``"zeropadding1d_1"`` and so on.

    Raises
    ------
    ValueError
        Where `padding` is neither; at building, where inputs are no sequences.

    Notes
    -----
    Inputs ``(n, t, c)``, outputs ``(n, before + t + after, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.ZeroPadding1D((3, 0))], input_shape=(10, 4)).output_shape
    (13, 4)
    """

    padding: Any = 1
    name: str | None = None

    axes = 1

    def __post_init__(self):
        if is_size(self.padding):
            self.padding = (self.padding, self.padding)
        if not is_pair(self.padding):
            self.refuse("a whole number, or a pair (before, after)")
        self.padding = tuple(int(size) for size in self.padding)

    def pairs(self) -> tuple:
        """Return the pairs of both axes of an image."""
        return (0, 0), self.padding


@LAYERS.register("ZeroPadding2D")
@dataclass
class ZeroPadding2D(Padding, Layer):
    """Zeros around an image.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int)), default (1, 1)
        One number for all four sides; one for rows and one for columns; or ((top, bottom), (left, right)).
    name : str, optional
        Default ``"zeropadding2d"``, ``"zeropadding2d_1"`` and so on.

    Raises
    ------
    ValueError
        Where `padding` is none of these; at building, where inputs are no images.

    Notes
    -----
    Inputs ``(n, h, w, c)``, outputs ``(n, top + h + bottom, left + w + right, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.ZeroPadding2D(((0, 1), (0, 1)))], input_shape=(7, 7, 2)).output_shape
    (8, 8, 2)
    """

    padding: Any = (1, 1)
    name: str | None = None

    axes = 2

    def __post_init__(self):
        if is_size(self.padding):
            self.padding = (self.padding, self.padding)
        if is_pair(self.padding):
            self.padding = tuple((size, size) for size in self.padding)
        two = isinstance(self.padding, tuple | list) and len(self.padding) == 2
        if not two or not all(is_pair(pair) for pair in self.padding):
            self.refuse("a whole number, a pair (rows, columns) or two pairs ((top, bottom), (left, right))")
        self.padding = tuple((int(before), int(after)) for before, after in self.padding)

    def pairs(self) -> tuple:
        """Return the pairs of both axes."""
        return self.padding
