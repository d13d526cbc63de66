"""Learning-rate schedules against Keras's values, PyTorch's formula and optax."""

import json
import math
from fractions import Fraction

import numpy as np
import optax
import pytest

from fastbp.registry import describe, rebuild
from fastbp.schedules import (
    SCHEDULES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    LogCosine,
    OneCycle,
    PiecewiseConstantDecay,
)

# Values of keras 3.15.1 at these steps; its cosines are in float32.
AT = np.array([0, 1, 4, 5, 8, 11, 17, 23, 29])
KERAS = [
    (PiecewiseConstantDecay([3, 10], [1.0, 0.5, 0.1]), [1.0, 1.0, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]),
    (
        ExponentialDecay(0.1, decay_steps=7, decay_rate=0.6),
        [
            0.1,
            0.09296239874988,
            0.07468429503579,
            0.06942831215471,
            0.05577743924993,
            0.04481057702147,
            0.02892174317191,
            0.01866673637568,
            0.01204792687798,
        ],
    ),
    (
        ExponentialDecay(0.1, decay_steps=7, decay_rate=0.6, staircase=True),
        [0.1, 0.1, 0.1, 0.1, 0.06, 0.06, 0.036, 0.0216, 0.01296],
    ),
    (
        CosineDecay(0.1, decay_steps=20, alpha=0.1),
        [
            0.1,
            0.09944597631693,
            0.09140576422215,
            0.08681981265545,
            0.06890576332808,
            0.04796044901013,
            0.01490470953286,
            0.01,
            0.01,
        ],
    ),
    (
        CosineDecay(0.01, decay_steps=20, alpha=0.1, warmup_target=0.2, warmup_steps=5),
        [0.01, 0.048, 0.162, 0.2, 0.190190577507, 0.1629006743431, 0.08218846321106, 0.02440491765738, 0.02],
    ),
    (
        CosineDecay(0.01, decay_steps=20, warmup_target=0.2),
        [
            0.2,
            0.1987688302994,
            0.1809016942978,
            0.170710682869,
            0.1309016942978,
            0.08435655832291,
            0.01089935302734,
            0.0,
            0.0,
        ],
    ),
    (
        CosineDecayRestarts(0.1, first_decay_steps=5, t_mul=1.0, m_mul=0.8, alpha=0.05),
        [
            0.1,
            0.09092830479145,
            0.01407168954611,
            0.081,
            0.03125735163689,
            0.05999411506653,
            0.03683529205322,
            0.01844376403809,
            0.007972611230469,
        ],
    ),
    (
        CosineDecayRestarts(0.1, first_decay_steps=3, t_mul=1.7, m_mul=0.8, alpha=0.05),
        [
            0.1,
            0.07625,
            0.07401548290253,
            0.05562948179245,
            0.005072073817253,
            0.05050450134277,
            0.05361078216553,
            0.03516899414063,
            0.008395651321411,
        ],
    ),
    (
        CosineDecayRestarts(0.1, first_decay_steps=4),
        [
            0.1,
            0.08535534143448,
            0.1,
            0.09619397521019,
            0.04999999701977,
            0.00380602478981,
            0.07777851223946,
            0.02222149074078,
            0.09975923299789,
        ],
    ),
]
EVERY = [*(schedule for schedule, _ in KERAS), OneCycle(0.1, total_steps=25), LogCosine(0.1, 150)]


def test_every_schedule_is_here():
    assert {type(schedule) for schedule in EVERY} == set(SCHEDULES.values())


@pytest.mark.parametrize(("schedule", "expected"), KERAS, ids=str)
def test_keras_values(schedule, expected):
    exact = isinstance(schedule, (PiecewiseConstantDecay, ExponentialDecay))
    np.testing.assert_allclose(schedule(AT), expected, rtol=1e-12 if exact else 0.0, atol=0.0 if exact else 3e-8)


OPTAX = [
    (ExponentialDecay(0.1, 7, 0.6), optax.exponential_decay(0.1, 7, 0.6)),
    (ExponentialDecay(0.1, 7, 0.6, staircase=True), optax.exponential_decay(0.1, 7, 0.6, staircase=True)),
    (CosineDecay(0.1, 20, alpha=0.1), optax.cosine_decay_schedule(0.1, 20, alpha=0.1)),
    (
        CosineDecay(0.01, 20, alpha=0.1, warmup_target=0.2, warmup_steps=5),
        optax.warmup_cosine_decay_schedule(0.01, 0.2, 5, 25, end_value=0.02),
    ),
    # optax counts from 0 to T and has the top at pct_start * T, PyTorch one step earlier of one more.
    (OneCycle(0.1, 101, pct_start=31 / 101), optax.cosine_onecycle_schedule(100, 0.1, pct_start=0.3)),
]


@pytest.mark.parametrize(("schedule", "other"), OPTAX, ids=[str(schedule) for schedule, _ in OPTAX])
def test_optax(schedule, other):
    steps = np.arange(120)
    np.testing.assert_allclose(schedule(steps), [float(other(s)) for s in steps], rtol=1e-5, atol=1e-8)


def pytorch_one_cycle(step, max_lr, total_steps, pct_start, div_factor, final_div_factor):
    """The loop over phases of torch.optim.lr_scheduler.OneCycleLR.get_lr, anneal_strategy="cos"."""
    initial = max_lr / div_factor
    lowest = initial / final_div_factor
    phases = [(pct_start * total_steps - 1, initial, max_lr), (total_steps - 1, max_lr, lowest)]
    start_step = 0.0
    for i, (end_step, start_lr, end_lr) in enumerate(phases):
        if step <= end_step or i == len(phases) - 1:
            pct = (step - start_step) / (end_step - start_step)
            return end_lr + (start_lr - end_lr) / 2.0 * (math.cos(math.pi * pct) + 1)
        start_step = end_step
    return None


