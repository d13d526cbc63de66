"""Conv2D, and what Conv1D shares: out = activation(windows of x (n, h, w, c) @ kernel (kh, kw, c, k) + bias (k,)).

Each pass is a product on the register tiles, and the windows are read where they stand (windowtile.py):

    out     = windows @ kernel + bias         (windows, kh kw c) @ (kh kw c, k)
    dkernel = windows^T @ dz                  (kh kw c, windows) @ (windows, k)
    dwindows = dz @ kernel^T, and dx adds up dwindows where windows overlap (inputgradient.py)

A sequence (n, t, c) is an image of height 1.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, null, shift, span, unit
from fastbp.compiler.tileshape import stack_panel, tile_columns
from fastbp.kernels.tile import product_address
from fastbp.kernels.transpose import transpose
from fastbp.kernels.windowtile import window_address, window_product
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings, whole_number
from fastbp.layers.build import Build, Param
from fastbp.layers.convolution.inputgradient import DWINDOWS_FIELDS, add_dwindows, dwindows_blocks, transposed_row
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
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation
from fastbp.layers.weights import penalties

CONV = layer_dtype(
    ("bias", "param"),
    *WINDOWS_FIELDS,
    *ACTIVATION_FIELDS,
    ("k", "i8"),  # filters
    ("groups", "i8"),
    ("group_channels", "i8"),  # channels of the input in a group: a window has so many taps at each of its places
    ("unit", "i8"),  # taps for each index of the kernel's first axis
    ("product", "i8"),  # addresses
    ("window_product", "i8"),
    *DWINDOWS_FIELDS,
)


@inline
def z_start(layer, row):
    """Return where in work the raw outputs of batch row `row` are, as in `Dense`."""
    if layer.needs_input and layer.activate:
        # A row of `extra` begins with z; padded images may follow it.
        return layer.extra + row * (layer.stride if layer.padded else layer.n_out)
    return (layer.dout if layer.activate else layer.out) + row * layer.n_out


@kernel
def conv_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c), kernel (kh, kw, c, k), bias (k,) -> out (n, h', w', k); z is kept where it is needed."""
    if layer.padded:
        pad_images(layer, work, start, stop, 0)
    filters = layer.k // layer.groups
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        z = z_start(layer, first)
        # z = windows @ kernel + bias, for each group of channels and filters
        for group in range(layer.groups):
            j = group * filters
            bias = at(params, layer.bias + j) if layer.bias >= 0 else null(params)
            image = at(work, image_start(layer, first) + group * layer.group_channels)
            weights = at(params, layer.params + j)
            arguments = (
                at(work, z + j), layer.k, bias, 0, image, layer.position_offsets, layer.tap_offsets, weights,
                layer.k, m, filters, layer.taps,
            )  # fmt: skip
            call(layer.window_product, arguments)
        # out = activation(z)
        if layer.activate:
            out = span(work, layer.out + first * layer.n_out, m * layer.k)
            call(layer.activate, (out, span(work, z, m * layer.k), layer.k, layer.alpha))


