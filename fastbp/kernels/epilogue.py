"""Epilogues: a rectifier, or the derivative of one, that a product's tiles apply to their sums before they store them.

The *gate* of a product says which.  If it is null, there is none.  If it is `out` itself, out = max(sums, 0).  Any
other gate is a matrix of the shape and the stride of `out`, and out = sums where it is above 0, else sums * 0.  These
are the formulas of `activations.ReLU`, bits and NaN included.

Without them both are passes over what the product has just written: 30-64-64-3 in batches of 64 takes 1.054 times as
long, 54-256-256-7 in batches of 256 1.014 times and 8-256-256-256-1 1.018 times.
"""

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import ir
from fastbp.compiler.pointers import null_like, same_place, shift
from fastbp.compiler.vectors import load_vector


def gate_sums(builder, sums, out, out_tile, out_stride, gate, gate_tile, mask_of):
    """Apply the gate to a tile's accumulators {(row, vector): place}; `out` and `gate` are what all its tiles got."""
    is_given = builder.icmp_unsigned("!=", gate, ir.Constant(gate.type, None))
    is_out = builder.icmp_unsigned("==", gate, out)
    with builder.if_then(is_given), builder.if_else(is_out) as (rectified, gated):
        with rectified:
            for place in sums.values():
                total = builder.load(place)
                zero = ir.Constant(total.type, None)
                builder.store(builder.select(builder.fcmp_ordered("<", total, zero), zero, total), place)
        with gated:
            for (r, v), place in sums.items():
                total = builder.load(place)
                vector = total.type
                zero, one = (ir.Constant(vector, [number] * vector.count) for number in (0.0, 1.0))
                offset = builder.add(builder.mul(out_stride, ir.I64(r)), ir.I64(v * vector.count))
                by = load_vector(builder, builder.gep(gate_tile, [offset]), vector, mask_of(v))
                factor = builder.select(builder.fcmp_ordered("<=", by, zero), zero, one)
                builder.store(builder.fmul(total, factor), place)


@inline
def gate_entries(out, out_stride, gate, m, n):
    """Apply the gate to out (m, n), which other functions than tiles have made."""
    if same_place(gate, null_like(gate)):
        return
    is_out = same_place(gate, out)
    for i in range(m):
        to, by = shift(out, i * out_stride), shift(gate, i * out_stride)
        if is_out:
            for j in range(n):
                to[j] = select(to[j] < 0, like(to[j], 0), to[j])
        else:
            for j in range(n):
                to[j] *= select(by[j] <= 0, like(to[j], 0), like(to[j], 1))
