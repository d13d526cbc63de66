"""vecmath against 60-digit decimal arithmetic: every function, both types, the whole range."""

import math
import platform
from decimal import Context, Decimal, localcontext

import numba
import numpy as np
import pytest
from numba import types

from fastbp.kernels import vecmath

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
NAMES = ["exp", "exp_below", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "softplus", "cospi", "sinpi"]
ULP_LIMIT = {"float32": 2.0, "float64": 4.0}
SMALLEST = {"float32": np.float32(1e-45), "float64": np.float64(5e-324)}


def expm1(x):
    return x.exp() - 1 if abs(x) > Decimal("1e-20") else x + x * x / 2


def log1p(x):
    return (1 + x).ln() if abs(x) > Decimal("1e-20") else x - x * x / 2


def erf(x):
    # 2 / sqrt(pi) * (x - x^3 / 3 + x^5 / (5 * 2!) - ...); 1 to 21 digits beyond 7
    if abs(x) > 7:
        return Decimal(1).copy_sign(x)
    term, total = x, x
    for n in range(1, 250):
        term = -term * x * x / n
        total += term / (2 * n + 1)
    return 2 / PI.sqrt() * total


def sine(x, shift=Decimal(0)):
    # sin(pi (x + shift)), by its series for the distance to the nearest whole number
    with localcontext(Context(prec=1500)):  # the largest float64 has 309 digits, the smallest 1074 after the point
        x = x + shift - 2 * ((x + shift) / 2).to_integral_value()
        x = x if abs(x) <= Decimal("0.5") else Decimal(1).copy_sign(x) - x
    total, n = PI * x, 1
    term = total
    while abs(term) > abs(total) * Decimal("1e-40"):
        n += 2
        term = -term * (PI * x) ** 2 / (n * (n - 1))
        total += term
    return total


EXACT = {
    "exp": lambda x: x.exp(),
    "exp_below": lambda x: x.exp(),
    "expm1": expm1,
    "log": lambda x: x.ln(),
    "log1p": log1p,
    "tanh": lambda x: expm1(2 * x) / (expm1(2 * x) + 2),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "erf": erf,
    "softplus": lambda x: log1p(x.exp()),
    "cospi": lambda x: sine(x, Decimal("0.5")),
    "sinpi": lambda x: sine(x),
}


def compile_loop(name):
    function = getattr(vecmath, name)

    @numba.njit(error_model="numpy")
    def loop(out, x):
        for i in range(out.size):
            out[i] = function(x[i])

    return loop


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def loop(name):
    return compile_loop(name)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def evaluate(loop, x):
    out = np.empty_like(x)
    loop(out, x)
    return out


def points(name, dtype, n_random=120):
    """Numbers over the whole domain, many near the ends and the seams of the formulas."""
    rng = np.random.default_rng(5)
    scales = np.array([1e-30, 1e-7, 1e-3, 0.1, 0.5, 1, 3, 6, 20, 90, 700])
    near = np.array([0.5, 1, 2, 4, 6, 10, 18, 20, 40, math.log(2) / 2, math.sqrt(0.5), math.sqrt(2)])
    spread = rng.uniform(-1, 1, (scales.size, n_random)) * scales[:, None]
    seams = near[:, None] * (1 + np.arange(-8, 9) * np.finfo(dtype).eps)
    any_bits = rng.integers(0, 2**32, 1000, dtype="u4").view("f4")
    if dtype == "float64":
        any_bits = rng.integers(0, 2**64, 1000, dtype="u8").view("f8")
    ends = np.array([87.3, 88.7, 88.72, 103.9, 709.78, 708.4, 745.1, 744.4])
    low = SMALLEST[dtype] * np.array([1, 2, 3, 1000], dtype)
    with np.errstate(over="ignore"):
        x = np.concatenate([v.ravel().astype(dtype) for v in (spread, seams, -seams, any_bits, ends, -ends, low, -low)])
    x = x[np.isfinite(x) & (x != 0)]
    lowest = {"log": 0, "log1p": -1}.get(name, -np.inf)
    x = np.unique(x[x > lowest])
    return x[x <= 0] if name == "exp_below" else x


