"""Products of windows: out = init + a @ b, where a is no matrix but windows of an image, read where they stand.

Entry (i, l) of `a` is the image's entry number ``rows[i] + columns[l]``.  If `rows` are the first entries of windows,
and `columns` the offsets of the entries within a window, `a` is the matrix that im2col would copy, for any stride,
dilation and padding.  With the two tables exchanged it is the transpose, which the kernel's gradient needs.  Nothing is
copied.  The copy alone would take 14 us an image beside the product's 5 (28 x 28 windows of 25 taps, 6 filters), 2
beside 5 (10 x 10 of 150, 16 filters) and 54 beside 810 (32 x 32 of 576, 64 filters).  Reading through the tables costs
a tenth on AVX-512 where rows lie in pairs, a third where not: 100 x 16 x 150 takes 2.4 and 2.95 us, of a matrix 2.2.

The tiles are those of tile.py, except that they read `a` through the tables.  There are two kinds:

- `window_product`: entries of `a` are numbers, `b` (k, n) has a row for each: a convolution (of few columns and
  windows beside each other by fewfilters.py);
- `window_lanes`: entries of `a` are vectors (channels), which are multiplied by vectors of `b` lane by lane:
  out[i, j] = init + sum over l of image[rows[i] + columns[l] + j] * b[l, j], a depthwise convolution.
"""

from functools import cache
from itertools import product as pairs_of

import numpy as np

from fastbp.compiler.jit import compiled_address, inline, kernel
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.pointers import null_like, same_place, shift
from fastbp.compiler.signatures import signature
from fastbp.compiler.tileshape import DEPTH, copy_panel, log_height, stack_panel, tile_columns, vectors_before_last
from fastbp.compiler.vectors import HEIGHTS, Shape, edge_mask, load_vector, multiply_add, splat
from fastbp.kernels.fewfilters import are_beside, few_columns_beside, few_rows_beside, most_filters
from fastbp.kernels.tilesums import fold_sums, initial_sums, opaque, store_tile

# Tiles of more rows have more offsets than x86 has registers.  Where their rows lie in pairs (windows beside each other
# in rows of an even number, taps of an even number of channels), one offset and a second pointer serve two rows.
REGISTER_ROWS = 8


def _tile_runner(by_lanes):
    """Return the intrinsic that runs `tiles` tiles below each other, of height number `kind` and `width` columns."""

    @intrinsic
    def run_tiles(
        typingctx,
        tiles,
        kind,
        width,
        out,
        out_stride,
        init,
        init_stride,
        image,
        rows,
        columns,
        b,
        b_stride,
        depth,
        fold,
    ):
        def codegen(context, builder, signature, args):
            tiles_, kind_, width_, *rest = args
            shape = Shape(context, signature.args[3].dtype)
            table = _tile_table(builder.module, shape, args[3].type, by_lanes)
            lanes = ir.I64(shape.lanes)
            before = vectors_before_last(builder, shape, width_)
            edge = builder.sub(width_, builder.mul(before, lanes))
            masked = builder.zext(builder.icmp_signed("<", edge, lanes), ir.I64)
            # The functions stand by vectors, then height, then whether the last vector is masked.
            index = builder.add(builder.mul(before, ir.I64(HEIGHTS)), kind_)
            index = builder.add(builder.mul(index, ir.I64(2)), masked)
            function = builder.load(builder.gep(table, [ir.I64(0), index]))
            builder.call(function, [tiles_, *rest, edge])
            return context.get_dummy_value()

        pointer, size = out, types.int64
        arguments = (size, size, size, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size)
        return types.void(*arguments), codegen

    return run_tiles


def _windows(by_lanes):
    """Return the function that cuts out (m, n) into tiles, as `tile.product` does."""
    run_tiles = _tile_runner(by_lanes)

    @inline
    def run(out, out_stride, init, init_stride, image, rows, columns, b, b_stride, m, n, k):
        panel_columns = tile_columns(out)
        panel = stack_panel(out)
        pack = m >= 16 and min(k, DEPTH) * b_stride > 4096
        fold = same_place(init, out)
        if fold:
            init = null_like(out)
        first = 0
        while True:
            depth = min(DEPTH, k - first)
            for j in range(0, n, panel_columns):
                width = min(panel_columns, n - j)
                b_panel, b_panel_stride = shift(b, first * b_stride + j), b_stride
                if pack and width == panel_columns:
                    copy_panel(panel, b_panel, b_stride, depth)
                    b_panel, b_panel_stride = panel, panel_columns
                start = shift(image, j if by_lanes else 0)
                i = 0
                for kind in range(HEIGHTS):
                    log = log_height(out, width, kind)
                    tiles = (m - i) >> log
                    if tiles > 0:
                        out_tile, init_tile = shift(out, i * out_stride + j), shift(init, i * init_stride + j)
                        run_tiles(
                            tiles, kind, width, out_tile, out_stride, init_tile, init_stride,
                            start, rows + 4 * i, columns + 4 * first, b_panel, b_panel_stride, depth, np.int64(fold),
                        )  # fmt: skip
                    i += tiles << log
            first += depth
            if first >= k:
                break
            init, fold = null_like(out), True

    return run


_run_product, _run_lanes = _windows(False), _windows(True)


