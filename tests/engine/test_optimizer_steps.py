"""Coefficients of epochs: made for many epochs at once where the learning rate is a number, with the same bits."""

from dataclasses import dataclass

import numpy as np
import pytest

import fastbp
from fastbp.engine.optimizer_steps import EPOCHS_AHEAD
from fastbp.optimizers.base import Optimizer
from fastbp.schedules import SCHEDULES

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal(40)
# Of 8 rows.
STEPS = 5


@pytest.fixture
def asked(monkeypatch):
    """The numbers of steps whose coefficients were asked for, call by call."""
    numbers, original = [], Optimizer.all_coefficients

    def all_coefficients(self, steps):
        numbers.append(len(steps))
        return original(self, steps)

    monkeypatch.setattr(Optimizer, "all_coefficients", all_coefficients)
    return numbers


def trained(optimizer, epochs, callbacks=()):
    """Return the model and its history."""
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0, dtype="float64")
    model.compile(optimizer, "mean_squared_error")
    return model, model.fit(X, Y, epochs=epochs, batch_size=8, callbacks=list(callbacks), verbose=0)


def test_epochs_of_a_constant_rate_share_coefficients(asked):
    trained(fastbp.Adam(0.01), epochs=50)
    assert asked == [STEPS, EPOCHS_AHEAD]


@pytest.mark.parametrize("more", [{}, {"use_ema": True, "ema_overwrite_frequency": 3}], ids=["alone", "average"])
@pytest.mark.parametrize("kind", [fastbp.Adam, fastbp.Nadam, fastbp.SGD])
def test_the_bits_are_those_of_each_epoch_by_itself(kind, more, monkeypatch):
    """A schedule is asked epoch by epoch; here it is constant.  12 steps are made ahead, so that epochs end within."""
    monkeypatch.setattr("fastbp.engine.optimizer_steps.EPOCHS_AHEAD", 12)
    ahead, history = trained(kind(0.01, **more), epochs=9)
    schedule = fastbp.PiecewiseConstantDecay([], [0.01])
    each, expected = trained(kind(schedule, **more), epochs=9)
    assert history.history == expected.history
    assert ahead.params.tobytes() == each.params.tobytes()
    assert ahead.engine.state.tobytes() == each.engine.state.tobytes()


def test_a_rate_assigned_at_every_epoch_costs_that_epoch_s_coefficients(asked):
    rates = [0.01 / (1 + epoch) for epoch in range(6)]
    _, history = trained(fastbp.SGD(0.01), 6, [fastbp.LearningRateScheduler(lambda epoch, rate: rates[epoch])])
    assert history.history["learning_rate"] == rates
    assert asked == [STEPS] * 6


def test_batches_within_epochs_go_on_with_their_own_numbers(asked):
    """`train_on_batch` between two fits takes its coefficients from those that are there."""
    model, _ = trained(fastbp.Adam(0.01), epochs=2)
    mixed, _ = trained(fastbp.Adam(fastbp.PiecewiseConstantDecay([], [0.01])), epochs=2)
    del asked[:]
    for one in (model, mixed):
        one.train_on_batch(X, Y)
        one.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    assert model.params.tobytes() == mixed.params.tobytes()
    assert asked[:1] == [1], "the first model has all of them"


def test_a_schedule_is_asked_for_no_step_that_no_epoch_makes(monkeypatch):
    """A user's schedule may be a table of as many rates as the training has steps."""
    monkeypatch.setattr(SCHEDULES, "_classes", dict(SCHEDULES._classes))

    @SCHEDULES.register("table")
    @dataclass(frozen=True)
    class Table:
        rates: tuple

        def __call__(self, step):
            return np.asarray(self.rates)[step]

    rates = tuple(0.01 / (1 + np.arange(4 * STEPS)))
    _, history = trained(fastbp.SGD(Table(rates)), epochs=4)
    assert history.history["learning_rate"] == list(rates[STEPS - 1 :: STEPS])
