"""Dot products: one output column, out (m,) = init + a (m, k) @ b (k,), with the lanes of a vector along k.

A tile of one column would use one lane of its vectors.  Here as many rows of a as a vector has lanes are added up
at once, and their sums then end up side by side: 32 rows of 32 take 0.1 us instead of 0.35.  Each row's products
are added in the same order whatever its neighbours: lane l adds entries l, l + lanes ..., and the lanes are added
in pairs.
"""

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import Shape, edge_mask, load_vector, multiply_add, store_vector


@intrinsic
def dots(typingctx, out, init, init_stride, a, a_row, b, m, k):
    """out (m,) = init + a (m, k) @ b (k,): pointers to the first entries; rows of a are `a_row` entries apart.

    `init_stride` 0 repeats one entry, and a null `init` is zero; `init` may be `out`.
    """

    def codegen(context, builder, signature, args):
        shape = Shape(context, signature.args[0].dtype)
        builder.call(_function(builder.module, shape, args[0].type), args)
        return context.get_dummy_value()

    pointer, size = out, types.int64
    return types.void(pointer, pointer, size, pointer, size, pointer, size, size), codegen


def _function(module, shape, pointer):
    """Emit the function once in `module`."""
    name = f"fastbp_dots_{pointer.pointee}"
    if name in module.globals:
        return module.globals[name]
    arguments = [pointer, pointer, ir.I64, pointer, ir.I64, pointer, ir.I64, ir.I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    # As for tiles: unrolling takes longer to compile and brings nothing.
    function.attributes.add("optsize")
    out, init, init_stride, a, a_row, b, m, k = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = ir.I64(shape.lanes)
    groups = builder.udiv(builder.add(m, ir.I64(shape.lanes - 1)), lanes)
    sums_side_by_side = cgutils.alloca_once(builder, pointer.pointee, size=lanes)
    with cgutils.for_range(builder, groups) as group:
        first = builder.mul(group.index, lanes)
        rows = []
        for r in range(shape.lanes):
            # In the last group rows beyond the end repeat the last one.
            row = builder.add(first, ir.I64(r))
            inside = builder.icmp_signed("<", row, m)
            row = builder.select(inside, row, builder.sub(m, ir.I64(1)))
            rows.append(builder.gep(a, [builder.mul(row, a_row)]))
        total = _sum_rows(builder, shape, rows, b, k)
        store_vector(builder, total, sums_side_by_side)
        left = builder.sub(m, first)
        count = builder.select(builder.icmp_signed("<", left, lanes), left, lanes)
        with cgutils.for_range(builder, count) as entry:
            place = builder.add(first, entry.index)
            value = builder.load(builder.gep(sums_side_by_side, [entry.index]))
            start = start_of(builder, init, builder.mul(place, init_stride))
            builder.store(builder.fadd(start, value), builder.gep(out, [place]))
    builder.ret_void()
    return function


def _sum_rows(builder, shape, rows, b, k):
    """Return the vector of the sums over k of each row's products with b."""
    vector = ir.VectorType(b.type.pointee, shape.lanes)
    lanes = ir.I64(shape.lanes)
    sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in rows]

    def add(start, mask):
        weights = load_vector(builder, builder.gep(b, [start]), vector, mask)
        for row, total in zip(rows, sums, strict=True):
            entries = load_vector(builder, builder.gep(row, [start]), vector, mask)
            builder.store(multiply_add(builder, shape, entries, weights, builder.load(total)), total)

    whole = builder.udiv(k, lanes)
    with cgutils.for_range(builder, whole) as loop:
        add(builder.mul(loop.index, lanes), None)
    start = builder.mul(whole, lanes)
    edge = builder.sub(k, start)
    with cgutils.if_likely(builder, builder.icmp_signed(">", edge, ir.I64(0))):
        add(start, edge_mask(builder, edge, vector))
    return lane_sums(builder, [builder.load(total) for total in sums])


def lane_sums(builder, vectors):
    """Return the vector whose lane r is the sum of the lanes of vectors[r]: pairs of lanes, then pairs of pairs."""
    while len(vectors) > 1:
        vectors = [_add_pairs(builder, *vectors[i : i + 2]) for i in range(0, len(vectors), 2)]
    return vectors[0]


def _add_pairs(builder, x, y):
    """Return the sums of neighbouring lanes of x, then of y."""
    count, i32 = x.type.count, ir.IntType(32)
    even = ir.Constant(ir.VectorType(i32, count), [i32(lane) for lane in range(0, 2 * count, 2)])
    odd = ir.Constant(even.type, [i32(lane) for lane in range(1, 2 * count, 2)])
    return builder.fadd(builder.shuffle_vector(x, y, even), builder.shuffle_vector(x, y, odd))


def start_of(builder, init, offset):
    """Return init[offset], or zero of a null pointer."""
    zero = cgutils.alloca_once_value(builder, ir.Constant(init.type.pointee, 0.0))
    is_null = builder.icmp_unsigned("==", init, ir.Constant(init.type, None))
    return builder.load(builder.select(is_null, zero, builder.gep(init, [offset])))