@pytest.mark.parametrize("total_steps", [2, 7, 10, 100])
@pytest.mark.parametrize("pct_start", [0.0, 0.3, 0.55, 0.95, 1.0])
def test_one_cycle_is_pytorchs(total_steps, pct_start):
    schedule = OneCycle(0.3, total_steps, pct_start, div_factor=10.0, final_div_factor=100.0)
    expected = [pytorch_one_cycle(s, 0.3, total_steps, pct_start, 10.0, 100.0) for s in range(total_steps)]
    np.testing.assert_allclose(schedule(np.arange(total_steps)), expected, rtol=1e-10)


def test_one_cycle_stays_at_its_end():
    schedule = OneCycle(1.0, 10)
    np.testing.assert_allclose(schedule(np.array([9, 10, 1000])), 1.0 / 25.0 / 1e4)
    assert np.isfinite(OneCycle(1.0, 10, pct_start=0.1)(np.arange(10))).all()  # the top is at step 0
    assert np.isfinite(OneCycle(1.0, 1)(np.arange(3))).all()


def test_log_cosine_is_realmlp_s_coslog4():
    # pytabkit's CoslogSchedule: 0.5 * (1 - cos(2 pi * log(1 + (2**n_cycles - 1) * t) / log(2)))
    steps = np.arange(1000)
    t = steps / 1000
    expected = 0.04 * (0.5 * (1 - np.cos(2 * np.pi * np.log(1 + 15 * t) / np.log(2))))
    np.testing.assert_allclose(LogCosine(0.04, 1000)(steps), expected, atol=1e-15)
    waves = LogCosine(1.0, 630, cycles=6)(np.arange(2000))
    assert np.flatnonzero(waves < 1e-12).tolist()[:7] == [0, 10, 30, 70, 150, 310, 630]
    assert (waves[630:] < 1e-12).all()


@pytest.mark.parametrize("t_mul", ["1", "1.1", "1.3", "1.5", "1.7", "2", "3", "5", "7"])
@pytest.mark.parametrize("first", [10, 100, 10**6])
def test_restarts_are_at_their_steps(t_mul, first):
    # Restarts in exact arithmetic.  A logarithm alone misses some: log(243) / log(3) is below 5.
    schedule = CosineDecayRestarts(1.0, first, t_mul=float(t_mul), m_mul=0.5)
    start, length = Fraction(0), Fraction(first)
    for restart in range(9):
        if start.denominator == 1:
            np.testing.assert_allclose(schedule(int(start)), 0.5**restart, rtol=1e-9)
            if restart:  # the step before still belongs to the decay before
                assert schedule(int(start) - 1) < 0.5 ** (restart - 1) * 0.1
        start, length = start + length, length * Fraction(t_mul)


def test_a_boundary_still_has_the_value_before_it():
    schedule = PiecewiseConstantDecay([3, 10], [1.0, 0.5, 0.1])
    assert schedule(np.array([3, 4, 10, 11])).tolist() == [1.0, 0.5, 0.5, 0.1]


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_each_rate_depends_on_its_step_only(schedule):
    steps = np.arange(200)
    whole = schedule(steps)
    assert whole.shape == (200,)
    assert whole.dtype == np.float64
    assert np.isfinite(whole).all()
    assert (whole >= 0).all()
    assert np.array_equal(whole, np.concatenate([schedule(part) for part in np.split(steps, [1, 2, 77])]))
    assert np.array_equal(whole, [schedule(int(step)) for step in steps])
    assert np.isfinite(schedule(np.array([10**9])))


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_describe_and_rebuild_through_json(schedule):
    assert rebuild(json.loads(json.dumps(describe(schedule)))) == schedule


def test_numpy_numbers_are_described_too():
    schedule = PiecewiseConstantDecay(np.array([3, 5]), np.array([1.0, 0.5, 0.25], np.float32))
    assert json.loads(json.dumps(describe(schedule)))["settings"]["boundaries"] == [3, 5]
    json.dumps(describe(CosineDecay(np.float32(0.5), np.int64(10))))


ERRORS = [
    (lambda: PiecewiseConstantDecay([1, 2], [1.0, 0.5]), "2 boundaries need 3 values"),
    (lambda: PiecewiseConstantDecay([2, 2], [1.0, 0.5, 0.1]), "increase"),
    (lambda: PiecewiseConstantDecay([2], [1.0, -0.5]), "values"),
    (lambda: ExponentialDecay(0.1, 0, 0.5), r"ExponentialDecay\(decay_steps=0\)"),
    (lambda: ExponentialDecay(float("nan"), 1, 0.5), "initial_learning_rate=nan"),
    (lambda: CosineDecay(0.1, -5), "decay_steps=-5"),
    (lambda: CosineDecay(0.1, 5, alpha=2.0), "alpha=2.0"),
    (lambda: CosineDecay(0.1, 5, warmup_steps=3), "needs a warmup_target"),
    (lambda: CosineDecay(0.1, 5, warmup_target=-1.0), "warmup_target=-1.0"),
    (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul=0.5"),
    (lambda: OneCycle(0.1, 10, pct_start=1.5), "pct_start=1.5"),
    (lambda: OneCycle(0.1, "10"), "total_steps='10'"),
    (lambda: LogCosine(0.1, 0), "total_steps=0"),
    (lambda: LogCosine(0.1, 10, cycles=0), "cycles=0"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS)
def test_errors_name_the_setting(make, message):
    with pytest.raises(ValueError, match=message):
        make()
