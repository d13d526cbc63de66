"""Every optimizer and setting: trajectories against the NumPy reference, Keras's values and optax."""

import dataclasses
import json
import platform
import re

import jax
import numba
import numpy as np
import optax
import pytest

from fastbp.compiler.jit import compiled_address
from fastbp.compiler.records import record_type
from fastbp.compiler.signatures import signature
from fastbp.optimizers import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Nadam,
    RMSprop,
)
from fastbp.optimizers.base import OPT_HEADER
from fastbp.registry import describe, rebuild
from fastbp.schedules import CosineDecay, ExponentialDecay, PiecewiseConstantDecay
from tests.reference.optimizers import UPDATES, trajectory

jax.config.update("jax_enable_x64", True)

STEPS = 50
KEPT = ("clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps")
COMMON = ("learning_rate", "weight_decay", "clipvalue", "global_clipnorm", *KEPT)
VARIANTS = [
    *(cls() for cls in OPTIMIZERS.values()),
    SGD(momentum=0.9),
    SGD(0.1, momentum=0.8, nesterov=True),
    SGD(ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5), momentum=0.5),
    Adagrad(0.05, initial_accumulator_value=0.0, epsilon=1e-3),
    RMSprop(rho=0.8, epsilon=1e-3),
    RMSprop(momentum=0.9),
    RMSprop(centered=True),
    RMSprop(momentum=0.9, centered=True),
    Adam(0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-4),
    Adam(beta_1=0.0, beta_2=0.9),
    Adam(beta_2=0.9, amsgrad=True),
    AdamW(CosineDecay(0.0, 30, warmup_target=0.01, warmup_steps=10), weight_decay=0.1),
    Nadam(0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-4),
    Lion(beta_1=0.5, beta_2=0.8),
]


def name_of(optimizer):
    changed = [
        f"{f.name}={getattr(optimizer, f.name)}"
        for f in dataclasses.fields(optimizer)
        if getattr(optimizer, f.name) != f.default
    ]
    return f"{optimizer.name}({','.join(changed)})"


every_variant = pytest.mark.parametrize("optimizer", VARIANTS, ids=name_of)
every_optimizer = pytest.mark.parametrize("name", list(OPTIMIZERS))


