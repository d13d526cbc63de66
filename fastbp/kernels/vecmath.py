"""exp, expm1, log, log1p, tanh, sigmoid, erf, softplus, cospi and sinpi that LLVM turns into vector code.

Numba has no vector math library, so `np.exp` in a loop is a scalar libm call.  These functions have no
branches, calls or tables: fused multiply-adds, bit tricks and selects, so that a loop calling them
vectorises, and a value has the same bits in a vector lane, in the scalar rest of a loop and on every
CPU.  They take one float32 or float64 inside compiled code and answer in the same type, over the whole
range: subnormals, infinities (the limits, or NaN outside the domain), signed zeros, NaN stays NaN.

Largest errors found, in units in the last place of the correctly rounded value (float32: every second to
seventh number from 2^-3 to 2^5 in size; float64: 2 million up to 32 in size, of erf, cospi and sinpi 14,000),
and nanoseconds an entry in a loop over 4096 (Zen 5, AVX-512).  tests/kernels/test_vecmath.py holds 2 and 4 ulp.

    =========  ===========  =====  ===========  =====
    function   float32 ulp  ns     float64 ulp  ns
    =========  ===========  =====  ===========  =====
    exp        1.04         0.118  1.03         0.341
    exp_below  1.04         0.098  1.02         0.303
    expm1      1.57         0.118  2.11         0.343
    log        0.84         0.217  0.81         0.573
    log1p      0.84         0.259  0.80         0.655
    tanh       1.94         0.138  2.57         0.349
    sigmoid    1.64         0.167  1.63         0.439
    erf        1.13         0.264  1.01         0.918
    softplus   1.96         0.293  1.86         0.916
    cospi      0.99         0.177  0.97         0.465
    sinpi      0.99         0.204  0.96         0.537
    =========  ===========  =====  ===========  =====

`normal` and `tanh_softplus` give a function together with what its derivative needs.
Coefficients are minimax fits (Remez exchange in 60 digits) of the functions named beside them.
"""

import math

from fastbp.compiler.intrinsics import (
    COUNT,
    ROUND,
    constant,
    copysign,
    exponent,
    fma,
    fraction,
    nearest,
    polynomial,
    power,
    select,
)
from fastbp.compiler.jit import inline

_ZERO, _HALF, _ONE, _TWO = constant(0.0), constant(0.5), constant(1.0), constant(2.0)
_INF, _NAN = constant(math.inf), constant(math.nan)
_LOG2E = constant(1 / math.log(2))
# log 2 in two parts; k times the first is exact.
_LN2_HIGH = constant(0.693145751953125, 0.6931471803691238)
_LN2_LOW = constant(1.4286068203094173e-06, 1.9082149292705877e-10)

# (exp(r) - 1 - r) / r^2, |r| <= log(2) / 2
_exp_tail = polynomial(
    (0.5000000095130933, 0.16666518897868052, 0.04166620597994136, 0.008368882337573068, 0.0013950479185156535),
    (0.5000000000000006, 0.16666666666666688, 0.04166666666657343, 0.008333333333313212, 0.0013888888932507139,
     0.00019841269905729311, 2.4801504244752996e-05, 2.755722573198913e-06, 2.7626419505081693e-07,
     2.511513154679234e-08),
)  # fmt: skip

# (log((1 + s) / (1 - s)) - 2 s) / s^3 of s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)
_log_tail = polynomial(
    (0.6666677692710533, 0.3997745627210194, 0.2987435800991203),
    (0.6666666666666735, 0.39999999999409674, 0.2857142874375205, 0.22222198410982402, 0.18183573787394525,
     0.1531378438155357, 0.1479883625587473),
)  # fmt: skip

# The same, |s| <= 1/3
_near_log_tail = polynomial(
    (0.6666667559946129, 0.3999887936936475, 0.2861684861653598, 0.21427979371556352, 0.24299934313841445),
    (0.6666666666666631, 0.4000000000015612, 0.28571428547979927, 0.22222223962611878, 0.18181744155112367,
     0.153865554038064, 0.1330102837896661, 0.12105685529902913, 0.08341721740893507, 0.17015794010145727),
)  # fmt: skip

# (tanh(r) / r - 1) / r^2 of r^2, |r| <= 0.2045 (float32) or log(2) / 4
_tanh_tail = polynomial(
    (-0.33333305046200296, 0.1332920837762801, -0.05225230418599399),
    (-0.3333333333333249, 0.13333333332785732, -0.053968252785154075, 0.021869370931582126, -0.008857315566280697,
     0.0034449169487422997),
)  # fmt: skip

