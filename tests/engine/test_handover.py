"""Helpers that poll for their next share: what they are handed is made once, or not at all, and never after its end."""

import ctypes
import threading
import time

import numba
import numpy as np
import pytest

import fastbp
from fastbp.compiler.jit import kernel
from fastbp.engine import handover, threads
from fastbp.engine.handover import AWAY, CALLED, FULL, OPEN, STATE, Box
from fastbp.engine.threads import run_together


@kernel
def count(made, number):
    """made[0] += number."""
    if number < 0:
        raise ValueError("less than nothing")
    made[0] += number


class Counting:
    """A function that threads run together: each adds one to `made` (1,)."""

    def __init__(self, number=1):
        self.made, self.number, self.by_python = np.zeros(1, np.int64), number, []

    def call(self, thread, n_threads):
        return count.entry(handover.signature("i8[:] i8")).bind(self.made, self.number if thread else 0)

    def __call__(self, thread, n_threads):
        self.by_python.append(thread)
        self.call(thread, n_threads)()


@pytest.fixture
def polling(monkeypatch):
    """Return a function that has one helper poll for as long as the test wants; it ends with the test."""
    monkeypatch.setattr(handover, "LINGER_SECONDS", 60.0)
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    monkeypatch.setattr(threads, "_idle", [])

    def start():
        run_together(lambda thread, n_threads: None, 2)
        until(lambda: threads._idle and state(threads._idle[0].box) == OPEN)
        return threads._idle[0]

    yield start
    for helper in threads._idle:
        helper.box.hand_over(None, ctypes.c_int64())


def state(box):
    return int(box._numbers[STATE])


def until(condition):
    """Wait until a condition holds."""
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_a_helper_that_polls_makes_the_call_without_python(polling):
    helper, work = polling(), Counting()
    for i in range(1, 50):
        share = threads.Share(work, 1, 2)
        threads._take_idle().help(share)
        assert share.handed.value == 1
        until(lambda: state(helper.box) == OPEN)
        share.wait()
        assert (work.made[0], work.by_python) == (i, [])
    assert threads._idle == [helper]


def test_a_share_is_waited_for_once_whatever_is_raised(polling):
    """A second `wait` gives the helper back no second time."""
    helper = polling()
    share = threads.Share(Counting(), 1, 2)
    threads._take_idle().help(share)
    share.wait()
    share.wait()
    assert threads._idle == [helper]


def test_calls_by_turns_are_handed_over_and_woken_for(polling):
    """Those without a compiled call of their own call the helper to its lock, though it would poll for a minute."""
    helper, work, woken = polling(), Counting(), []
    for _ in range(20):
        both = threading.Barrier(2)

        def wake(thread, n_threads, both=both):
            woken.append(thread)
            both.wait(30)

        run_together(wake, 2)
        until(lambda: threads._idle and state(helper.box) == OPEN)
        run_together(work, 2)
        assert state(helper.box) == OPEN
    assert sorted(woken) == [0] * 20 + [1] * 20
    assert work.by_python == [0] * 20
    assert threads._idle == [helper]


def test_what_a_handed_call_raises_is_raised_by_the_caller(polling):
    helper = polling()
    share = threads.Share(Counting(-1), 1, 2)
    threads._take_idle().help(share)
    until(lambda: state(helper.box) == OPEN)
    with pytest.raises(ValueError, match="less than nothing"):
        share.wait()
    share.wait()
    run_together(Counting(), 2)


def test_a_call_that_is_taken_back_is_not_made():
    """Nobody polls this box."""
    box, work, handed = Box(), Counting(), ctypes.c_int64()
    box._numbers[STATE] = OPEN
    box.hand_over(work.call(1, 2), handed)
    assert (state(box), handed.value) == (FULL, 1)
    assert box.take_back() == 0
    assert (state(box), work.made[0]) == (OPEN, 0)


def test_who_does_not_poll_yet_is_called_to_its_lock():
    box, handed = Box(), ctypes.c_int64()
    box.hand_over(Counting().call(1, 2), handed)
    assert (state(box), handed.value) == (CALLED, 0)
    box.linger()  # returns at once
    assert state(box) == CALLED
    box.leave()
    assert state(box) == AWAY


def test_polling_ends_after_a_while(monkeypatch):
    monkeypatch.setattr(handover, "LINGER_SECONDS", 1e-6)
    box = Box()
    box.linger()
    assert state(box) == AWAY


@numba.njit
def refuse_big(y_true, y_pred, dout):
    if y_true[0] > 100:
        raise ValueError("too big")
    dout[0] = 2 * (y_pred[0] - y_true[0])
    return (y_pred[0] - y_true[0]) ** 2


def test_a_loss_that_raises_in_a_helper_that_polls(small_work, run_threads, monkeypatch):
    """Each row in turn: the caller has some of them, the helper the others."""
    monkeypatch.setattr(handover, "LINGER_SECONDS", 0.05)
    run_threads(2)
    x, y = np.linspace(-1, 1, 1000)[:, None], np.zeros(1000)
    model = fastbp.Sequential([fastbp.Dense(4), fastbp.Dense(1)], input_shape=(1,), seed=0)
    model.compile(loss=fastbp.CustomLoss(refuse_big))
    model.fit(x, y, batch_size=1000, shuffle=False, verbose=0)
    before = model.params.copy()
    for row in range(0, 1000, 99):
        y[row] = 1000
        with pytest.raises(ValueError, match="too big"):
            model.fit(x, y, batch_size=1000, shuffle=False, verbose=0)
        y[row] = 0
        np.testing.assert_array_equal(model.params, before)
    assert threads._busy == 0
    model.fit(x, y, batch_size=1000, shuffle=False, verbose=0)
