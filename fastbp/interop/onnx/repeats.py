"""The targets of repeated rows as ONNX nodes: `fastbp.tabular.repeated_rows`, with its hash numbers."""

import numpy as np

from fastbp.interop.onnx.graph import ML
from fastbp.tabular.repeated_rows import hash_factors

# The exponents of float32, with those of subnormal numbers.
LOWEST, HIGHEST, SMALLEST_NORMAL, MANTISSA = -149, 127, -126, 23


def mixed(graph, outputs, x, repeats, width):
    """Return ``(strength * outputs + sums) / (strength + counts)`` for rows x (n, width) float32."""
    factors = hash_factors(width)
    keys = repeats.keys.view(np.int64)
    places = graph.add(
        "LabelEncoder",
        row_keys(graph, x, factors),
        domain=ML,
        keys_int64s=keys.tolist(),
        values_int64s=list(range(len(keys))),
        default_int64=len(keys),
    )
    sums = np.concatenate([repeats.sums, np.zeros_like(repeats.sums[:1])])
    counts = np.append(repeats.counts, np.float32(0))[:, None] + np.float32(repeats.strength)
    total = graph.add("Mul", outputs, np.float32(repeats.strength))
    total = graph.add("Add", total, graph.add("Gather", sums, places, axis=0))
    return graph.add("Div", total, graph.add("Gather", counts, places, axis=0))


def row_keys(graph, x, factors):
    """Return the hash numbers (n,) of rows x (n, d) as int64."""
    bits = graph.add("Mul", graph.cast(bits_of(graph, x), np.uint64), factors)
    bits = mix(graph, bits, 29)
    bits = mix(graph, graph.add("Mul", bits, np.uint64(0xBF58476D1CE4E5B9)), 32)
    # onnxruntime's sum over an axis of whole numbers rounds to float64's 53 bits, its product does not.
    keys = graph.add("MatMul", bits, np.ones((len(factors), 1), np.uint64))
    return graph.cast(graph.add("Squeeze", keys, np.array([1])), np.int64)


def mix(graph, bits, shift):
    """Return bits ^ (bits >> shift)."""
    return graph.add("BitwiseXor", bits, graph.add("BitShift", bits, np.uint64(shift), direction="RIGHT"))


def bits_of(graph, x):
    """Return the bits of float32 numbers as int64, by arithmetic that is exact in float64: ONNX 18 has no bit cast."""
    x = graph.cast(x, np.float64)
    size = graph.add("Abs", x)
    exponent = graph.add("Floor", graph.add("Div", graph.add("Log", size), np.log(2.0)))
    # log(0) is minus infinity.
    exponent = graph.add("Min", graph.add("Max", exponent, float(LOWEST)), float(HIGHEST))
    below = graph.cast(graph.add("Less", size, power(graph, exponent)), np.float64)
    exponent = graph.add("Sub", exponent, below)
    above = graph.add("GreaterOrEqual", size, graph.add("Mul", power(graph, exponent), 2.0))
    exponent = graph.add("Add", exponent, graph.cast(above, np.float64))
    exponent = graph.add("Max", exponent, float(SMALLEST_NORMAL))
    mantissa = graph.add("Mul", graph.add("Div", size, power(graph, exponent)), 2.0**MANTISSA)
    high = graph.add("Mul", graph.add("Sub", exponent, float(SMALLEST_NORMAL)), 2.0**MANTISSA)
    sign = graph.add("Mul", graph.cast(graph.add("Less", x, 0.0), np.float64), 2.0**31)
    return graph.cast(graph.add("Add", graph.add("Add", mantissa, high), sign), np.int64)


def power(graph, exponent):
    """Return 2 to whole exponents, from a table: exact."""
    lowest = LOWEST - 1
    table = 2.0 ** np.arange(lowest, HIGHEST + 2)
    place = graph.cast(graph.add("Sub", exponent, float(lowest)), np.int64)
    return graph.add("Gather", table, place, axis=0)
