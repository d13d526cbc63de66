"""DepthwiseConv2D: every channel of x (n, h, w, c) has filters of its own, a kernel (kh, kw, c, multiplier).

The lanes of a vector are channels: out[i] = bias + sum over taps of x[window i, tap] * kernel[tap], lane by lane
(windowtile.window_lanes).  If a channel has several filters, the image is copied and each channel is repeated, so that
each of the c * multiplier outputs has an input of its own.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import at, null, span
from fastbp.kernels.tile import product_address
from fastbp.kernels.windowadd import add_lanes
from fastbp.kernels.windowtile import window_address, window_lanes
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings, whole_number
from fastbp.layers.build import Build, Param
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
)
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation
from fastbp.layers.weights import penalties

DEPTHWISE = layer_dtype(
    ("bias", "param"),
    *WINDOWS_FIELDS,
    *ACTIVATION_FIELDS,
    ("k", "i8"),  # outputs at each position, c * multiplier
    ("copies", "i8"),  # copies of each channel: the multiplier
    ("unit", "i8"),  # taps for each index of the kernel's first axis
    ("product", "i8"),  # addresses
    ("window_lanes", "i8"),
)


@inline
def repeat_channels(layer, work, start, stop):
    """Copy the images of batch rows start to stop into their padded images, each channel `copies` times."""
    for row in range(start, stop):
        image = image_start(layer, row)
        fill_entries(work, image, layer.size, work.dtype.type(0))
        for i in range(layer.height):
            to, x = image + layer.corner + i * layer.padded_row, layer.x + row * layer.n_in + i * layer.row
            for j in range(layer.row):
                for copy in range(layer.copies):
                    work[to + j * layer.copies + copy] = work[x + j]


@inline
def add_channels(layer, work, start, stop):
    """dx = the sum of the gradients of a channel's copies."""
    for row in range(start, stop):
        dimage = dimage_start(layer, row) + layer.corner
        for i in range(layer.height):
            dx = layer.dx + row * layer.n_in + i * layer.row
            for j in range(layer.row):
                total = work.dtype.type(0)
                for copy in range(layer.copies):
                    total += work[dimage + i * layer.padded_row + j * layer.copies + copy]
                work[dx + j] = total


@kernel
def depthwise_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, h, w, c), kernel (kh, kw, c, m), bias (c * m,) -> out (n, h', w', c * m)."""
    if layer.copies > 1:
        repeat_channels(layer, work, start, stop)
    elif layer.padded:
        pad_images(layer, work, start, stop, 0)
    bias, weights = at(params, layer.bias) if layer.bias >= 0 else null(params), at(params, layer.params)
    for first in range(start, stop, layer.images):
        m = min(layer.images, stop - first) * layer.positions
        z, image = z_start(layer, first), at(work, image_start(layer, first))
        # z = bias + sum over taps of x * kernel
        arguments = (
            at(work, z), layer.k, bias, 0, image, layer.position_offsets, layer.tap_offsets, weights, layer.k, m,
            layer.k, layer.taps,
        )  # fmt: skip
        call(layer.window_lanes, arguments)
        # out = activation(z)
        if layer.activate:
            out = span(work, layer.out + first * layer.n_out, m * layer.k)
            call(layer.activate, (out, span(work, z, m * layer.k), layer.k, layer.alpha))


@kernel
def depthwise_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, h', w', c * m), kernel (kh, kw, c, m) -> dx (n, h, w, c); dout is overwritten with dz."""
    weights = at(params, layer.params)
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
            # dx[window, tap] += dz[window] * kernel[tap]
            dimage, dz_ = at(work, dimage_start(layer, first)), at(work, layer.dout + first * layer.n_out)
            size = (images - 1) * layer.stride + layer.size
            m = images * layer.positions
            add_lanes(dimage, size, dz_, layer.position_offsets, m, layer.tap_offsets, layer.taps, weights, layer.k)
    if layer.dx >= 0 and layer.copies > 1:
        add_channels(layer, work, start, stop)
    elif layer.dx >= 0 and layer.padded:
        unpad_dimages(layer, work, start, stop)


@kernel
def depthwise_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, h, w, c), dz (n, h', w', c * m) -> rows first to end of dkernel (kh, ...), or of dbias (c * m,)."""
    if block == 1:
        dbias = at(grads, layer.bias + first)
        init = dbias if accumulate else null(grads)
        dz = at(work, layer.dout + start * layer.n_out + first)
        add_columns(layer.product, dbias, init, dz, layer.k, (stop - start) * layer.positions, end - first, grads)
        return
    dkernel, taps = at(grads, layer.params + first * layer.unit * layer.k), (end - first) * layer.unit
    tap_offsets = layer.tap_offsets + 4 * first * layer.unit
    for image in range(start, stop, layer.images):
        # dkernel[tap] = sum over windows of x[window, tap] * dz[window]
        windows = min(layer.images, stop - image) * layer.positions
        init = dkernel if accumulate or image > start else null(grads)
        x, dz = at(work, image_start(layer, image)), at(work, layer.dout + image * layer.n_out)
        arguments = (
            dkernel, layer.k, init, layer.k, x, tap_offsets, layer.position_offsets, dz, layer.k, taps, layer.k,
            windows,
        )  # fmt: skip
        call(layer.window_lanes, arguments)


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

    def build(self, input_shape: tuple[int, ...]) -> Build:
        shape = as_image(self, input_shape, 2)
        windows, kernel_shape = self._windows(shape), (*self.kernel_size, shape[2], self.depth_multiplier)
        factors = penalties(self.depthwise_regularizer)
        max_norm = self.depthwise_constraint.max_value if self.depthwise_constraint else 0.0
        params = [
            Param("kernel", kernel_shape, self.depthwise_initializer, *factors, max_norm, norm_axes=2),
            Param("bias", (windows.channels,), self.bias_initializer, *penalties(self.bias_regularizer)),
        ]
        fields = {"k": windows.channels, "copies": self.depth_multiplier, "unit": self.kernel_size[1]}
        return Build(
            output_shape=(windows.rows.count, windows.columns.count, windows.channels),
            params=params[: 1 + self.use_bias],
            fields=windows.fields(self._kept(windows)) | fields,
            arrays=windows.arrays(self._kept(windows)),
            extra=windows.extra(self._kept(windows)),
            multiply_adds=windows.positions * math.prod(kernel_shape),
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)
        record["window_lanes"] = window_address(window_lanes, float_type)
        fill_activation(record, self.activation, float_type)

    def _windows(self, shape):
        padding = (self.padding, self.padding)
        settings = (self.kernel_size, self.strides, self.dilation_rate, padding)
        return Windows(self, shape, *settings, copies=self.depth_multiplier)

    def _kept(self, windows):
        """Entries of z that a row of `extra` keeps."""
        return windows.positions * windows.channels if self.activation.needs_input else 0

    @property
    def output_activation(self) -> Any:
        return self.activation
