"""Jobs: addresses without asking the array; one row for all calls of a kind, and not more rows than kinds."""

from dataclasses import dataclass

import numpy as np
import pytest

import fastbp
import fastbp.engine.plan
from fastbp.engine import runner
from fastbp.engine.driver_call import address_of
from fastbp.engine.engine import PREDICT_ROWS, PREDICTION
from fastbp.layers.base import STEP
from fastbp.schedules import SCHEDULES


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", STEP], ids=str)
def test_address_of(dtype):
    array = np.zeros((6, 4), dtype)
    for part in (array, array[2:], array[3:3], array.T, array.reshape(-1)[5:]):
        assert address_of(part) == part.ctypes.data


def test_address_of_a_memory_map(tmp_path):
    array = np.memmap(tmp_path / "x", "float32", "w+", shape=(10, 3))
    assert address_of(array[4:]) == array[4:].ctypes.data


def test_predictions_share_a_job():
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0)
    for n in (1, 7, 300):
        model.predict(np.ones((n, 3)))
    with model.engine.runner(PREDICT_ROWS, PREDICTION) as lent:
        assert len(lent._jobs) == 1


def test_settings_that_change_do_not_pile_up_jobs():
    """And take effect: a run whose decay changes every epoch is the same as many runs."""
    x, y = np.ones((8, 3)), np.ones(8)

    class Decay(fastbp.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.engine.optimizer.weight_decay = 0.01 * (epoch + 1)

    model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    model.compile(fastbp.SGD(0.1, weight_decay=0.01), "mean_squared_error")
    model.fit(x, y, epochs=2 * runner.MOST_JOBS, batch_size=4, callbacks=[Decay()], verbose=0)
    [[lent]] = model.engine._free_runners.values()
    assert len(lent._jobs) <= runner.MOST_JOBS
    one_by_one = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    one_by_one.compile(fastbp.SGD(0.1, weight_decay=0.01), "mean_squared_error")
    for epoch in range(2 * runner.MOST_JOBS):
        if one_by_one.engine is not None:
            one_by_one.engine.optimizer.weight_decay = 0.01 * (epoch + 1)
        one_by_one.fit(x, y, batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.params, one_by_one.params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_few_rows_take_the_shorter_way_with_the_same_bits(dtype):
    """Few rows and many by turns, weights that change in place and by set_weights, a model compiled anew."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 7)).astype(dtype)
    layers = [fastbp.Dense(9, "relu"), fastbp.Dense(2, "softmax")]
    model = fastbp.Sequential(layers, input_shape=(7,), seed=0, dtype=dtype)
    few = fastbp.engine.plan.Plan(model.engine.network, PREDICT_ROWS, 0, dtype, PREDICTION).few_rows()
    assert 100 < few < 5000
    for _ in range(3):
        expected = model.predict(x)
        for n in (1, 5, few, few + 1, 1):
            assert model.predict(x[:n]).tobytes() == expected[:n].tobytes()
        assert model.predict(x[10:12]).tobytes() == expected[10:12].tobytes()
        model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
        model.compile("adam", "categorical_crossentropy")
        model.params[0] += 1


def test_a_few_rows_of_a_stateful_or_normalised_network():
    """What has buffers goes the long way."""
    stateful = fastbp.Sequential([fastbp.GRU(2, stateful=True, batch_size=3)], input_shape=(4, 1), seed=0)
    x = np.ones((3, 4, 1), np.float32)
    assert (stateful.predict(x) != stateful.predict(x)).any()
    model = fastbp.Sequential([fastbp.BatchNormalization()], input_shape=(1,), seed=0)
    for mean in (0.0, 3.0):
        model.views["batchnormalization/moving_mean"][:] = mean
        np.testing.assert_allclose(model.predict([[4.0]]), (4 - mean) / np.sqrt(1.001), rtol=1e-6)


def test_a_reader_sees_an_optimizers_settings_of_now():
    """Coefficients are made ahead: what is assigned between two batches holds from the next one on."""
    x, y = np.ones((4, 1)), np.ones(4)
    model = fastbp.Sequential([fastbp.Dense(1, use_bias=False)], input_shape=(1,), seed=0, dtype="float64")
    model.compile(fastbp.SGD(0.25), "mean_squared_error")
    for rate in (0.25, 0.25, 0.125, 0.125, 0.125, 0.5):
        model.optimizer.learning_rate = rate
        weight = model.params[0]
        model.train_on_batch(x, y)
        assert model.params[0] == pytest.approx(weight - rate * 2 * (weight - 1), rel=1e-15)
    schedule = fastbp.PiecewiseConstantDecay([10, 40], [0.5, 0.25, 0.0])
    model.compile(fastbp.SGD(schedule), "mean_squared_error")
    for step in range(45):
        model.params[0] = 3.0
        model.train_on_batch(x, y)
        assert model.params[0] == 3 - 4 * float(schedule(step))


def test_a_schedule_whose_settings_are_assigned_to_is_asked_at_every_batch(monkeypatch):
    """A user's schedule need not be frozen as fastbp's are, and nothing counts what is assigned to it."""
    monkeypatch.setattr(SCHEDULES, "_classes", dict(SCHEDULES._classes))

    @SCHEDULES.register("assigned")
    @dataclass
    class Assigned:
        rate: float = 0.1

        def __call__(self, steps):
            return np.full(np.shape(steps), self.rate)

    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    model.compile(fastbp.SGD(Assigned()), "mean_squared_error")
    x, y = np.ones((8, 2)), np.full(8, 5.0)
    for _ in range(3):
        model.train_on_batch(x, y)
    before = model.params.copy()
    model.optimizer.learning_rate.rate = 0.0
    model.train_on_batch(x, y)
    np.testing.assert_array_equal(model.params, before)
    model.optimizer.learning_rate.rate = 0.1
    model.train_on_batch(x, y)
    assert (model.params != before).any()