# The normal distribution's tail beyond a over exp(-a^2 / 2), 0 <= a <= 13.3 (float32) or 38: numerator, denominator
_mills_over = polynomial(
    (0.4999999848413868, 0.32488680023850436, 0.09977560594993416, 0.012649595330421133, 4.69625410068292e-07),
    (0.5, 0.7578028269434496, 0.5694381781628093, 0.2718358515670051, 0.08988253177008325, 0.02124607658892413,
     0.003587340155941041, 0.00041827753345088903, 3.0750551119465584e-05, 1.0988200499383208e-06),
)  # fmt: skip
_mills_under = polynomial(
    (1.0, 1.4476562029050042, 0.8546340878575532, 0.24924931140422904, 0.03175643978953997),
    (1.0, 2.3134902146897636, 2.4847744801951253, 1.635451310880866, 0.732578548966425, 0.2341400370070017,
     0.05429897501096649, 0.00906920843408633, 0.0010512206260569169, 7.708020088843928e-05, 2.7543334059516034e-06),
)  # fmt: skip

# erf(x) / x - 1 of x^2, |x| <= 1
_erf_tail = polynomial(
    (0.12837916591465431, -0.37612627140440547, 0.11283600211815889, -0.026854445581508075,
     0.005189536461939261, -0.0008020845698406905, 7.889119157487838e-05),
    (0.12837916709551256, -0.3761263890318355, 0.11283791670945253, -0.02686617064327622, 0.005223977607423468,
     -0.0008548325989696758, 0.00012055295320494294, -1.4924744663335489e-05, 1.6447517677871873e-06,
     -1.6209175911748696e-07, 1.3722976265924504e-08, -7.801188874097751e-10),
)  # fmt: skip

# log(1 - erf(x)), 1 <= x <= 4 (float32) or 6 (float64), where erf is 1 to the last bit
_erfc_log = polynomial(
    (-0.00034158526986598583, -1.1270889373363198, -0.6381452530405437, -0.10310638861154567,
     0.021837887869251834, -0.0029476138598638784, 0.00018637459746534456),
    (-5.028494796871257e-07, -1.128374089449796, -0.6366436283373796, -0.10270343846523501,
     0.018990176142480292, 0.0004106327087793585, -0.0019159495726485056, 0.0007706493175866655,
     -0.0001350549587303317, -2.026400016340498e-05, 2.282131162163138e-05, -8.666753348489083e-06,
     2.1355690629296197e-06, -3.7328138136715437e-07, 4.641978798434014e-08, -3.933954602925314e-09,
     2.044779700157097e-10, -4.928118478758299e-12),
)  # fmt: skip
_ERF_END = constant(4.0, 6.0)

# (sin(pi r) / r - pi) / r^2 of r^2, |r| <= 1/4
_sinpi_tail = polynomial(
    (-5.1677091457554125, 2.5498105555874426, -0.5894799345578257),
    (-5.16771278004996, 2.5501640398740086, -0.5992645289749668, 0.08214587013289255, -0.007370033882968577,
     0.00046159275303946226),
)  # fmt: skip

# (cos(pi r) - 1) / r^2 of r^2, |r| <= 1/4
_cospi_tail = polynomial(
    (-4.934802173416429, 4.0587079046857335, -1.3350584696875605, 0.23142958782809955),
    (-4.934802200544679, 4.058712126416751, -1.3352627688521885, 0.23533063020161984, -0.02580688587958603,
     0.0019294681762254795, -0.00010357789840273948),
)  # fmt: skip
_PI_HIGH, _PI_LOW = constant(3.1415927410125732, math.pi), constant(-8.742278000372485e-08, 1.2246467991473532e-16)


@inline
def _reduce(x, round_):
    # x = k log 2 + r, |r| <= log(2) / 2; returns k + round_ and r.  `round_` is ROUND or near it: so large a number
    # that a sum with it has no digits behind the point.
    shifted = fma(x, _LOG2E(x), round_)
    k = shifted - round_
    return shifted, fma(-k, _LN2_LOW(x), fma(-k, _LN2_HIGH(x), x))


@inline
def _exp_scaled(x, round_):
    # exp(x) * 2^(round_ - ROUND)
    shifted, r = _reduce(x, round_)
    scale = power(shifted)
    return fma(fma(r * r, _exp_tail(r), r), scale, scale)


