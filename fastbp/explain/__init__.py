"""Why a model predicts what it predicts: methods for `Sequential.explain`, and pictures of what estimators tell.

`methods` are the ways to attribute an output to inputs, `paths` integrates gradients, `vectors` parts categories from
what is behind them, `parts` cuts a piece out of a network, `statistics` looks into the layers, `permutation` shuffles
columns, `pictures` draws. Names load what they need when they are first used.
"""

from importlib import import_module

_HOMES = {
    "Attributions": "attributions",
    "InputGradients": "methods",
    "IntegratedGradients": "methods",
    "SmoothGrad": "methods",
    "plot_contributions": "pictures",
    "plot_importances": "pictures",
    "plot_partial_dependence": "pictures",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp.explain' has no attribute {name!r}")
    return getattr(import_module(f"fastbp.explain.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*globals(), *__all__})
