"""What normalisation layers share: gamma and beta, their settings, and the axis."""

from fastbp.layers.base import resolve_settings
from fastbp.layers.build import Param
from fastbp.settings.validation import is_number


def resolve_normalization(spec):
    """Check epsilon and put objects where names are in the settings of a spec."""
    resolve_settings(spec)
    name = type(spec).__name__
    if not is_number(spec.epsilon) or not 0 < spec.epsilon < float("inf"):
        raise ValueError(f"{name}(epsilon={spec.epsilon!r}): it is a finite number above 0.")
    spec.epsilon = float(spec.epsilon)


def check_axis(spec, input_shape):
    """Raise ValueError where the axis is not the last one of inputs (n, *input_shape)."""
    if spec.axis not in (-1, len(input_shape)) or isinstance(spec.axis, bool):
        raise ValueError(
            f"{type(spec).__name__}(axis={spec.axis!r}): the axis is the last one, -1 (of inputs with "
            f"{len(input_shape) + 1} axes also {len(input_shape)}). Images are channels-last here."
        )


def scale_param(spec, name, shape):
    """Return the parameter `name` ("gamma") by the spec's settings of that name (gamma_initializer and so on)."""
    regularizer, constraint = (getattr(spec, f"{name}_{kind}") for kind in ("regularizer", "constraint"))
    penalties = regularizer.factors if regularizer else (0.0, 0.0)
    max_norm = constraint.max_value if constraint else 0.0
    # A vector has one norm, as in Keras.
    return Param(name, shape, getattr(spec, f"{name}_initializer"), *penalties, max_norm, norm_axes=0)


def gamma_and_beta(spec, shape):
    """Return the parameters that the spec has, as Keras orders them."""
    wanted = {"gamma": spec.scale, "beta": spec.center}
    return [scale_param(spec, name, shape) for name, is_wanted in wanted.items() if is_wanted]
