"""Epilogues: a rectifier, its derivative or dropout's, that a product's tiles apply to their sums.

The *gate* of a product says which.  If it is null, there is none.  If it is `out` itself, out = max(sums, 0).  Any
other gate is a matrix of the shape and the stride of `out`, and `gate_kind` says what it does:

    RECTIFIED             out = sums * 0 where the gate is at most 0, else sums (also where it is NaN)
    DROPPED               out = 0 where the gate is -0.0, else sums * scale
    RECTIFIED | DROPPED   out = 0 where the gate is -0.0, sums * scale * 0 where it is another number of at most 0,
                          else sums * scale

These are the formulas of `activations.ReLU` and `Dropout`, bits included.  The gate of DROPPED is what `Dropout` has
made: -0.0 marks the entries that it has dropped.  A product that never has a gate has None, and no machine code for it.

Without them all are passes over what the product has just written.  For rectifiers alone, 30-64-64-3 in batches of 64
takes 1.054 times as long, 54-256-256-7 in batches of 256 1.014 times and 8-256-256-256-1 1.018 times.  With a layer of
dropout behind each rectifier they take 1.095, 1.042 and 1.031 times as long.
"""

import math

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.pointers import null_like, same_place, shift
from fastbp.compiler.vectors import Shape, edge_mask, emitted_once, load_vector, splat, store_vector
from fastbp.kernels.tilesums import below

# What a gate that is a matrix does.
RECTIFIED, DROPPED = 1, 2


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


def gate_sums(builder, sums, out, out_stride, epilogue, tile, rows, mask_of):
    """Apply the epilogue ([gate, gate_kind, scale], or []) to the accumulators {(row, vector): place} of tile `tile`.

    One of DROPPED is applied here to tall tiles alone; `drop_tile` has the others.
    """
    if not epilogue:
        return
    gate, gate_kind, scale = epilogue
    is_given = _is_given(builder, gate)
    is_out = builder.icmp_unsigned("==", gate, out)
    gate_tile = below(builder, gate, out_stride, tile, rows)

    def apply(formula):
        """Replace each sum by formula(sum, gate)."""
        for (r, v), place in sums.items():
            vector = place.type.pointee
            offset = builder.add(builder.mul(out_stride, ir.I64(r)), ir.I64(v * vector.count))
            by = load_vector(builder, builder.gep(gate_tile, [offset]), vector, mask_of(v))
            builder.store(formula(builder.load(place), by), place)

    with builder.if_then(is_given), builder.if_else(is_out) as (rectified, gated):
        with rectified:
            for place in sums.values():
                total = builder.load(place)
                zero = ir.Constant(total.type, None)
                builder.store(builder.select(builder.fcmp_ordered("<", total, zero), zero, total), place)
        with gated, builder.if_else(_drops(builder, gate_kind)) as (dropped, sloped):
            with sloped:
                apply(lambda total, by: _sloped(builder, total, by, ir.Constant(by.type, None)))
            with dropped:
                if _is_tall(sums, mask_of):
                    apply(_dropped(builder, gate_kind, scale, sums[0, 0].type.pointee))


def drop_tile(builder, shape, sums, out, out_stride, epilogue, tile, edge, mask_of):
    """Apply a gate of DROPPED to tile number `tile` of `out`, whose sums {(row, vector): place} have been stored.

    `edge` are the columns of the last vector.  Tiles of few rows or with a mask call one function for this, which takes
    0.04 ns an entry and not 0.003.  If each did it in registers, a product would take 28 % longer to compile.
    """
    if not epilogue or _is_tall(sums, mask_of):
        return
    gate, gate_kind, scale = epilogue
    rows, vectors = (1 + max(numbers) for numbers in zip(*sums, strict=True))
    is_given = builder.and_(_is_given(builder, gate), _drops(builder, gate_kind))
    with builder.if_then(is_given, likely=False):
        out_tile, gate_tile = (below(builder, base, out_stride, tile, rows) for base in (out, gate))
        width = builder.add(edge, ir.I64((vectors - 1) * sums[0, 0].type.pointee.count))
        arguments = [out_tile, out_stride, gate_tile, gate_kind, scale, ir.I64(rows), width]
        builder.call(_drop_function(builder.module, shape, arguments), arguments)