def exact(name, x):
    """The function's value, or a stand-in where the exponential is beyond both types' range."""
    if name in ("log", "log1p", "erf", "cospi", "sinpi") or abs(x) < 2000:
        return EXACT[name](Decimal(float(x)))
    large = Decimal("1e9000")
    ends = {
        "exp": (0, large),
        "exp_below": (0, large),
        "expm1": (-1, large),
        "softplus": (0, Decimal(float(x))),
        "tanh": (-1, 1),
    }
    return Decimal(ends.get(name, (0, 1))[int(x > 0)])


def ulp_error(value, exact, dtype):
    """How far the value is from the exact one, in spacings at the correctly rounded one."""
    limit = np.finfo(dtype)
    rounded = np.dtype(dtype).type(min(max(exact, Decimal(float(limit.min)) * 2), Decimal(float(limit.max)) * 2))
    if value == rounded:
        return 0.0
    if not (np.isfinite(value) and np.isfinite(rounded)):
        return math.inf
    return float(abs(Decimal(float(value)) - exact) / Decimal(float(np.spacing(abs(rounded)))))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_ulp_error_over_the_whole_range(name, loop, dtype):
    x = points(name, dtype)
    out = evaluate(loop, x)
    with localcontext(Context(prec=60, Emin=-10000, Emax=10000)):
        errors = [ulp_error(*pair, dtype) for pair in zip(out, (exact(name, entry) for entry in x), strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= ULP_LIMIT[dtype], f"{name}({x[worst]!r}): {errors[worst]:.2f} ulp"


def test_float32_of_many_numbers(name, loop):
    numpy_version = {
        "exp_below": np.exp,
        "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
        "softplus": lambda x: np.logaddexp(0, x),
        "erf": np.vectorize(math.erf, otypes=["f8"]),
        # np.pi has 53 bits: near a zero only the distance to it, which is exact, may be multiplied by it.
        "sinpi": lambda x: np.sin(np.pi * (x - np.rint(x))) * (1 - 2 * (np.rint(x) % 2)),
        "cospi": lambda x: np.sin(np.pi * (0.5 - abs(x % 2 - 1)) * -1),
    }
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.uniform(-s, s, 20_000) for s in (0.3, 2, 12, 88)]).astype("f4")
    x = abs(x) if name in ("log", "log1p") else -abs(x) if name == "exp_below" else x
    expected = numpy_version.get(name, getattr(np, name, None))(x.astype("f8"))
    error = abs(evaluate(loop, x) - expected) / np.spacing(abs(expected).astype("f4")).astype("f8")
    assert error.max() <= 2, f"{name}({x[error.argmax()]!r}): {error.max():.2f} ulp"


INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": {0.0: 1.0, INF: INF, -INF: 0.0, 1e4: INF, -1e4: 0.0},
    "exp_below": {0.0: 1.0, -INF: 0.0, -1e4: 0.0},
    "expm1": {0.0: 0.0, INF: INF, -INF: -1.0, 1e4: INF, -1e4: -1.0},
    "log": {0.0: -INF, 1.0: 0.0, INF: INF, -INF: NAN, -1.0: NAN, -1e-40: NAN},
    "log1p": {0.0: 0.0, -1.0: -INF, INF: INF, -INF: NAN, -1.5: NAN},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0, 1e4: 1.0, -1e4: -1.0},
    "sigmoid": {0.0: 0.5, INF: 1.0, -INF: 0.0, 1e4: 1.0, -1e4: 0.0},
    "erf": {0.0: 0.0, INF: 1.0, -INF: -1.0, 1e4: 1.0, -1e4: -1.0},
    "softplus": {INF: INF, -INF: 0.0, 1e4: 1e4, -1e4: 0.0},
    "cospi": {0.0: 1.0, 0.5: 0.0, -1.5: 0.0, 1.0: -1.0, -3.0: -1.0, 2.0: 1.0, 1e30: 1.0, INF: NAN, -INF: NAN},
    "sinpi": {0.5: 1.0, -0.5: -1.0, 1.5: -1.0, 1.0: 0.0, -3.0: 0.0, 1e30: 0.0, INF: NAN, -INF: NAN},
}


