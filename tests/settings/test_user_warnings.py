"""Warnings name the user's line, through all that stands between."""

import warnings

import numpy as np
import pytest

import fastbp

X, Y = np.eye(3), np.arange(3.0)


def changed(model):
    """Return a model with a setting that waits."""
    model.layers[0].trainable = False
    return model


def made():
    """Return a small model, compiled."""
    model = fastbp.Sequential([fastbp.Dense(2), fastbp.Dense(1)], input_shape=(3,), seed=0)
    model.compile("sgd", "mean_squared_error")
    return model


def with_other_initializer():
    """Return a model whose weights are drawn already."""
    model = made()
    model.layers[0].kernel_initializer = "zeros"
    return model


CALLS = {
    "fit": lambda folder: changed(made()).fit(X, Y, verbose=0),
    "predict": lambda folder: changed(made()).predict(X),
    "evaluate": lambda folder: changed(made()).evaluate(X, Y),
    "save": lambda folder: changed(made()).save(folder / "model.fastbp"),
    "class_weight": lambda folder: made().fit(X, Y, class_weight={7: 2.0}, verbose=0),
    "initializer": lambda folder: with_other_initializer().compile("sgd", "mean_squared_error"),
    "estimator": lambda folder: fastbp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1).fit(X, Y),
    "batch": lambda folder: fastbp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, batch_size=9).fit(X, Y),
    "partial_fit": lambda folder: fastbp.MLPRegressor(hidden_layer_sizes=(2,), batch_size=9).partial_fit(X, Y),
    "lm": lambda folder: fastbp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, solver="lm", tol=0).fit(X, Y),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_warning_names_the_line_that_called(call, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLS[call](tmp_path)
    assert caught
    assert {warning.filename for warning in caught} == {__file__}
