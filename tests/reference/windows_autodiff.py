"""JAX convolution, pooling and zero padding, by its own operations on windows: forward only, JAX differentiates."""

import jax.numpy as jnp
from jax import lax

IMAGES = ("NHWC", "HWIO", "NHWC")
SEQUENCES = ("NWC", "WIO", "NWC")


def convolution(layer, weights, x, activate):
    """Conv1D, Conv2D and DepthwiseConv2D; `activate(activation, z)` is the caller's."""
    kernel, groups = weights[0], getattr(layer, "groups", x.shape[-1])
    if type(layer).__name__ == "DepthwiseConv2D":
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    padding = layer.padding.upper()
    if padding == "CAUSAL":
        padding = [((kernel.shape[0] - 1) * layer.dilation_rate[0], 0)]
    z = lax.conv_general_dilated(
        x,
        kernel,
        layer.strides,
        padding,
        rhs_dilation=layer.dilation_rate,
        dimension_numbers=IMAGES if layer.axes == 2 else SEQUENCES,
        feature_group_count=groups,
    )
    return activate(layer.activation, z + (weights[1] if layer.use_bias else 0.0))


def _reduce(layer, x, start, combine):
    window, strides = (1, *layer.pool_size, 1), (1, *(layer.strides or layer.pool_size), 1)
    return lax.reduce_window(x, start, combine, window, strides, layer.padding.upper())


def _max(layer, weights, x, mask):
    return _reduce(layer, x, -jnp.inf, lax.max)


def _average(layer, weights, x, mask):
    return _reduce(layer, x, 0.0, lax.add) / _reduce(layer, jnp.ones_like(x), 0.0, lax.add)


def _over_all(reduce):
    def pool(layer, weights, x, mask):
        return reduce(x, axis=tuple(range(1, x.ndim - 1)), keepdims=layer.keepdims)

    return pool


def _zero_padding(layer, weights, x, mask):
    return jnp.pad(x, ((0, 0), *layer.pairs()[-layer.axes :], (0, 0)))


LAYERS = {"ZeroPadding1D": _zero_padding, "ZeroPadding2D": _zero_padding}
for _axes in ("1D", "2D"):
    LAYERS[f"MaxPooling{_axes}"], LAYERS[f"AveragePooling{_axes}"] = _max, _average
    LAYERS[f"GlobalMaxPooling{_axes}"], LAYERS[f"GlobalAveragePooling{_axes}"] = _over_all(jnp.max), _over_all(jnp.mean)
CONVOLUTIONS = ("Conv1D", "Conv2D", "DepthwiseConv2D")
