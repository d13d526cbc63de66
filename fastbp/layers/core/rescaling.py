"""Rescaling: out (n, ...) = x (n, ...) * scale + offset, two numbers that are not trained."""

import math
from dataclasses import dataclass
from typing import Any

from fastbp.layers.base import LAYERS
from fastbp.layers.core.elementwise import Elementwise, backward, forward
from fastbp.settings.validation import is_number


@LAYERS.register("Rescaling")
@dataclass
class Rescaling(Elementwise):
    """Bring numbers into another range: ``out = x * scale + offset``, in training and at prediction.

    Parameters
    ----------
    scale : float
        ``1 / 255`` makes bytes numbers from 0 to 1.
    offset : float, default 0.0
    name : str, optional
        Default ``"rescaling"``, ``"rescaling_1"`` and so on.

    Raises
    ------
    ValueError
        Where `scale` or `offset` is not a finite number.

    Notes
    -----
    Inputs and outputs ``(n, ...)``. A factor for each entry of a row, trained or not, is a `Scaling`.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Rescaling(1 / 127.5, offset=-1)], input_shape=(3,))
    >>> model.predict(np.array([[0.0, 127.5, 255.0]])).tolist()
    [[-1.0, 0.0, 1.0]]
    """

    scale: float
    offset: float = 0.0
    name: str | None = None

    def __post_init__(self):
        for setting in ("scale", "offset"):
            value = getattr(self, setting)
            if not is_number(value) or not math.isfinite(value):
                raise ValueError(f"Rescaling({setting}={value!r}): it is a finite number (Scaling has columns).")
            setattr(self, setting, float(value))

    @forward
    def forward(x, scale, offset):
        return x * scale + offset

    @backward
    def backward(d, x, out, scale):
        return d * scale

    def emit_onnx(graph: Any, site: Any, x: Any) -> Any:
        """Add the layer to an ONNX graph after `x`; return its output's name."""
        return graph.add("Add", graph.add("Mul", x, site.spec.scale), site.spec.offset)

    def emit_c(program: Any, site: Any, x: Any) -> Any:
        """Add the layer to a C program after `x`; return what its output is called."""
        out, settings = program.value(site.size), (site.spec.scale, site.spec.offset)
        scale, offset = (program.array(f"{site.name}_setting", [value]) for value in settings)
        program.call("affine", x, scale, offset, out, site.size, 1)
        return out
