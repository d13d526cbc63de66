"""Helpers that poll for their next share: what they are handed is made once, or not at all, and never after its end."""

import ctypes
import gc
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import fastbp
from fastbp.compiler.atomics import sleep
from fastbp.compiler.jit import kernel
from fastbp.engine import handover, threads
from fastbp.engine.handover import AWAY, CALLED, FULL, OPEN, RESTS_UNTIL, STATE, Box
from fastbp.engine.threads import run_together
from tests.engine.test_threads import refuse_big


@kernel
def count(made, number):
    """made[0] += number."""
    if number < 0:
        raise ValueError("less than nothing")
    made[0] += number


@kernel
def doze(microseconds):
    """Have no core for a while."""
    sleep(microseconds)


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
    """Return a function that has one helper poll for as long as the test wants, also on a busy machine."""
    monkeypatch.setattr(handover, "_LINGER", 60 * 10**9)
    monkeypatch.setattr(handover, "_REST", 0)
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


def test_a_helper_keeps_what_it_was_handed_until_it_is_waited_for(polling):
    """Where a handler raises before the caller waits, the helper may still read the slots of its call."""
    polling()
    share = threads.Share(Counting(), 1, 2)
    alive = weakref.ref(share.call._slots)
    helper = threads._take_idle()
    helper.help(share)
    del share
    assert alive() is not None
    until(lambda: state(helper.box) == OPEN)
    helper.given.wait()
    gc.collect()
    assert alive() is None
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


def test_a_helper_that_had_not_begun_rests(monkeypatch):
    """Another process has its core: it does not poll, which would use up its share of that, until some time is over."""
    monkeypatch.setattr(handover, "_LINGER", 60 * 10**9)
    box = Box()
    box._numbers[STATE] = OPEN
    box.hand_over(Counting().call(1, 2), ctypes.c_int64())
    before = time.monotonic_ns()
    box.take_back()
    assert box._numbers[RESTS_UNTIL] >= before + handover.REST_SECONDS * 1e9
    box._numbers[RESTS_UNTIL] += 60 * 10**9
    box.leave()
    box.linger()  # returns at once
    assert state(box) == AWAY


@pytest.mark.skipif(sys.platform == "win32", reason="reads the time that a thread has had a core")
def test_a_helper_that_had_no_core_in_its_call_rests(monkeypatch):
    """Its caller waits for it then, 3 ms on Linux, each time that it has used up its share of the core."""
    monkeypatch.setattr(handover, "_LINGER", 60 * 10**9)
    # A rest of no length, so that the helper goes on.
    monkeypatch.setattr(handover, "_REST", 0)
    box, handed = Box(), ctypes.c_int64()
    helper = threading.Thread(target=box.linger)
    helper.start()
    until(lambda: state(box) == OPEN)
    call, before = doze.entry(handover.signature("i8")).bind(20_000), time.monotonic_ns()
    box.hand_over(call, handed)
    until(lambda: state(box) == OPEN)
    box.hand_over(None, handed)
    helper.join(30)
    assert handed.value == 1
    assert box._numbers[RESTS_UNTIL] >= before + 20e6


def test_who_does_not_poll_yet_is_called_to_its_lock():
    box, handed = Box(), ctypes.c_int64()
    box.hand_over(Counting().call(1, 2), handed)
    assert (state(box), handed.value) == (CALLED, 0)
    box.linger()  # returns at once
    assert state(box) == CALLED
    box.leave()
    assert state(box) == AWAY


def test_polling_ends_after_a_while(monkeypatch):
    monkeypatch.setattr(handover, "_LINGER", 1000)
    box = Box()
    box.linger()
    assert state(box) == AWAY


def test_a_loss_that_raises_in_a_helper_that_polls(small_work, run_threads, monkeypatch):
    """Each row in turn: the caller has some of them, the helper the others."""
    monkeypatch.setattr(handover, "_LINGER", 5 * 10**7)
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
