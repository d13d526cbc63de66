"""Rescaling: out = x * scale + offset."""

from fastbp import Rescaling

CASES = [Rescaling(0.25), Rescaling(-2, 0.5, "range")]
CHANGES = {"scale": 3.0, "offset": 0.25}
REFUSED = [
    (lambda: Rescaling([1.0, 2.0]), None, r"scale=\[1.0, 2.0\].*Scaling"),
    (lambda: Rescaling(float("inf")), None, "scale=inf"),
    (lambda: Rescaling(1.0, "0"), None, "offset='0'"),
]


def outputs(layer, weights, x):
    """x (n, ...) -> out (n, ...)."""
    return x * layer.scale + layer.offset
