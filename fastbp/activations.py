"""Activations: each is one settings class with its kernel pair, registered by name.

A kernel works on flat arrays of m entries, m a multiple of `width`, the entries of a row (only
softmax looks at rows).  `alpha` is the activation's one setting, 0.0 where it has none.

    forward(out, x, width, alpha)          out is overwritten
    backward(d, x, out, width, alpha)      d holds dout and is overwritten with dx

`x` and `out` never overlap.  `backward` reads `x` only where `needs_input` is true; elsewhere the
derivative comes from `out`, and the caller may give `out` for both.  Selects keep NaN: the side that
a NaN takes (comparisons with it are false) is the one that passes it on.
"""

from dataclasses import dataclass

import numpy as np

from fastbp import vecmath
from fastbp._jit import kernel
from fastbp._registry import Registry

ACTIVATIONS = Registry("activation")

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


class Activation:
    """What every activation has; the defaults are those of the identity.

    Attributes
    ----------
    forward, backward : kernel or None
        The kernel pair of the module's docstring; None where there is nothing to compute.
    needs_input : bool
        Whether `backward` reads `x`.
    alpha : float
        The setting given to both kernels.
    """

    forward = None
    backward = None
    needs_input = False
    alpha = 0.0


@ACTIVATIONS.register("linear")
@dataclass(frozen=True)
class Linear(Activation):
    """out = x: the engine skips it."""


@kernel
def sigmoid_forward(out, x, width, alpha):
    for i in range(out.size):
        out[i] = vecmath.sigmoid(x[i])


@kernel
def sigmoid_backward(d, x, out, width, alpha):
    one = d.dtype.type(1)
    for i in range(d.size):
        d[i] *= out[i] * (one - out[i])


