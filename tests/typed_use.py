"""What type checkers make of a user's program: mypy reads this file with the package, and nothing runs it."""

from typing import TYPE_CHECKING, assert_type

import numpy as np

import fastbp

X, y = [[0.0], [1.0]], [0, 1]

if TYPE_CHECKING:
    assert_type(fastbp.TabularClassifier(), fastbp.TabularClassifier)
    assert_type(fastbp.TabularClassifier("fast").fit(X, y), fastbp.TabularClassifier)
    assert_type(fastbp.TabularClassifier().predict_proba(X), np.ndarray)
    assert_type(fastbp.TabularRegressor().fit(X, y).predict(X), np.ndarray)
    assert_type(fastbp.TabularMultiTask().scores(X, y), dict[str, float])
    assert_type(fastbp.MLPClassifier().fit(X, y).partial_fit(X, y), fastbp.MLPClassifier)
    assert_type(fastbp.MLPRegressor().predict(X), np.ndarray)
    assert_type(fastbp.Sequential([fastbp.Dense(1)]).fit(X, y), fastbp.History)
    assert_type(fastbp.Sequential([]).predict(X), np.ndarray)
    assert_type(fastbp.Dense(3), fastbp.Dense)
    assert_type(fastbp.Adam(), fastbp.Adam)
    assert_type(fastbp.layers.Dense(3), fastbp.Dense)
    assert_type(fastbp.losses.Huber(), fastbp.Huber)
    assert_type(fastbp.callbacks.EarlyStopping(), fastbp.EarlyStopping)
    assert_type(fastbp.distributed.fit(fastbp.Sequential([]), X, y), fastbp.History)