# Where exp(x) is 0, where it is infinite, and between them two ends of numbers whose 2^k is normal if k is
# moved by a step.
_EXP_LOW, _EXP_HIGH = constant(-104.0, -746.0), constant(89.0, 710.0)
_STEP, _UP, _DOWN = constant(32.0, 256.0), constant(2.0**32, 2.0**256), constant(2.0**-32, 2.0**-256)


@inline
def _above_end(x):
    return select(x < _EXP_LOW(x), _EXP_LOW(x), x)


@inline
def exp(x):
    """Return e to the power x."""
    inside = select(x > _EXP_HIGH(x), _EXP_HIGH(x), _above_end(x))
    # The power of two is within the range in any case; the last factor leaves it, and rounds a subnormal result.
    below = x < _ZERO(x)
    round_ = select(below, ROUND(x) + _STEP(x), ROUND(x) - _STEP(x))
    return _exp_scaled(inside, round_) * select(below, _DOWN(x), _UP(x))


@inline
def exp_below(x):
    """Return e to the power x, where x is 0 or less, or NaN."""
    return _exp_scaled(_above_end(x), ROUND(x) + _STEP(x)) * _DOWN(x)


_EXPM1_LOW = constant(-18.0, -40.0)


@inline
def expm1(x):
    """Return e to the power x, minus 1, exact to the last bits near x = 0 too."""
    inside = select(x < _EXPM1_LOW(x), _EXPM1_LOW(x), x)
    inside = select(inside > _EXP_HIGH(x), _EXP_HIGH(x), inside)
    # 2 (2^(k-1) p + 2^(k-1) - 1/2): 2^k itself may overflow
    shifted, r = _reduce(inside, ROUND(x) - _ONE(x))
    scale = power(shifted)
    y = _TWO(x) * fma(fma(r * r, _exp_tail(r), r), scale, scale - _HALF(x))
    return copysign(y, x)


_MIN_NORMAL, _RAISE = constant(2.0**-126, 2.0**-1022), constant(2.0**24, 2.0**54)
_RAISED = constant(24.0, 54.0)


@inline
def _log_sum(k, f, low):
    # k log 2 + log(1 + f) + low, sqrt(1/2) <= 1 + f <= sqrt 2: with s = f / (2 + f),
    # log(1 + f) = f - (h - s (h + s^2 tail(s^2))), h = f^2 / 2
    s = f / (_TWO(f) + f)
    z = s * s
    h = _HALF(f) * f * f
    tail = fma(k, _LN2_LOW(f), low) + s * fma(z, _log_tail(z), h)
    return fma(k, _LN2_HIGH(f), f - (h - tail))


@inline
def log(x):
    """Return the natural logarithm of x: -inf of 0, NaN below."""
    raised = select(x < _MIN_NORMAL(x), x * _RAISE(x), x)
    k = exponent(raised) - COUNT(x)
    k = select(x < _MIN_NORMAL(x), k - _RAISED(x), k)
    y = _log_sum(k, fraction(raised) - _ONE(x), _ZERO(x))
    return _log_ends(x, y)


@inline
def _log_ends(x, y):
    # y, but the logarithm's limits where x is 0, infinite, negative or NaN
    y = select(x == _INF(x), x, y)
    y = select(x > _ZERO(x), y, _NAN(x))
    return select(x == _ZERO(x), -_INF(x), y)


@inline
def log1p(x):
    """Return log(1 + x), exact to the last bits near x = 0 too: -inf of -1, NaN below."""
    one = _ONE(x)
    u = one + x
    # The rounding error of u, exactly (Knuth's two-sum); log(1 + x) = log(u) + error / u
    back = u - one
    error = (one - (u - back)) + (x - back)
    k = exponent(u) - COUNT(x)
    f = fraction(u) - one
    near = k == _ZERO(x)
    y = _log_sum(k, select(near, x, f), select(near, _ZERO(x), error / u))
    return select(x == _ZERO(x), x, _log_ends(u, y))


_TANH_END = constant(10.0, 20.0)
# In float32 a little less than 2 / log(2): s is 4 from a = 0.5515 on, where tanh a is above 1/2.
_TANH_STEPS, _HALF_LN2, _TANH_NEAR = constant(2.72, 2 / math.log(2)), constant(math.log(2) / 2), constant(2.0, 4.0)


