"""Windows that slide over an image: their places, the padding around the image, and what the kernels must know.

An image is (height, width, channels).  A sequence (steps, channels) is an image of height 1.  Convolution and pooling
read the windows through two tables of offsets (windowtile.py): the first says where each window begins, the second
how far each entry of a window, a *tap*, is from that place.  With padding, the image is first copied into a larger one
in the layer's `extra`.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.layers.base import is_size, whole_number

# One call of a product computes at least so many windows.  The table of positions covers enough images for that.
CALL_WINDOWS = 128
# Offsets are int32.
MOST_ENTRIES = 2**31

# What the record of a layer over windows holds (`Windows.fields`, `Windows.arrays`).
WINDOWS_FIELDS = [
    ("padded", "i8"),
    ("size", "i8"),  # entries of an image, its padding included
    ("stride", "i8"),  # entries from an image to the next one
    ("image", "i8"),  # where a padded image begins in a row of `extra`
    ("dimage", "i8"),  # where the gradient of that image begins there
    ("height", "i8"),  # rows of the image without its padding
    ("row", "i8"),  # entries of such a row
    ("padded_row", "i8"),  # entries of a row with its padding
    ("corner", "i8"),  # entries of padding before its first entry
    ("positions", "i8"),  # windows of an image
    ("images", "i8"),  # images that the table of positions covers
    ("position_offsets", "i8"),  # addresses of int32 tables
    ("tap_offsets", "i8"),
    ("taps", "i8"),  # length of the table of taps
]


class Axis(NamedTuple):
    """Windows along one axis: how many, and the padding at both ends."""

    count: int
    before: int
    after: int


def axis(layer, size, window, stride=1, dilation=1, padding="valid"):
    """Return the `Axis` of `size` entries, by the rules of Keras; `layer` is for messages."""
    extent = (window - 1) * dilation + 1
    if padding == "same":
        count = -(-size // stride)
        total = max((count - 1) * stride + extent - size, 0)
        return Axis(count, total // 2, total - total // 2)
    before = extent - 1 if padding == "causal" else 0
    if size + before < extent:
        raise ValueError(
            f"{type(layer).__name__}: a window covers {extent} entries, the input has {size} along that axis: take a "
            'smaller window, or padding="same".'
        )
    return Axis((size + before - extent) // stride + 1, before, 0)


class Windows:
    """All windows of an image.

    Parameters
    ----------
    layer : Layer
        For messages.
    shape : tuple (height, width, channels)
    window, strides, dilation : pairs of int
    padding : pair of str
        "valid", "same" or "causal".
    copies : int, default 1
        How many times the padded image holds every channel; more than 1 makes a padded image.
    depth : int, default 1
        Channels that a window reads at each of its places.
    """

    def __init__(self, layer, shape, window, strides, dilation=(1, 1), padding=("valid", "valid"), copies=1, depth=1):
        self._height, self._width, channels = shape
        axes = zip(shape[:2], window, strides, dilation, padding, strict=True)
        self.rows, self.columns = (axis(layer, *settings) for settings in axes)
        self._row, self.channels = self._width * channels, channels * copies
        self._window, self._strides, self._dilation, self._depth = window, strides, dilation, depth
        self.padded = copies > 1 or any(self.rows[1:] + self.columns[1:])
        self._padded_row = (self._width + self.columns.before + self.columns.after) * self.channels
        self.size = (self._height + self.rows.before + self.rows.after) * self._padded_row
        if self.size >= MOST_ENTRIES:
            raise ValueError(f"{type(layer).__name__}: an image of {self.size} entries is too large, by far.")

    @property
    def positions(self):
        """Windows of an image."""
        return self.rows.count * self.columns.count

    def extra(self, before=0):
        """Entries of a row of `extra`: `before` entries of the layer's own, then the padded image and its gradient."""
        return before + 2 * self.size if self.padded else before

    def fields(self, before=0):
        """Return {name: value} of WINDOWS_FIELDS; `before` as in `extra`."""
        return {
            "padded": self.padded,
            "size": self.size,
            "stride": self._stride(before),
            "image": before,
            "dimage": before + self.size,
            "height": self._height,
            "row": self._row,
            "padded_row": self._padded_row,
            "corner": self.rows.before * self._padded_row + self.columns.before * self.channels,
            "positions": self.positions,
            "images": self.images(before),
            "taps": self.taps.size,
        }

    def arrays(self, before=0):
        """Return {name: table} of the addresses among WINDOWS_FIELDS."""
        images = np.arange(self.images(before)) * self._stride(before)
        positions = (images[:, None] + self._starts()).astype(np.int32)
        return {"position_offsets": positions, "tap_offsets": self.taps.astype(np.int32)}

    def images(self, before=0):
        """Return how many images one table of positions covers."""
        # One call writes the layer's own entries of all its images: padded images must not stand between them.
        most = 1 if self.padded and before else (MOST_ENTRIES - 1) // self._stride(before)
        return min(-(-CALL_WINDOWS // self.positions), most)

    def _stride(self, before):
        return self.extra(before) if self.padded else self._height * self._row

    @property
    def window_step(self):
        """Entries from a window to the one beside it."""
        return self._strides[1] * self.channels

    def _starts(self):
        """Return where the windows of an image begin."""
        rows = np.arange(self.rows.count) * (self._strides[0] * self._padded_row)
        columns = np.arange(self.columns.count) * self.window_step
        return (rows[:, None] + columns).ravel()

    @cached_property
    def taps(self):
        """How far each entry of a window is from its first one: (kh * kw * depth,)."""
        rows = np.arange(self._window[0]) * (self._dilation[0] * self._padded_row)
        columns = np.arange(self._window[1]) * (self._dilation[1] * self.channels)
        return (rows[:, None, None] + columns[:, None] + np.arange(self._depth)).ravel()

    def shares(self):
        """Return 1 / n for each window (positions,), n being how many entries of it lie within the image."""
        axes = zip((self.rows, self.columns), (self._height, self._width), self._window, self._strides, strict=True)
        inside = []
        for (count, before, _), size, window, stride in axes:
            first = np.arange(count) * stride - before
            inside.append(np.minimum(first + window, size) - np.maximum(first, 0))
        return (1 / (inside[0][:, None] * inside[1])).ravel()

    def overlap(self):
        """May an entry belong to two windows?"""
        axes = zip(self._strides, self._window, self._dilation, strict=True)
        return any(stride < (window - 1) * dilation + 1 for stride, window, dilation in axes)

    def clear(self, vector):
        """Return how many windows of a row, from the left, leave room for whole vectors of `vector` lanes in it."""
        channels = -(-self.channels // vector) * vector
        room = self._padded_row - (self._window[1] - 1) * self._dilation[1] * self.channels - channels
        return min(room // (self._strides[1] * self.channels) + 1, self.columns.count) if room >= 0 else 0


@inline
def image_start(layer, row):
    """Return where in work the image of a batch row begins, its padding included."""
    base = layer.extra + layer.image if layer.padded else layer.x
    return base + row * layer.stride


@inline
def dimage_start(layer, row):
    """Return where in work the gradient of that image begins."""
    base = layer.extra + layer.dimage if layer.padded else layer.dx
    return base + row * layer.stride


@inline
def fill_entries(work, start, size, value):
    """work[start : start + size] = value."""
    entries = span(work, start, size)
    for i in range(size):
        entries[i] = value


@inline
def pad_images(layer, work, start, stop, value):
    """Copy the images of batch rows start to stop into their padded images, whose padding is `value`."""
    for row in range(start, stop):
        image = image_start(layer, row)
        fill_entries(work, image, layer.size, work.dtype.type(value))
        for i in range(layer.height):
            to = at(work, image + layer.corner + i * layer.padded_row)
            copy_entries(to, at(work, layer.x + row * layer.n_in + i * layer.row), layer.row)


@inline
def unpad_dimages(layer, work, start, stop):
    """Copy the gradients of padded images to dx, without the padding."""
    for row in range(start, stop):
        dimage = dimage_start(layer, row) + layer.corner
        for i in range(layer.height):
            to = at(work, layer.dx + row * layer.n_in + i * layer.row)
            copy_entries(to, at(work, dimage + i * layer.padded_row), layer.row)


def as_image(layer, shape, axes):
    """Return the shape (height, width, channels) of inputs with 1 or 2 axes before the channels."""
    if len(shape) != axes + 1:
        names = "(n, steps, channels)" if axes == 1 else "(n, height, width, channels)"
        raise ValueError(
            f"{type(layer).__name__} takes inputs {names}, not (n, {', '.join(map(str, shape))}): put a Reshape before."
        )
    return (1, *shape) if axes == 1 else shape


def sizes(layer, setting, axes):
    """Return a layer's setting, a whole number or one for each axis, as a tuple of `axes` ints, or raise ValueError."""
    value = getattr(layer, setting)
    if isinstance(value, tuple | list):
        if len(value) != axes:
            raise ValueError(f"{type(layer).__name__}({setting}={value!r}): it has {len(value)} sizes, not {axes}.")
        probe = [whole_number_of(layer, setting, size) for size in value]
        return tuple(probe)
    return (whole_number(layer, setting),) * axes


def whole_number_of(layer, setting, value):
    """Return one of several sizes as an int of at least 1, or raise ValueError."""
    if not is_size(value):
        given = getattr(layer, setting)
        raise ValueError(f"{type(layer).__name__}({setting}={given!r}): sizes are whole numbers of at least 1.")
    return int(value)


def one_of(layer, setting, known):
    """Raise ValueError where a layer's setting is none of the known texts."""
    if getattr(layer, setting) not in known:
        names = " or ".join(f'"{name}"' for name in known)
        raise ValueError(f"{type(layer).__name__}({setting}={getattr(layer, setting)!r}): it is {names}.")
