"""Random Keras models and what `from_keras` makes of them: the same figures, steps and epochs, or a reason why not.

Here a few; by hand as many as one likes, with a table of what was refused and why:

    FASTBP_KERAS_MODELS=200 python -m pytest -n 0 -s tests/interop/test_keras_random.py
"""

import os
import re
from collections import Counter

import numpy as np
import pytest

import fastbp
from tests.interop.keras_cases import BATCH, case_of

LONG = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}
# What comes of the first models, so that none is refused that agreed.
EXPECTED = [
    *("agrees", "agrees", "polynomial_decay", "agrees", "Conv1D. ends the mask", "thresholds"),
    *("BatchNormalization.*statistics", "metric 'Accuracy'", "agrees", "agrees", "agrees", "agrees"),
]
MODELS = int(os.environ.get("FASTBP_KERAS_MODELS", str(len(EXPECTED))))

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
    pytest.mark.filterwarnings("ignore:Layer '.*was passed an input with a mask"),
]


def arrays(model):
    """Return copies of a Keras model's weights."""
    return [np.array(variable.value) for variable in model.weights]


def assert_same_weights(ours, theirs, what):
    """Compare all weights."""
    for found, variable in zip(fastbp.to_keras_weights(ours, theirs), theirs.weights, strict=True):
        expected = np.asarray(variable.value)
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4, err_msg=f"{what}: {variable.path}")


def assert_same_figures(found, expected, what):
    """Compare losses and metrics by Keras's names, of which fastbp has the long ones."""
    found = {name: found[name] for name in found if name != "learning_rate"}
    expected = {LONG.get(name, name): value for name, value in expected.items()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{what}: {name}")


def trained_alike(case, ours):
    """Train both, and compare evaluate, one step, and an epoch."""
    theirs, data = case.model, (case.x, case.y)
    # The first batch only: for every number of rows JAX compiles anew.
    weight = None if case.sample_weight is None else case.sample_weight[:BATCH]
    batch, settings = (case.x[:BATCH], case.y[:BATCH]), {"sample_weight": weight, "return_dict": True, "verbose": 0}
    assert_same_figures(ours.evaluate(*batch, **settings), theirs.evaluate(*batch, **settings), "evaluate")
    before = arrays(theirs)
    ours.train_on_batch(*batch, weight)
    theirs.train_on_batch(*batch, weight)
    assert_same_weights(ours, theirs, "one step")
    assert max(np.abs(a - b).max() for a, b in zip(before, arrays(theirs), strict=True)) > 1e-3
    settings = {"sample_weight": case.sample_weight, "class_weight": case.class_weight, "batch_size": BATCH}
    settings |= {"epochs": 1, "shuffle": False, "verbose": 0}
    expected, found = theirs.fit(*data, **settings).history, ours.fit(*data, **settings).history
    assert_same_weights(ours, theirs, "an epoch")
    if ours.engine.network.output_masking is not None:
        # On its way through jax.value_and_grad Keras's output loses its mask, which metrics read then in evaluate only.
        expected, found = {"loss": expected["loss"]}, {"loss": found["loss"]}
    assert_same_figures(found, expected, "history")
    settings = {"sample_weight": weight, "return_dict": True, "verbose": 0}
    assert_same_figures(ours.evaluate(*batch, **settings), theirs.evaluate(*batch, **settings), "evaluate again")


def outcome(seed):
    """Return "agrees", or the reason why the model, or what it is compiled with, is refused."""
    case = case_of(seed)
    try:
        ours = fastbp.from_keras(case.model, seed=0)
    except ValueError as error:
        return f"not converted: {error}"
    outputs = ours.predict(case.x)[:BATCH]
    np.testing.assert_allclose(outputs, np.asarray(case.model(case.x[:BATCH])), rtol=1e-4, atol=1e-5)
    if ours.why_not_compiled:
        return f"not compiled: {ours.why_not_compiled.partition(': ')[2]}"
    trained_alike(case, ours)
    return "agrees"


@pytest.fixture(scope="module")
def outcomes():
    found = Counter()
    yield found
    print("", *(f"{times:5d} {reason[:150]}" for reason, times in found.most_common()), sep="\n")


@pytest.mark.parametrize("seed", range(MODELS))
def test_random_models_agree_or_are_refused_with_the_reason(seed, outcomes):
    result = outcome(seed)
    outcomes[result] += 1
    if seed < len(EXPECTED):
        assert re.search(EXPECTED[seed], result)
    else:
        assert result == "agrees" or len(result.partition(": ")[2]) > 20
