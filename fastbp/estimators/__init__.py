"""scikit-learn's multilayer perceptrons on fastbp's engine: change the import, keep the script."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbp.estimators.classifier import MLPClassifier
    from fastbp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]

# By the name that a model file gives.  scikit-learn is imported with them, not with what they minimise.
_HOMES = {"MLPClassifier": "fastbp.estimators.classifier", "MLPRegressor": "fastbp.estimators.regressor"}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def loaded(tensors, description, custom_objects=None):
    """Return the estimator that a file describes."""
    name = description["class"]
    return getattr(import_module(_HOMES[name]), name).from_state(tensors, description, custom_objects)
