"""The register-tiled product: out = init + a @ b, at the speed of a BLAS, in about 300 lines.

A *tile* is a block of the output, a few rows by a few vectors, that stays in registers while one loop
runs over the inner dimension.  Numba's own loops reach 17 to 28 GFLOP/s on a core where these reach 100:
the tiles are written as LLVM IR (explicit vectors and fused multiply-adds), each emitted once as a
function of its own.  Edges use masked loads and stores.

The order of additions depends on the inner dimension alone, so splitting rows or columns differently changes no bit.
An entry first adds DEPTH products in the order of the inner index.  These sums are added up to sums of SECTION
products, and those in turn.  In float32 the sum of a million equal products is then off by 4e-6; added one after the
other they would be off by 1e-2.  An output of one column is an exception: `dots` adds its products by lanes.  Sums of
columns, where `a` is 1 everywhere (the gradient of a bias), are computed by columnsums.py.
"""

from functools import cache
from itertools import product as pairs_of

import numpy as np

from fastbp.compiler.jit import compiled_address, inline, kernel
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.pointers import copy_entries, null_like, same_place, shift
from fastbp.compiler.signatures import signature
from fastbp.compiler.tileshape import DEPTH, copy_panel, log_height, stack_panel, tile_columns, vectors_before_last
from fastbp.compiler.vectors import HEIGHTS, Shape, edge_mask, load_vector, multiply_add, splat
from fastbp.kernels.ahead import fetch_line, is_piece, take_piece
from fastbp.kernels.columnsums import sum_columns
from fastbp.kernels.dots import dots
from fastbp.kernels.epilogue import drop_tile, gate_entries, gate_from, gate_sums, given_arguments
from fastbp.kernels.panels import PANEL_READERS, PLAIN_ENTRIES, panel_at
from fastbp.kernels.quads import quad_rows, run_quads
from fastbp.kernels.tilesums import below, fold_sums, initial_sums, opaque, store_tile

# The number of products in a section: each section has a sum of its own.
SECTION = 64 * DEPTH
# An output of one column adds blocks of so many products: DEPTH in each of 16 lanes, more in each of fewer lanes.
DOTS = 16 * DEPTH
# Up to so many rows of b the tiles, which add in one chain, are as fast as columnsums.py.
FEW_ROWS = 16


@kernel
def product(out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k):
    """Compute out (m, n) = init + a (m, k) @ b (k, n); `out` is overwritten.

    Pointers to the first entries, strides in entries: `out`, `init` and `b` have contiguous rows
    (`init_stride` 0 repeats one row: a bias), `a` has any strides (so x^T @ dout is the same kernel).
    `b` may be a matrix's panels, and `b_stride` then theirs (panels.py).
    A null `init` is zero; `init` may be `out`.
    """
    multiply(out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, None, None, None, None)


@kernel
def gated_product(
    out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, gate_kind, scale, ahead
):
    """Compute what `product` does, and then what `gate`, `gate_kind` and `scale` say (epilogue.py).

    Its tallest and widest tiles fetch what stands in the queue at the address `ahead`, if that is not 0 (ahead.py).
    """
    multiply(out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, gate_kind, scale, ahead)


@inline
def multiply(out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, gate_kind, scale, ahead):
    """Compute both kinds of product."""
    if b_stride < 0 and n <= tile_columns(out):
        b_stride = n
    if n == 1 and a_row == 1 and out_stride == 1 and init_stride == 1:
        # One column from contiguous columns of a (the gradient of a single output's kernel) is as well one row,
        # out^T = init^T + b^T @ a^T, of whole vectors: 22 GFLOP/s instead of 6.
        a, a_row, a_col, b, b_stride, m, n = b, 0, b_stride, a, a_col, 1, m
    if n == 1 and a_col == 1 and b_stride == 1 and out_stride == 1:
        for first in range(0, max(k, 1), DOTS):
            dots(out, init, init_stride, shift(a, first), a_row, shift(b, first), m, min(DOTS, k - first))
            init, init_stride = out, 1
        gate_entries(out, out_stride, gate, gate_kind, scale, m, n)
        return
    if m == 1 and a_row == 0 and a_col == 0 and k > FEW_ROWS:
        sum_columns(out, init, a, b, b_stride, n, k)
        gate_entries(out, out_stride, gate, gate_kind, scale, m, n)
        return
    panel, sums, columns = stack_panel(out), stack_panel(out), tile_columns(out)
    # There is one call of add_panels, because each takes 0.25 s to compile.  It makes the whole product; or blocks of
    # it, if the sums of several sections must be added up.
    whole = k <= SECTION
    height, width = (m, n) if whole else (DEPTH, columns)
    # A range of steps that the compiler does not know would begin with a division.
    i = 0
    while i < m:
        j = 0
        while j < n:
            rows, cols = min(height, m - i), min(width, n - j)
            to, start, start_stride = shift(out, i * out_stride + j), shift(init, i * init_stride + j), init_stride
            for first in range(0, max(k, 1), SECTION):
                target, target_stride = (to, out_stride) if whole else (sums, columns)
                initial = start if whole else null_like(out)
                a_part = shift(a, i * a_row + first * a_col)
                b_part = panel_at(b, b_stride, first, j, min(columns, n - j))
                depth = min(SECTION, k - first)
                add_panels(
                    panel, target, target_stride, initial, start_stride, a_part, a_row, a_col, b_part, b_stride,
                    rows, cols, depth, gate_from(gate, 0, whole), gate_kind, scale, ahead,
                )  # fmt: skip
                if not whole:
                    add_block(to, out_stride, start, start_stride, sums, columns, rows, cols)
                    start, start_stride = to, out_stride
            j += width
        i += height
    if not whole:
        gate_entries(out, out_stride, gate, gate_kind, scale, m, n)


