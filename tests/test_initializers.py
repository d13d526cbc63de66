"""Initializers: shapes, dtypes, and the distributions that Keras's formulas promise."""

import json
import math

import numpy as np
import pytest

from fastbp.initializers import (
    INITIALIZERS,
    Constant,
    EachOnItsOwn,
    FanInNormal,
    FanInUniform,
    Orthogonal,
    RandomNormal,
    RandomSigns,
    RandomUniform,
    RepeatedColumns,
    SameForMembers,
    fans,
)
from fastbp.registry import describe, rebuild

# Those that wrap another one only take shapes that suit them.
WRAPPERS = ("same_for_members", "repeated_columns")
every_initializer = pytest.mark.parametrize("name", [name for name in INITIALIZERS if name not in WRAPPERS])

# (scale, of both fans) as in keras.initializers.VarianceScaling.
SCALED = {"glorot": (1.0, True), "he": (2.0, False), "lecun": (1.0, False)}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_initializer
def test_shape_dtype_and_seed(name, dtype):
    init = INITIALIZERS.resolve(name)
    for shape in ((5, 3), (3, 5), (3, 3, 2, 4), (1, 1), (4, 1)):
        values = init(shape, rng(), dtype)
        assert values.shape == shape
        assert values.dtype == dtype
        assert values.flags.c_contiguous
        assert np.isfinite(values).all()
        assert values.flags.writeable
        assert np.array_equal(values, init(shape, rng(), dtype))
        # One network in both dtypes.
        assert np.array_equal(values, init(shape, rng(), "float64").astype(dtype))


@every_initializer
def test_vectors_and_empty_shapes(name):
    init = INITIALIZERS.resolve(name)
    if name == "orthogonal":
        with pytest.raises(ValueError, match=r"two axes, not \(4,\)"):
            init((4,), rng())
        return
    assert init((4,), rng()).shape == (4,)
    assert init((), rng()).shape == ()
    assert init((0, 3), rng()).shape == (0, 3)


@every_initializer
def test_does_not_touch_the_global_generator(name):
    before = np.random.get_state()[1].copy()
    INITIALIZERS.resolve(name)((3, 4), rng())
    assert np.array_equal(before, np.random.get_state()[1])


def test_fans_are_keras():
    assert fans((7, 3)) == (7, 3)
    assert fans((3, 5, 16, 32)) == (15 * 16, 15 * 32)
    assert fans((4, 2, 6)) == (8, 24)
    assert fans((5,)) == (5, 5)
    assert fans(()) == (1, 1)


@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 40, 150)])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("family", SCALED)
def test_variance_scaling(family, kind, shape):
    scale, both = SCALED[family]
    window = math.prod(shape[:-2])
    fan_in, fan_out = window * shape[-2], window * shape[-1]
    variance = scale / ((fan_in + fan_out) / 2 if both else fan_in)
    values = INITIALIZERS.resolve(f"{family}_{kind}")(shape, rng(), "float64")
    # The sampling error of a variance of n numbers is below sqrt(2 / n) of it.
    assert abs(values.var() / variance - 1) < 5 * math.sqrt(2 / values.size)
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    limit = math.sqrt(3 * variance) if kind == "uniform" else 2 * math.sqrt(variance) / 0.87962566103423978
    assert 0.98 * limit < np.abs(values).max() <= limit


@pytest.mark.parametrize("shape", [(6, 6), (20, 7), (7, 20), (3, 3, 2, 5), (2, 2, 3, 40)])
def test_orthogonal(shape):
    matrix = Orthogonal(gain=2.0)(shape, rng(), "float64").reshape(-1, shape[-1]) / 2.0
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)


def test_orthogonal_has_no_preferred_sign():
    # Without the sign correction LAPACK's first column mostly points one way.
    signs = [Orthogonal()((4, 4), rng(seed), "float64").diagonal() > 0 for seed in range(400)]
    assert np.all(np.abs(np.mean(signs, axis=0) - 0.5) < 0.13)


def test_plain_ones():
    assert np.all(Constant(0.25)((2, 3), rng()) == np.float32(0.25))
    assert np.all(INITIALIZERS.resolve("zeros")((2, 3), rng()) == 0)
    assert np.all(INITIALIZERS.resolve("ones")((2, 3), rng()) == 1)
    normal = RandomNormal(mean=3.0, stddev=0.5)((300, 300), rng(), "float64")
    assert abs(normal.mean() - 3.0) < 0.01
    assert abs(normal.std() - 0.5) < 0.01
    uniform = RandomUniform(1.0, 2.0)((300, 300), rng(), "float64")
    assert 1.0 <= uniform.min() < 1.001
    assert 1.999 < uniform.max() <= 2.0


def test_of_one_fan():
    uniform = FanInUniform()((400, 300), rng(), "float64")
    assert 0.99 / 20 < np.abs(uniform).max() <= 1 / 20
    normal = FanInNormal()((400, 300), rng(), "float64")
    assert abs(normal.std() * 20 - 1) < 0.01
    assert np.abs(normal).max() > 4 / 20  # not truncated


def test_signs():
    signs = RandomSigns()((100, 100), rng())
    assert set(signs.ravel()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.05


def test_members_alike_and_on_their_own():
    alike = SameForMembers("random_normal")((4, 3, 2), rng(), "float64")
    assert (alike == alike[0]).all()
    assert np.array_equal(alike[0], RandomNormal()((3, 2), rng(), "float64"))
    own = EachOnItsOwn(FanInUniform())((8, 100, 5), rng(), "float64")
    assert 0.95 / 10 < np.abs(own).max() <= 1 / 10
    assert len({member.tobytes() for member in own}) == 8


def test_repeated_columns():
    values = RepeatedColumns("random_normal", (1, 3, 2))((5, 6), rng(), "float64")
    drawn = RandomNormal()((5, 3), rng(), "float64")
    assert np.array_equal(values, drawn[:, [0, 1, 1, 1, 2, 2]])
    with pytest.raises(ValueError, match="all features are 3, but the last axis .* has 4"):
        RepeatedColumns(columns=(1, 2))((5, 4), rng())
    with pytest.raises(ValueError, match=r"columns=\(1, 0\)"):
        RepeatedColumns(columns=(1, 0))


@pytest.mark.parametrize("init", [*(cls() for cls in INITIALIZERS.values()), RepeatedColumns("ones", (2, 1))])
def test_describe_and_rebuild_through_json(init):
    assert rebuild(json.loads(json.dumps(describe(init)))) == init


def test_errors_name_the_setting():
    with pytest.raises(ValueError, match=r"stddev=-1\.0"):
        RandomNormal(stddev=-1.0)
    with pytest.raises(ValueError, match=r"minval=2\.0"):
        RandomUniform(2.0, 1.0)
    with pytest.raises(ValueError, match="Did you mean 'he_normal'"):
        INITIALIZERS.resolve("he_norml")
