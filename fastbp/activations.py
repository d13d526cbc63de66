"""Activations: each is one settings class that holds its pair of formulas, registered by name.

The formulas are for one entry; `forward` and `backward` make kernels of them, over flat arrays of m
entries.  `alpha` is the activation's one setting, 0.0 where it has none; `width`, which divides m, is
the number of entries in a row (only softmax looks at rows).

    forward(out, x, width, alpha)          out is overwritten
    backward(d, x, out, width, alpha)      d holds dout and is overwritten with dx

`x` and `out` never overlap.  `backward` reads `x` only where `needs_input` is true: elsewhere the
derivative comes from `out`, and the caller may give `out` for both.  A comparison with NaN is false, so
each select keeps on its false side the value that passes NaN on.
"""

import math
from dataclasses import dataclass

from fastbp.compiler.formulas import check_activation
from fastbp.compiler.intrinsics import fma, like, select
from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at
from fastbp.kernels.entrywise import backward, forward
from fastbp.kernels.softmax import ROWS, row_room, softmax_rows, softmax_rows_backward
from fastbp.kernels.vecmath import exp, expm1, normal, sigmoid, softplus, tanh, tanh_softplus
from fastbp.registry import Registry
from fastbp.settings.validation import is_number

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "Activation",
    "LeakyReLU",
]


def __dir__():
    return __all__


ACTIVATIONS = Registry("activation", lambda cls: check_activation(cls, Activation))


class Activation:
    """What every activation has; the defaults are those of linear.

    Attributes
    ----------
    forward, backward : kernel or None
        The kernel pair of the module's docstring; None where there is nothing to compute.
    needs_input : bool
        Whether `backward` reads `x`.
    alpha : float
        The setting given to both kernels.
    c_expression : str or None
        f(v) of one entry in C, for float, with ALPHA in the place of `alpha`: `to_c` writes it.
    emit_onnx : function or None
        (graph, x, alpha) -> the name of f(x) in an ONNX graph: `to_onnx` calls it.

    Examples
    --------
    >>> import numpy as np
    >>> relu = ACTIVATIONS.resolve("relu")
    >>> x = np.array([-1.0, 2.0], dtype="float32")
    >>> out, d = np.empty_like(x), np.ones_like(x)
    >>> relu.forward(out, x, 1, relu.alpha)
    >>> relu.backward(d, x, out, 1, relu.alpha)
    >>> out, d
    (array([0., 2.], dtype=float32), array([0., 1.], dtype=float32))
    """

    forward = None
    backward = None
    needs_input: bool = False
    alpha: float = 0.0
    c_expression = None
    emit_onnx = None


@ACTIVATIONS.register("linear")
@dataclass(frozen=True)
class Linear(Activation):
    """out = x; there is nothing to compute, so the engine skips it."""


