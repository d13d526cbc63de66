"""Sums over rows: out (n,) = init + a * the sum of the rows of b (k, n).  This is the gradient of a bias.

Eight rows are added as a tree.  Eight such sums make a block, and 64 blocks make a section.  So the sum of a million
equal rows in float32 is exact but for some last bits; one chain of additions would be off by 1e-2.  In a tree fewer
additions wait for each other than in a tile, which adds one row after the other: 10,000 rows of one column take 16 us
instead of 24.  (With 256 columns both take the same time.)
"""

import numpy as np

from fastbp.compiler.intrinsics import like
from fastbp.compiler.jit import call, inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.pointers import at, null, null_like, same_place, shift, unit
from fastbp.compiler.vectors import calls_emitted, edge_mask, load_vector, store_vector

# Columns at a time; their sums stay in the first-level cache.
WIDTH = 64
# Rows of a tree, of a block, of a section.
TREE, BLOCK, SECTION = 8, 64, 4096
# So many vectors of columns are summed at once, in registers.  Summing 512 columns of 128 rows one vector at a time
# misses the first-level cache at each load: 5.0 us instead of 3.1.
TOGETHER = 4


@intrinsic
def stack_sums(typingctx, pointer):
    """Return room on the stack for WIDTH sums."""

    def codegen(context, builder, signature, args):
        buffer = cgutils.alloca_once(builder, args[0].type.pointee, size=ir.IntType(64)(WIDTH))
        buffer.align = 64
        return buffer

    return pointer(pointer), codegen


@inline
def sum_columns(out, init, a, b, b_stride, n, k):
    """out (n,) = init (n,) + a[0] * the sum of the rows of b (k, n); a null `init` is zero, and may be `out`."""
    block, section = stack_sums(out), stack_sums(out)
    factor, zero = a[0], like(a[0], 0)
    for j in range(0, n, WIDTH):
        width = np.uint64(min(WIDTH, n - j))
        to, start = shift(out, j), shift(init, j)
        if same_place(init, null_like(init)):
            for i in range(width):
                to[i] = zero
        else:
            for i in range(width):
                to[i] = start[i]
        for first in range(0, k, SECTION):
            end = min(first + SECTION, k)
            for i in range(width):
                section[i] = zero
            for row in range(first, end, BLOCK):
                sum_block(block, shift(b, row * b_stride + j), b_stride, min(BLOCK, end - row), width)
                for i in range(width):
                    section[i] += block[i]
            for i in range(width):
                to[i] += factor * section[i]


