"""The sums of a tile: where they start, what they are added to, how they are stored; for all that emit tiles.

Sums are {(row, vector): place on the stack}, which LLVM keeps in registers.
"""

from fastbp.compiler.lazy import ir
from fastbp.compiler.vectors import load_vector, store_vector


def below(builder, base, stride, tile, rows):
    """Return the pointer to tile number `tile` of so many rows each, below the one at `base`."""
    return builder.gep(base, [builder.mul(builder.mul(tile, stride), ir.I64(rows))])


def initial_sums(builder, sums, init_tile, init_stride, init, mask_of):
    """Set the accumulators {(row, vector): place} to what `init_tile` holds, or to zero of a null `init`."""
    is_null = builder.icmp_unsigned("==", init, ir.Constant(init.type, None))
    with builder.if_else(is_null) as (zero, load):
        with zero:
            for place in sums.values():
                builder.store(ir.Constant(place.type.pointee, None), place)
        with load:
            for (r, v), place in sums.items():
                vector = place.type.pointee
                start = _entry(builder, init_tile, init_stride, r, v * vector.count)
                builder.store(load_vector(builder, start, vector, mask_of(v)), place)


def fold_sums(builder, sums, out_tile, out_stride, fold, mask_of):
    """If `fold` is not 0, add what the tile of `out` holds to the accumulators {(row, vector): place}."""
    with builder.if_then(builder.icmp_signed("!=", fold, ir.I64(0))):
        for (r, v), place in sums.items():
            vector = place.type.pointee
            before = load_vector(
                builder, _entry(builder, out_tile, out_stride, r, v * vector.count), vector, mask_of(v)
            )
            builder.store(builder.fadd(before, builder.load(place)), place)


def store_tile(builder, sums, out_tile, out_stride, edge, mask_of):
    """Store the accumulators {(row, vector): place}; in the last vector of each row only the first `edge` lanes count.

    A masked store takes AMD's Zen 3 some ten cycles.  Where rows follow each other without a gap, the lanes beyond
    the end of a row are overwritten when the next row is stored, so only the last row needs its mask: 784 rows of 6
    columns and 25 products each take 6.5 us instead of 9.9 (8 columns: 5.0).
    """
    rows, vectors = (1 + max(numbers) for numbers in zip(*sums, strict=True))
    lanes = sums[0, 0].type.pointee.count

    def store(r, v, mask):
        value = builder.load(sums[r, v])
        store_vector(builder, value, _entry(builder, out_tile, out_stride, r, v * lanes), mask)

    if mask_of(vectors - 1) is None or rows == 1:
        for r, v in sums:
            store(r, v, mask_of(v))
        return
    width = builder.add(edge, ir.I64((vectors - 1) * lanes))
    beyond = builder.sub(ir.I64(lanes), edge)
    dense = builder.and_(builder.icmp_signed("==", out_stride, width), builder.icmp_signed("<=", beyond, width))
    with builder.if_else(dense) as (overlapping, apart):
        with overlapping:
            for r, v in sums:
                store(r, v, mask_of(v) if r == rows - 1 else None)
        with apart:
            for r, v in sums:
                store(r, v, mask_of(v))


def _entry(builder, base, stride, row, column):
    """Return the pointer to an entry of a tile."""
    offset = builder.add(builder.mul(stride, ir.I64(row)), ir.I64(column))
    return builder.gep(base, [offset])


def opaque(builder, value):
    """Return the value through an empty asm statement, so that LLVM does not know how it was computed.

    Otherwise it would compute eight row addresses from each other, a chain of eight additions in every turn of a loop
    that could take four cycles.
    """
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=r,0", [value], side_effect=False)
