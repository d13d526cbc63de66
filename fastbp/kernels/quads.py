"""Tiles of narrow products: 12 columns or fewer, four columns and several rows to a vector.

A tile of one vector a row leaves its lanes beyond the last column idle: a product of 3 columns reaches a sixth of the
peak.  Here a vector holds a *quad*, four columns, of as many rows as fit (four of float32 with AVX-512), and a lane
multiplies its own row's entry of a by its own column's of b.  Four entries of a are loaded at once.  If rows of a are
contiguous (a forward pass), they belong to four inner indices; if columns are (x^T of a gradient), to four rows.  Every
entry of out adds its products in the same order as in other tiles, so it has the same bits.

Microseconds on one core (Zen 5, AVX-512, float32), with tiles of whole vectors in brackets: 256 x 7 x 256 5.8 (9.9) and
its gradient x^T 5.4 (10.3), 64 x 3 x 64 0.30 (0.66), 288 x 4 x 16 0.42 (0.83): up to 64 % of the peak.
"""

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import Shape, edge_mask, emitted_once, load_vector, multiply_add
from fastbp.kernels.epilogue import drop_tile, gate_sums, given_arguments
from fastbp.kernels.tilesums import below, fold_sums, initial_sums, opaque, store_tile

# Columns of a quad, and vectors of rows in a tile.  Twice as many where there are registers and tiles of one quad: four
# sums do not hide the latency of an addition, eight do (64 x 3 x 64 takes 0.28 us in place of 0.31, its gradient 0.25).
QUAD, VECTORS = 4, 4


