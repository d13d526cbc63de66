"""scikit-learn's decorators of an estimator's methods, which keep a method's type."""

from collections.abc import Callable

from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from fastbp.engine.exclusive import Method

# scikit-learn has no types: without these `fit` would be Any for type checkers.
settings_checked: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)


def has_batches(mlp):
    """Return True, or raise the AttributeError that hides `partial_fit` where the solver takes no batches."""
    if mlp._takes_all_rows():
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {mlp.solver} is not stochastic."
        )
    return True


where_batches_are: Callable[[Method], Method] = available_if(has_batches)
