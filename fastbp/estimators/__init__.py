"""scikit-learn's multilayer perceptrons on fastbp's engine: change the import, keep the script."""

from fastbp.estimators.classifier import MLPClassifier
from fastbp.estimators.regressor import MLPRegressor

__all__ = ["ESTIMATORS", "MLPClassifier", "MLPRegressor"]

# By the name that a model file gives.
ESTIMATORS = {cls.__name__: cls for cls in (MLPClassifier, MLPRegressor)}


def loaded(tensors, description, custom_objects=None):
    """Return the estimator that a file describes."""
    return ESTIMATORS[description["class"]].from_state(tensors, description, custom_objects)