@intrinsic
def quad_rows(typingctx, pointer, width, a_row, a_col):
    """Return the rows of a tile that `run_quads` takes for so many columns and such strides of a, or 0: it takes none.

    One column is left to others: only b's last row is read with a mask, and quads of the rows just before it would
    reach beyond the end of b.
    """

    def codegen(context, builder, signature, args):
        _, width_, row, column = args
        lanes = Shape(context, signature.args[0].dtype).lanes
        # Quads pay if they leave fewer lanes idle than whole vectors do.
        widest = max((lanes - 1) // QUAD * QUAD, 0)
        fits = builder.and_(
            builder.icmp_signed(">", width_, ir.I64(1)), builder.icmp_signed("<=", width_, ir.I64(widest))
        )
        strides = [builder.icmp_signed("==", stride, ir.I64(1)) for stride in (row, column)]
        return builder.select(builder.and_(fits, builder.or_(*strides)), ir.I64(VECTORS * lanes // QUAD), ir.I64(0))

    return types.int64(pointer, types.int64, types.int64, types.int64), codegen


@intrinsic
def run_quads(
    typingctx, tiles, width, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth, fold,
    gate, gate_kind, scale,
):  # fmt: skip
    """Run `tiles` tiles below each other, each of `quad_rows` rows; for the rest see `tile.run_tiles`."""

    def codegen(context, builder, signature, args):
        shape = Shape(context, signature.args[2].dtype)
        if shape.lanes <= QUAD:
            return context.get_dummy_value()
        tiles_, width_, *rest = args[:-3]
        a_row_ = rest[5]
        before = builder.udiv(builder.sub(width_, ir.I64(1)), ir.I64(QUAD))
        edge = builder.sub(width_, builder.mul(before, ir.I64(QUAD)))
        index = builder.add(builder.mul(before, ir.I64(2)), builder.zext(_is_one(builder, a_row_), ir.I64))
        arguments = [tiles_, *rest, *given_arguments(signature, args, 3), edge]
        function = builder.load(builder.gep(_table(builder.module, shape, arguments), [ir.I64(0), index]))
        builder.call(function, arguments)
        return context.get_dummy_value()

    pointer, size = out, types.int64
    arguments = (size, size, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size)
    return types.void(*arguments, gate, gate_kind, scale), codegen


def _is_one(builder, stride):
    return builder.icmp_signed("==", stride, ir.I64(1))


def _table(module, shape, arguments):
    """Emit the functions once in `module`, by quads and by the contiguous side of a; return the table of them."""
    name = f"fastbp_quads_{arguments[1].type.pointee}"
    if name in module.globals:
        return module.globals[name]
    functions = []
    for quads in range(1, (shape.lanes - 1) // QUAD + 1):
        for read in (_rows_of_quads, _columns_of_rows):
            emit = _emitter(shape, quads, read)
            functions.append(emitted_once(module, f"{name}_{quads}{read.__name__}", arguments, emit))
    table = ir.GlobalVariable(module, ir.ArrayType(functions[0].type, len(functions)), name)
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(table.type.pointee, functions)
    return table


def _emitter(shape, quads, read):
    """Return the function that emits the body of tiles of so many quads; `read` emits their sums."""
    group, most = shape.lanes // QUAD, 2 * VECTORS if quads == 1 and shape.registers > 16 else VECTORS

    def emit(function):
        tiles, out, out_stride, init, init_stride, a, a_row, a_col, b, b_stride, depth, fold, *epilogue, edge = (
            function.args
        )
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        quad, wide = (ir.VectorType(out.type.pointee, lanes) for lanes in (QUAD, shape.lanes))
        mask = edge_mask(builder, edge, quad)
        places = {(v, g, q): builder.alloca(quad) for v in range(most) for g in range(group) for q in range(quads)}
        totals = {(v, q): builder.alloca(wide) for v in range(most) for q in range(quads)}

        def mask_of(q):
            return mask if q == quads - 1 else None

        def run_tile(number, vectors):
            rows = vectors * group
            parts = {(v * group + g, q): place for (v, g, q), place in places.items() if v < vectors}
            sums = {(v, q): place for (v, q), place in totals.items() if v < vectors}

            def add(b_row, a_vectors, is_last):
                # The last quad of a row also reads the beginning of the next row; in b's last row it is masked instead.
                for q in range(quads):
                    place = builder.gep(b_row, [ir.I64(q * QUAD)])
                    entries = load_vector(builder, place, quad, mask_of(q) if is_last else None)
                    repeated = _pick(builder, entries, list(range(QUAD)) * group)
                    for v in range(vectors):
                        total = multiply_add(builder, shape, a_vectors[v], repeated, builder.load(sums[v, q]))
                        builder.store(total, sums[v, q])

            out_tile = below(builder, out, out_stride, number, rows)
            init_tile = below(builder, init, init_stride, number, rows)
            initial_sums(builder, parts, init_tile, init_stride, init, mask_of)
            for (v, q), place in sums.items():
                joined = _join(builder, [builder.load(parts[v * group + g, q]) for g in range(group)])
                builder.store(joined, place)
            a_tile = below(builder, a, a_row, number, rows)
            read(builder, a_tile, a_row, a_col, b, b_stride, depth, group, vectors, add)
            for (r, q), place in parts.items():
                first = r % group * QUAD
                total = builder.load(sums[r // group, q])
                builder.store(_pick(builder, total, range(first, first + QUAD)), place)
            fold_sums(builder, parts, out_tile, out_stride, fold, mask_of)
            gate_sums(builder, parts, out, out_stride, epilogue, number, rows, mask_of)
            store_tile(builder, parts, out_tile, out_stride, edge, mask_of)
            drop_tile(builder, shape, parts, out, out_stride, epilogue, number, edge, mask_of)

        done = ir.I64(0)
        if most > VECTORS:
            pairs = builder.udiv(tiles, ir.I64(2))
            with cgutils.for_range(builder, pairs) as loop:
                run_tile(loop.index, most)
            done = builder.mul(pairs, ir.I64(2))
        with cgutils.for_range(builder, builder.sub(tiles, done)) as loop:
            run_tile(builder.add(done, loop.index), VECTORS)
        builder.ret_void()

    return emit


def _rows_of_quads(builder, a, a_row, a_col, b, b_stride, depth, group, n_vectors, add):
    """Add up products of contiguous rows of a: four inner indices of each row at once, one to four at last."""
    quad = ir.VectorType(a.type.pointee, QUAD)
    twice = opaque(builder, builder.mul(a_row, ir.I64(2)))
    thrice = opaque(builder, builder.add(a_row, twice))
    steps = [ir.I64(0), a_row, twice, thrice]
    groups_rows = opaque(builder, builder.mul(a_row, ir.I64(group)))

    def load_rows(first, mask):
        place, vectors = builder.gep(a, [first]), []
        for v in range(n_vectors):
            if v:
                place = opaque(builder, builder.gep(place, [groups_rows]))
            rows = [load_vector(builder, builder.gep(place, [step]), quad, mask) for step in steps[:group]]
            vectors.append(_join(builder, rows))
        return vectors

    def spread(vectors, t):
        return [_pick(builder, x, [g * QUAD + t for g in range(group) for _ in range(QUAD)]) for x in vectors]

    def row_of(first, t):
        return builder.gep(b, [builder.mul(builder.add(first, ir.I64(t)), b_stride)])

    whole = builder.sdiv(builder.sub(depth, ir.I64(1)), ir.I64(QUAD))
    with cgutils.for_range(builder, whole) as loop:
        first = builder.mul(loop.index, ir.I64(QUAD))
        vectors = load_rows(first, None)
        for t in range(QUAD):
            add(row_of(first, t), spread(vectors, t), False)
    first = builder.mul(whole, ir.I64(QUAD))
    left = builder.sub(depth, first)
    with builder.if_then(builder.icmp_signed(">", left, ir.I64(0))):
        vectors = load_rows(first, edge_mask(builder, left, quad))
        for t in range(QUAD):
            with builder.if_then(builder.icmp_signed(">", left, ir.I64(t))):
                add(row_of(first, t), spread(vectors, t), True)


def _columns_of_rows(builder, a, a_row, a_col, b, b_stride, depth, group, n_vectors, add):
    """Add up products of contiguous columns of a: the entries of one inner index, each for a quad."""
    some = ir.VectorType(a.type.pointee, group)

    def add_index(index, is_last):
        column = builder.gep(a, [builder.mul(index, a_col)])
        vectors = [load_vector(builder, builder.gep(column, [ir.I64(v * group)]), some) for v in range(n_vectors)]
        spread = [_pick(builder, x, [g for g in range(group) for _ in range(QUAD)]) for x in vectors]
        add(builder.gep(b, [builder.mul(index, b_stride)]), spread, is_last)

    with builder.if_then(builder.icmp_signed(">", depth, ir.I64(0))):
        last = builder.sub(depth, ir.I64(1))
        with cgutils.for_range(builder, last) as loop:
            add_index(loop.index, False)
        add_index(last, True)


def _join(builder, vectors):
    """Return the lanes of the vectors side by side."""
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [_shuffle(builder, x, y, range(2 * x.type.count)) for x, y in pairs]
    return vectors[0]


def _pick(builder, vector, lanes):
    """Return these lanes of a vector."""
    return _shuffle(builder, vector, ir.Constant(vector.type, ir.Undefined), lanes)


def _shuffle(builder, x, y, lanes):
    numbers = [ir.I32(lane) for lane in lanes]
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.I32, len(numbers)), numbers))
