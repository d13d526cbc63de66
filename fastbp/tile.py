"""The register-tiled product: out = init + a @ b, at the speed of a BLAS, in about 200 lines.

A *tile* is a block of the output, a few rows by a few vectors, that stays in registers while one loop
runs over the inner dimension.  Numba's own loops reach 17 to 28 GFLOP/s on a core where these reach 100:
the tiles are written as LLVM IR (explicit vectors and fused multiply-adds), each emitted once as a
function of its own.  Edges use masked loads and stores.  Every output entry adds its products in order
of the inner index, whatever the tile: splitting rows or columns differently never changes a bit.
"""

from functools import cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import address, kernel
from fastbp.pointers import shift

I64 = ir.IntType(64)

# Inner indices a packed panel of b holds: 256 x 24 float32 is 24 KiB, within L1.
DEPTH = 256


class Shape:
    """Lanes of a vector, and rows and vectors of a tile, for the compiler's CPU and one float type."""

    def __init__(self, context, dtype):
        features = context.codegen().magic_tuple()[2].split(",")
        self.fma = "+fma" in features or "+neon" in features
        self.bits = 512 if "+avx512f" in features else 256 if "+avx" in features else 128
        self.lanes = self.bits // dtype.bitwidth
        # Accumulators + one row of b + one broadcast fit the 32 (AVX-512, NEON) or 16 registers.
        self.rows, self.vectors = (8, 2) if self.bits == 512 else (4, 3)
        self.columns = self.lanes * self.vectors


@kernel
def product(out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k):
    """Compute out (m, n) = init + a (m, k) @ b (k, n); `out` is overwritten.

    Pointers to the first entries, strides in entries: `out`, `init` and `b` have contiguous rows
    (`init_stride` 0 repeats one row: a bias), `a` has any strides (so x^T @ dout is the same kernel).
    A null `init` is zero; `init` may be `out`.
    """
    rows, columns = tile_rows(out), tile_columns(out)
    panel = stack_panel(out)
    # A panel of b is read once for each row tile: with strides of whole pages it falls out of L1 each
    # time, so copy it first where at least 8 row tiles use the copy.
    pack = m >= 8 * rows and b_stride > columns
    first = 0
    while True:
        depth = min(DEPTH, k - first)
        for j in range(0, n, columns):
            width = min(columns, n - j)
            b_panel, b_panel_stride = shift(b, first * b_stride + j), b_stride
            if pack and width == columns:
                copy_panel(panel, b_panel, b_stride, depth)
                b_panel, b_panel_stride = panel, columns
            for i in range(0, m, rows):
                run_tile(
                    min(rows, m - i),
                    width,
                    shift(out, i * out_stride + j),
                    out_stride,
                    shift(init, i * init_stride + j),
                    init_stride,
                    shift(a, i * a_row + first * a_col),
                    a_row,
                    a_col,
                    b_panel,
                    b_panel_stride,
                    depth,
                )
        first += depth
        if first >= k:
            break
        init, init_stride = out, out_stride


@cache
def product_address(float_type):
    """Return the address of `product` for a Numba float type."""
    pointer, size = types.CPointer(float_type), types.int64
    return address(product, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size, size)


@intrinsic
def stack_panel(typingctx, pointer):
    """Return room on the stack for DEPTH rows of one tile's columns, aligned to a cache line."""

    def codegen(context, builder, signature, args):
        size = DEPTH * Shape(context, signature.args[0].dtype).columns
        buffer = cgutils.alloca_once(builder, args[0].type.pointee, size=ir.Constant(I64, size))
        buffer.align = 64
        return buffer

    return pointer(pointer), codegen


def _shape_constant(attribute):
    @intrinsic
    def constant(typingctx, pointer):
        def codegen(context, builder, signature, args):
            return ir.Constant(I64, getattr(Shape(context, signature.args[0].dtype), attribute))

        return types.int64(pointer), codegen

    return constant


tile_rows = _shape_constant("rows")
tile_columns = _shape_constant("columns")


@intrinsic
def copy_panel(typingctx, panel, source, source_stride, depth):
    """Copy `depth` rows of one tile's columns from `source` to the contiguous `panel`."""

    def codegen(context, builder, signature, args):
        to, source_, stride, count = args
        shape = Shape(context, signature.args[0].dtype)
        vector = ir.VectorType(to.type.pointee, shape.lanes)
        with cgutils.for_range(builder, count) as loop:
            for v in range(shape.vectors):
                start = ir.Constant(I64, v * shape.lanes)
                read = builder.gep(source_, [builder.add(builder.mul(loop.index, stride), start)])
                row = builder.mul(loop.index, ir.Constant(I64, shape.columns))
                write = builder.gep(to, [builder.add(row, start)])
                _store(builder, _load(builder, read, vector), write)
        return context.get_dummy_value()

    return types.void(panel, source, types.int64, types.int64), codegen


@intrinsic
def run_tile(typingctx, rows, width, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth):
    """Run the tile of `rows` rows and `width` columns; the other arguments are those of `product`."""

    def codegen(context, builder, signature, args):
        rows_, width_, *rest = args
        shape = Shape(context, signature.args[2].dtype)
        table = _tile_table(builder.module, shape, args[2].type)
        lanes = ir.Constant(I64, shape.lanes)
        vectors = builder.udiv(builder.add(width_, ir.Constant(I64, shape.lanes - 1)), lanes)
        # The functions stand by rows, then by kind: full tile, then 1, 2 ... vectors, the last one masked.
        full = builder.icmp_signed("==", width_, ir.Constant(I64, shape.columns))
        kind = builder.select(full, ir.Constant(I64, 0), vectors)
        index = builder.mul(builder.sub(rows_, ir.Constant(I64, 1)), ir.Constant(I64, shape.vectors + 1))
        function = builder.load(builder.gep(table, [ir.Constant(I64, 0), builder.add(index, kind)]))
        edge = builder.sub(width_, builder.mul(builder.sub(vectors, ir.Constant(I64, 1)), lanes))
        builder.call(function, [*rest, edge])
        return context.get_dummy_value()

    pointer, size = out, types.int64
    signature = types.void(size, size, pointer, size, pointer, size, pointer, size, size, pointer, size, size)
    return signature, codegen


