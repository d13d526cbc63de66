"""Rows fetched ahead: the queue names every line of every row, tiles take it to its end, and no result changes."""

import numba
import numpy as np
import pytest

import fastbp
from fastbp.engine.runner import Runner
from fastbp.kernels.ahead import FEW_BYTES, HEADER, queue_rows, queue_size

LINE = 64
fill = numba.njit(lambda *takes: queue_rows(*takes))


@pytest.mark.parametrize("row_bytes", [4, 60, 64, 1280, 1284, 3136, 100_000])
@pytest.mark.parametrize("offset", [0, 16, 60])
def test_queue_names_every_line_of_its_rows_and_no_other_than_the_next(row_bytes, offset):
    order, first, rows = np.array([9, 9, 4, 0, 7, 2]), 2, 3
    source = 1_000_000 * LINE + offset
    most = FEW_BYTES // row_bytes + 1
    queue = np.zeros(max(queue_size(most, row_bytes), 64 * rows * (1 + row_bytes // 1024)), np.int64)
    fill(queue, source, order.ctypes.data, first, rows, row_bytes)
    number, end, lines = queue[:HEADER]
    assert number == HEADER
    assert (end - HEADER) / rows == (queue_size(most, row_bytes) - HEADER) / most  # the room that the plan makes
    fetched = {(start + LINE * i) // LINE for start in queue[HEADER:end] for i in range(lines)}
    starts = [source + int(order[i]) * row_bytes for i in range(first, first + rows)]
    wanted = {line for start in starts for line in range(start // LINE, (start + row_bytes - 1) // LINE + 1)}
    assert wanted <= fetched
    assert len(fetched) <= len(wanted) + rows * (2 + (end - HEADER) // rows)


def test_small_batches_have_no_queue():
    assert queue_size(64, 120) == 0
    assert queue_size(FEW_BYTES // 4096, 4096) == 0
    assert queue_size(FEW_BYTES // 4096 + 1, 4096) > 0


@pytest.fixture
def restored_threads():
    yield
    fastbp.set_num_threads(None)


def train(n_threads, monkeypatch, shuffle=True):
    """Return the weights after two epochs of 5 steps, and the queue as the last call left it."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((640, 512), np.float32), rng.integers(0, 3, 640)
    model = fastbp.Sequential([fastbp.Dense(192, activation="relu"), fastbp.Dense(3)], input_shape=(512,), seed=1)
    model.compile("adam", fastbp.losses.SparseCategoricalCrossentropy(from_logits=True))
    runners, run = [], Runner.run

    def noted_run(runner, *args, **settings):
        runners.append(runner)
        return run(runner, *args, **settings)

    monkeypatch.setattr(Runner, "run", noted_run)
    fastbp.set_num_threads(n_threads)
    model.fit(x, y, epochs=2, batch_size=128, shuffle=shuffle, verbose=0)
    monkeypatch.undo()
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), runners[-1].plan.ahead


def test_tiles_take_the_queue_to_its_end_and_the_last_step_has_none(monkeypatch, restored_threads):
    _, queue = train(1, monkeypatch)
    assert queue.size == queue_size(128, 2048)
    # 512 x 192 / (8 x 32) tiles or more took the pieces of 128 rows; the last step of the call had nothing to fetch.
    assert queue[0] == queue.size
    assert queue[1] == 0


def test_rows_in_order_are_not_queued(monkeypatch, restored_threads):
    _, queue = train(1, monkeypatch, shuffle=False)
    assert not queue[HEADER:].any()


def test_weights_have_the_same_bits_at_any_number_of_threads(monkeypatch, restored_threads):
    weights = [train(n_threads, monkeypatch)[0] for n_threads in (1, 2, 3)]
    assert (weights[0] == weights[1]).all()
    assert (weights[0] == weights[2]).all()
