"""LayerScale: out = x * gamma."""

from fastbp import LayerScale

CASES = [LayerScale(0.5), LayerScale(1e-6, 3, name="small"), LayerScale(2, trainable=False)]
SHAPE = (2, 3)
CHANGES = {"trainable": False}
REFUSED = [
    (LayerScale(0.1, 4), (5, 3), "projection_dim=4.*has 3"),
    (lambda: LayerScale("ones"), None, "init_values='ones'"),
    (lambda: LayerScale(0.1, 0), None, "projection_dim=0"),
]


def outputs(layer, weights, x):
    """x (n, ..., d) -> out (n, ..., d)."""
    return x * weights[0]
