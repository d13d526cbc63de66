"""DepthwiseConv2D: every channel of x (n, h, w, c) has filters of its own, a kernel (kh, kw, c, multiplier).

Lanes of a vector are channels: out[i] = bias + sum over taps of x[window i, tap] * kernel[tap], lane by lane
(windowtile.window_lanes).  With more than one filter a channel, the image is copied with each channel repeated, so that
the c * multiplier outputs meet as many inputs.
"""

import math
from dataclasses import dataclass
from typing import Any

from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, null, part, rows_at
from fastbp.kernels.tile import product_address
from fastbp.kernels.windowadd import add_lanes
from fastbp.kernels.windowtile import window_address, window_lanes
from fastbp.layers.base import LAYERS, Build, Layer, Param, layer_dtype, resolve_settings, whole_number
from fastbp.layers.convolution.conv import add_columns, z_start
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
    windows_dtype,
)
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation
from fastbp.layers.weights import penalties

DEPTHWISE = layer_dtype(
    ("bias", "param"),
    *WINDOWS_FIELDS,
    *ACTIVATION_FIELDS,
)
DEPTHWISE_WINDOWS = windows_dtype(
    ("k", "i8"),  # outputs at each position, c * multiplier
    ("copies", "i8"),  # of each channel: the multiplier
    ("unit", "i8"),  # taps for each index of the kernel's first axis
    ("product", "i8"),  # addresses
    ("window_lanes", "i8"),
)
depthwise_windows_at = rows_at(DEPTHWISE_WINDOWS)


@inline
def repeat_channels(layer, w, work, start, stop):
    """Copy the images of batch rows start to stop, each channel `copies` times, to where they have padding."""
    for row in range(start, stop):
        image = image_start(layer, w, row)
        fill_entries(work, image, w.size, work.dtype.type(0))
        for i in range(w.height):
            to, x = image + w.corner + i * w.padded_row, layer.x + row * layer.n_in + i * w.row
            for j in range(w.row):
                for copy in range(w.copies):
                    work[to + j * w.copies + copy] = work[x + j]


@inline
def add_channels(layer, w, work, start, stop):
    """dx = the gradients of the images, those of a channel's copies added up."""
    for row in range(start, stop):
        dimage = dimage_start(layer, w, row) + w.corner
        for i in range(w.height):
            dx = layer.dx + row * layer.n_in + i * w.row
            for j in range(w.row):
                total = work.dtype.type(0)
                for copy in range(w.copies):
                    total += work[dimage + i * w.padded_row + j * w.copies + copy]
                work[dx + j] = total


@kernel
def depthwise_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c), kernel (kh, kw, c, m), bias (c * m,) -> out (n, h', w', c * m)."""
    w = depthwise_windows_at(layer.windows, 1)[0]
    if w.copies > 1:
        repeat_channels(layer, w, work, start, stop)
    elif w.padded:
        pad_images(layer, w, work, start, stop, 0)
    bias, weights = at(params, layer.bias) if layer.bias >= 0 else null(params), at(params, layer.params)
    for first in range(start, stop, w.images):
        m = min(w.images, stop - first) * w.positions
        z, image = z_start(layer, w, first), at(work, image_start(layer, w, first))
        # z = bias + sum over taps of x * kernel
        call(
            w.window_lanes,
            (at(work, z), w.k, bias, 0, image, w.position_offsets, w.tap_offsets, weights, w.k, m, w.k, w.taps),
        )
        # out = activation(z)
        if layer.activate:
            out = part(work, layer.out + first * layer.n_out, m * w.k)
            call(layer.activate, (out, part(work, z, m * w.k), w.k, layer.alpha))


@kernel
def depthwise_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, h', w', c * m), kernel (kh, kw, c, m) -> dx (n, h, w, c); dout is overwritten with dz."""
    w = depthwise_windows_at(layer.windows, 1)[0]
    weights = at(params, layer.params)
    for first in range(start, stop, w.images):
        images = min(w.images, stop - first)
        # dz = dout * activation'(z)
        if layer.differentiate:
            size = images * layer.n_out
            dz = part(work, layer.dout + first * layer.n_out, size)
            out = part(work, layer.out + first * layer.n_out, size)
            z = part(work, z_start(layer, w, first), size) if layer.needs_input else out
            call(layer.differentiate, (dz, z, out, w.k, layer.alpha))
        if layer.dx >= 0:
            for image in range(first, first + images):
                fill_entries(work, dimage_start(layer, w, image), w.size, work.dtype.type(0))
            # dx[window, tap] += dz[window] * kernel[tap]
            dimage, dz_ = at(work, dimage_start(layer, w, first)), at(work, layer.dout + first * layer.n_out)
            size = (images - 1) * w.stride + w.size
            m = images * w.positions
            add_lanes(dimage, size, dz_, w.position_offsets, m, w.tap_offsets, w.taps, weights, w.k)
    if layer.dx >= 0 and w.copies > 1:
        add_channels(layer, w, work, start, stop)
    elif layer.dx >= 0 and w.padded:
        unpad_dimages(layer, w, work, start, stop)


