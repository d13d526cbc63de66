"""Pooling: out (n, h', w', c) = the largest entry, or the mean, of every window of x (n, h, w, c), by channels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, pointer_like
from fastbp.kernels.pooltile import (
    add_unpooled_largest,
    add_unpooled_sum,
    pool_largest,
    pool_sum,
    unpool_largest,
    unpool_sum,
)
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.convolution.windows import (
    WINDOWS_FIELDS,
    Windows,
    as_image,
    dimage_start,
    fill_entries,
    image_start,
    one_of,
    pad_images,
    sizes,
    unpad_dimages,
)

POOLING = layer_dtype(
    *WINDOWS_FIELDS,
    ("channels", "i8"),
    ("per_row", "i8"),  # windows beside each other
    ("clear", "i8"),  # so many of them, from the left, can be read by whole vectors within the image's row
    ("overlapping", "i8"),  # may an entry belong to two windows?
    ("scales", "i8"),  # address of 1 / (entries of a window): one for all windows (scale_stride 0), or one for each
    ("scale_stride", "i8"),
)
# Lanes of the widest vectors, of float32 with AVX-512.
MOST_LANES = 16


@kernel
def max_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c) -> out (n, h', w', c)."""
    if layer.padded:
        pad_images(layer, work, start, stop, -np.inf)
    scales = pointer_like(layer.scales, work)
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        out, image = at(work, layer.out + first * layer.n_out), at(work, image_start(layer, first))
        # out = the largest entry of each window
        pool_largest(
            out, image, layer.position_offsets, m, layer.tap_offsets, layer.taps, layer.channels, scales,
            layer.scale_stride,
        )  # fmt: skip


@kernel
def max_backward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c), out, dout (n, h', w', c) -> dx (n, h, w, c): dout goes to the first largest entry of a window."""
    clear_dimages(layer, work, start, stop)
    scales = pointer_like(layer.scales, work)
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        dimage, image = at(work, dimage_start(layer, first)), at(work, image_start(layer, first))
        dout, out = at(work, layer.dout + first * layer.n_out), at(work, layer.out + first * layer.n_out)
        hand_back = (
            dimage, dout, out, image, layer.position_offsets, m, layer.per_row, layer.clear,
            layer.tap_offsets, layer.taps, layer.channels, scales, layer.scale_stride,
        )  # fmt: skip
        if layer.overlapping:
            add_unpooled_largest(*hand_back)
        else:
            unpool_largest(*hand_back)
    if layer.padded:
        unpad_dimages(layer, work, start, stop)


@kernel
def average_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c) -> out (n, h', w', c)."""
    if layer.padded:
        pad_images(layer, work, start, stop, 0)
    scales = pointer_like(layer.scales, work)
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        out, image = at(work, layer.out + first * layer.n_out), at(work, image_start(layer, first))
        # out = the sum of each window's entries / how many there are (without padding)
        pool_sum(
            out, image, layer.position_offsets, m, layer.tap_offsets, layer.taps, layer.channels, scales,
            layer.scale_stride,
        )  # fmt: skip


@kernel
def average_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, h', w', c) -> dx (n, h, w, c): all entries of a window get the same share of dout."""
    clear_dimages(layer, work, start, stop)
    scales = pointer_like(layer.scales, work)
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        dimage, dout = at(work, dimage_start(layer, first)), at(work, layer.dout + first * layer.n_out)
        hand_back = (
            dimage, dout, dout, dimage, layer.position_offsets, m, layer.per_row, layer.clear,
            layer.tap_offsets, layer.taps, layer.channels, scales, layer.scale_stride,
        )  # fmt: skip
        if layer.overlapping:
            add_unpooled_sum(*hand_back)
        else:
            unpool_sum(*hand_back)
    if layer.padded:
        unpad_dimages(layer, work, start, stop)


@inline
def clear_dimages(layer, work, start, stop):
    """Set the images' gradients to zero, because some entries may belong to no window."""
    for row in range(start, stop):
        fill_entries(work, dimage_start(layer, row), layer.size, work.dtype.type(0))