@ACTIVATIONS.register("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Activation):
    """out = 1 / (1 + exp(-x))."""

    forward = staticmethod(sigmoid_forward)
    backward = staticmethod(sigmoid_backward)


@kernel
def tanh_forward(out, x, width, alpha):
    for i in range(out.size):
        out[i] = vecmath.tanh(x[i])


@kernel
def tanh_backward(d, x, out, width, alpha):
    one = d.dtype.type(1)
    for i in range(d.size):
        d[i] *= (one - out[i]) * (one + out[i])


@ACTIVATIONS.register("tanh")
@dataclass(frozen=True)
class Tanh(Activation):
    """out = tanh(x)."""

    forward = staticmethod(tanh_forward)
    backward = staticmethod(tanh_backward)


@kernel
def relu_forward(out, x, width, alpha):
    zero = out.dtype.type(0)
    for i in range(out.size):
        out[i] = zero if x[i] < zero else x[i]


@kernel
def relu_backward(d, x, out, width, alpha):
    zero = d.dtype.type(0)
    for i in range(d.size):
        d[i] = zero if out[i] <= zero else d[i]


@ACTIVATIONS.register("relu")
@dataclass(frozen=True)
class ReLU(Activation):
    """out = max(x, 0), with the derivative 0 at 0."""

    forward = staticmethod(relu_forward)
    backward = staticmethod(relu_backward)


@kernel
def leaky_relu_forward(out, x, width, alpha):
    zero, slope = out.dtype.type(0), out.dtype.type(alpha)
    for i in range(out.size):
        scaled = slope * x[i]
        out[i] = x[i] if x[i] > zero else scaled


@kernel
def leaky_relu_backward(d, x, out, width, alpha):
    zero, slope = d.dtype.type(0), d.dtype.type(alpha)
    for i in range(d.size):
        scaled = slope * d[i]
        d[i] = d[i] if out[i] > zero else scaled


@ACTIVATIONS.register("leaky_relu")
@dataclass(frozen=True)
class LeakyReLU(Activation):
    """out = x where x > 0, else negative_slope * x; the derivative at 0 is negative_slope.

    Parameters
    ----------
    negative_slope : float, default 0.2
        At least 0, so that the sign of the output tells the side.

    Raises
    ------
    ValueError
        Where `negative_slope` is negative or not finite.
    """

    negative_slope: float = 0.2
    forward = staticmethod(leaky_relu_forward)
    backward = staticmethod(leaky_relu_backward)

    def __post_init__(self) -> None:
        _check_setting("leaky_relu", "negative_slope", self.negative_slope)

    @property
    def alpha(self) -> float:
        return float(self.negative_slope)


@kernel
def elu_forward(out, x, width, alpha):
    zero, scale = out.dtype.type(0), out.dtype.type(alpha)
    for i in range(out.size):
        below = scale * vecmath.expm1(x[i])
        out[i] = x[i] if x[i] > zero else below


@kernel
def elu_backward(d, x, out, width, alpha):
    zero, scale = d.dtype.type(0), d.dtype.type(alpha)
    for i in range(d.size):
        below = d[i] * (out[i] + scale)
        d[i] = d[i] if out[i] > zero else below


@ACTIVATIONS.register("elu")
@dataclass(frozen=True)
class ELU(Activation):
    """out = x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit on the left; at least 0, so that the sign of the output tells the side.

    Raises
    ------
    ValueError
        Where `alpha` is negative or not finite.
    """

    alpha: float = 1.0
    forward = staticmethod(elu_forward)
    backward = staticmethod(elu_backward)

    def __post_init__(self) -> None:
        _check_setting("elu", "alpha", self.alpha)


@kernel
def selu_forward(out, x, width, alpha):
    zero, scale, limit = out.dtype.type(0), out.dtype.type(SELU_SCALE), out.dtype.type(SELU_SCALE * SELU_ALPHA)
    for i in range(out.size):
        above, below = scale * x[i], limit * vecmath.expm1(x[i])
        out[i] = above if x[i] > zero else below


@kernel
def selu_backward(d, x, out, width, alpha):
    zero, scale, limit = d.dtype.type(0), d.dtype.type(SELU_SCALE), d.dtype.type(SELU_SCALE * SELU_ALPHA)
    for i in range(d.size):
        above, below = d[i] * scale, d[i] * (out[i] + limit)
        d[i] = above if out[i] > zero else below


@ACTIVATIONS.register("selu")
@dataclass(frozen=True)
class SELU(Activation):
    """out = 1.0507 x where x > 0, else 1.0507 * 1.6733 (exp(x) - 1) (Klambauer et al. 2017)."""

    forward = staticmethod(selu_forward)
    backward = staticmethod(selu_backward)


@kernel
def gelu_forward(out, x, width, alpha):
    half, one, root = out.dtype.type(0.5), out.dtype.type(1), out.dtype.type(np.sqrt(0.5))
    for i in range(out.size):
        out[i] = half * x[i] * (one + vecmath.erf(root * x[i]))


@kernel
def gelu_backward(d, x, out, width, alpha):
    half, one, root = d.dtype.type(0.5), d.dtype.type(1), d.dtype.type(np.sqrt(0.5))
    height = d.dtype.type(1 / np.sqrt(2 * np.pi))
    for i in range(d.size):
        # d gelu = cdf(x) + x pdf(x) of the standard normal distribution
        cdf = half * (one + vecmath.erf(root * x[i]))
        d[i] *= cdf + x[i] * height * vecmath.exp(-half * x[i] * x[i])


@ACTIVATIONS.register("gelu")
@dataclass(frozen=True)
class GELU(Activation):
    """out = x * (1 + erf(x / sqrt 2)) / 2: the exact form (Hendrycks and Gimpel 2016)."""

    needs_input = True
    forward = staticmethod(gelu_forward)
    backward = staticmethod(gelu_backward)


@kernel
def gelu_tanh_forward(out, x, width, alpha):
    # (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    one, root, cubic = out.dtype.type(1), out.dtype.type(2 * np.sqrt(2 / np.pi)), out.dtype.type(0.044715)
    for i in range(out.size):
        out[i] = x[i] * vecmath.sigmoid(root * x[i] * (one + cubic * x[i] * x[i]))


@kernel
def gelu_tanh_backward(d, x, out, width, alpha):
    one, root, cubic = d.dtype.type(1), d.dtype.type(2 * np.sqrt(2 / np.pi)), d.dtype.type(0.044715)
    three_cubic = d.dtype.type(3 * 0.044715)
    for i in range(d.size):
        square = x[i] * x[i]
        gate = vecmath.sigmoid(root * x[i] * (one + cubic * square))
        # gate' = gate (1 - gate) root (1 + 3 * 0.044715 x^2), and gate decides first: no inf * 0
        slope = (x[i] * gate) * (one - gate) * root
        d[i] *= gate + (slope + slope * three_cubic * square)


@ACTIVATIONS.register("gelu_tanh")
@dataclass(frozen=True)
class GELUTanh(Activation):
    """out = x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: Keras's `gelu(approximate=True)`."""

    needs_input = True
    forward = staticmethod(gelu_tanh_forward)
    backward = staticmethod(gelu_tanh_backward)


@kernel
def silu_forward(out, x, width, alpha):
    for i in range(out.size):
        out[i] = x[i] * vecmath.sigmoid(x[i])


@kernel
def silu_backward(d, x, out, width, alpha):
    one = d.dtype.type(1)
    for i in range(d.size):
        gate = vecmath.sigmoid(x[i])
        d[i] *= gate * (one + x[i] * (one - gate))


@ACTIVATIONS.register("silu")
@dataclass(frozen=True)
class SiLU(Activation):
    """out = x * sigmoid(x), also called swish."""

    needs_input = True
    forward = staticmethod(silu_forward)
    backward = staticmethod(silu_backward)


@kernel
def mish_forward(out, x, width, alpha):
    one, two = out.dtype.type(1), out.dtype.type(2)
    for i in range(out.size):
        # tanh(log(1 + e^x)) = n / (n + 2), n = e^x (e^x + 2); for x > 0 both times e^-2x: no overflow
        z = vecmath.exp(-abs(x[i]))
        above, below = one + two * z, z * (z + two)
        n = above if x[i] > 0 else below
        rest = two * z * z if x[i] > 0 else two
        out[i] = x[i] * (n / (n + rest))


@kernel
def mish_backward(d, x, out, width, alpha):
    one, two = d.dtype.type(1), d.dtype.type(2)
    for i in range(d.size):
        # d mish = t + x (1 - t^2) sigmoid(x), t = n / (n + rest) as in the forward pass
        z = vecmath.exp(-abs(x[i]))
        above, below = one + two * z, z * (z + two)
        n = above if x[i] > 0 else below
        rest = two * z * z if x[i] > 0 else two
        over = one / (n + rest)
        t = n * over
        gate = (one if x[i] > 0 else z) / (one + z)
        d[i] *= t + x[i] * (rest * over * (one + t)) * gate


@ACTIVATIONS.register("mish")
@dataclass(frozen=True)
class Mish(Activation):
    """out = x * tanh(softplus(x)) (Misra 2019)."""

    needs_input = True
    forward = staticmethod(mish_forward)
    backward = staticmethod(mish_backward)


@kernel
def softplus_forward(out, x, width, alpha):
    for i in range(out.size):
        out[i] = vecmath.softplus(x[i])


@kernel
def softplus_backward(d, x, out, width, alpha):
    for i in range(d.size):
        # sigmoid(x) = 1 - exp(-out)
        d[i] *= -vecmath.expm1(-out[i])


@ACTIVATIONS.register("softplus")
@dataclass(frozen=True)
class Softplus(Activation):
    """out = log(1 + exp(x))."""

    forward = staticmethod(softplus_forward)
    backward = staticmethod(softplus_backward)


@kernel
def hard_sigmoid_forward(out, x, width, alpha):
    zero, three, six = out.dtype.type(0), out.dtype.type(3), out.dtype.type(6)
    for i in range(out.size):
        shifted = x[i] + three
        above = zero if shifted < zero else shifted
        out[i] = (six if above > six else above) / six


@kernel
def hard_sigmoid_backward(d, x, out, width, alpha):
    zero, one, six = d.dtype.type(0), d.dtype.type(1), d.dtype.type(6)
    for i in range(d.size):
        flat = (out[i] <= zero) | (out[i] >= one)
        d[i] = zero if flat else d[i] / six


@ACTIVATIONS.register("hard_sigmoid")
@dataclass(frozen=True)
class HardSigmoid(Activation):
    """out = min(max(x + 3, 0), 6) / 6."""

    forward = staticmethod(hard_sigmoid_forward)
    backward = staticmethod(hard_sigmoid_backward)


@kernel
def softmax_forward(out, x, width, alpha):
    # Three passes over the rows, so that the middle one, all the exponentials, is one vector loop
    # whatever the width.
    for start in range(0, out.size, width):
        top = x[start]
        for i in range(start + 1, start + width):
            top = x[i] if x[i] > top else top
        for i in range(start, start + width):
            out[i] = x[i] - top
    for i in range(out.size):
        out[i] = vecmath.exp(out[i])
    for start in range(0, out.size, width):
        total = out.dtype.type(0)
        for i in range(start, start + width):
            total += out[i]
        for i in range(start, start + width):
            out[i] /= total


@kernel
def softmax_backward(d, x, out, width, alpha):
    for start in range(0, d.size, width):
        # dx = out * (dout - sum(dout * out))
        total = d.dtype.type(0)
        for i in range(start, start + width):
            total += d[i] * out[i]
        for i in range(start, start + width):
            d[i] = out[i] * (d[i] - total)


@ACTIVATIONS.register("softmax")
@dataclass(frozen=True)
class Softmax(Activation):
    """out = exp(x) / sum(exp(x)) over each row."""

    forward = staticmethod(softmax_forward)
    backward = staticmethod(softmax_backward)


def _check_setting(name, setting, value):
    if not 0 <= value < np.inf:
        raise ValueError(f"{name}: {setting} must be a finite number >= 0, not {value!r}")