@kernel
def conv_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, h', w', k), kernel (kh, kw, c, k) -> dx (n, h, w, c); dout is overwritten with dz."""
    for first in range(start, stop, layer.images):
        images = min(layer.images, stop - first)
        # dz = dout * activation'(z)
        if layer.differentiate:
            size = images * layer.n_out
            dz = span(work, layer.dout + first * layer.n_out, size)
            out = span(work, layer.out + first * layer.n_out, size)
            z = span(work, z_start(layer, first), size) if layer.needs_input else out
            call(layer.differentiate, (dz, z, out, layer.k, layer.alpha))
        if layer.dx >= 0:
            for image in range(first, first + images):
                fill_entries(work, dimage_start(layer, image), layer.size, work.dtype.type(0))
            for group in range(layer.groups):
                add_dwindows(layer, shared, work, first, images, group)
    if layer.dx >= 0 and layer.padded:
        unpad_dimages(layer, work, start, stop)


@kernel
def conv_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, h, w, c), dz (n, h', w', k) -> rows first to end of dkernel (kh, ...), or of dbias (k,)."""
    dz = at(work, layer.dout + start * layer.n_out)
    if block == 1:
        dbias = at(grads, layer.bias + first)
        init = dbias if accumulate else null(grads)
        add_columns(
            layer.product, dbias, init, shift(dz, first), layer.k, (stop - start) * layer.positions, end - first, grads
        )
        return
    taps, filters = (end - first) * layer.unit, layer.k // layer.groups
    for image in range(start, stop, layer.images):
        windows = min(layer.images, stop - image) * layer.positions
        for group in range(layer.groups):
            # dkernel = windows^T @ dz
            dkernel = at(grads, layer.params + first * layer.unit * layer.k + group * filters)
            init = dkernel if accumulate or image > start else null(grads)
            x = at(work, image_start(layer, image) + group * layer.group_channels)
            dz = at(work, layer.dout + image * layer.n_out + group * filters)
            tap_offsets = layer.tap_offsets + 4 * first * layer.unit
            arguments = (
                dkernel, layer.k, init, layer.k, x, tap_offsets, layer.position_offsets, dz, layer.k, taps,
                filters, windows,
            )  # fmt: skip
            call(layer.window_product, arguments)


