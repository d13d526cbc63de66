"""Epilogues: a rectifier, or the derivative of one, that a product's tiles apply to their sums before they store them.

The *gate* of a product says which.  If it is null, there is none.  If it is `out` itself, out = max(sums, 0).  Any
other gate is a matrix of the shape and the stride of `out`, and out = sums * 0 where it is at most 0, else sums (also
where it is NaN).  These are the formulas of `activations.ReLU`, bits included.  A product that never has a gate has
None, and no machine code for it.

Without them both are passes over what the product has just written: 30-64-64-3 in batches of 64 takes 1.054 times as
long, 54-256-256-7 in batches of 256 1.014 times and 8-256-256-256-1 1.018 times.
"""

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import intrinsic, ir, types
from fastbp.compiler.pointers import null_like, same_place, shift
from fastbp.compiler.vectors import load_vector
from fastbp.kernels.tilesums import below


@intrinsic
def gate_from(typingctx, gate, offset, applies):
    """Return the gate of the part of `out` that begins at `offset`: null where it does not apply, None for None."""

    def codegen(context, builder, signature, args):
        if signature.args[0] is types.none:
            return context.get_dummy_value()
        null = ir.Constant(args[0].type, None)
        is_idle = builder.or_(builder.icmp_unsigned("==", args[0], null), builder.not_(args[2]))
        return builder.select(is_idle, null, builder.gep(args[0], [args[1]]))

    return gate(gate, types.int64, types.boolean), codegen


def given_arguments(signature, args, count):
    """Return those of an intrinsic's last `count` arguments that are not None: functions of tiles get these."""
    pairs = zip(signature.args[-count:], args[-count:], strict=True)
    return [arg for kind, arg in pairs if kind is not types.none]


def gate_sums(builder, sums, out, out_stride, gate, tile, rows, mask_of):
    """Apply the gate ([pointer], or []) to the accumulators {(row, vector): place} of tile number `tile`."""
    if not gate:
        return
    is_given = builder.icmp_unsigned("!=", gate[0], ir.Constant(out.type, None))
    is_out = builder.icmp_unsigned("==", gate[0], out)
    gate_tile = below(builder, gate[0], out_stride, tile, rows)
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
    if gate is None or same_place(gate, null_like(out)):
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
