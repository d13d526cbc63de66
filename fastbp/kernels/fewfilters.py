"""Products of windows with few filters: a vector holds windows that lie beside each other, in place of filters.

Tiles of windowtile.py leave the lanes beyond the last filter idle: 10 of 16 with 6 filters.  In an image of one
channel, windows beside each other begin one entry apart, so a vector of the image holds one tap of as many windows as
it has lanes.  Its offsets are cut into *pieces*, which rise by one and fit a vector.

- `filter_pieces`, where rows of the product are windows: each tap is multiplied by the weight of each filter, and the
  sums, a vector of windows for each filter, change places before they are stored.  They have the bits of the tiles.
- `sum_pieces`, where the inner indices are windows (the gradient of the kernel): lanes add up windows, the gradients
  of each filter stand in vectors of their own (`unzip`), and the lanes' sums are added at last.

Microseconds on one core (Zen 5, AVX-512, float32), with tiles in brackets: 784 x 6 x 25 1.7 (3.4), its gradient
25 x 6 x 784 1.9 (4.7).
"""

from functools import partial

import numpy as np

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.pointers import shift, stack_room
from fastbp.compiler.vectors import Shape, edge_mask, emitted_once, load_vector, multiply_add, splat, store_vector
from fastbp.kernels.dots import lane_sums, start_of
from fastbp.kernels.windowadd import offset, offset_at

# Pieces in a table of them.  A panel of DEPTH rows has room for 512 vectors.
PIECES = 512
# Sums of a tile of `sum_pieces`, which stay in registers, by the bits of a vector.
SUMS = {512: 24, 256: 8, 128: 24}

pieces_room = stack_room(PIECES)


@intrinsic
def most_filters(typingctx, pointer):
    """Return up to how many filters a vector of windows serves better than a vector of filters."""

    def codegen(context, builder, signature, args):
        return ir.I64(_most(Shape(context, signature.args[0].dtype)))

    return types.int64(pointer), codegen


def _most(shape):
    return shape.lanes // 2 if shape.lanes > 2 else 0


@intrinsic
def beside(typingctx, pointer, table, first, end):
    """Return how many offsets from entry `first` of a table on, of those before `end`, rise by one: up to two vectors.

    `pointer` is any pointer to entries of the image.
    """

    def codegen(context, builder, signature, args):
        _, table_, first_, end_ = args
        lanes = 2 * Shape(context, signature.args[0].dtype).lanes
        vector, flags = ir.VectorType(ir.I32, lanes), ir.VectorType(ir.IntType(1), lanes)
        place = builder.gep(builder.inttoptr(table_, ir.I32.as_pointer()), [first_])
        numbers = ir.Constant(vector, list(range(lanes)))
        left = builder.sub(end_, first_)
        left = builder.trunc(builder.select(builder.icmp_signed("<", left, ir.I64(lanes)), left, ir.I64(lanes)), ir.I32)
        inside = builder.icmp_signed("<", numbers, splat(builder, left, lanes))
        type_ = ir.FunctionType(vector, [vector.as_pointer(), ir.I32, flags, vector])
        load = cgutils.get_or_insert_function(builder.module, type_, f"llvm.masked.load.v{lanes}i32.p0")
        address = builder.bitcast(place, vector.as_pointer())
        offsets = builder.call(load, [address, ir.I32(4), inside, ir.Constant(vector, None)])
        rising = builder.add(splat(builder, builder.load(place), lanes), numbers)
        same = builder.and_(inside, builder.icmp_signed("==", offsets, rising))
        bits = builder.zext(builder.bitcast(same, ir.IntType(lanes)), ir.I64)
        return builder.cttz(builder.not_(bits), ir.Constant(ir.IntType(1), 0))

    return types.int64(pointer, types.int64, types.int64, types.int64), codegen


@inline
def are_beside(pointer, table, count):
    """Does a vector hold enough of the offsets that stand first in a table, that is half of its lanes?"""
    return beside(pointer, table, 0, count) >= most_filters(pointer)


