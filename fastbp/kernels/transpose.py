"""The transpose of a matrix, by square blocks in registers: 0.2 ns an entry where loops take 1.5."""

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import intrinsic, ir, types
from fastbp.compiler.pointers import shift
from fastbp.compiler.vectors import Shape, calls_emitted, edge_mask, load_vector, store_vector


@inline
def transpose(out, out_stride, x, x_stride, rows, columns):
    """out (columns, rows) = x (rows, columns)^T: pointers to the first entries, strides of rows in entries."""
    size = block_size(out)
    for i in range(0, rows, size):
        for j in range(0, columns, size):
            to, source = shift(out, j * out_stride + i), shift(x, i * x_stride + j)
            if i + size <= rows and j + size <= columns:
                transpose_block(to, out_stride, source, x_stride)
            else:
                transpose_edge(to, out_stride, source, x_stride, min(size, rows - i), min(size, columns - j))


@intrinsic
def block_size(typingctx, pointer):
    """Return the rows and columns of a block: the lanes of a vector."""

    def codegen(context, builder, signature, args):
        return ir.I64(Shape(context, signature.args[0].dtype).lanes)

    return types.int64(pointer), codegen


@intrinsic
def transpose_block(typingctx, out, out_stride, x, x_stride):
    """Transpose one block."""
    size = types.int64
    return types.void(out, size, x, size), calls_emitted("transpose_block", _emit_block)


@intrinsic
def transpose_edge(typingctx, out, out_stride, x, x_stride, rows, columns):
    """Transpose a block of fewer rows or columns: 1 or more of both."""
    size = types.int64
    return types.void(out, size, x, size, size, size), calls_emitted("transpose_edge", _emit_edge)


def _emit_block(function, shape):
    """Emit the body of `transpose_block`."""
    out, out_stride, x, x_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = shape.lanes
    vector = ir.VectorType(out.type.pointee, lanes)
    rows = [load_vector(builder, _row(builder, x, x_stride, i), vector) for i in range(lanes)]
    for i, row in enumerate(_exchange(builder, rows)):
        store_vector(builder, row, _row(builder, out, out_stride, i))
    builder.ret_void()


def _emit_edge(function, shape):
    """Emit the body of `transpose_edge`."""
    out, out_stride, x, x_stride, rows, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = shape.lanes
    vector = ir.VectorType(out.type.pointee, lanes)
    filled, stored = edge_mask(builder, columns, vector), edge_mask(builder, rows, vector)
    last = builder.sub(rows, ir.I64(1))
    loaded = []
    for i in range(lanes):
        # Rows beyond the end repeat the last one.
        number = ir.I64(i)
        inside = builder.icmp_signed("<", number, rows)
        row = builder.gep(x, [builder.mul(builder.select(inside, number, last), x_stride)])
        loaded.append(load_vector(builder, row, vector, filled))
    end = function.append_basic_block("end")
    for i, row in enumerate(_exchange(builder, loaded)):
        store_vector(builder, row, _row(builder, out, out_stride, i), stored)
        after = function.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", columns, ir.I64(i + 1)), after, end)
        builder.position_at_end(after)
    builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()


def _row(builder, base, stride, i):
    return builder.gep(base, [builder.mul(stride, ir.I64(i))])


def _exchange(builder, rows):
    """Return the columns of a square block: each bit of the row's number changes places with that of the lane's."""
    rows, lanes, bit = list(rows), len(rows), len(rows) // 2
    while bit:
        for i in range(lanes):
            if not i & bit:
                upper, lower = rows[i], rows[i + bit]
                rows[i] = shuffle(builder, upper, lower, [k - bit + lanes if k & bit else k for k in range(lanes)])
                rows[i + bit] = shuffle(
                    builder, upper, lower, [k + lanes if k & bit else k + bit for k in range(lanes)]
                )
        bit //= 2
    return rows


def shuffle(builder, a, b, numbers):
    """Pick lanes by number from a and b side by side."""
    i32 = ir.IntType(32)
    mask = ir.Constant(ir.VectorType(i32, len(numbers)), [ir.Constant(i32, number) for number in numbers])
    return builder.shuffle_vector(a, b, mask)
