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
    """By turns, the largest first, two calls each; threads that bring less than 3 % are left alone."""
    made = Choice(Clock())
    assert settle(made, {1: 1e-3, 2: two}) == [2, 2, 1, 1] * 3
    assert made.chosen == chosen
    assert [made.wanted() for _ in range(3)] == [chosen] * 3


def test_calls_that_warm_up_and_outliers_do_not_decide(cores):
    """The first call of each turn compiles, wakes, touches new memory; of the others the median counts."""
    two = iter([1.0, 5e-4, 0.01, 0.1, 0.01, 5e-4])
    one = iter([0.01, 1e-3, 1e-4, 2e-4, 1e-4, 1e-3])
    made = Choice(Clock())
    settle(made, {1: one, 2: two})
    assert made.chosen == 2


def test_long_calls_are_measured_less_often(cores):
    made = Choice(Clock())
    assert settle(made, {1: 0.09, 2: 0.05}) == [2, 2, 1, 1]
    assert made.chosen == 2


def test_many_cores_are_tried_by_quarters(cores):
    cores(64)
    made = Choice(Clock())
    assert settle(made, {64: 9e-4, 16: 4e-4, 4: 5e-4, 1: 1e-3})[:8] == [64, 64, 16, 16, 4, 4, 1, 1]
    assert made.chosen == 16


def test_calls_of_other_sizes_count_by_their_work(cores):
    made = Choice(Clock())
    for i in range(12):
        n, work = made.wanted(), 1 + i % 3
        made.note(n, work * {1: 1e-3, 2: 9e-4}[n], work)
    assert made.chosen == 2


class Machine:
    """Makes calls one after the other, on a clock that goes on by what each takes.

    `cost(now, n)` are the seconds of a call with n threads that begins at `now`.
    """

    def __init__(self, cost):
        self.clock, self.calls, self._cost = Clock(), [], cost
        self.clock.now = 0.0
        self.choice = Choice(self.clock)

    def run(self, until):
        """Make calls until that time."""
        while self.clock.now < until:
            n, start = self.choice.wanted(), self.clock.now
            self.clock.now += self._cost(start, n)
            if self.choice.listens:
                self.choice.note(n, self.clock.now - start)
            self.calls.append((start, n, self.clock.now - start))

    def lost(self, start, end, best):
        """Return the share of the time from `start` to `end` that calls took longer than `best`."""
        return sum(seconds - best for at, _, seconds in self.calls if start <= at < end) / (end - start)

    def share(self, start, end, n):
        """Return the share of the time from `start` to `end` that calls with n threads took."""
        return sum(seconds for at, of, seconds in self.calls if start <= at < end and of == n) / (end - start)


def test_a_fit_of_a_second_has_the_right_number(cores):
    """In the first 0.1 s the threads of a BLAS have the other core, and a second thread brings nothing."""
    machine = Machine(lambda now, n: 1e-3 if n == 1 or now < 0.1 else 6e-4)
    machine.run(0.02)
    assert machine.choice.chosen == 1
    machine.run(1.0)
    assert machine.choice.chosen == 2
    assert machine.lost(0.2, 1.0, 6e-4) < 0.01


@pytest.mark.parametrize("two", [3e-4, 6e-4, 2e-3, 6e-3], ids=["gains much", "gains", "loses", "loses much"])
def test_trials_take_a_hundredth_of_the_time(cores, two):
    machine = Machine(lambda now, n: {1: 1e-3, 2: two}[n])
    machine.run(10.0)
    assert 0 < machine.lost(0.1, 10.0, min(1e-3, two)) < 0.01


def test_a_busy_machine_gets_one_thread_soon_and_two_again_afterwards(cores):
    """Another process takes a core for 10 s: every third call with two threads waits for 4 ms."""
    calls = itertools.count()

    def cost(now, n):
        waits = n == 2 and 1.0 <= now < 11.0 and next(calls) % 3 == 0
        return (1e-3 if n == 1 else 5e-4) + 4e-3 * waits

    machine = Machine(cost)
    machine.run(18.0)
    assert machine.share(0.1, 1.0, 2) > 0.98
    assert machine.share(1.0, 1.1, 1) > 0.5
    assert machine.share(2.0, 11.0, 2) < 0.05
    assert machine.share(11.0 + thread_choice.LONGEST_SECONDS + 0.1, 18.0, 2) > 0.98


def test_cores_that_have_rested_change_nothing(cores):
    """Fits of 0.4 s with a second of rest between them: for 0.08 s a second thread loses, as the first trial does."""
    machine = Machine(lambda now, n: 1e-3 if n == 1 else 1.5e-3 if now % 1.4 < 0.08 else 6e-4)
    for start in np.arange(0.0, 14.0, 1.4):
        machine.clock.now = start
        machine.run(start + 0.4)
        assert machine.choice.chosen == 2
        if start:  # the first trial lost 3 ms, so the next one waits for 0.3 s
            assert [n for at, n, _ in machine.calls if at >= start].count(1) <= 12  # those of two trials


def test_single_calls_after_rests_are_measured_now_and_then(cores):
    machine = Machine(lambda now, n: {1: 1e-3, 2: 6e-4 if now < 30 else 2e-3}[n])
    for start in np.arange(0.0, 60.0, 0.5):
        machine.clock.now = start
        machine.run(start + 1e-4)
    numbers = [n for at, n, _ in machine.calls if 6 <= at < 30]
    assert numbers.count(2) > 0.7 * len(numbers)
    assert machine.choice.chosen == 1


def test_one_interruption_changes_nothing(cores):
    machine = Machine(lambda now, n: 1e-3 if n == 1 else 5e-4)
    machine.run(1.5)
    machine.choice.note(2, 4e-3)
    assert machine.choice.chosen == 2
    for _ in range(40):
        machine.choice.note(2, 5e-4)
    assert machine.choice.chosen == 2


def test_a_choice_that_stays_is_looked_at_less_often(cores):
    """Other processes come and go.  A pause is at least a hundred times as long as what the trial lost."""
    clock = Clock()
    made, pauses = Choice(clock), []
    for two in (1.02e-3,) * 9 + (5e-4,):
        settle(made, {1: 1e-3, 2: two})
        start = clock.now
        while not made.is_open_soon():
            made.wanted()  # calls go on: a rest would put the trial off
            clock.now += 0.01
        pauses.append(round(clock.now - start, 1))
    assert pauses == [0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.3]


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
    monkeypatch.setattr(thread_choice, "AGAIN_SECONDS", 1e9)
    note = Choice.note
    monkeypatch.setattr(Choice, "note", lambda self, n, seconds, work: note(self, n, 1e-6 * n * work, work))
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