@inline
def add_block(out, out_stride, init, init_stride, sums, sums_stride, m, n):
    """out (m, n) = init + sums (m, n); a null `init` is zero, and may be `out`."""
    from_zero = same_place(init, null_like(init))
    for i in range(m):
        to, start, add = shift(out, i * out_stride), shift(init, i * init_stride), shift(sums, i * sums_stride)
        if from_zero:
            copy_entries(to, add, n)
        else:
            for j in range(n):
                to[j] = start[j] + add[j]


@inline
def add_panels(
    panel, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, gate_kind, scale, ahead
):
    """Compute `product`, DEPTH inner indices after the other; `panel` is room for DEPTH rows of b."""
    columns = tile_columns(out)
    pack = m >= PANEL_READERS and min(k, DEPTH) * b_stride > PLAIN_ENTRIES
    # If `init` is `out`, the products are summed from zero, and the sum is added to `out`.
    fold = same_place(init, out)
    if fold:
        init = null_like(out)
    first = 0
    while True:
        depth = min(DEPTH, k - first)
        is_last = first + depth >= k
        for j in range(0, n, columns):
            width = min(columns, n - j)
            b_panel, b_panel_stride = panel_at(b, b_stride, first, j, width), width if b_stride < 0 else b_stride
            if pack and width == columns:
                copy_panel(panel, b_panel, b_stride, depth)
                b_panel, b_panel_stride = panel, columns
            i = 0
            narrow = quad_rows(out, width, a_row, a_col)
            if narrow > 0 and m >= narrow:
                i = m // narrow * narrow
                run_quads(
                    m // narrow, width, shift(out, j), out_stride, shift(init, j), init_stride,
                    shift(a, first * a_col), a_row, a_col, b_panel, b_panel_stride,
                    depth, np.int64(fold), gate_from(gate, j, is_last), gate_kind, scale,
                )  # fmt: skip
            for number in range(HEIGHTS):
                kind, i = next_tiles(out, width, number, i, m, fold)
                log = log_height(out, width, kind)
                tiles = (m - i) >> log
                if tiles > 0:
                    run_tiles(
                        tiles, kind, width, shift(out, i * out_stride + j), out_stride,
                        shift(init, i * init_stride + j), init_stride, shift(a, i * a_row + first * a_col),
                        a_row, a_col, b_panel, b_panel_stride,
                        depth, np.int64(fold), gate_from(gate, i * out_stride + j, is_last), gate_kind, scale, ahead,
                    )  # fmt: skip
                i += tiles << log
        first += depth
        if first >= k:
            break
        init, fold = null_like(out), True


@inline
def next_tiles(out, width, number, i, m, fold):
    """Return the kind of the tiles that come as number `number`, 0 the tallest, and their first row.

    Rows that would take three lower tiles or more take one of the tallest, together with rows above them, which get the
    same bits again: 15 x 64 x 64 takes 0.53 us in place of 0.66.
    """
    tallest = 1 << log_height(out, width, 0)
    if number == 1 and m - i > 5 and m >= tallest and not fold:
        return 0, m - tallest
    return number, i


@cache
def product_address(float_type):
    """Return the address of `product` for a float type (NumPy's)."""
    return compiled_address(product, signature("f* i8 f* i8 f* i8 i8 f* i8 i8 i8 i8", f=float_type))


@cache
def gated_product_address(float_type):
    """Return the address of `gated_product` for a float type (NumPy's)."""
    return compiled_address(gated_product, signature("f* i8 f* i8 f* i8 i8 f* i8 i8 i8 i8 f* i8 f i8", f=float_type))


@intrinsic
def run_tiles(
    typingctx, tiles, kind, width, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth, fold,
    gate, gate_kind, scale, ahead,
):  # fmt: skip
    """Run `tiles` tiles below each other, of height number `kind` and `width` columns; for the rest see `product`.

    If `fold` is not 0, the sums are added to what `out` holds.  A product has an epilogue and `ahead`, or neither.
    """

    def codegen(context, builder, signature, args):
        tiles_, kind_, width_, *rest = args[:-4]
        extras = given_arguments(signature, args, 4)
        shape = Shape(context, signature.args[3].dtype)
        table = _tile_table(builder.module, shape, args[3].type, [extra.type for extra in extras])
        lanes = ir.I64(shape.lanes)
        before = vectors_before_last(builder, shape, width_)
        edge = builder.sub(width_, builder.mul(before, lanes))
        masked = builder.zext(builder.icmp_signed("<", edge, lanes), ir.I64)
        # The table is in the order of the number of vectors, then of the height, then of masked or not.
        index = builder.add(builder.mul(before, ir.I64(HEIGHTS)), kind_)
        index = builder.add(builder.mul(index, ir.I64(2)), masked)
        function = builder.load(builder.gep(table, [ir.I64(0), index]))
        builder.call(function, [tiles_, *rest, *extras, edge])
        return context.get_dummy_value()

    pointer, size = out, types.int64
    arguments = (size, size, size, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size)
    return types.void(*arguments, gate, gate_kind, scale, ahead), codegen