@ACTIVATIONS.register("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Activation):
    """out = 1 / (1 + exp(-x)); dx = dout * out * (1 - out)."""

    @forward
    def forward(x, alpha):
        return sigmoid(x)

    @backward
    def backward(d, x, out, alpha):
        return d * (out * (like(out, 1) - out))


@ACTIVATIONS.register("tanh")
@dataclass(frozen=True)
class Tanh(Activation):
    """out = tanh(x); dx = dout * (1 - out^2)."""

    @forward
    def forward(x, alpha):
        return tanh(x)

    @backward
    def backward(d, x, out, alpha):
        return d * ((like(out, 1) - out) * (like(out, 1) + out))


@ACTIVATIONS.register("relu")
@dataclass(frozen=True)
class ReLU(Activation):
    """out = max(x, 0), with the derivative 0 at 0."""

    @forward
    def forward(x, alpha):
        return select(x < 0, like(x, 0), x)

    @backward
    def backward(d, x, out, alpha):
        return d * select(out <= 0, like(d, 0), like(d, 1))


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

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Activation(fastbp.LeakyReLU(0.5))
    >>> fastbp.Sequential([layer], input_shape=(2,)).predict([[-1.0, 2.0]]).tolist()
    [[-0.5, 2.0]]
    """

    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        _check_setting("leaky_relu", "negative_slope", self.negative_slope)

    @property
    def alpha(self) -> float:
        return float(self.negative_slope)

    @forward
    def forward(x, alpha):
        return select(x > 0, x, alpha * x)

    @backward
    def backward(d, x, out, alpha):
        return d * select(out > 0, like(d, 1), alpha)


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

    Examples
    --------
    >>> import fastbp
    >>> layer = fastbp.Activation(fastbp.ELU(0.5))
    >>> fastbp.Sequential([layer], input_shape=(2,)).predict([[-1.0, 2.0]]).round(3)
    array([[-0.316,  2.   ]], dtype=float32)
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_setting("elu", "alpha", self.alpha)

    @forward
    def forward(x, alpha):
        return select(x > 0, x, alpha * expm1(x))

    @backward
    def backward(d, x, out, alpha):
        return d * select(out > 0, like(d, 1), out + alpha)


_SELU_SCALE = 1.0507009873554805
_SELU_LIMIT = 1.0507009873554805 * 1.6732632423543772


@ACTIVATIONS.register("selu")
@dataclass(frozen=True)
class SELU(Activation):
    """out = 1.0507 x where x > 0, else 1.0507 * 1.6733 (exp(x) - 1) (Klambauer et al. 2017)."""

    @forward
    def forward(x, alpha):
        return select(x > 0, like(x, _SELU_SCALE) * x, like(x, _SELU_LIMIT) * expm1(x))

    @backward
    def backward(d, x, out, alpha):
        return d * select(out > 0, like(out, _SELU_SCALE), out + like(out, _SELU_LIMIT))


_NORMAL_HEIGHT = 1 / math.sqrt(2 * math.pi)


@ACTIVATIONS.register("gelu")
@dataclass(frozen=True)
class GELU(Activation):
    """out = x * (1 + erf(x / sqrt 2)) / 2: the exact form (Hendrycks and Gimpel 2016)."""

    needs_input = True

    @forward
    def forward(x, alpha):
        share, _ = normal(x)
        return x * share

    @backward
    def backward(d, x, out, alpha):
        # cdf + x pdf, of the normal distribution
        share, bell = normal(x)
        return d * fma(x * like(x, _NORMAL_HEIGHT), bell, share)


_TWICE_ROOT = 2 * math.sqrt(2 / math.pi)


@ACTIVATIONS.register("gelu_tanh")
@dataclass(frozen=True)
class GELUTanh(Activation):
    """out = x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: Keras's `gelu(approximate=True)`."""

    needs_input = True

    @forward
    def forward(x, alpha):
        # (1 + tanh u) / 2 = sigmoid(2 u)
        cubic = like(x, 0.044715) * x * x
        return x * sigmoid(like(x, _TWICE_ROOT) * (x + x * cubic))

    @backward
    def backward(d, x, out, alpha):
        cubic = like(x, 0.044715) * x * x
        gate = sigmoid(like(x, _TWICE_ROOT) * (x + x * cubic))
        steep = gate * (like(x, 1) - gate)
        # A closed gate makes steep 0, which a cubic that overflowed would make NaN.
        slope = x * like(x, _TWICE_ROOT) * (like(x, 1) + like(x, 3) * cubic)
        return d * (gate + select(steep == 0, steep, steep * slope))


@ACTIVATIONS.register("silu")
@dataclass(frozen=True)
class SiLU(Activation):
    """out = x * sigmoid(x), also called swish."""

    needs_input = True

    @forward
    def forward(x, alpha):
        return x * sigmoid(x)

    @backward
    def backward(d, x, out, alpha):
        gate = sigmoid(x)
        return d * (gate * (like(x, 1) + x * (like(x, 1) - gate)))


@ACTIVATIONS.register("mish")
@dataclass(frozen=True)
class Mish(Activation):
    """out = x * tanh(softplus(x)) (Misra 2019)."""

    needs_input = True

    @forward
    def forward(x, alpha):
        share, _ = tanh_softplus(x)
        return x * share

    @backward
    def backward(d, x, out, alpha):
        share, slope = tanh_softplus(x)
        return d * fma(x, slope, share)


@ACTIVATIONS.register("softplus")
@dataclass(frozen=True)
class Softplus(Activation):
    """out = log(1 + exp(x)); dx = dout * (1 - exp(-out))."""

    @forward
    def forward(x, alpha):
        return softplus(x)

    @backward
    def backward(d, x, out, alpha):
        return -d * expm1(-out)


@ACTIVATIONS.register("exponential")
@dataclass(frozen=True)
class Exponential(Activation):
    """out = exp(x), for positive outputs such as rates; dx = dout * out."""

    @forward
    def forward(x, alpha):
        return exp(x)

    @backward
    def backward(d, x, out, alpha):
        return d * out


@ACTIVATIONS.register("hard_sigmoid")
@dataclass(frozen=True)
class HardSigmoid(Activation):
    """out = min(max(x + 3, 0), 6) / 6; the derivative is 0 at both corners."""

    @forward
    def forward(x, alpha):
        above = select(x < -3, like(x, 0), x + like(x, 3))
        return select(x > 3, like(x, 6), above) / like(x, 6)

    @backward
    def backward(d, x, out, alpha):
        flat = (out <= 0) | (out >= 1)
        return d * select(flat, like(d, 0), like(d, 1 / 6))


@kernel
def softmax_forward(out, x, width, alpha):
    factor, mass, top = row_room(1.0), row_room(1.0), row_room(out.dtype.type(0))
    for r in range(ROWS):
        factor[r] = 1.0
    n = out.size // width
    for first in range(0, n, ROWS):
        start = first * width
        softmax_rows(at(out, start), at(x, start), min(ROWS, n - first), width, factor, top, mass)


@kernel
def softmax_backward(d, x, out, width, alpha):
    # dx = out * (dout - sum(dout * out))
    n = d.size // width
    for first in range(0, n, ROWS):
        start = first * width
        softmax_rows_backward(at(d, start), at(out, start), min(ROWS, n - first), width)


@ACTIVATIONS.register("softmax")
@dataclass(frozen=True)
class Softmax(Activation):
    """out = exp(x) / sum(exp(x)) over each row, after taking the row's largest x from all."""

    forward = staticmethod(softmax_forward)
    backward = staticmethod(softmax_backward)


def _check_setting(name: str, setting: str, value: float) -> None:
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: {setting} must be a finite number, at least 0, not {value!r}.")
