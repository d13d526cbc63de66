"""Plain NumPy convolution, pooling and zero padding: every window copied, one product or reduction over all of them.

A sequence (n, t, c) is an image of height 1. The functions have the form of reference.network's.
"""

import numpy as np

from tests.reference.activations import BACKWARD, FORWARD


def _activate(activation, z):
    return z if activation.name == "linear" else FORWARD[activation.name](z, activation.alpha)


def _activate_backward(activation, dout, z):
    return dout if activation.name == "linear" else BACKWARD[activation.name](dout, z, activation.alpha)


def _as_image(layer, x):
    return x[:, None] if layer.axes == 1 else x


def _settings(layer, shape):
    """Return window, strides, dilation and padding ((before, after), (before, after)) on both axes of an image."""
    one, kind = (1,) * (2 - layer.axes), type(layer).__name__
    if "Global" in kind:
        return shape, shape, (1, 1), ((0, 0), (0, 0))
    window = one + (layer.kernel_size if "Conv" in kind else layer.pool_size)
    strides = one + (layer.strides or layer.pool_size)
    dilation = one + getattr(layer, "dilation_rate", (1,) * layer.axes)
    pads = []
    for size, w, s, d in zip(shape, window, strides, dilation, strict=True):
        total = max((-(-size // s) - 1) * s + (w - 1) * d + 1 - size, 0)
        same = (total // 2, total - total // 2)
        pads.append({"valid": (0, 0), "same": same, "causal": ((w - 1) * d, 0)}[layer.padding])
    return window, strides, dilation, tuple(pads)


def _windows(layer, x, fill):
    """x (n, h, w, c) -> windows (n, h', w', kh, kw, c), and the place of each of their entries in the padded image."""
    window, strides, dilation, pads = _settings(layer, x.shape[1:3])
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    starts, places = [], []
    for size, w, s, d in zip(padded.shape[1:3], window, strides, dilation, strict=True):
        starts.append(np.arange(0, size - (w - 1) * d, s))
        places.append(np.arange(w) * d)
    rows = starts[0][:, None, None, None] + places[0][:, None]
    columns = starts[1][:, None, None] + places[1]
    return padded[:, rows, columns], (padded.shape, rows, columns, pads)


def _add_windows(windows, places):
    """Add windows (n, h', w', kh, kw, c) up to an image, and cut its padding off."""
    shape, rows, columns, ((top, bottom), (left, right)) = places
    image = np.zeros(shape)
    np.add.at(image, (slice(None), rows, columns), windows)
    return image[:, top : shape[1] - bottom, left : shape[2] - right]


def _grouped_kernel(layer, kernel, channels):
    """Return kernel (kh, kw, c / groups, k) as one (kh, kw, c, k) with zeros between the groups."""
    kernel = kernel[None] if layer.axes == 1 else kernel
    of_input, filters = kernel.shape[2], kernel.shape[3] // layer.groups
    whole = np.zeros((*kernel.shape[:2], channels, kernel.shape[3]))
    for g in range(layer.groups):
        inputs, outputs = slice(g * of_input, (g + 1) * of_input), slice(g * filters, (g + 1) * filters)
        whole[:, :, inputs, outputs] = kernel[:, :, :, outputs]
    return whole


def _ungrouped(layer, whole, shape):
    of_input, filters = shape[-2], shape[-1] // layer.groups
    parts = [
        whole[:, :, g * of_input : (g + 1) * of_input, g * filters : (g + 1) * filters] for g in range(layer.groups)
    ]
    return np.concatenate(parts, axis=3).reshape(shape)


def conv_forward(layer, weights, x, mask):
    """x (n, [h,] w, c) -> out (n, [h',] w', k), z."""
    image = _as_image(layer, x)
    windows, _ = _windows(layer, image, 0.0)
    z = np.tensordot(windows, _grouped_kernel(layer, weights[0], image.shape[3]), 3)
    z = (z[:, 0] if layer.axes == 1 else z) + (weights[1] if layer.use_bias else 0.0)
    return _activate(layer.activation, z), z


def conv_backward(layer, weights, x, z, dout, mask):
    """dout (n, [h',] w', k) -> dx (n, [h,] w, c), [dkernel ([kh,] kw, c / groups, k), dbias (k,)]."""
    image, dz = _as_image(layer, x), _as_image(layer, _activate_backward(layer.activation, dout, z))
    windows, places = _windows(layer, image, 0.0)
    whole = _grouped_kernel(layer, weights[0], image.shape[3])
    dkernel = _ungrouped(layer, np.tensordot(windows, dz, ((0, 1, 2), (0, 1, 2))), weights[0].shape)
    dx = _add_windows(np.tensordot(dz, whole, ((3,), (3,))), places)
    return dx.reshape(x.shape), [dkernel, dz.sum((0, 1, 2))][: len(weights)]


def depthwise_forward(layer, weights, x, mask):
    """x (n, h, w, c) -> out (n, h', w', c * m), z."""
    windows, _ = _windows(layer, x, 0.0)
    z = np.einsum("nyxabc,abcm->nyxcm", windows, weights[0])
    z = z.reshape(*z.shape[:3], -1) + (weights[1] if layer.use_bias else 0.0)
    return _activate(layer.activation, z), z


def depthwise_backward(layer, weights, x, z, dout, mask):
    """dout (n, h', w', c * m) -> dx (n, h, w, c), [dkernel (kh, kw, c, m), dbias (c * m,)]."""
    dz = _activate_backward(layer.activation, dout, z)
    windows, places = _windows(layer, x, 0.0)
    by_channel = dz.reshape(*dz.shape[:3], x.shape[3], -1)
    dkernel = np.einsum("nyxabc,nyxcm->abcm", windows, by_channel)
    dx = _add_windows(np.einsum("nyxcm,abcm->nyxabc", by_channel, weights[0]), places)
    return dx, [dkernel, dz.sum((0, 1, 2))][: len(weights)]


def _pooled(layer, out):
    """out (n, h', w', c) in the shape that the layer gives it."""
    if "Global" in type(layer).__name__ and not layer.keepdims:
        return out[:, 0, 0]
    return out[:, 0] if layer.axes == 1 else out


def max_forward(layer, weights, x, mask):
    """x (n, [h,] w, c) -> out, nothing."""
    return _pooled(layer, _windows(layer, _as_image(layer, x), -np.inf)[0].max((3, 4))), None


def max_backward(layer, weights, x, z, dout, mask):
    """dout -> dx (n, [h,] w, c): to the first of each window's largest entries; []."""
    windows, places = _windows(layer, _as_image(layer, x), -np.inf)
    flat = windows.reshape(*windows.shape[:3], -1, windows.shape[5])
    chosen = np.arange(flat.shape[3])[:, None] == flat.argmax(3)[:, :, :, None]
    dwindows = (chosen * dout.reshape(*windows.shape[:3], 1, windows.shape[5])).reshape(windows.shape)
    return _add_windows(dwindows, places).reshape(x.shape), []


def _counts(layer, image):
    """Return the entries within the image of each window (1, h', w', 1)."""
    return _windows(layer, np.ones((1, *image.shape[1:3], 1)), 0.0)[0].sum((3, 4))


def average_forward(layer, weights, x, mask):
    """x (n, [h,] w, c) -> out, nothing."""
    image = _as_image(layer, x)
    return _pooled(layer, _windows(layer, image, 0.0)[0].sum((3, 4)) / _counts(layer, image)), None


def average_backward(layer, weights, x, z, dout, mask):
    """dout -> dx (n, [h,] w, c), []."""
    image = _as_image(layer, x)
    windows, places = _windows(layer, image, 0.0)
    share = dout.reshape(*windows.shape[:3], windows.shape[5]) / _counts(layer, image)
    return _add_windows(np.broadcast_to(share[:, :, :, None, None], windows.shape), places).reshape(x.shape), []


def _around(layer):
    return ((0, 0), *layer.pairs()[-layer.axes :], (0, 0))


def padding_forward(layer, weights, x, mask):
    """x (n, [h,] w, c) -> out, nothing."""
    return np.pad(x, _around(layer)), None


def padding_backward(layer, weights, x, z, dout, mask):
    """dout -> dx (n, [h,] w, c), []."""
    inside = [slice(before, before + size) for (before, _), size in zip(_around(layer), x.shape, strict=True)]
    return dout[tuple(inside)], []


LAYERS = {
    "Conv1D": (conv_forward, conv_backward),
    "Conv2D": (conv_forward, conv_backward),
    "DepthwiseConv2D": (depthwise_forward, depthwise_backward),
    "ZeroPadding1D": (padding_forward, padding_backward),
    "ZeroPadding2D": (padding_forward, padding_backward),
}
for _prefix in ("", "Global"):
    for _axes in ("1D", "2D"):
        LAYERS[f"{_prefix}MaxPooling{_axes}"] = (max_forward, max_backward)
        LAYERS[f"{_prefix}AveragePooling{_axes}"] = (average_forward, average_backward)