@kernel
def window_product(out, out_stride, init, init_stride, image, rows, columns, b, b_stride, m, n, k):
    """Compute out (m, n) = init + a (m, k) @ b (k, n), a[i, l] = image[rows[i] + columns[l]]; `out` is overwritten.

    Pointers and strides as of `tile.product`; `rows` and `columns` are the addresses of int32 offsets.
    """
    if n <= most_filters(out):
        one_row = same_place(init, null_like(out)) or init_stride == 0
        if one_row and out_stride == n and k <= DEPTH and are_beside(out, rows, m):
            few_rows_beside(out, init, image, rows, columns, b, b_stride, m, n, k)
            return
        if b_stride == n and are_beside(out, columns, k):
            panel = stack_panel(out)
            few_columns_beside(panel, out, out_stride, init, init_stride, image, rows, columns, b, m, n, k)
            return
    _run_product(out, out_stride, init, init_stride, image, rows, columns, b, b_stride, m, n, k)


@kernel
def window_lanes(out, out_stride, init, init_stride, image, rows, columns, b, b_stride, m, n, k):
    """Compute out[i, j] = init + sum over l of image[rows[i] + columns[l] + j] * b[l, j]; for the rest as above."""
    _run_lanes(out, out_stride, init, init_stride, image, rows, columns, b, b_stride, m, n, k)


@cache
def window_address(kind, float_type):
    """Return the address of `window_product` or `window_lanes` for a float type."""
    return compiled_address(kind, signature("f* i8 f* i8 f* i8 i8 f* i8 i8 i8 i8", f=float_type))


def _tile_table(module, shape, pointer, by_lanes):
    """Emit every tile function once in `module`; return the constant table of their addresses."""
    name = f"fastbp_window_{'lanes' if by_lanes else 'tiles'}_{pointer.pointee}"
    if name in module.globals:
        return module.globals[name]
    size = ir.I64
    arguments = [size, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size, size]
    function_type = ir.FunctionType(ir.VoidType(), arguments)
    functions = []
    for vectors, heights in enumerate(shape.heights, start=1):
        for rows, masked in pairs_of(heights, (False, True)):
            function = ir.Function(module, function_type, f"{name}_{rows}x{vectors}{'m' if masked else ''}")
            function.linkage = "internal"
            function.attributes.add("noinline")
            function.attributes.add("optsize")
            _emit_tiles(function, shape, rows, vectors, masked, by_lanes)
            functions.append(function)
    table = ir.GlobalVariable(module, ir.ArrayType(function_type.as_pointer(), len(functions)), name)
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(table.type.pointee, functions)
    return table


def _emit_tiles(function, shape, rows, vectors, masked, by_lanes):
    """Emit a function that runs `tiles` tiles of this size below each other."""
    tiles, out, out_stride, init, init_stride, image, row_table, column_table, b, b_stride, depth, fold, edge = (
        function.args
    )
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(out.type.pointee, shape.lanes)
    mask = edge_mask(builder, edge, vector) if masked else None
    sums = {(r, v): builder.alloca(vector) for r in range(rows) for v in range(vectors)}
    row_offsets = builder.inttoptr(row_table, ir.I32.as_pointer())
    column_offsets = builder.inttoptr(column_table, ir.I32.as_pointer())

    def below(base, stride, tile):
        return builder.gep(base, [builder.mul(builder.mul(tile, stride), ir.I64(rows))])

    def offset(table, index):
        return builder.sext(builder.load(builder.gep(table, [index])), ir.I64)

    def mask_of(v):
        return mask if v == vectors - 1 else None

    def add_products(starts, step=None):
        """Add the products of all inner indices; of rows in pairs, a step apart, `starts` has the first ones alone."""
        with cgutils.for_range(builder, depth) as inner:
            b_row = builder.gep(b, [builder.mul(inner.index, b_stride)])
            b_vectors = [
                load_vector(builder, builder.gep(b_row, [ir.I64(v * shape.lanes)]), vector, mask_of(v))
                for v in range(vectors)
            ]
            columns = [builder.gep(image, [offset(column_offsets, inner.index)])]
            if step is not None:
                columns.append(opaque(builder, builder.gep(columns[0], [step])))
            for r, (start, column) in enumerate(pairs_of(starts, columns)):
                entry = builder.gep(column, [start])
                spread = None if by_lanes else splat(builder, builder.load(entry), shape.lanes)
                for v in range(vectors):
                    if by_lanes:
                        place = builder.gep(entry, [ir.I64(v * shape.lanes)])
                        spread = load_vector(builder, place, vector, mask_of(v))
                    total = multiply_add(builder, shape, spread, b_vectors[v], builder.load(sums[r, v]))
                    builder.store(total, sums[r, v])

    with cgutils.for_range(builder, tiles) as loop:
        initial_sums(builder, sums, below(init, init_stride, loop.index), init_stride, init, mask_of)
        first = builder.mul(loop.index, ir.I64(rows))
        starts = [offset(row_offsets, builder.add(first, ir.I64(r))) for r in range(rows)]
        if rows <= REGISTER_ROWS:
            add_products(starts)
        else:
            with builder.if_else(_in_pairs(builder, starts)) as (in_pairs, apart):
                with in_pairs:
                    add_products(starts[::2], builder.sub(starts[1], starts[0]))
                with apart:
                    add_products(starts)
        out_tile = below(out, out_stride, loop.index)
        fold_sums(builder, sums, out_tile, out_stride, fold, mask_of)
        store_tile(builder, sums, out_tile, out_stride, edge, mask_of)
    builder.ret_void()


def _in_pairs(builder, starts):
    """Emit whether each second row begins as far behind the one before as the other second rows do."""
    steps = [builder.sub(second, first) for first, second in zip(starts[::2], starts[1::2], strict=True)]
    same = ir.Constant(ir.IntType(1), 1)
    for step in steps[1:]:
        same = builder.and_(same, builder.icmp_signed("==", step, steps[0]))
    return same
