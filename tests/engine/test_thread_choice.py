"""How many threads calls have: the choice by measurement, its cost, and that no bit depends on it."""

import itertools

import numpy as np
import pytest

import fastbp
from fastbp.engine import thread_choice, threads
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan
from fastbp.engine.thread_choice import ALL, ONE, Choice, Choices

LAYERS = [fastbp.Dense(64, "relu"), fastbp.Dropout(0.2), fastbp.Dense(64, "tanh"), fastbp.Dense(3, "softmax")]


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def cores(monkeypatch):
    """Return a function that sets how many cores there are."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def set_cores(n):
        monkeypatch.setattr(threads, "available_cores", lambda: n)

    set_cores(2)
    yield set_cores
    threads.set_num_threads(None)


def settle(made, seconds):
    """Make calls until the choice is made; return what it wanted, one after the other."""
    wanted = []
    for _ in range(100):
        n = made.wanted()
        if not made.is_open:
            return wanted
        wanted.append(n)
        times = seconds[n]
        made.note(n, next(times) if hasattr(times, "__next__") else times)
    raise AssertionError("no choice")


@pytest.mark.parametrize(("two", "chosen"), [(0.6e-3, 2), (1.4e-3, 1), (0.98e-3, 1)], ids=["gains", "loses", "same"])
def test_the_faster_number_is_kept(cores, two, chosen):
    """By turns, the largest first; threads that bring less than 3 % are left alone."""
    made = Choice(Clock())
    assert settle(made, {1: 1e-3, 2: two}) == [2, 1] * 6
    assert made.chosen == chosen
    assert [made.wanted() for _ in range(3)] == [chosen] * 3


def test_the_first_call_and_outliers_do_not_decide(cores):
    """The first one compiles and wakes; of the others the median counts."""
    two = iter([1.0, 5e-4, 0.3, 5e-4, 0.3, 5e-4])
    made = Choice(Clock())
    settle(made, {1: 1e-3, 2: two})
    assert made.chosen == 2


def test_long_calls_are_measured_less_often(cores):
    made = Choice(Clock())
    assert settle(made, {1: 0.09, 2: 0.05}) == [2, 1] * 3
    assert made.chosen == 2


def test_many_cores_are_tried_by_quarters(cores):
    cores(64)
    made = Choice(Clock())
    assert settle(made, {64: 9e-4, 16: 4e-4, 4: 5e-4, 1: 1e-3})[:4] == [64, 16, 4, 1]
    assert made.chosen == 16


def test_it_is_looked_at_again_after_a_while(cores):
    """Other processes come and go."""
    clock = Clock()
    made = Choice(clock)
    settle(made, {1: 1e-3, 2: 5e-4})
    clock.now += thread_choice.AGAIN_SECONDS - 0.1
    assert not made.is_open_soon()
    assert made.wanted() == 2
    clock.now += 0.2
    assert made.is_open_soon()
    assert settle(made, {1: 1e-3, 2: 2e-3}) == [2, 1] * 6
    assert made.chosen == 1


def test_a_choice_that_stays_is_looked_at_less_often(cores):
    clock = Clock()
    made, pauses = Choice(clock), []
    for two in (2e-3,) * 7 + (5e-4,):
        settle(made, {1: 1e-3, 2: two})
        start = clock.now
        while not made.is_open_soon():
            clock.now += 1.0
        pauses.append(clock.now - start)
    assert pauses == [5, 10, 20, 40, 80, 80, 80, 5]


def test_a_limit_holds_at_once(cores):
    made = Choice(Clock())
    settle(made, {1: 1e-3, 2: 5e-4})
    threads.set_num_threads(1)
    assert made.wanted() == 1
    assert not made.is_open
    threads.set_num_threads(2)
    settle(made, {1: 1e-3, 2: 2e-3})
    assert made.chosen == 1
    cores(4)
    threads.set_num_threads(4)
    assert made.wanted() == 4
    with threads.limit_threads(1):
        assert made.wanted() == 1


def test_calls_that_got_fewer_threads_do_not_count(cores):
    made = Choice(Clock())
    made.wanted()
    for _ in range(50):
        made.note(1, 1e-3)
    assert made.is_open
    assert made.wanted() == 2


def test_small_and_large_calls_are_not_measured(cores):
    def choices(units, rows):
        network = fastbp.Sequential([fastbp.Dense(units), fastbp.Dense(1)], input_shape=(30,), seed=0).engine.network
        return Choices(Plan(network, rows, 1, np.float32, Purpose(training=True)))

    small, unclear, large = choices(8, 32), choices(64, 1000), choices(2000, 4000)
    assert small.of(10, 32) is ONE
    assert large.of(10, 4000) is ALL
    assert unclear.of(10, 1000) is unclear.of(5, 900) is unclear.of_many
    assert unclear.of(1, 1000, True) is unclear.of(1, 900, True) is not unclear.of(1, 1000, False)
    assert unclear.trial_steps() > 1e9
    unclear.of_many.wanted()
    assert thread_choice.LEAST_STEPS <= unclear.trial_steps() < 100
    assert small.trial_steps() > 1e9 < large.trial_steps()


def trained(wanted, monkeypatch):
    """Train with a forced choice; return all that it made, as bytes."""
    counted = itertools.count()
    monkeypatch.setattr(Choice, "wanted", lambda self: wanted(next(counted)))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((640, 30)).astype(np.float32), rng.integers(0, 3, 640)
    model = fastbp.Sequential(LAYERS, input_shape=(30,), seed=0)
    model.compile(fastbp.Adam(0.01, global_clipnorm=0.1), "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=128, verbose=0).history
    losses = [model.train_on_batch(x[:n], y[:n]) for n in (128, 200, 640)]
    _, grad = model.value_and_grad(x, y)
    made = [model.params, model.engine.state, grad, model.predict(np.tile(x, (8, 1)))]
    return b"".join(part.tobytes() for part in made) + repr((history, losses)).encode(), next(counted)


def test_no_bit_depends_on_the_choice(cores, monkeypatch):
    """Always one thread, always two, by turns: a choice that changes in the middle of a fit changes nothing."""
    cores(3)
    ways = [lambda i: 1, lambda i: 2, lambda i: 3, lambda i: 1 + i % 3]
    results = [trained(way, monkeypatch) for way in ways]
    assert all(made == results[0][0] for made, _ in results)
    assert all(n_choices >= 7 for _, n_choices in results)


def test_a_fit_measures_and_tells(cores, monkeypatch, capsys):
    """With a clock that makes threads lose: a summary tells so, and every call after the choice has one thread."""
    started = []
    run = threads._run_in_threads
    monkeypatch.setattr(threads, "_run_in_threads", lambda function, n: started.append(n) or run(function, n))
    note = Choice.note
    monkeypatch.setattr(Choice, "note", lambda self, n, seconds, steps: note(self, n, 1e-3 * n, steps))
    x, y = np.ones((2560, 30), np.float32), np.zeros(2560)
    model = fastbp.Sequential(LAYERS, input_shape=(30,), seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.summary()
    assert "threads" not in capsys.readouterr().out
    model.fit(x, y, epochs=60, batch_size=128, verbose=0)
    assert started == [2] * 6
    model.summary()
    assert "threads 1 of 2 in training" in capsys.readouterr().out


def test_one_core_measures_nothing(cores, monkeypatch):
    cores(1)
    monkeypatch.setattr(Choice, "note", lambda *_: pytest.fail("measured"))
    model = fastbp.Sequential(LAYERS, input_shape=(30,), seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.ones((640, 30), np.float32), np.zeros(640), batch_size=128, verbose=0)
