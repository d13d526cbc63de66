"""Jobs: addresses without asking the array; one row for all calls of a kind, and not more rows than kinds."""

import numpy as np
import pytest

import fastbp
from fastbp.engine import runner
from fastbp.engine.driver_call import address_of
from fastbp.engine.engine import PREDICT_ROWS, PREDICTION
from fastbp.layers.base import STEP


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