def _tile_table(module, shape, pointer, extra_types):
    """Emit every tile function once in `module`; return the constant table of their addresses."""
    name = f"fastbp_tiles_{pointer.pointee}"
    if name in module.globals:
        return module.globals[name]
    size = ir.I64
    arguments = [size, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size]
    arguments += [*extra_types, size]
    function_type = ir.FunctionType(ir.VoidType(), arguments)
    functions = []
    for vectors, heights in enumerate(shape.heights, start=1):
        for rows, masked in pairs_of(heights, (False, True)):
            function = ir.Function(module, function_type, f"{name}_{rows}x{vectors}{'m' if masked else ''}")
            function.linkage = "internal"
            function.attributes.add("noinline")
            # No unrolling: it doubles the time to compile and brings nothing.
            function.attributes.add("optsize")
            _emit_tiles(function, shape, rows, vectors, masked)
            functions.append(function)
    table = ir.GlobalVariable(module, ir.ArrayType(function_type.as_pointer(), len(functions)), name)
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(table.type.pointee, functions)
    return table


def _emit_tiles(function, shape, rows, vectors, masked):
    """Emit a function that runs `tiles` tiles of this size below each other."""
    tiles, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth, fold, *extras, edge = function.args
    epilogue, ahead = extras[:3], extras[3:]
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(out.type.pointee, shape.lanes)
    mask = edge_mask(builder, edge, vector) if masked else None
    sums = {(r, v): builder.alloca(vector) for r in range(rows) for v in range(vectors)}

    def mask_of(v):
        return mask if v == vectors - 1 else None

    # The lower half of 16 rows goes by a pointer of its own: x86 has no registers for the offsets of 15 rows.
    half = rows if rows <= 8 else rows // 2
    offsets = [opaque(builder, builder.mul(a_row, ir.I64(r))) for r in range(1, min(half + 1, rows))]
    a_rows = [ir.I64(0), *offsets]
    # Other tiles are few where it pays to fetch anything.
    fetches = ahead and not masked and (rows, vectors) == (shape.heights[-1][0], shape.vectors)

    with cgutils.for_range(builder, tiles) as loop:
        out_tile = below(builder, out, out_stride, loop.index, rows)
        a_tile = below(builder, a, a_row, loop.index, rows)
        init_tile = below(builder, init, init_stride, loop.index, rows)
        initial_sums(builder, sums, init_tile, init_stride, init, mask_of)
        products = builder, shape, sums, a_tile, a_col, a_rows, half, b, b_stride, depth, mask_of
        if fetches:
            piece = take_piece(builder, ahead[0])
            with builder.if_else(is_piece(builder, piece)) as (fetching, plain):
                with fetching:
                    _add_products(*products, piece)
                with plain:
                    _add_products(*products)
        else:
            _add_products(*products)
        fold_sums(builder, sums, out_tile, out_stride, fold, mask_of)
        gate_sums(builder, sums, out, out_stride, epilogue, loop.index, rows, mask_of)
        store_tile(builder, sums, out_tile, out_stride, edge, mask_of)
        drop_tile(builder, shape, sums, out, out_stride, epilogue, loop.index, edge, mask_of)
    builder.ret_void()


def _add_products(builder, shape, sums, a, a_col, a_rows, half, b, b_stride, depth, mask_of, piece=None):
    """Emit the loop of a tile: sums (rows, vectors) += a (rows, depth) @ b (depth, vectors), and fetch a piece."""
    rows, vectors = (1 + last for last in max(sums))
    vector = ir.VectorType(b.type.pointee, shape.lanes)
    with cgutils.for_range(builder, depth) as inner:
        if piece is not None:
            fetch_line(builder, piece, inner.index)
        b_row = builder.gep(b, [builder.mul(inner.index, b_stride)])
        b_vectors = [
            load_vector(builder, builder.gep(b_row, [ir.I64(v * shape.lanes)]), vector, mask_of(v))
            for v in range(vectors)
        ]
        a_column = builder.gep(a, [builder.mul(inner.index, a_col)])
        for r in range(rows):
            if r == half:
                a_column = opaque(builder, builder.gep(a_column, [a_rows[half]]))
            scalar = builder.load(builder.gep(a_column, [a_rows[r % half]]))
            spread = splat(builder, scalar, shape.lanes)
            for v in range(vectors):
                total = multiply_add(builder, shape, spread, b_vectors[v], builder.load(sums[r, v]))
                builder.store(total, sums[r, v])