@inline
def cut(pointer, starts, counts, firsts, table, first, end, most):
    """Cut offsets from entry `first` to `end` of a table into up to `most` pieces; return how many, and their end.

    A piece is noted as its first offset, how many offsets it has, and the number of the first one.
    """
    lanes, pieces, done = 2 * most_filters(pointer), 0, first
    while done < end and pieces < most - 1:
        count = beside(pointer, table, done, end)
        for i in range(0, count, lanes):
            starts[pieces], firsts[pieces] = offset_at(table, done) + i, done + i - first
            counts[pieces] = min(count - i, lanes)
            pieces += 1
        done += count
    return pieces, done


@inline
def few_rows_beside(out, init, image, rows, columns, b, b_stride, m, n, k):
    """As `window_product` where rows lie beside each other: out has a stride of n, init one row or none."""
    starts, counts, firsts = pieces_room(np.int32(0)), pieces_room(np.int32(0)), pieces_room(np.int32(0))
    done = 0
    while done < m:
        pieces, end = cut(out, starts, counts, firsts, rows, done, m, PIECES)
        filter_pieces(n, pieces, starts, counts, firsts, shift(out, done * n), init, image, columns, b, b_stride, k)
        done = end


@inline
def few_columns_beside(panel, out, out_stride, init, init_stride, image, rows, columns, b, m, n, k):
    """As `window_product` where columns lie beside each other: b has a stride of n, `panel` room for PIECES vectors."""
    starts, counts, firsts = pieces_room(np.int32(0)), pieces_room(np.int32(0)), pieces_room(np.int32(0))
    done = 0
    while done < k:
        pieces, end = cut(out, starts, counts, firsts, columns, done, k, PIECES // n)
        unzip(n, pieces, counts, firsts, panel, shift(b, done * n))
        sum_pieces(n, pieces, starts, counts, panel, out, out_stride, init, init_stride, image, rows, m)
        done, init, init_stride = end, out, out_stride


@intrinsic
def filter_pieces(typingctx, n, pieces, starts, counts, firsts, out, init, image, columns, b, b_stride, depth):
    """out (windows, n) = init (n,) + the windows of all pieces @ b (depth, n); a null `init` is zero."""
    size, table = types.int64, starts
    arguments = (size, size, table, table, table, out, out, out, size, out, size, size)
    return types.void(*arguments), _calls("filter_pieces", out, _emit_filters)


@intrinsic
def unzip(typingctx, n, pieces, counts, firsts, panel, b):
    """Write the rows of b (windows, n) of each piece into panel (pieces, n, lanes); lanes beyond a piece are zero."""
    size, table = types.int64, counts
    return types.void(size, size, table, table, panel, panel), _calls("unzip", panel, _emit_unzip)


@intrinsic
def sum_pieces(typingctx, n, pieces, starts, counts, panel, out, out_stride, init, init_stride, image, rows, m):
    """out (m, n) = init + the sum over all pieces' windows of their taps `rows` times `panel`."""
    size, table = types.int64, starts
    arguments = (size, size, table, table, out, out, size, out, size, out, size, size)
    return types.void(*arguments), _calls("sum_pieces", out, _emit_sums)


def _calls(kind, pointer, emit):
    """Return the code of an intrinsic that calls a function of all its arguments but n; there is one for each n."""

    def codegen(context, builder, signature, args):
        shape, module = Shape(context, pointer.dtype), builder.module
        n, *rest = args
        name = f"fastbp_{kind}_{pointer.dtype}"
        if name not in module.globals:
            functions = [
                emitted_once(module, f"{name}_{filters}", rest, partial(emit, shape, filters))
                for filters in range(1, max(_most(shape), 1) + 1)
            ]
            table = ir.GlobalVariable(module, ir.ArrayType(functions[0].type, len(functions)), name)
            table.linkage, table.global_constant = "internal", True
            table.initializer = ir.Constant(table.type.pointee, functions)
        place = builder.gep(module.globals[name], [ir.I64(0), builder.sub(n, ir.I64(1))])
        builder.call(builder.load(place), rest)
        return context.get_dummy_value()

    return codegen


def _emit_filters(shape, n, function):
    """Emit the body of `filter_pieces`: two pieces at a time; if their number is odd, the last is computed twice."""
    pieces, starts, counts, firsts, out, init, image, columns, b, b_stride, depth = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(out.type.pointee, shape.lanes)
    columns = builder.inttoptr(columns, ir.I32.as_pointer())
    sums = {(v, j): builder.alloca(vector) for v in range(2) for j in range(n)}
    with cgutils.for_range(builder, builder.udiv(builder.add(pieces, ir.I64(1)), ir.I64(2))) as loop:
        first = builder.mul(loop.index, ir.I64(2))
        second, last = builder.add(first, ir.I64(1)), builder.sub(pieces, ir.I64(1))
        both = first, builder.select(builder.icmp_signed("<", second, last), second, last)
        windows = [offset(builder, counts, piece) for piece in both]
        masks = [edge_mask(builder, count, vector) for count in windows]
        places = [builder.gep(image, [offset(builder, starts, piece)]) for piece in both]
        for j in range(n):
            start = splat(builder, start_of(builder, init, ir.I64(j)), shape.lanes)
            for v in range(2):
                builder.store(start, sums[v, j])
        with cgutils.for_range(builder, depth) as inner:
            column = offset(builder, columns, inner.index)
            taps = [
                load_vector(builder, builder.gep(place, [column]), vector, mask)
                for place, mask in zip(places, masks, strict=True)
            ]
            row = builder.gep(b, [builder.mul(inner.index, b_stride)])
            for j in range(n):
                weight = splat(builder, builder.load(builder.gep(row, [ir.I64(j)])), shape.lanes)
                for v in range(2):
                    total = multiply_add(builder, shape, taps[v], weight, builder.load(sums[v, j]))
                    builder.store(total, sums[v, j])
        for v, piece in enumerate(both):
            to = builder.gep(out, [builder.mul(offset(builder, firsts, piece), ir.I64(n))])
            filters = [builder.load(sums[v, j]) for j in range(n)]
            _store_entries(builder, shape, _zipped(builder, filters), to, builder.mul(windows[v], ir.I64(n)))
    builder.ret_void()


def _store_entries(builder, shape, vectors, to, count):
    """Store the first `count` entries of vectors side by side."""
    whole = builder.icmp_signed("==", count, ir.I64(len(vectors) * shape.lanes))
    with builder.if_else(whole) as (all_lanes, some):
        for masked, branch in ((False, all_lanes), (True, some)):
            with branch:
                for v, value in enumerate(vectors):
                    first = ir.I64(v * shape.lanes)
                    mask = edge_mask(builder, builder.sub(count, first), value.type) if masked else None
                    store_vector(builder, value, builder.gep(to, [first]), mask)


def _emit_unzip(shape, n, function):
    """Emit the body of `unzip`."""
    pieces, counts, firsts, panel, b = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(b.type.pointee, shape.lanes)
    with cgutils.for_range(builder, pieces) as loop:
        count = builder.mul(offset(builder, counts, loop.index), ir.I64(n))
        row = builder.gep(b, [builder.mul(offset(builder, firsts, loop.index), ir.I64(n))])
        loaded = []
        for v in range(n):
            first = ir.I64(v * shape.lanes)
            mask = edge_mask(builder, builder.sub(count, first), vector)
            loaded.append(load_vector(builder, builder.gep(row, [first]), vector, mask))
        for j, lanes in enumerate(_unzipped(builder, loaded)):
            number = builder.add(builder.mul(loop.index, ir.I64(n)), ir.I64(j))
            store_vector(builder, lanes, builder.gep(panel, [builder.mul(number, ir.I64(shape.lanes))]))
    builder.ret_void()


def _emit_sums(shape, n, function):
    """Emit the body of `sum_pieces`: some taps at a time; beyond the last tap it is repeated, and not stored."""
    pieces, starts, counts, panel, out, out_stride, init, init_stride, image, rows, m = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(out.type.pointee, shape.lanes)
    rows = builder.inttoptr(rows, ir.I32.as_pointer())
    taps = min(SUMS[shape.lanes * (32 if isinstance(vector.element, ir.FloatType) else 64)] // n, shape.lanes)
    sums = {(t, j): builder.alloca(vector) for t in range(taps) for j in range(n)}
    totals = cgutils.alloca_once(builder, vector.element, size=ir.I64(taps * n + shape.lanes - 1))
    with cgutils.for_range(builder, builder.udiv(builder.add(m, ir.I64(taps - 1)), ir.I64(taps))) as loop:
        first, last = builder.mul(loop.index, ir.I64(taps)), builder.sub(m, ir.I64(1))
        places = []
        for t in range(taps):
            tap = builder.add(first, ir.I64(t))
            tap = builder.select(builder.icmp_signed("<", tap, last), tap, last)
            places.append(builder.gep(image, [offset(builder, rows, tap)]))
        for place in sums.values():
            builder.store(ir.Constant(vector, None), place)
        with cgutils.for_range(builder, pieces) as piece:
            start, count = (offset(builder, table, piece.index) for table in (starts, counts))
            mask = edge_mask(builder, count, vector)
            entries = [load_vector(builder, builder.gep(place, [start]), vector, mask) for place in places]
            for j in range(n):
                number = builder.add(builder.mul(piece.index, ir.I64(n)), ir.I64(j))
                gradients = load_vector(builder, builder.gep(panel, [builder.mul(number, ir.I64(shape.lanes))]), vector)
                for t in range(taps):
                    total = multiply_add(builder, shape, entries[t], gradients, builder.load(sums[t, j]))
                    builder.store(total, sums[t, j])
        _store_lane_sums(builder, shape, [builder.load(sums[t, j]) for t in range(taps) for j in range(n)], totals)
        left = builder.sub(m, first)
        left = builder.select(builder.icmp_signed("<", left, ir.I64(taps)), left, ir.I64(taps))
        with cgutils.for_range(builder, left) as tap:
            row = builder.add(first, tap.index)
            for j in range(n):
                start = start_of(builder, init, builder.add(builder.mul(row, init_stride), ir.I64(j)))
                total = builder.load(builder.gep(totals, [builder.add(builder.mul(tap.index, ir.I64(n)), ir.I64(j))]))
                place = builder.gep(out, [builder.add(builder.mul(row, out_stride), ir.I64(j))])
                builder.store(builder.fadd(start, total), place)
    builder.ret_void()


def _store_lane_sums(builder, shape, vectors, to):
    """Store the sums of the lanes of vectors side by side."""
    for v in range(0, len(vectors), shape.lanes):
        some = vectors[v : v + shape.lanes]
        some += [ir.Constant(some[0].type, None)] * (shape.lanes - len(some))
        store_vector(builder, lane_sums(builder, some), builder.gep(to, [ir.I64(v)]))


def _zipped(builder, vectors):
    """Return the lanes 0 of all vectors, then the lanes 1 and so on, as vectors side by side."""
    n, lanes = len(vectors), vectors[0].type.count
    return [_lanes_of(builder, vectors, [divmod(v * lanes + i, n)[::-1] for i in range(lanes)]) for v in range(n)]


def _unzipped(builder, vectors):
    """Undo `_zipped`."""
    n, lanes = len(vectors), vectors[0].type.count
    return [_lanes_of(builder, vectors, [divmod(i * n + j, lanes) for i in range(lanes)]) for j in range(n)]


def _lanes_of(builder, vectors, lanes):
    """Return a vector: its lane i is the lane `lane` of vectors[v], for lanes[i] = (v, lane)."""
    made, count = vectors[0], len(lanes)
    for number, vector in enumerate(vectors):
        # Lanes of later vectors are not made yet.
        picks = [count + lane if v == number else (lane if number == 0 else i) for i, (v, lane) in enumerate(lanes)]
        picks = [ir.I32(pick) for pick in picks]
        made = builder.shuffle_vector(made, vector, ir.Constant(ir.VectorType(ir.I32, count), picks))
    return made
