"""Why a model predicts what it predicts: methods for `Sequential.explain`, and pictures of what estimators tell.

`methods` are the ways to attribute an output to inputs, `integrated_gradients` integrates gradients, `category_vectors`
parts categories from what is behind them, `subnetwork` cuts a piece out of a network, `statistics` looks into the
layers, `permutation` shuffles columns, `pictures` draws. Names load what they need when they are first used.
"""

from fastbp.settings.lazy_names import late_names

_HOMES = {
    "Attributions": "fastbp.explain.attributions",
    "InputGradients": "fastbp.explain.methods",
    "IntegratedGradients": "fastbp.explain.methods",
    "SmoothGrad": "fastbp.explain.methods",
    "plot_contributions": "fastbp.explain.pictures",
    "plot_importances": "fastbp.explain.pictures",
    "plot_partial_dependence": "fastbp.explain.pictures",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = late_names(__name__, _HOMES)
