"""Rows of 2, 3 or 4 entries taken apart into columns, and put together again, a vector of rows at a time.

Shuffles turn a few vectors of such rows into columns: two instructions for rows of 2.  `transpose` would load each row
by itself, and exchange a whole square.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import intrinsic, ir, types
from fastbp.compiler.pointers import shift
from fastbp.compiler.vectors import calls_emitted, load_vector, store_vector
from fastbp.kernels.transpose import block_size, shuffle, transpose

# The numbers of columns that are worth it.
WIDTHS = (2, 3, 4)


@inline
def rows_to_columns(out, out_stride, x, rows, k):
    """out (k, rows) = x (rows, k)^T, the rows of x side by side: pointers, the stride of columns in entries."""
    size, done = block_size(out), 0
    if k in WIDTHS:
        done = rows // size * size
        for i in range(0, done, size):
            split_rows(shift(out, i), out_stride, shift(x, i * k), k)
    transpose(shift(out, done), out_stride, shift(x, done * k), k, rows - done, k)


@inline
def columns_to_rows(out, x, x_stride, rows, k):
    """out (rows, k) = x (k, rows)^T, the rows of out side by side: pointers, the stride of columns in entries."""
    size, done = block_size(out), 0
    if k in WIDTHS:
        done = rows // size * size
        for i in range(0, done, size):
            join_columns(shift(out, i * k), shift(x, i), x_stride, k)
    transpose(shift(out, done * k), k, shift(x, done), x_stride, k, rows - done)


@intrinsic
def split_rows(typingctx, out, out_stride, x, k):
    """Take a vector's number of rows apart; k is one of WIDTHS."""
    return types.void(out, types.int64, x, types.int64), calls_emitted("split", _emit_split)


@intrinsic
def join_columns(typingctx, out, x, x_stride, k):
    """Put a vector's number of rows together; k is one of WIDTHS."""
    return types.void(out, x, types.int64, types.int64), calls_emitted("join", _emit_join)


def _emit_split(function, shape):
    out, out_stride, x, k = function.args
    lanes = shape.lanes
    vector = ir.VectorType(out.type.pointee, lanes)

    def emit(builder, k):
        loaded = [load_vector(builder, builder.gep(x, [ir.I64(i * lanes)]), vector) for i in range(k)]
        for j in range(k):
            numbers = [i * k + j for i in range(lanes)]
            place = builder.gep(out, [builder.mul(out_stride, ir.I64(j))])
            store_vector(builder, _pick(builder, loaded, numbers), place)

    _emit_widths(function, k, emit)


def _emit_join(function, shape):
    out, x, x_stride, k = function.args
    lanes = shape.lanes
    vector = ir.VectorType(out.type.pointee, lanes)

    def emit(builder, k):
        places = [builder.gep(x, [builder.mul(x_stride, ir.I64(j))]) for j in range(k)]
        columns = [load_vector(builder, place, vector) for place in places]
        for i in range(k):
            numbers = [(i * lanes + lane) % k * lanes + (i * lanes + lane) // k for lane in range(lanes)]
            store_vector(builder, _pick(builder, columns, numbers), builder.gep(out, [ir.I64(i * lanes)]))

    _emit_widths(function, k, emit)


def _emit_widths(function, k, emit):
    """Emit a branch for each width."""
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    end = function.append_basic_block("end")
    choice = builder.switch(k, end)
    for width in WIDTHS:
        choice.add_case(ir.I64(width), function.append_basic_block())
        builder.position_at_end(function.blocks[-1])
        emit(builder, width)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()


def _pick(builder, vectors, numbers):
    """Return a vector of the entries with these numbers, counted through all vectors.

    They are picked from the first two vectors, then from what came out and the next vector.
    """
    lanes = len(numbers)
    picked = vectors[0]
    here = [number if number < lanes else None for number in numbers]
    for i, vector in enumerate(vectors[1:], 1):
        lane_of = [number - i * lanes if number // lanes == i else None for number in numbers]
        found = [
            lanes + lane if lane is not None else (before if before is not None else 0)
            for lane, before in zip(lane_of, here, strict=True)
        ]
        picked = shuffle(builder, picked, vector, found)
        here = list(range(lanes))
    return picked
