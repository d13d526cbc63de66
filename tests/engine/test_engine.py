"""What the engine keeps from call to call, and its look for NaN and infinity."""

import numpy as np
import pytest

import fastbp
from fastbp.engine.engine import MOST_RUNNERS
from fastbp.engine.snapshot import is_finite

MOST = np.finfo(np.float32).max


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 100)])
@pytest.mark.parametrize(
    ("entries", "finite"),
    [
        ([1.0], True),
        ([np.nan], False),
        ([np.inf], False),
        ([-np.inf], False),
        # The sum of infinities of both signs is NaN, that of large numbers infinite.
        ([np.inf, -np.inf], False),
        ([MOST, MOST, MOST], True),
        ([-MOST, -MOST, -MOST], True),
        ([MOST, MOST, np.nan], False),
        ([MOST, MOST, np.inf], False),
        ([MOST, MOST, -np.inf], False),
    ],
)
def test_is_finite(entries, finite, shape):
    array = np.zeros(shape, np.float32)
    entries = entries[: array.size]
    array.ravel()[-len(entries) :] = entries
    if array.size < 3:
        finite = bool(np.isfinite(array).all())
    assert is_finite(array) is finite


def test_nothing_is_finite():
    assert is_finite(np.zeros(0, np.float32))


def test_batches_of_ever_new_sizes_do_not_pile_up_workspaces():
    """The last kinds of runners are kept, the oldest go, and one that comes again gives the same numbers."""
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0)
    model.compile("sgd", "mean_squared_error")
    x, y = np.ones((40, 3), np.float32), np.ones((40, 2), np.float32)
    first, sizes = model.value_and_grad(x[:1], y[:1])[0], range(1, 3 * MOST_RUNNERS)
    for n in sizes:
        model.value_and_grad(x[:n], y[:n])
        kept = [key[0] for key in model.engine._free_runners]
        assert kept == list(sizes)[max(n - MOST_RUNNERS, 0) : n]
    runners = dict(model.engine._free_runners)
    model.value_and_grad(x[:n], y[:n])
    assert model.engine._free_runners == runners
    assert model.value_and_grad(x[:1], y[:1])[0] == first