@inline
def sum_block(block, b, b_stride, rows, width):
    """block (width,) = the sum of `rows` rows of b."""
    whole = rows // TREE * TREE
    sum_trees(block, b, b_stride, rows // TREE, np.int64(width))
    for row in range(whole, rows):
        last = shift(b, row * b_stride)
        for i in range(width):
            block[i] += last[i]


@intrinsic
def sum_trees(typingctx, block, b, b_stride, trees, width):
    """block (width,) = the sum of `trees` trees of rows of b; the rest of its last vector is zero.

    The sums of a vector's columns stay in a register: 288 rows of 32 take 0.19 us, in loops over `block` 0.36.
    """
    size = types.int64
    return types.void(block, b, size, size, size), calls_emitted("sum_trees", _emit_trees)


def _emit_trees(function, shape):
    """Emit the body of `sum_trees`: several vectors of columns together, neighbours in memory, then one at a time."""
    block, b, b_stride, trees, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = shape.lanes
    vector = ir.VectorType(b.type.pointee, lanes)
    totals = [builder.alloca(vector) for _ in range(TOGETHER)]

    def sum_columns_of(column, places, mask):
        for place in places:
            builder.store(ir.Constant(vector, None), place)
        with cgutils.for_range(builder, trees) as tree:
            first = builder.gep(b, [builder.add(column, builder.mul(builder.mul(tree.index, ir.I64(TREE)), b_stride))])
            rows = [first]
            for _ in range(TREE - 1):
                rows.append(builder.gep(rows[-1], [b_stride]))
            for v, place in enumerate(places):
                sums = [load_vector(builder, builder.gep(row, [ir.I64(v * lanes)]), vector, mask) for row in rows]
                while len(sums) > 1:
                    sums = [builder.fadd(x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
                builder.store(builder.fadd(builder.load(place), sums[0]), place)
        for v, place in enumerate(places):
            store_vector(builder, builder.load(place), builder.gep(block, [builder.add(column, ir.I64(v * lanes))]))

    whole = builder.udiv(width, ir.I64(TOGETHER * lanes))
    with cgutils.for_range(builder, whole) as loop:
        sum_columns_of(builder.mul(loop.index, ir.I64(TOGETHER * lanes)), totals, None)
    done = builder.mul(whole, ir.I64(TOGETHER * lanes))
    left = builder.udiv(builder.add(builder.sub(width, done), ir.I64(lanes - 1)), ir.I64(lanes))
    with cgutils.for_range(builder, left) as loop:
        column = builder.add(done, builder.mul(loop.index, ir.I64(lanes)))
        sum_columns_of(column, totals[:1], edge_mask(builder, builder.sub(width, column), vector))
    builder.ret_void()


@inline
def clear_unless(accumulate, total):
    """total = 0, unless something is to be added to it."""
    if not accumulate:
        for i in range(total.size):
            total[i] = 0


@inline
def sum_rows(product, total, accumulate, rows, x, x_row):
    """total (w,) = (or +=) the sum of rows: x points to the first one, and they begin `x_row` entries apart.

    It is ones^T @ x by the tiles (`product`, from `product_address`), which add up columns faster than a loop would.
    """
    w = total.size
    init = at(total, 0) if accumulate else null(total)
    call(product, (at(total, 0), w, init, w, unit(total), 0, 0, x, x_row, 1, w, rows))


def sum_of_terms(term):
    """Make the function that sums term(x, y, z), a formula for one entry, over the rows of three arrays.

    It is ``f(total, accumulate, rows, x, x_row, y, y_row, z, z_row)``: total (w,) = (or +=) the sum over rows.  The
    pointers x, y and z point to the first rows, and the rows of x begin `x_row` entries apart.
    """
    term = inline(term)

    @inline
    def add_terms(sums, rows, width, x, x_row, y, y_row, z, z_row):
        for row in range(rows):
            x_0, y_0, z_0 = shift(x, row * x_row), shift(y, row * y_row), shift(z, row * z_row)
            for i in range(width):
                sums[i] += term(x_0[i], y_0[i], z_0[i])

    @inline
    def sum_terms(total, accumulate, rows, x, x_row, y, y_row, z, z_row):
        if not accumulate:
            total[:] = 0
            if rows <= BLOCK:
                add_terms(at(total, 0), rows, np.uint64(total.size), x, x_row, y, y_row, z, z_row)
                return
        block, section = stack_sums(at(total, 0)), stack_sums(at(total, 0))
        zero = total.dtype.type(0)
        for j in range(0, total.size, WIDTH):
            width, to = np.uint64(min(WIDTH, total.size - j)), at(total, j)
            for first in range(0, rows, SECTION):
                end = min(first + SECTION, rows)
                for i in range(width):
                    section[i] = zero
                for row in range(first, end, BLOCK):
                    for i in range(width):
                        block[i] = zero
                    x_0, y_0, z_0 = shift(x, row * x_row + j), shift(y, row * y_row + j), shift(z, row * z_row + j)
                    add_terms(block, min(BLOCK, end - row), width, x_0, x_row, y_0, y_row, z_0, z_row)
                    for i in range(width):
                        section[i] += block[i]
                for i in range(width):
                    to[i] += section[i]

    return sum_terms


def _product(x, y, z):
    return x * y


# z may be any pointer.
sum_products = sum_of_terms(_product)