def test_limits_signed_zeros_and_nan(name, loop, dtype):
    x = np.array([*SPECIAL[name], NAN], dtype)
    expected = np.array([*SPECIAL[name].values(), NAN], dtype)
    np.testing.assert_array_equal(evaluate(loop, x), expected)
    np.testing.assert_array_equal(evaluate(loop, np.full(37, NAN, dtype)), np.full(37, NAN, dtype))
    if name in ("expm1", "log1p", "tanh", "erf", "sinpi"):
        zeros = np.array([0.0, -0.0], dtype)
        np.testing.assert_array_equal(np.signbit(evaluate(loop, zeros)), [False, True])


def test_same_bits_in_every_lane(name, loop, dtype):
    x = points(name, dtype, n_random=20)[::3]
    whole = evaluate(loop, x)
    alone = np.concatenate([evaluate(loop, x[i : i + 1]) for i in range(x.size)])
    assert whole.tobytes() == alone.tobytes()


NAN_BITS = {
    "float32": ["7f800001", "7fc00001", "ffc001ff", "7fffffff"],
    "float64": ["7ff00000000007a2", "fff8000000000fff"],
}


def test_any_nan_stays_nan(name, loop, dtype):
    # A NaN's lowest bits may be the user's (R's missing number has 1954 there). Powers of two are made of such bits.
    bits = np.array([int(text, 16) for text in NAN_BITS[dtype]], dtype.replace("float", "uint"))
    assert np.isnan(evaluate(loop, np.resize(bits.view(dtype), 37))).all()


def compile_pair(function):
    @numba.njit(error_model="numpy")
    def loop(first, second, x):
        for i in range(x.size):
            first[i], second[i] = function(x[i])

    return loop


def pair(function, x):
    first, second = np.empty_like(x), np.empty_like(x)
    compile_pair(function)(first, second, x)
    return first, second


def test_normal_distribution(dtype):
    x = np.linspace(-12, 12, 4001).astype(dtype)
    wide, eps = x.astype(float), np.finfo(dtype).eps
    share, bell = pair(vecmath.normal, x)
    tail = np.vectorize(math.erfc)(np.abs(wide) / math.sqrt(2)) / 2
    # x^2 / 2 is rounded, and an exponential turns that into a relative error.
    rounding = eps * (3 + wide**2)
    assert (abs(share - np.where(wide > 0, 1 - tail, tail)) <= np.where(wide > 0, eps, tail * rounding)).all()
    assert (abs(bell - np.exp(-(wide**2) / 2)) <= bell * rounding).all()
    ends = pair(vecmath.normal, np.array([-INF, -1e30, INF, 1e30, NAN], dtype))
    np.testing.assert_array_equal(ends, [[0, 0, 1, 1, NAN], [0, 0, 0, 0, NAN]])


def test_tanh_of_softplus(dtype):
    x = np.linspace(-80, 80, 4001).astype(dtype)
    wide, eps = x.astype(float), np.finfo(dtype).eps
    value, slope = pair(vecmath.tanh_softplus, x)
    exact = np.tanh(np.logaddexp(0, wide))
    np.testing.assert_allclose(value, exact, rtol=4 * eps)
    np.testing.assert_allclose(
        slope, np.exp(-np.logaddexp(0, -wide)) / np.cosh(np.logaddexp(0, wide)) ** 2, 9 * eps, eps
    )
    ends = pair(vecmath.tanh_softplus, np.array([-INF, -1e30, INF, 1e30, NAN], dtype))
    np.testing.assert_allclose(ends, [[0, 0, 1, 1, NAN], [0, 0, 0, 0, NAN]], atol=eps)


def test_type_is_kept(name, dtype):
    kind = getattr(types, dtype)
    function = getattr(vecmath, name)
    compiled = numba.njit(lambda x: function(x))
    compiled.compile((kind,))
    assert compiled.overloads[(kind,)].signature.return_type == kind


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64", "arm64", "aarch64"), reason="vector units unknown")
def test_loop_is_vector_code(name, loop, dtype):
    evaluate(loop, np.ones(1, dtype))
    array = types.Array(getattr(types, dtype), 1, "C")
    code = loop.inspect_llvm((array, array))
    lane = "float" if dtype == "float32" else "double"
    assert f"x {lane}> @llvm.fma" in code