def problem(size, seed=0, steps=STEPS):
    """Return parameters (size,) and gradients (steps, size) with scales from 1e-3 to 1e2."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(size), rng.standard_normal((steps, size)) * 10.0 ** rng.uniform(-3, 2, size)


def run(optimizer, p, grads, dtype="float64", factor=1.0, pieces=None):
    """Return the parameters after each step, (steps, P), and the state, through the kernel; weight decay before it."""
    p, grads = np.array(p, dtype), np.array(grads, dtype)
    t = np.arange(1, len(grads) + 1)
    coefficients = optimizer.coefficients(t, optimizer.learning_rates(t))
    state, record, path = optimizer.init_state(p.size, dtype), optimizer.record(0)[0], []
    for c, g in zip(coefficients, grads, strict=True):
        p *= p.dtype.type(1.0 - (optimizer.weight_decay or 0.0) * c[0] * factor)
        for start, stop in pieces or [(0, p.size)]:
            optimizer.kernel(record, c, factor, p, g, state, start, stop)
        path.append(p.copy())
    return np.array(path), state


def settings_of(optimizer):
    return {f.name: getattr(optimizer, f.name) for f in dataclasses.fields(optimizer) if f.name not in COMMON}


def expected_path(optimizer, p, grads):
    lrs = optimizer.learning_rates(np.arange(1, len(grads) + 1))
    return trajectory(optimizer.name, settings_of(optimizer), p, grads, lrs, optimizer.weight_decay)


@every_optimizer
def test_has_a_reference(name):
    assert name in UPDATES


@every_variant
def test_trajectory_float64(optimizer):
    p, grads = problem(37)
    path, _ = run(optimizer, p, grads)
    np.testing.assert_allclose(path, expected_path(optimizer, p, grads), rtol=1e-12, atol=1e-13)


@every_variant
def test_trajectory_float32(optimizer):
    p, grads = (a.astype(np.float32) for a in problem(37))
    path, _ = run(optimizer, p, grads, "float32")
    expected = expected_path(optimizer, p, grads)
    # Of the distance travelled, plus the rounding of the parameters themselves.
    travelled = np.abs(np.diff(expected, axis=0, prepend=p[None].astype(float))).cumsum(axis=0)
    error = np.abs(path - expected)
    assert path.dtype == np.float32
    assert np.all(error <= 2e-5 * travelled + STEPS * 6e-8 * np.maximum(np.abs(expected), np.abs(p)))


# Parameters after 50 steps of keras 3.15.1 (float64) on `keras_problem`.
KERAS = [
    (SGD(), [0.540835917484, -0.4159784893989, -0.9879260510727, -0.7122123901261, 0.7213691249993]),
    (SGD(momentum=0.9), [0.5559467431248, -0.4043836983144, -1.00023386276, -0.7491193633043, 1.351442400341]),
    (
        SGD(momentum=0.9, nesterov=True),
        [0.554915911015, -0.4053916649895, -0.9971432806166, -0.7981405583228, 1.682371318389],
    ),
    (Adagrad(), [0.5405317990134, -0.4160871238715, -0.9903140838797, -0.6542555195996, 0.2842587830117]),
    (RMSprop(), [0.5405853891815, -0.4164448973965, -0.9913417130639, -0.6559554464843, 0.2857894935044]),
    (RMSprop(momentum=0.9), [0.5480559556756, -0.4150952805958, -1.006147116744, -0.6700540443425, 0.3004500560562]),
    (RMSprop(centered=True), [0.5406136576026, -0.416474649579, -0.9915542006382, -0.6561249001326, 0.2859636602727]),
    (
        RMSprop(momentum=0.9, centered=True),
        [0.5482995787769, -0.4154699854713, -1.008251734208, -0.6717247854674, 0.3021776916035],
    ),
    (Adam(), [0.5410439807602, -0.4161701408658, -0.9909292152037, -0.6546219438211, 0.2846801898571]),
    (Adam(amsgrad=True), [0.5410439493298, -0.4161701330903, -0.990929258444, -0.6546219329451, 0.2846801763277]),
    (AdamW(), [0.5409358457477, -0.4160868653934, -0.990731048827, -0.6544910466449, 0.2846232729025]),
    (Nadam(), [0.5408277891454, -0.4159753428693, -0.9904615168734, -0.6544198833011, 0.2844208709686]),
    (Lion(), [0.5403023058681, -0.4161468365471, -0.9979924966004, -0.6596436208636, 0.2816621854632]),
]


def keras_problem():
    t, i = np.arange(1, 51)[:, None], np.arange(1, 6)
    return np.cos(np.arange(1.0, 6.0)), np.sin(t * i * 0.7) * 10.0 ** (i - 3) + 0.3 * np.cos(t + 0 * i)


@pytest.mark.parametrize(("optimizer", "expected"), KERAS, ids=[name_of(o) for o, _ in KERAS])
def test_keras_values(optimizer, expected):
    path, _ = run(optimizer, *keras_problem())
    np.testing.assert_allclose(path[-1], expected, rtol=1e-12)


# Keras's bias-corrected formulas are optax's only for epsilon = 0; its AMSGrad and Nadam are others.
OPTAX = [
    (SGD(0.1), optax.sgd(0.1)),
    (SGD(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    (SGD(0.1, momentum=0.9, nesterov=True), optax.sgd(0.1, momentum=0.9, nesterov=True)),
    # optax's own exponential_decay is in float32.
    (SGD(ExponentialDecay(0.1, 10, 0.5)), optax.sgd(lambda count: 0.1 * 0.5 ** (count.astype("float64") / 10))),
    (Adagrad(0.1), optax.adagrad(0.1)),
    (RMSprop(0.01, epsilon=1e-5), optax.rmsprop(0.01, decay=0.9, eps=1e-5)),
    (RMSprop(0.01, momentum=0.9), optax.rmsprop(0.01, decay=0.9, eps=1e-7, momentum=0.9)),
    (RMSprop(0.01, centered=True), optax.rmsprop(0.01, decay=0.9, eps=1e-7, centered=True)),
    (Adam(0.01, epsilon=0.0), optax.adam(0.01, eps=0.0)),
    (AdamW(0.01, 0.1, epsilon=0.0), optax.adamw(0.01, eps=0.0, weight_decay=0.1)),
    (Lion(0.01, weight_decay=0.1), optax.lion(0.01, weight_decay=0.1)),
]


@pytest.mark.parametrize(("optimizer", "other"), OPTAX, ids=[name_of(o) for o, _ in OPTAX])
def test_optax(optimizer, other):
    p, grads = problem(7)
    path, _ = run(optimizer, p, grads)
    params = jax.numpy.asarray(p)
    state, update = other.init(params), jax.jit(other.update)
    for g, ours in zip(grads, path, strict=True):
        updates, state = update(jax.numpy.asarray(g), state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(ours, params, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_variant
def test_slices_have_the_same_bits(optimizer, dtype):
    p, grads = problem(101, steps=5)
    whole, whole_state = run(optimizer, p, grads, dtype)
    pieces = [(64, 101), (0, 1), (1, 4), (4, 33), (33, 33), (33, 64)]
    cut, cut_state = run(optimizer, p, grads, dtype, pieces=pieces)
    assert np.array_equal(whole, cut)
    assert np.array_equal(whole_state, cut_state)
    part, part_state = run(optimizer, p, grads, dtype, pieces=[(10, 50)])
    outside = np.r_[0:10, 50:101]
    if not optimizer.weight_decay:  # `run` decays all
        assert np.array_equal(part[-1, outside], p.astype(dtype)[outside])
    start = optimizer.init_state(101, dtype).reshape(-1, 101)
    assert np.array_equal(part_state.reshape(-1, 101)[:, outside], start[:, outside])


@every_optimizer
def test_factor_multiplies_the_learning_rate(name):
    p, grads = problem(9, steps=5)
    twice, _ = run(OPTIMIZERS[name](0.01), p, grads, factor=2.0)
    np.testing.assert_allclose(twice, run(OPTIMIZERS[name](0.02), p, grads)[0], rtol=1e-12)
    fixed, _ = run(OPTIMIZERS[name](0.01), p, grads, factor=0.0)
    assert np.array_equal(fixed[-1], p)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_variant
def test_nan_survives_where_it_is(optimizer, dtype):
    p, grads = problem(43, steps=3)
    clean = run(optimizer, p, grads, dtype)[0][-1]
    bad = [3, 17, 42]  # vector lanes and the scalar rest
    grads[0, bad] = np.nan
    last = run(optimizer, p, grads, dtype)[0][-1]
    others = np.delete(np.arange(43), bad)
    if not (callable(optimizer.learning_rate) and optimizer.learning_rate(0) == 0):
        assert np.isnan(last[bad]).all()
    assert np.array_equal(last[others], clean[others])


@every_variant
def test_nan_in_the_state_survives(optimizer):
    p, grads = problem(19, steps=1)
    t = np.array([5])
    c = optimizer.coefficients(t, optimizer.learning_rates(t))[0]
    for slot in range(optimizer.n_slots()):
        state = optimizer.init_state(19, "float64")
        state[slot * 19 : (slot + 1) * 19] = np.nan
        after = p.copy()
        optimizer.kernel(optimizer.record(0)[0], c, 1.0, after, grads[0], state, 0, 19)
        assert np.isnan(after).all(), slot


def test_centered_variance_is_never_negative():
    # A steady gradient: v - a * a is 0, below it by rounding for a tenth of the entries after 134 steps in
    # float32, and Keras's root of that is NaN.
    grads = np.tile(np.random.default_rng(0).uniform(1.0, 10.0, 500), (200, 1))
    path, state = run(RMSprop(centered=True), np.zeros(500), grads, "float32")
    assert np.any(state[:500] - state[500:] ** 2 < -1e-7), "the case does not arise"
    assert np.isfinite(path).all()


@every_variant
def test_coefficients_depend_on_their_step_only(optimizer):
    t = np.r_[1:1500, 100_000, 10**9]
    whole = optimizer.coefficients(t, optimizer.learning_rates(t))
    assert whole.dtype == np.float64
    assert whole.flags.c_contiguous
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[:, 0], optimizer.learning_rates(t))
    for cut in (np.split(t, [1, 7, 500, 501]), t[::37, None], t[::-1, None]):
        for part in cut:
            rows = optimizer.coefficients(part, optimizer.learning_rates(part))
            assert np.array_equal(rows, whole[np.searchsorted(t, part)])


def test_nadam_momentum_product_past_its_table():
    nadam = Nadam(beta_1=0.9999)
    t = np.arange(1.0, 3000.0)
    expected = np.cumprod(0.9999 * (1 - 0.5 * 0.96**t))
    np.testing.assert_allclose(nadam._momentum_product(t), expected, rtol=1e-12)


def test_learning_rates_follow_the_schedule_from_step_0():
    schedule = PiecewiseConstantDecay([1], [1.0, 0.5])
    np.testing.assert_array_equal(SGD(schedule).learning_rates(np.arange(1, 5)), [1.0, 1.0, 0.5, 0.5])
    np.testing.assert_array_equal(SGD(0.5).learning_rates(np.arange(1, 3)), [0.5, 0.5])


@every_variant
def test_describe_and_rebuild_through_json(optimizer):
    rebuilt = rebuild(json.loads(json.dumps(describe(optimizer))))
    assert rebuilt == optimizer
    assert type(rebuilt) is type(optimizer)


def test_numpy_numbers_are_described_too():
    optimizer = Adam(np.float32(0.5), beta_1=np.float64(0.5), clipvalue=np.int64(3))
    assert json.loads(json.dumps(describe(optimizer)))["settings"]["learning_rate"] == 0.5


@every_variant
def test_row_and_address(optimizer):
    named = {"f": np.dtype("float32"), "record": optimizer.dtype}
    where = compiled_address(optimizer.kernel, signature("record f8[:] f8 f[:] f[:] f[:] i8 i8", **named))
    record = optimizer.record(where)
    assert record.shape == (1,)
    assert record.dtype.names[: len(OPT_HEADER)] == tuple(name for name, _ in OPT_HEADER)
    assert record.dtype.itemsize == 8 * len(record.dtype.names)  # no padding
    assert record["kernel"][0] == where
    assert optimizer.init_state(6, "float32").shape == (6 * optimizer.n_slots(),)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@every_optimizer
def test_float32_loops_are_packed(name):
    cls, real = OPTIMIZERS[name], numba.float32[::1]
    fresh = numba.njit(error_model="numpy")(cls.kernel.py_func)  # a kernel from the cache has no assembly
    arguments = (record_type(cls.dtype), numba.float64[::1], numba.float64, *[real] * 3, numba.int64, numba.int64)
    fresh.compile(numba.void(*arguments))
    assembly = fresh.inspect_asm(fresh.signatures[0])
    packed, scalar = (re.findall(rf"\bv?(?:mul|sub|add|sqrt|div){kind}\b", assembly) for kind in ("ps", "ss"))
    # Each loop has one packed body and one scalar rest at least.
    assert packed
    assert len(packed) >= len(scalar)
    assert not re.findall(r"cvt(?:ps2pd|ss2sd|pd2ps)", assembly), "float64 in a float32 loop"
    assert len(re.findall(r"\bv?sqrtps\b", assembly)) >= len(re.findall(r"\bv?sqrtss\b", assembly))


ERRORS = [
    (lambda: SGD(-0.1), ValueError, r"SGD\(learning_rate=-0.1\)"),
    (lambda: SGD(float("nan")), ValueError, "learning_rate=nan"),
    (lambda: Adam("fast"), TypeError, "learning_rate='fast'"),
    (lambda: Adam(CosineDecay), TypeError, "schedule object"),
    (lambda: Adam(lambda t: 0.1), TypeError, "schedule object"),
    (lambda: Adam(None), ValueError, "learning_rate=None"),
    (lambda: SGD(momentum=1.5), ValueError, r"SGD\(momentum=1.5\): it must be a number in \[0, 1\]"),
    (lambda: Adam(beta_1=1.0), ValueError, r"beta_1=1.0\): it must be a number in \[0, 1\)"),
    (lambda: Nadam(beta_2=-0.1), ValueError, "beta_2=-0.1"),
    (lambda: Lion(beta_1=0.0), ValueError, "beta_1=0.0"),
    (lambda: RMSprop(epsilon=-1e-7), ValueError, "epsilon=-1e-07"),
    (lambda: RMSprop(rho="0.9"), ValueError, "rho='0.9'"),
    (lambda: Adagrad(initial_accumulator_value=-1.0), ValueError, "initial_accumulator_value=-1.0"),
    (lambda: AdamW(weight_decay=None), ValueError, r"write Adam\(\)"),
    (lambda: Adam(weight_decay=-0.1), ValueError, "weight_decay=-0.1"),
    (lambda: Adam(clipvalue=0.0), ValueError, "clipvalue=0.0"),
    (lambda: Adam(clipvalue=1.0, global_clipnorm=1.0), ValueError, "not both"),
    (lambda: OPTIMIZERS.resolve("adamm"), ValueError, "Did you mean 'adam"),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_errors_name_the_setting(make, error, message):
    with pytest.raises(error, match=message):
        make()
