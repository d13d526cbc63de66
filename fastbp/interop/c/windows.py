"""Convolution and pooling as C calls; a sequence (t, c) is an image of height 1."""

from typing import Any

from fastbp.layers.convolution.windows import axis


def image(shape):
    """Return (height, width, channels)."""
    return shape if len(shape) == 3 else (1, *shape)


def pair(sizes):
    """Return settings of both axes of an image."""
    return tuple(sizes) if len(sizes) == 2 else (1, *sizes)


def corner(site, size, strides, dilation=(1, 1)):
    """Return the rows and columns of padding before an image."""
    shape = image(site.input_shapes[0])[:2]
    axes = len(site.input_shapes[0]) - 1
    padding = ("valid",) * (2 - axes) + (site.spec.padding,) * axes
    settings = zip(shape, size, strides, dilation, padding, strict=True)
    return tuple(axis(site.spec, *one).before for one in settings)


def convolution(program, site, x):
    """Conv1D and Conv2D."""
    spec = site.spec
    size, strides, dilation = pair(spec.kernel_size), pair(spec.strides), pair(spec.dilation_rate)
    settings = (*size, spec.filters, spec.groups, *strides, *dilation, *corner(site, size, strides, dilation))
    return convolved(program, site, x, "convolve", settings)


def depthwise(program, site, x):
    """DepthwiseConv2D."""
    spec = site.spec
    places = (*spec.strides, *spec.dilation_rate, *corner(site, spec.kernel_size, spec.strides, spec.dilation_rate))
    return convolved(program, site, x, "convolve_channels", (*spec.kernel_size, spec.depth_multiplier, *places))


def convolved(program, site, x, function, settings):
    """Append a convolution and its activation; return the value of the output."""
    out = program.value(site.size)
    oh, ow, k = image(site.output_shape)
    arrays = site.array(program, "kernel"), site.array(program, "bias")
    program.call(function, x, *arrays, out, *image(site.input_shapes[0]), *settings, oh, ow)
    program.activate(site.spec.activation, out, k)
    return out


def pooling(mean):
    """Return the emitter of a pooling layer."""

    def emit(program, site, x):
        size, strides = pair(site.spec.pool_size), pair(site.spec.strides or site.spec.pool_size)
        out = program.value(site.size)
        counts = image(site.output_shape)[:2]
        places = (*size, *strides, *corner(site, size, strides), *counts)
        program.call("pool", x, out, *image(site.input_shapes[0]), *places, mean)
        return out

    return emit


def global_pooling(mean):
    """Return the emitter of a pooling layer with one window, the whole image."""

    def emit(program, site, x):
        h, w, c = image(site.input_shapes[0])
        out = program.value(c)
        program.call("pool", x, out, h, w, c, h, w, 1, 1, 0, 0, 1, 1, mean)
        return out

    return emit


def zero_padding(program, site, x):
    """Zeros around an image."""
    (top, _), (left, _) = site.spec.pairs()
    out = program.value(site.size)
    oh, ow, _ = image(site.output_shape)
    program.call("pad", x, out, *image(site.input_shapes[0]), top, left, oh, ow)
    return out


EMITTERS: dict[str, Any] = {
    **dict.fromkeys(("Conv1D", "Conv2D"), convolution),
    "DepthwiseConv2D": depthwise,
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D"), pooling(True)),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), pooling(False)),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), global_pooling(True)),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), global_pooling(False)),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), zero_padding),
}
