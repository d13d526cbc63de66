"""The tabular estimator that a model file holds."""

from fastbp.tabular.classifier import TabularClassifier
from fastbp.tabular.multitask import TabularMultiTask
from fastbp.tabular.regressor import TabularRegressor

# By the name that a model file gives.
ESTIMATORS = {cls.__name__: cls for cls in (TabularClassifier, TabularMultiTask, TabularRegressor)}


def loaded(tensors, description, custom_objects=None):
    """Return the estimator that `get_state` described."""
    return ESTIMATORS[description["class"]].from_state(tensors, description)
