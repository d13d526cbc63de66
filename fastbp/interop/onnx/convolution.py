"""Convolution and pooling as ONNX nodes.  ONNX wants channels first, so images are transposed before and after."""

import numpy as np

from fastbp.layers.convolution.windows import axis


def convolution(graph, site, x):
    """Conv1D and Conv2D: kernel (..., c / groups, k)."""
    kernel, axes = site.weights["kernel"], site.spec.axes
    kernel = kernel.transpose(axes + 1, axes, *range(axes))
    return convolved(graph, site, x, kernel, site.spec.kernel_size, site.spec.groups)


def depthwise(graph, site, x):
    """DepthwiseConv2D: kernel (kh, kw, c, m), a group for each channel."""
    kernel = site.weights["kernel"]
    *size, c, m = kernel.shape
    kernel = kernel.transpose(2, 3, 0, 1).reshape(c * m, 1, *size)
    return convolved(graph, site, x, kernel, site.spec.kernel_size, c)


def convolved(graph, site, x, kernel, size, groups):
    """Return activation(windows @ kernel + bias), channels last."""
    spec = site.spec
    inputs = [np.ascontiguousarray(kernel), site.weights.get("bias")]
    places = {
        "dilations": list(spec.dilation_rate),
        "strides": list(spec.strides),
        "pads": pads(site, size, spec.strides, spec.dilation_rate),
    }
    out = graph.add("Conv", turned(graph, x, site), *inputs[: 1 + spec.use_bias], group=groups, **places)
    return graph.activate(spec.activation, turned_back(graph, out, site))


def pooling(op, **attributes):
    """Return the emitter of a pooling layer."""

    def emit(graph, site, x):
        size, strides = site.spec.pool_size, site.spec.strides or site.spec.pool_size
        places = {"kernel_shape": list(size), "strides": list(strides), "pads": pads(site, size, strides)}
        return turned_back(graph, graph.add(op, turned(graph, x, site), **places, **attributes), site)

    return emit


def global_pooling(op):
    """Return the emitter of a global pooling layer."""

    def emit(graph, site, x):
        axes = list(range(1, 1 + site.spec.axes))
        return graph.reduce(op, x, axes, keepdims=site.spec.keepdims)

    return emit


def zero_padding(graph, site, x):
    """Zeros around an image, or a sequence."""
    pairs = site.spec.pairs()[-site.spec.axes :]
    before, after = ([pair[end] for pair in pairs] for end in (0, 1))
    return graph.add("Pad", x, np.array([0, *before, 0, 0, *after, 0], np.int64), 0.0)


def pads(site, size, strides, dilation=None):
    """Return the padding before each axis, then that behind each, by the rules of Keras."""
    shape = site.input_shapes[0][:-1]
    dilation = dilation or (1,) * len(shape)
    settings = zip(shape, size, strides, dilation, strict=True)
    found = [axis(site.spec, *one, site.spec.padding) for one in settings]
    return [one.before for one in found] + [one.after for one in found]


def turned(graph, x, site):
    """Return images (n, ..., c) as (n, c, ...)."""
    axes = len(site.input_shapes[0])
    return graph.add("Transpose", x, perm=[0, axes, *range(1, axes)])


def turned_back(graph, x, site):
    """Return images (n, c, ...) as (n, ..., c)."""
    return graph.add("Transpose", x, perm=[0, *range(2, len(site.input_shapes[0]) + 1), 1])


EMITTERS = {
    **dict.fromkeys(("Conv1D", "Conv2D"), convolution),
    "DepthwiseConv2D": depthwise,
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D"), pooling("AveragePool", count_include_pad=0)),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), pooling("MaxPool")),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), global_pooling("Mean")),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), global_pooling("Max")),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), zero_padding),
}