@inline
def tanh(x):
    """Return the hyperbolic tangent of x."""
    # a = k log(2) / 2 + r, t = tanh r, s = 2^k: tanh a = (s (1 + t) - (1 - t)) / (s (1 + t) + (1 - t)).
    # That is t itself where k is 0, and 1 - 2 (1 - t) / (...), which loses less, where it is above 1/2.
    a = abs(x)
    a = select(a > _TANH_END(x), _TANH_END(x), a)
    shifted = fma(a, _TANH_STEPS(x), ROUND(x))
    r = fma(ROUND(x) - shifted, _HALF_LN2(x), a)
    square = r * r
    t = fma(r * square, _tanh_tail(square), r)
    s = power(shifted)
    far = s > _TANH_NEAR(x)
    below, above = s - _ONE(x), s + _ONE(x)
    over = fma(t, select(far, _TWO(x), above), select(far, -_TWO(x), below))
    q = over / fma(t, below, above)
    return copysign(select(far, _ONE(x) + q, q), x)


@inline
def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    # z / (1 + z) = z - z (z / (1 + z)), z = exp(-|x|): the quotient's rounding counts half, or less
    z = exp_below(-abs(x))
    small = fma(-z, z / (_ONE(x) + z), z)
    return select(x < _ZERO(x), small, _ONE(x) - small)


@inline
def softplus(x):
    """Return log(1 + exp(x))."""
    # max(x, 0) + log(1 + z), by the formula of _log_sum without taking z apart: 0 <= z <= 1
    z = exp_below(-abs(x))
    s = z / (_TWO(x) + z)
    h = _HALF(x) * z * z
    y = z - (h - s * fma(s * s, _near_log_tail(s * s), h))
    return select(x < _ZERO(x), _ZERO(x), x) + y


_GATE_END = constant(20.0, 40.0)


@inline
def tanh_softplus(x):
    """Return tanh(log(1 + exp(x))) and its derivative."""
    # e = exp(x): n / (n + 2) and 4 e (1 + e) / (n + 2)^2, n = e (e + 2); all but the quotients are times a power of two
    inside = select(x > _GATE_END(x), _GATE_END(x), _above_end(x))
    e, one = _exp_scaled(inside, ROUND(x) + _STEP(x)), _UP(x)
    n, rest = e * (e + (one + one)), (one + one) * one
    over = _ONE(x) / (n + rest)
    return n * over, ((e + e) * over) * ((e + one) * (rest * over))


@inline
def erf(x):
    """Return the error function of x."""
    a = abs(x)
    a = select(a > _ERF_END(x), _ERF_END(x), a)
    near = fma(a, _erf_tail(a * a), a)
    far = _ONE(x) - _exp_scaled(_erfc_log(a), ROUND(x))
    return copysign(select(a < _ONE(x), near, far), x)


# Where exp(-x^2 / 2) is 0
_NORMAL_END = constant(14.5, 39.0)


@inline
def normal(x):
    """Return the standard normal distribution's function of x, and exp(-x^2 / 2): sqrt(2 pi) times its density."""
    # The tail below -a is exp(-a^2 / 2) times a quotient of polynomials: nothing cancels on either side
    a = abs(x)
    a = select(a > _NORMAL_END(x), _NORMAL_END(x), a)
    bell = exp_below(-_HALF(x) * a * a)
    tail = bell * (_mills_over(a) / _mills_under(a))
    return select(x > _ZERO(x), _ONE(x) - tail, tail), bell


@inline
def _quarter_turns(x):
    # x = k / 2 + r, |r| <= 1/4, but for whole turns: returns k (-2 to 2), sin(pi r), cos(pi r); no step rounds
    turn = fma(-_TWO(x), nearest(_HALF(x) * x), x)
    k = nearest(turn + turn)
    r = fma(-_HALF(x), k, turn)
    u = r * r
    sine = fma(r, _PI_HIGH(x), fma(r * u, _sinpi_tail(u), r * _PI_LOW(x)))
    return k, sine, fma(u, _cospi_tail(u), _ONE(x))


@inline
def cospi(x):
    """Return cos(pi x), for any size of x: halves of turns are counted without rounding."""
    k, sine, cosine = _quarter_turns(x)
    odd = abs(k) == _ONE(x)
    value = select(odd, sine, cosine)
    # cos(pi / 2 + t) = -sin t, cos(pi + t) = -cos t
    return select(k > _ZERO(x), -value, select(k < -_ONE(x), -value, value)) + _ZERO(x)


@inline
def sinpi(x):
    """Return sin(pi x), for any size of x: halves of turns are counted without rounding."""
    k, sine, cosine = _quarter_turns(x)
    odd = abs(k) == _ONE(x)
    value = select(odd, cosine, sine)
    # sin(pi / 2 + t) = cos t, sin(pi + t) = -sin t
    value = select(k < _ZERO(x), -value, select(k > _ONE(x), -value, value))
    return select(value == _ZERO(x), copysign(value, x), value)
