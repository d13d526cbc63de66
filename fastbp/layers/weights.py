"""What layers with a kernel and a bias share: the settings of both, and the parameters made of them."""

import math

from fastbp.kernels.arraymath import matmul
from fastbp.layers.base import resolve_settings, whole_number
from fastbp.layers.build import Param


def resolve_dense(spec):
    """Check the settings of a dense spec; put objects where names are."""
    spec.units = whole_number(spec, "units")
    resolve_settings(spec)
    if spec.parametrization not in ("standard", "ntk"):
        name = type(spec).__name__
        raise ValueError(f'{name}(parametrization={spec.parametrization!r}): it is "standard" or "ntk".')


def kernel_and_bias(spec, kernel_shape, bias_shape, kernel_initializer, max_norm=0.0):
    """Return the parameters (without the bias where the spec has none); kernel (..., d, k)."""
    # "ntk" computes x @ w / sqrt(d) with weights w.  The kernel here is w / sqrt(d), so its steps are divided by
    # sqrt(d), too.  The decay factor is multiplied by sqrt(d), so that the smaller rate does not lessen the decay.
    scale = math.sqrt(kernel_shape[-2]) if spec.parametrization == "ntk" else 1.0
    kernel = Param(
        "kernel",
        kernel_shape,
        kernel_initializer,
        *penalties(spec.kernel_regularizer),
        max_norm,
        spec.kernel_learning_rate_factor / scale,
        spec.kernel_decay_factor * scale,
    )
    bias = Param(
        "bias",
        bias_shape,
        spec.bias_initializer,
        *penalties(spec.bias_regularizer),
        learning_rate_factor=spec.bias_learning_rate_factor,
        decay_factor=spec.bias_decay_factor,
    )
    return [kernel, bias] if spec.use_bias else [kernel]


def adapt_to_inputs(spec, kernel, bias, x, rng):
    """Adapt kernel (d, k) and bias (k,) (or None), in place, to inputs x (n, d), where their initializers can."""
    if hasattr(spec.kernel_initializer, "adapt"):
        kernel[...] = spec.kernel_initializer.adapt(kernel, x, rng)
    if bias is not None and hasattr(spec.bias_initializer, "adapt"):
        bias[...] = spec.bias_initializer.adapt(matmul(x, kernel), rng)


def penalties(regularizer) -> tuple[float, float]:
    """Return the factors l1 and l2 of a regularizer, or of none."""
    return regularizer.factors if regularizer else (0.0, 0.0)
