"""An estimator's `coefs_` and `intercepts_`: views that are made when they are asked for, arrays put in their place."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastbp import MLPRegressor

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((100, 60)), RNG.standard_normal(100)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_there_are_no_views_until_somebody_asks(solver):
    """While there are none, predictions keep packed weights."""
    mlp = MLPRegressor(hidden_layer_sizes=100, solver=solver, max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X, Y)
    first = mlp.predict(X)
    parameters = mlp.model_.engine._parameters
    assert parameters.version() is parameters.version() is not None
    np.testing.assert_array_equal(mlp.predict(X), first)
    mlp.coefs_[1][:] *= 2
    mlp.intercepts_[1][:] *= 2
    np.testing.assert_allclose(mlp.predict(X), 2 * first, rtol=1e-12)
    mlp.coefs_[0] *= 0
    assert np.ptp(mlp.predict(X)) == 0
    assert parameters.version() is None


@pytest.mark.parametrize("names", [["coefs_"], ["intercepts_"], ["coefs_", "intercepts_"]])
def test_arrays_put_into_an_estimator_that_nobody_asked_for_its_views(names):
    mlp, other = (MLPRegressor(hidden_layer_sizes=20, random_state=i).partial_fit(X, Y) for i in (0, 1))
    weights = {"coefs_": mlp.model_.get_weights()[::2], "intercepts_": mlp.model_.get_weights()[1::2]}
    for name in names:
        weights[name] = other.model_.get_weights()[name == "intercepts_" :: 2]
        setattr(mlp, name, weights[name])
    expected = np.maximum(X @ weights["coefs_"][0] + weights["intercepts_"][0], 0) @ weights["coefs_"][1]
    np.testing.assert_allclose(mlp.predict(X), expected[:, 0] + weights["intercepts_"][1], rtol=1e-9)
    with pytest.raises(AttributeError, match="'MLPRegressor' object has no attribute 'coef_'"):
        mlp.coef_  # noqa: B018
    assert not hasattr(MLPRegressor(), "coefs_")
