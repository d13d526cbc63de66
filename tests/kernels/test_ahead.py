"""Memory fetched ahead: queues name every line of it, tiles take them to their ends, and no result changes."""

import ctypes

import numba
import numpy as np
import pytest

import fastbp
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan
from fastbp.engine.runner import Runner
from fastbp.kernels import ahead

LINE = 64
clear = numba.njit(lambda queue: ahead.clear(queue))
add = numba.njit(lambda *takes: ahead.add(*takes))
add_rows = numba.njit(lambda *takes: ahead.add_rows(*takes))


def lines_of(queue, turns):
    """Return the numbers of the lines that tiles of so many turns fetch, one for each turn."""
    fetched = set()
    for place in range(ahead.HEADER, queue[ahead.END], ahead.PIECE):
        start, last = queue[place : place + 2]
        fetched |= {int(start + min(turn * LINE, last)) // LINE for turn in range(turns)}
    return fetched


def pieces(queue):
    """Return the (address, bytes) of each piece."""
    stop = queue[ahead.END]
    return list(
        zip(queue[ahead.HEADER : stop : 2].tolist(), (queue[ahead.HEADER + 1 : stop : 2] + 1).tolist(), strict=True)
    )


@pytest.mark.parametrize("row_bytes", [4, 60, 64, 1280, 1284, 3136, 100_000])
@pytest.mark.parametrize("turns", [7, 64, 128, 300])
def test_queue_names_every_line_of_its_rows_and_no_other(row_bytes, turns):
    order, first, stop = np.array([9, 9, 4, 0, 7, 2]), 2, 5
    source, size = 1_000_000 * LINE, ahead.queue_size(3, row_bytes, 0, turns)
    queue = np.zeros(size, np.int64)
    clear(queue)
    add_rows(queue, source, order.ctypes.data, first, stop, row_bytes, turns)
    assert queue[ahead.END] == size  # the room that the plan makes
    starts = [source + int(order[i]) * row_bytes for i in range(first, stop)]
    assert {address for start in starts for address in range(start, start + row_bytes)} == {
        address for start, n_bytes in pieces(queue) for address in range(start, start + n_bytes)
    }
    wanted = {line for start in starts for line in range(start // LINE, (start + row_bytes - 1) // LINE + 1)}
    if row_bytes % LINE == 0:
        assert lines_of(queue, turns) == wanted
    else:  # of a piece that begins within a line, the last line may be missing
        missing = wanted - lines_of(queue, turns)
        assert len(missing) <= len(pieces(queue)) * (row_bytes > LINE * min(turns, ahead.MOST_LINES) - LINE)
        assert lines_of(queue, turns) <= wanted


def test_what_has_no_room_is_left_out():
    queue = np.zeros(ahead.HEADER + 2 * ahead.PIECE, np.int64)
    clear(queue)
    add(queue, 4096, 100 * LINE, 16)
    assert pieces(queue) == [(4096, 16 * LINE), (4096 + 16 * LINE, 16 * LINE)]


def test_small_batches_are_not_fetched():
    assert ahead.fetched_rows(64, 120) == 0
    assert ahead.fetched_rows(ahead.FEW_BYTES // 4096, 4096) == 0
    assert ahead.fetched_rows(ahead.FEW_BYTES // 4096 + 1, 4096) == ahead.FEW_BYTES // 4096 + 1


@pytest.fixture
def restored_threads():
    yield
    fastbp.set_num_threads(None)


def model_of(sizes, dtype="float32", optimizer="adam"):
    layers = [fastbp.Dense(k, activation="relu") for k in sizes[1:-1]]
    model = fastbp.Sequential([*layers, fastbp.Dense(sizes[-1])], input_shape=(sizes[0],), seed=1, dtype=dtype)
    model.compile(optimizer, fastbp.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def queues_of(plan):
    """Return copies of the queues of the items that have one, by the items' first entries."""
    return {
        int(item["start"]): np.array((ctypes.c_int64 * int(item["ahead_size"])).from_address(int(item["ahead"])))
        for item in plan.items[plan.items["ahead"] > 0]
    }


def train(model, monkeypatch, n_threads=1, shuffle=True, batch_size=128):
    """Return the weights after two epochs of 5 steps, and the runner."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((640, model.engine.network.input_shape[0]), np.float32), rng.integers(0, 3, 640)
    runners, run = [], Runner.run

    def noted_run(runner, *args, **settings):
        runners.append(runner)
        return run(runner, *args, **settings)

    monkeypatch.setattr(Runner, "run", noted_run)
    fastbp.set_num_threads(n_threads)
    model.fit(x, y, epochs=2, batch_size=batch_size, shuffle=shuffle, verbose=0)
    monkeypatch.undo()
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), runners[-1]


@pytest.mark.parametrize("rows", [65, 100, 128, 200])
def test_items_share_the_rows_of_a_batch(rows):
    model = model_of([512, 192, 3])
    plan = Plan(model.engine.network, rows, 1, np.float32, Purpose(training=True), roomy=True)
    shares = [set(range(item["ahead_first"], item["ahead_stop"])) for item in plan.items[plan.items["ahead"] > 0]]
    assert set.union(*shares) >= set(range(rows))
    assert sum(map(len, shares)) == len(set.union(*shares))


def test_rows_of_a_batch_are_queued_once_and_none_in_the_last_step(monkeypatch, restored_threads):
    model = model_of([512, 192, 3])
    _, runner = train(model, monkeypatch)
    queues = queues_of(runner.plan)
    assert len(queues) > 2
    # The last step of a call has no rows to fetch; those of the step before are still in the queue.
    assert {tuple(queue[:2]) for queue in queues.values()} == {(ahead.HEADER, ahead.HEADER)}
    assert sum(np.count_nonzero(queue[ahead.HEADER :: 2]) for queue in queues.values()) == 128


def test_rows_in_order_are_not_queued(monkeypatch, restored_threads):
    _, runner = train(model_of([512, 192, 3]), monkeypatch, shuffle=False)
    assert not any(queue[ahead.HEADER :].any() for queue in queues_of(runner.plan).values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_large_state_is_queued_for_each_item(monkeypatch, restored_threads, optimizer):
    model = model_of([40, 512, 768, 3], optimizer=optimizer)
    _, runner = train(model, monkeypatch)
    engine, queues = model.engine, queues_of(runner.plan)
    assert (engine.params.nbytes + engine.state.nbytes > ahead.STATE_BYTES) == (optimizer == "adam")
    assert queues
    slots = 1 + engine.state.size // engine.params.size if optimizer == "adam" else 0
    for item in runner.plan.items[runner.plan.items["ahead"] > 0]:
        queue, n_bytes = queues[int(item["start"])], 4 * int(item["stop"] - item["start"])
        assert sum(size for _, size in pieces(queue)) == slots * n_bytes
        # The last layer's three columns have no wide tiles.
        taken = queue[ahead.NEXT] == queue[ahead.END]
        assert taken or item["columns"] == 3


def test_small_networks_have_no_queues(monkeypatch, restored_threads):
    _, runner = train(model_of([30, 64, 64, 3]), monkeypatch)
    assert not runner.plan.items["ahead"].any()


@pytest.mark.parametrize("sizes", [[512, 192, 3], [40, 512, 768, 3]])
@pytest.mark.parametrize("batch_size", [128, 100])
def test_weights_have_the_same_bits_at_any_number_of_threads(monkeypatch, restored_threads, sizes, batch_size):
    weights = [train(model_of(sizes), monkeypatch, n_threads, batch_size=batch_size)[0] for n_threads in (1, 2, 3)]
    assert (weights[0] == weights[1]).all()
    assert (weights[0] == weights[2]).all()