def _is_tall(sums, mask_of):
    """Are these the sums of whole vectors, of most rows of a product?"""
    return len(sums) >= 8 and all(mask_of(v) is None for _, v in sums)


def _sloped(builder, total, by, limit):
    """Return total * 0 where `by` is at most `limit`, else total * 1."""
    zero, one = (ir.Constant(by.type, [number] * by.type.count) for number in (0.0, 1.0))
    return builder.fmul(total, builder.select(builder.fcmp_ordered("<=", by, limit), zero, one))


def _dropped(builder, gate_kind, scale, vector):
    """Return the formula of DROPPED, with RECTIFIED or without: f(sums, gate)."""
    zero, nothing, mark = (ir.Constant(vector, [number] * vector.count) for number in (0.0, math.nan, -0.0))
    bits = ir.VectorType(ir.IntType(32 if isinstance(vector.element, ir.FloatType) else 64), vector.count)
    is_rectified = builder.icmp_signed("!=", builder.and_(gate_kind, ir.I64(RECTIFIED)), ir.I64(0))
    # Nothing is at most NaN.
    limit, scales = builder.select(is_rectified, zero, nothing), splat(builder, scale, vector.count)
    mark = builder.bitcast(mark, bits)

    def formula(total, by):
        kept = _sloped(builder, builder.fmul(total, scales), by, limit)
        has_mark = builder.icmp_unsigned("==", builder.bitcast(by, bits), mark)
        return builder.select(has_mark, zero, kept)

    return formula


def _is_given(builder, gate):
    return builder.icmp_unsigned("!=", gate, ir.Constant(gate.type, None))


def _drops(builder, gate_kind):
    return builder.icmp_signed("!=", builder.and_(gate_kind, ir.I64(DROPPED)), ir.I64(0))


def _drop_function(module, shape, arguments):
    """Return the function of `drop_block`, emitted once in `module`."""
    name = f"fastbp_drop_block_{arguments[0].type.pointee}"
    return emitted_once(module, name, arguments, lambda function: _emit_drop_block(function, shape))


@intrinsic
def drop_block(typingctx, out, out_stride, gate, gate_kind, scale, m, n):
    """Apply a gate of DROPPED to out (m, n)."""

    def codegen(context, builder, signature, args):
        shape = Shape(context, signature.args[0].dtype)
        builder.call(_drop_function(builder.module, shape, args), args)
        return context.get_dummy_value()

    size = types.int64
    return types.void(out, size, gate, size, out.dtype, size, size), codegen


def _emit_drop_block(function, shape):
    """Emit the body of `drop_block`."""
    out, out_stride, gate, gate_kind, scale, m, n = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = shape.lanes
    vector = ir.VectorType(out.type.pointee, lanes)
    formula = _dropped(builder, gate_kind, scale, vector)

    def drop(place, mask):
        total, by = (load_vector(builder, builder.gep(base, [place]), vector, mask) for base in (out, gate))
        store_vector(builder, formula(total, by), builder.gep(out, [place]), mask)

    whole = builder.udiv(n, ir.I64(lanes))
    done = builder.mul(whole, ir.I64(lanes))
    left = builder.sub(n, done)
    edge = edge_mask(builder, left, vector)
    with cgutils.for_range(builder, m) as row:
        first = builder.mul(row.index, out_stride)
        with cgutils.for_range(builder, whole) as column:
            drop(builder.add(first, builder.mul(column.index, ir.I64(lanes))), None)
        with builder.if_then(builder.icmp_signed(">", left, ir.I64(0))):
            drop(builder.add(first, done), edge)
    builder.ret_void()


@inline
def gate_entries(out, out_stride, gate, gate_kind, scale, m, n):
    """Apply the gate to out (m, n), which other functions than tiles have made."""
    if gate is None or same_place(gate, null_like(out)):
        return
    is_out = same_place(gate, out)
    if gate_kind & DROPPED:
        drop_block(out, out_stride, gate, gate_kind, scale, m, n)
        return
    for i in range(m):
        to, by = shift(out, i * out_stride), shift(gate, i * out_stride)
        if is_out:
            for j in range(n):
                to[j] = select(to[j] < 0, like(to[j], 0), to[j])
        else:
            for j in range(n):
                to[j] *= select(by[j] <= 0, like(to[j], 0), like(to[j], 1))
