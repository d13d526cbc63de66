"""What the engine keeps from call to call, and its look for NaN and infinity."""

import numpy as np
import pytest

import fastbp
from fastbp import Dense
from fastbp.engine import cut as cut_module
from fastbp.engine import runner_pool
from fastbp.engine.runner_pool import MOST_RUNNERS
from fastbp.engine.user_arrays import all_finite

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
def test_all_finite(entries, finite, shape):
    array = np.zeros(shape, np.float32)
    entries = entries[: array.size]
    array.ravel()[-len(entries) :] = entries
    if array.size < 3:
        finite = bool(np.isfinite(array).all())
    assert all_finite(array) is finite


def test_nothing_is_finite():
    assert all_finite(np.zeros(0, np.float32))


def test_batches_of_ever_new_sizes_do_not_pile_up_workspaces(monkeypatch):
    """The last kinds of runners are kept, the oldest go, and one that comes again gives the same numbers."""
    monkeypatch.setattr(cut_module, "room_rows", lambda rows: rows)  # each size has a kind of its own
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0)
    model.compile("sgd", "mean_squared_error")
    x, y = np.ones((40, 3), np.float32), np.ones((40, 2), np.float32)
    first, sizes = model.value_and_grad(x[:1], y[:1])[0], range(1, 3 * MOST_RUNNERS)
    for n in sizes:
        model.value_and_grad(x[:n], y[:n])
        kept = [cut.room_rows for cut, *_ in model.engine._free_runners]
        assert kept == list(sizes)[max(n - MOST_RUNNERS, 0) : n]
    runners = dict(model.engine._free_runners)
    model.value_and_grad(x[:n], y[:n])
    assert model.engine._free_runners == runners
    assert model.value_and_grad(x[:1], y[:1])[0] == first


def test_sizes_that_are_cut_alike_share_a_runner(monkeypatch):
    """And what is known of sizes does not pile up."""
    monkeypatch.setattr(runner_pool, "MOST_SIZES", 10)
    model = fastbp.Sequential([Dense(2)], input_shape=(3,), seed=0)
    model.compile("sgd", "mean_squared_error")
    for n in range(33, 65):
        model.train_on_batch(np.ones((n, 3), np.float32), np.ones((n, 2), np.float32))
        assert len(model.engine._free_runners._of_sizes) <= 10
    [[_]] = model.engine._free_runners.values()


NETWORKS = {
    "sliced": [Dense(9, activation="relu"), fastbp.Dropout(0.3), Dense(3, activation="softmax")],
    "whole batch": [
        Dense(300, activation="relu", kernel_regularizer="l2"),
        Dense(300, activation="tanh"),
        Dense(3, activation="softmax"),
    ],
    "batch statistics": [Dense(9), fastbp.BatchNormalization(), Dense(3, activation="softmax")],
    "tables": [fastbp.Embedding(20, 4, lazy=True), fastbp.Flatten(), Dense(3, activation="softmax")],
}


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_a_shared_runner_gives_the_bits_of_one_of_its_own(layers):
    """Sizes up and down through one model, and each size alone: as a fit of one batch of just that size."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, (150, 5)).astype(np.float32), rng.integers(0, 3, 150)

    def build(weights=None):
        model = fastbp.Sequential(layers, input_shape=(5,), seed=1)
        model.compile(fastbp.SGD(0.01, global_clipnorm=0.1), "sparse_categorical_crossentropy")
        if weights is not None:
            model.set_weights(weights)
        return model

    shared = build()
    for n in (33, 150, 64, 40, 129, 1, 100):
        weights, step = shared.get_weights(), shared.step
        alone, fitted = build(weights), build(weights)
        alone.engine.step = fitted.engine.step = step
        loss = shared.train_on_batch(x[:n], y[:n])
        assert alone.train_on_batch(x[:n], y[:n]) == loss
        history = fitted.fit(x[:n], y[:n], batch_size=n, shuffle=False, verbose=0)
        assert history.history["loss"] == [loss]
        for other in (alone, fitted):
            assert other.params.tobytes() == shared.params.tobytes()
            assert other.engine.buffers.tobytes() == shared.engine.buffers.tobytes()


def test_a_network_without_arithmetic_predicts_its_input():
    model = fastbp.Sequential([fastbp.Dropout(0.5)], input_shape=(3,), seed=0)
    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(model.predict(x), x)