class Pooling:
    """What all pooling shares; `axes` is 1 or 2."""

    axes: int
    windows_of: Callable[..., Windows]
    dtype = POOLING

    def build(self, input_shape: tuple[int, ...]) -> Build:
        shape = as_image(self, input_shape, self.axes)
        windows = self.windows_of(shape)
        counts = (windows.rows.count, windows.columns.count)[-self.axes :]
        fields = {
            "channels": windows.channels,
            "per_row": windows.columns.count,
            "clear": windows.clear(MOST_LANES),
            "overlapping": windows.overlap(),
            "scale_stride": windows.padded,
        }
        # One scale for each window of the images that one call covers.
        scales = np.tile(windows.shares(), windows.images()) if windows.padded else windows.shares()[:1]
        return Build(
            output_shape=self.output_shape(counts, shape[2]),
            fields=windows.fields() | fields,
            arrays=windows.arrays() | {"scales": scales},
            extra=windows.extra(),
        )

    def output_shape(self, counts: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """Return the shape of a row of outputs for so many windows along each axis."""
        return (*counts, channels)


class SlidingPooling(Pooling):
    """What the layers with `pool_size`, `strides` and `padding` share."""

    pool_size: Any
    strides: Any
    padding: str

    def __post_init__(self):
        self.pool_size = sizes(self, "pool_size", self.axes)
        if self.strides is not None:
            self.strides = sizes(self, "strides", self.axes)
        one_of(self, "padding", ("valid", "same"))

    def windows_of(self, shape: tuple[int, ...]) -> Windows:
        """Return the windows of an image of this shape."""
        one_row = (1,) * (2 - self.axes)
        window, strides = one_row + self.pool_size, one_row + (self.strides or self.pool_size)
        return Windows(self, shape, window, strides, padding=("valid",) * len(one_row) + (self.padding,) * self.axes)


@LAYERS.register("MaxPooling2D")
@dataclass
class MaxPooling2D(SlidingPooling, Layer):
    """The largest entry of every window of an image, channel by channel.

    Parameters
    ----------
    pool_size : int or (int, int), default (2, 2)
        Height and width of the windows.
    strides : int or (int, int), optional
        Distance of windows from each other; default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie within the image. "same": ``ceil(size / stride)`` windows, some of which hang over; what
        is outside counts for nothing.
    name : str, optional
        Default ``"maxpooling2d"``, ``"maxpooling2d_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range; at building, where inputs are no images or smaller than a window.

    Notes
    -----
    Inputs ``(n, h, w, c)``, outputs ``(n, h', w', c)``. The gradient goes to a window's largest entry, of several to
    the first one.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.MaxPooling2D()], input_shape=(28, 28, 6)).output_shape
    (14, 14, 6)
    """

    pool_size: Any = (2, 2)
    strides: Any = None
    padding: str = "valid"
    name: str | None = None

    axes = 2
    forward, backward = max_forward, max_backward


@LAYERS.register("MaxPooling1D")
@dataclass
class MaxPooling1D(SlidingPooling, Layer):
    """The largest entry of every window of a sequence, channel by channel.

    Parameters
    ----------
    pool_size : int, default 2
        Steps of a window.
    strides : int, optional
        Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
    name : str, optional

    Raises
    ------
    ValueError
        Where a setting is out of range; at building, where inputs are no sequences, or the window does not fit them.

    Notes
    -----
    Inputs ``(n, t, c)``, outputs ``(n, t', c)``; for the rest see `MaxPooling2D`.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.MaxPooling1D(3, padding="same")], input_shape=(10, 4)).output_shape
    (4, 4)
    """

    pool_size: Any = 2
    strides: Any = None
    padding: str = "valid"
    name: str | None = None

    axes = 1
    forward, backward = max_forward, max_backward


@LAYERS.register("AveragePooling2D")
@dataclass
class AveragePooling2D(SlidingPooling, Layer):
    """The mean of every window of an image, channel by channel.

    Parameters
    ----------
    pool_size : int or (int, int), default (2, 2)
    strides : int or (int, int), optional
        Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "same": a window that hangs over the edge has the mean of its entries within the image.
    name : str, optional
        Default ``"averagepooling2d"``, ``"averagepooling2d_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range; at building, where inputs are no images, or the window does not fit into them.

    Notes
    -----
    Inputs ``(n, h, w, c)``, outputs ``(n, h', w', c)``; for the rest see `MaxPooling2D`.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.AveragePooling2D(3, 2)], input_shape=(9, 9, 2)).output_shape
    (4, 4, 2)
    """

    pool_size: Any = (2, 2)
    strides: Any = None
    padding: str = "valid"
    name: str | None = None

    axes = 2
    forward, backward = average_forward, average_backward


@LAYERS.register("AveragePooling1D")
@dataclass
class AveragePooling1D(SlidingPooling, Layer):
    """The mean of every window of a sequence, channel by channel.

    Parameters
    ----------
    pool_size : int, default 2
    strides : int, optional
        Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
    name : str, optional

    Raises
    ------
    ValueError
        Where a setting is out of range; at building, where inputs are no sequences, or the window does not fit them.

    Notes
    -----
    Inputs ``(n, t, c)``, outputs ``(n, t', c)``; for the rest see `AveragePooling2D`.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.AveragePooling1D()], input_shape=(10, 4)).output_shape
    (5, 4)
    """

    pool_size: Any = 2
    strides: Any = None
    padding: str = "valid"
    name: str | None = None

    axes = 1
    forward, backward = average_forward, average_backward