@kernel
def depthwise_gradient(layer, params, grads, work, start, stop, block, first, last, accumulate):
    """x (n, h, w, c), dz (n, h', w', c * m) -> rows first to last of dkernel (kh, ...), or of dbias (c * m,)."""
    w = depthwise_windows_at(layer.windows, 1)[0]
    if block == 1:
        dbias = at(grads, layer.bias + first)
        init = dbias if accumulate else null(grads)
        dz = at(work, layer.dout + start * layer.n_out + first)
        add_columns(w.product, dbias, init, dz, w.k, (stop - start) * w.positions, last - first, grads)
        return
    dkernel, taps = at(grads, layer.params + first * w.unit * w.k), (last - first) * w.unit
    tap_offsets = w.tap_offsets + 4 * first * w.unit
    for image in range(start, stop, w.images):
        # dkernel[tap] = sum over windows of x[window, tap] * dz[window]
        windows = min(w.images, stop - image) * w.positions
        init = dkernel if accumulate or image > start else null(grads)
        x, dz = at(work, image_start(layer, w, image)), at(work, layer.dout + image * layer.n_out)
        call(
            w.window_lanes,
            (dkernel, w.k, init, w.k, x, tap_offsets, w.position_offsets, dz, w.k, taps, w.k, windows),
        )


@LAYERS.register("DepthwiseConv2D")
@dataclass
class DepthwiseConv2D(Layer):
    """Convolution of every channel of an image with filters of its own: ``out = activation(windows * kernel + bias)``.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the windows, ``kh`` and ``kw``.
    strides : int or (int, int), default (1, 1)
    padding : {"valid", "same"}, default "valid"
    depth_multiplier : int, default 1
        Filters of each channel, ``m``; the outputs of a channel stand beside each other.
    dilation_rate : int or (int, int), default (1, 1)
    activation : str or activation object, optional
    use_bias : bool, default True
    depthwise_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"`` and ``"zeros"``.
    depthwise_regularizer, bias_regularizer : str or regularizer object, optional
    depthwise_constraint : str or constraint object, optional
        `MaxNorm` limits the norm of each filter ``(kh, kw)``, as Keras's ``MaxNorm(axis=[0, 1])``.
    trainable : bool, default True
    name : str, optional
        Default ``"depthwiseconv2d"``, ``"depthwiseconv2d_1"`` and so on.

    Raises
    ------
    ValueError
        As `Conv2D`.

    Notes
    -----
    Inputs ``(n, h, w, c)``, kernel ``(kh, kw, c, m)``, bias ``(c * m,)``, outputs ``(n, h', w', c * m)``; the settings
    are those of `Conv2D`.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.DepthwiseConv2D(3, depth_multiplier=2)], input_shape=(8, 8, 5))
    >>> model.output_shape, model.views["depthwiseconv2d/kernel"].shape
    ((6, 6, 10), (3, 3, 5, 2))
    """

    kernel_size: Any
    strides: Any = (1, 1)
    padding: str = "valid"
    depth_multiplier: int = 1
    dilation_rate: Any = (1, 1)
    activation: Any = None
    use_bias: bool = True
    depthwise_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    depthwise_regularizer: Any = None
    bias_regularizer: Any = None
    depthwise_constraint: Any = None
    trainable: bool = True
    name: str | None = None

    axes = 2
    dtype = DEPTHWISE
    forward, backward, gradient = depthwise_forward, depthwise_backward, depthwise_gradient

    def __post_init__(self):
        self.depth_multiplier = whole_number(self, "depth_multiplier")
        for setting in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, setting, sizes(self, setting, 2))
        one_of(self, "padding", ("valid", "same"))
        resolve_settings(self)

    def build(self, input_shape):
        shape = as_image(self, input_shape, 2)
        windows, kernel_shape = self._windows(shape), (*self.kernel_size, shape[2], self.depth_multiplier)
        factors = penalties(self.depthwise_regularizer)
        max_norm = self.depthwise_constraint.max_value if self.depthwise_constraint else 0.0
        params = [
            Param("kernel", kernel_shape, self.depthwise_initializer, *factors, max_norm, norm_axes=2),
            Param("bias", (windows.channels,), self.bias_initializer, *penalties(self.bias_regularizer)),
        ]
        return Build(
            output_shape=(windows.rows.count, windows.columns.count, windows.channels),
            params=params[: 1 + self.use_bias],
            fields=dict(zip(("height", "width", "channels"), shape, strict=True)),
            extra=windows.extra(self._kept(windows)),
            multiply_adds=windows.positions * math.prod(kernel_shape),
        )

    def fill(self, row, float_type):
        windows = self._windows(tuple(int(row[name][0]) for name in ("height", "width", "channels")))
        taps = windows.taps()
        record, *tables = windows.record(
            DEPTHWISE_WINDOWS,
            taps,
            self._kept(windows),
            k=windows.channels,
            copies=self.depth_multiplier,
            unit=self.kernel_size[1],
            product=product_address(float_type),
            window_lanes=window_address(window_lanes, float_type),
        )
        row["windows"] = record.ctypes.data
        fill_activation(row, self.activation, float_type)
        return record, tables

    def _windows(self, shape):
        padding = (self.padding, self.padding)
        settings = (self.kernel_size, self.strides, self.dilation_rate, padding)
        return Windows(self, shape, *settings, copies=self.depth_multiplier)

    def _kept(self, windows):
        """Entries of z that a row of `extra` keeps."""
        return windows.positions * windows.channels if self.activation.needs_input else 0

    @property
    def output_activation(self):
        return self.activation