def _tile_table(module, shape, pointer):
    """Emit every tile function once in `module`; return the constant table of their addresses."""
    name = f"fastbp_tiles_{pointer.pointee}"
    if name in module.globals:
        return module.globals[name]
    arguments = [pointer, I64, pointer, I64, pointer, I64, I64, pointer, I64, I64, I64]
    function_type = ir.FunctionType(ir.VoidType(), arguments)
    functions = []
    for rows in range(1, shape.rows + 1):
        for vectors, masked in [(shape.vectors, False), *((v, True) for v in range(1, shape.vectors + 1))]:
            function = ir.Function(module, function_type, f"{name}_{rows}x{vectors}{'m' if masked else ''}")
            function.linkage = "internal"
            function.attributes.add("noinline")
            _emit_tile(function, shape, rows, vectors, masked)
            functions.append(function)
    table = ir.GlobalVariable(module, ir.ArrayType(function_type.as_pointer(), len(functions)), name)
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(table.type.pointee, functions)
    return table


def _emit_tile(function, shape, rows, vectors, masked):
    """Emit one tile: load or zero the accumulators, add a's column times b's row `depth` times, store."""
    out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth, edge = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    element = out.type.pointee
    vector = ir.VectorType(element, shape.lanes)
    mask = _edge_mask(builder, edge, shape.lanes) if masked else None
    places = [(r, v) for r in range(rows) for v in range(vectors)]
    sums = {place: builder.alloca(vector) for place in places}

    def entry(base, stride, r, v):
        offset = builder.add(builder.mul(stride, ir.Constant(I64, r)), ir.Constant(I64, v * shape.lanes))
        return builder.gep(base, [offset])

    def mask_of(v):
        return mask if v == vectors - 1 else None

    is_null = builder.icmp_unsigned("==", init, ir.Constant(init.type, None))
    with builder.if_else(is_null) as (zero, load):
        with zero:
            for place in places:
                builder.store(ir.Constant(vector, None), sums[place])
        with load:
            for r, v in places:
                builder.store(_load(builder, entry(init, init_stride, r, v), vector, mask_of(v)), sums[r, v])
    with cgutils.for_range(builder, depth) as loop:
        b_row = builder.gep(b, [builder.mul(loop.index, b_stride)])
        b_vectors = [
            _load(builder, builder.gep(b_row, [ir.Constant(I64, v * shape.lanes)]), vector, mask_of(v))
            for v in range(vectors)
        ]
        a_column = builder.gep(a, [builder.mul(loop.index, a_col)])
        for r in range(rows):
            scalar = builder.load(builder.gep(a_column, [builder.mul(a_row, ir.Constant(I64, r))]))
            spread = _splat(builder, scalar, shape.lanes)
            for v in range(vectors):
                total = _multiply_add(builder, shape, spread, b_vectors[v], builder.load(sums[r, v]))
                builder.store(total, sums[r, v])
    for r, v in places:
        _store(builder, builder.load(sums[r, v]), entry(out, out_stride, r, v), mask_of(v))
    builder.ret_void()


def _multiply_add(builder, shape, x, y, z):
    """x * y + z, fused where the CPU can (elsewhere llvm.fma would call libm for each lane)."""
    if not shape.fma:
        return builder.fadd(builder.fmul(x, y), z)
    name = f"llvm.fma.{_suffix(x.type)}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return builder.call(function, [x, y, z])


def _load(builder, pointer, vector, mask=None):
    """Load a vector from an unaligned pointer to its element type; masked lanes are zero."""
    place = builder.bitcast(pointer, vector.as_pointer())
    bytes_ = 4 if isinstance(vector.element, ir.FloatType) else 8
    if mask is None:
        return builder.load(place, align=bytes_)
    name = f"llvm.masked.load.{_suffix(vector)}.p0"
    types_ = [place.type, ir.IntType(32), mask.type, vector]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, types_), name)
    return builder.call(function, [place, ir.Constant(ir.IntType(32), bytes_), mask, ir.Constant(vector, None)])


def _store(builder, value, pointer, mask=None):
    """Store a vector to an unaligned pointer; masked lanes are left alone."""
    place = builder.bitcast(pointer, value.type.as_pointer())
    bytes_ = 4 if isinstance(value.type.element, ir.FloatType) else 8
    if mask is None:
        builder.store(value, place, align=bytes_)
        return
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    types_ = [value.type, place.type, ir.IntType(32), mask.type]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), types_), name)
    builder.call(function, [value, place, ir.Constant(ir.IntType(32), bytes_), mask])


def _suffix(vector):
    """The name of a vector type in LLVM's overloaded intrinsics."""
    return f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"


def _splat(builder, scalar, lanes):
    """Repeat a scalar in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def _edge_mask(builder, edge, lanes):
    """The mask of the first `edge` lanes."""
    numbers = ir.Constant(ir.VectorType(I64, lanes), [ir.Constant(I64, i) for i in range(lanes)])
    return builder.icmp_signed("<", numbers, _splat(builder, edge, lanes))