@inline
def add_columns(product, out, init, x, x_row, rows, columns, like):
    """out (columns,) = init + the sum of the rows of x (rows, columns).

    Narrow rows without a gap between them are added several at a time, as one wide row of a full tile.  So the sum of
    six columns takes a quarter of the time that it takes row by row.
    """
    wide = max(tile_columns(out) // columns, 1) if x_row == columns else 1
    whole = rows // wide
    if wide > 1 and whole > 1:
        sums, n = stack_panel(out), wide * columns
        call(product, (sums, n, null(like), 0, unit(like), 0, 0, x, n, 1, n, whole))
        call(product, (out, columns, init, columns, unit(like), 0, 0, sums, columns, 1, columns, wide))
        x, rows, init = shift(x, whole * n), rows - whole * wide, out
    if rows > 0:
        call(product, (out, columns, init, columns, unit(like), 0, 0, x, x_row, 1, columns, rows))


@kernel
def conv_prepare(layer, params, shared, first, end):
    """Write rows first to end of kernel (kh, ...) into columns of its transpose (k, taps), which backward reads."""
    row = first * layer.unit
    kernel_rows, transposed = at(params, layer.params + row * layer.k), at(shared, layer.shared + row)
    transpose(transposed, layer.transposed_row, kernel_rows, layer.k, (end - first) * layer.unit, layer.k)


class Convolution:
    """What Conv1D and Conv2D share; `axes` is 1 or 2."""

    axes: int
    filters: int
    kernel_size: Any
    groups: int
    padding: str
    activation: Any
    use_bias: bool
    kernel_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    dtype = CONV
    forward, backward, gradient, prepare = conv_forward, conv_backward, conv_gradient, conv_prepare

    def __post_init__(self):
        self.filters, self.groups = whole_number(self, "filters"), whole_number(self, "groups")
        for setting in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, setting, sizes(self, setting, self.axes))
        one_of(self, "padding", ("valid", "same", "causal") if self.axes == 1 else ("valid", "same"))
        resolve_settings(self)
        if self.filters % self.groups:
            raise ValueError(
                f"{type(self).__name__}(filters={self.filters}, groups={self.groups}): the filters are shared out "
                "evenly among the groups, so their number is a multiple of it."
            )

    def build(self, input_shape: tuple[int, ...]) -> Build:
        shape = as_image(self, input_shape, self.axes)
        windows, channels = self._windows(shape), shape[2]
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}(groups={self.groups}): the input has {channels} channels, which do not share "
                "out evenly among the groups."
            )
        taps = math.prod(self.kernel_size) * channels // self.groups
        fields, arrays = self._record(windows)
        max_norm = self.kernel_constraint.max_value if self.kernel_constraint else 0.0
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        params = [
            Param("kernel", kernel_shape, self.kernel_initializer, *penalties(self.kernel_regularizer), max_norm),
            Param("bias", (self.filters,), self.bias_initializer, *penalties(self.bias_regularizer)),
        ]
        counts = (windows.rows.count, windows.columns.count)[-self.axes :]
        return Build(
            output_shape=(*counts, self.filters),
            params=params[: 1 + self.use_bias],
            fields=fields,
            arrays=arrays,
            extra=windows.extra(self._kept(windows)),
            shared=self.filters * transposed_row(taps),
            multiply_adds=windows.positions * taps * self.filters,
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)
        record["window_product"] = window_address(window_product, float_type)
        fill_activation(record, self.activation, float_type)

    def _record(self, windows):
        """Return the fields of the layer's record, and its arrays."""
        kept, group_channels = self._kept(windows), windows.channels // self.groups
        # Without groups, and with dilation 1 along a row, each row of a window is one run of contiguous entries.
        contiguous = self.groups == 1 and self.dilation_rate[-1] == 1
        blocks, segments = dwindows_blocks(windows, group_channels * (self.kernel_size[-1] if contiguous else 1))
        fields = {
            "k": self.filters,
            "group_channels": group_channels,
            "unit": windows.taps.size // self.kernel_size[0],
        }
        return windows.fields(kept) | fields | blocks, windows.arrays(kept) | {"segment_offsets": segments}

    def _windows(self, shape):
        one_row = (1,) * (2 - self.axes)
        window, strides, dilation = (
            one_row + setting for setting in (self.kernel_size, self.strides, self.dilation_rate)
        )
        padding = ("valid",) * len(one_row) + (self.padding,) * self.axes
        return Windows(self, shape, window, strides, dilation, padding, depth=shape[2] // self.groups)

    def _kept(self, windows):
        """Entries of z that a row of `extra` keeps."""
        return windows.positions * self.filters if self.activation.needs_input else 0

    @property
    def output_activation(self) -> Any:
        return self.activation


@LAYERS.register("Conv2D")
@dataclass
class Conv2D(Convolution, Layer):
    """Convolution of images: ``out = activation(windows @ kernel + bias)``.

    Parameters
    ----------
    filters : int
        Number of output channels, ``k``.
    kernel_size : int or (int, int)
        Height and width of the windows, ``kh`` and ``kw``.
    strides : int or (int, int), default (1, 1)
        Distance of windows from each other.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie within the image. "same": zeros around the image, so that there are
        ``ceil(size / stride)`` windows; an odd row or column of zeros stands below or on the right.
    dilation_rate : int or (int, int), default (1, 1)
        Distance of a window's entries from each other.
    groups : int, default 1
        Channels and filters are cut into so many groups; each group of filters sees its own group of channels.
    activation : str or activation object, optional
        Applied to every output (softmax: over the filters); None is linear.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"`` (fans: a window's entries, and its places times the filters) and ``"zeros"``.
    kernel_regularizer, bias_regularizer : str or regularizer object, optional
        `L1`, `L2` or `L1L2`.
    kernel_constraint : MaxNorm, optional
        Bounds the norm of each filter.
    trainable : bool, default True
        False keeps the weights as they are.
    name : str, optional
        Default ``"conv2d"``, ``"conv2d_1"`` and so on.

    Raises
    ------
    ValueError
        Where a setting is out of range; at building, where inputs are no images, the window does not fit into them,
        or their channels do not fit the groups.

    Notes
    -----
    Inputs ``(n, h, w, c)``, kernel ``(kh, kw, c / groups, k)``, bias ``(k,)``, outputs ``(n, h', w', k)``. As in Keras,
    windows are not mirrored (LeCun et al., 1998).

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Conv2D(6, 5, padding="same")], input_shape=(28, 28, 1))
    >>> model.output_shape, model.views["conv2d/kernel"].shape
    ((28, 28, 6), (5, 5, 1, 6))
    """

    filters: int
    kernel_size: Any
    strides: Any = (1, 1)
    padding: str = "valid"
    dilation_rate: Any = (1, 1)
    groups: int = 1
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True
    name: str | None = None

    axes = 2
