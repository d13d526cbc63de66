"""Operations on one float that Numba lacks, each a few LLVM instructions that vectorise.

All are generic over float32 and float64 and answer in the type of their first argument: a kernel made
of them is one source for both types.
"""

from fastbp.compiler.lazy import intrinsic, ir

# Mantissa bits and exponent bias of each type.
_FORMAT = {32: (23, 127), 64: (52, 1023)}


def constant(single, double=None):
    """Return an intrinsic f(x): the float32 or float64 constant, by the type of x."""
    by_bits = {32: single, 64: single if double is None else double}

    @intrinsic
    def value(typingctx, x):
        def codegen(context, builder, signature, args):
            return context.get_constant(signature.return_type, by_bits[signature.return_type.bitwidth])

        return x(x), codegen

    return value


# Coefficients of a polynomial that is one chain of multiply-adds.  A longer one is two chains: gelu in float64 takes
# 0.70 ns an entry in place of 0.77 (Zen 5).  With the few coefficients of float32 two are no faster, and less exact.
_ONE_CHAIN = 9


def polynomial(single, double):
    """Return an intrinsic p(x) = c[0] + c[1] x + c[2] x^2 ..., by fused multiply-adds (Horner).

    A long one is even(x^2) + x odd(x^2): each chain of multiply-adds is half as long.
    """
    by_bits = {32: single, 64: double}

    @intrinsic
    def value(typingctx, x):
        def codegen(context, builder, signature, args):
            kind = signature.return_type
            coefficients = [context.get_constant(kind, c) for c in by_bits[kind.bitwidth]]
            if len(coefficients) <= _ONE_CHAIN:
                return _horner(builder, args[0], coefficients)
            square = builder.fmul(args[0], args[0])
            even, odd = (_horner(builder, square, coefficients[start::2]) for start in (0, 1))
            return builder.fma(args[0], odd, even)

        return x(x), codegen

    return value


def _horner(builder, x, coefficients):
    *rest, total = coefficients
    for coefficient in reversed(rest):
        total = builder.fma(total, x, coefficient)
    return total


@intrinsic
def like(typingctx, x, value):
    """Return the number `value` in the type of x: a literal alone is float64, and widens what it meets."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[1], signature.args[1], signature.args[0])

    return x(x, value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c rounded once (types equal)."""
    return a(a, a, a), lambda context, builder, signature, args: builder.fma(*args)


@intrinsic
def select(typingctx, condition, a, b):
    """Return a where the condition holds, else b: no branch, so both are computed."""
    return a(condition, a, a), lambda context, builder, signature, args: builder.select(*args)


@intrinsic
def nearest(typingctx, x):
    """Return the whole number nearest to x, the even one of two."""

    def codegen(context, builder, signature, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic("llvm.rint", [kind])
        return builder.call(function, args)

    return x(x), codegen


@intrinsic
def copysign(typingctx, a, b):
    """Return |a| with the sign of b."""

    def codegen(context, builder, signature, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(function, args)

    return a(a, a), codegen


def _on_bits(change):
    """Return an intrinsic f(x): `change(builder, bits, mantissa, bias)` of x's bits, read as a float again."""

    @intrinsic
    def on_bits(typingctx, x):
        def codegen(context, builder, signature, args):
            size = signature.return_type.bitwidth
            bits = builder.bitcast(args[0], ir.IntType(size))
            return builder.bitcast(change(builder, bits, *_FORMAT[size]), args[0].type)

        return x(x), codegen

    return on_bits


def _power_bits(builder, bits, mantissa, bias):
    return builder.shl(bits, bits.type(mantissa))


def _from_root_half(builder, bits, mantissa, bias):
    # Bits above those of sqrt(1/2): the exponent then steps at sqrt(1/2) * 2^k, not at 2^k.
    return builder.sub(bits, bits.type(_root_half(mantissa)))


def _root_half(mantissa):
    return {23: 0x3F3504F3, 52: 0x3FE6A09E667F3BCD}[mantissa]


def _exponent_bits(builder, bits, mantissa, bias):
    kind = bits.type
    above = builder.add(_from_root_half(builder, bits, mantissa, bias), kind(bias << mantissa))
    return builder.or_(builder.lshr(above, kind(mantissa)), kind((bias + mantissa) << mantissa))


def _fraction_bits(builder, bits, mantissa, bias):
    kind = bits.type
    below = builder.and_(_from_root_half(builder, bits, mantissa, bias), kind((1 << mantissa) - 1))
    return builder.add(below, kind(_root_half(mantissa)))


# power(k + ROUND) is 2^k, k a whole number, 2^k normal; adding ROUND also rounds to a whole number.  For a
# positive normal x = 2^k f, sqrt(1/2) <= f < sqrt 2: exponent(x) is k + COUNT and fraction(x) is f.  (AVX2
# has no conversion between int64 and float64: a large number added takes its place.)
power = _on_bits(_power_bits)
exponent = _on_bits(_exponent_bits)
fraction = _on_bits(_fraction_bits)
ROUND = constant(1.5 * 2.0**23 + 127, 1.5 * 2.0**52 + 1023)
COUNT = constant(2.0**23 + 127, 2.0**52 + 1023)
