"""The transpose of reading windows: entries of overlapping windows are added up in the image they came from."""

from contextlib import contextmanager

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import calls_emitted, edge_mask, load_vector, store_vector

# Room for entries of windows before they are added up: 32 KiB of float32, the size of a first-level cache.
SCRATCH = 8192
# Rows of windows that are added up at once, in registers.
ROWS = 4


@intrinsic
def add_rows(typingctx, image, windows, stride, positions, rows, m, step, length):
    """Add rows of windows to an image; each of `rows` rows has m windows beside each other.

    Pointers to the first entries.  Window i of row r, `length` entries of windows (rows * m, stride), belongs to the
    image's entries from ``positions[r * m] + i * step`` on: the address of int32 offsets.
    """
    pointer, whole = image, types.int64
    return types.void(pointer, pointer, *[whole] * 6), calls_emitted("add_rows", _emit_rows)


@intrinsic
def add_lanes(typingctx, image, size, x, positions, m, taps, k, b, n):
    """Add to an image of `size` entries, for window i of m and tap l of k, the products x[i] * b[l] of n lanes.

    x (m, n) and b (k, n): pointers to the first entries; they belong to the image's entries from
    ``positions[i] + taps[l]`` on: addresses of int32 offsets.
    """
    pointer, whole = image, types.int64
    return types.void(pointer, whole, pointer, *[whole] * 4, pointer, whole), calls_emitted("add_lanes", _emit_lanes)


@intrinsic
def offset_at(typingctx, table, index):
    """Return entry `index` of a table of offsets."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.gep(builder.inttoptr(args[0], ir.I32.as_pointer()), [args[1]]))

    return types.int32(types.int64, types.int64), codegen


@intrinsic
def stack_scratch(typingctx, pointer):
    """Return room on the stack for SCRATCH entries, aligned to a cache line."""

    def codegen(context, builder, signature, args):
        buffer = cgutils.alloca_once(builder, args[0].type.pointee, size=ir.I64(SCRATCH))
        buffer.align = 64
        return buffer

    return pointer(pointer), codegen


def offset(builder, table, index):
    """Return entry `index` of a table of int32 offsets, as int64."""
    return builder.sext(builder.load(builder.gep(table, [index])), ir.I64)


class Lanes:
    """A loop over vectors along some entries; the last vector may be masked."""

    def __init__(self, builder, lanes, number, entries):
        self._builder, self.vector = builder, ir.VectorType(number, lanes)
        self.count = ir.I64(lanes)
        self._whole = builder.udiv(entries, self.count)
        self._covered = builder.mul(self._whole, self.count)
        self._edge = builder.sub(entries, self._covered)
        self._mask = edge_mask(builder, self._edge, self.vector)

    def each(self, body):
        """Emit `body(first entry, mask)` for whole vectors (mask: None) and for the last one that is not."""
        with cgutils.for_range(self._builder, self._whole) as loop:
            body(self._builder.mul(loop.index, self.count), None)
        with cgutils.if_likely(self._builder, self._builder.icmp_signed(">", self._edge, ir.I64(0))):
            body(self._covered, self._mask)


def store_edge(builder, value, place, mask, room):
    """Store a vector: whole if there is no mask, or if the flag `room` says that it may be."""
    if mask is None:
        store_vector(builder, value, place)
        return
    with builder.if_else(room) as (whole, masked):
        with whole:
            store_vector(builder, value, place)
        with masked:
            store_vector(builder, value, place, mask)


def _emit_rows(function, shape):
    """Emit the body of `add_rows`: each vector of a row adds up the windows that meet it, in order, for ROWS rows.

    Windows one after the other would load what the one before has just stored, other lanes of it, which no CPU
    forwards: 10 x 10 windows of 5 x 30 entries take 0.7 us instead of 1.7.
    """
    image, windows, stride, positions, rows, m, step, length = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector, lanes = ir.VectorType(image.type.pointee, shape.lanes), ir.I64(shape.lanes)
    positions = builder.inttoptr(positions, ir.I32.as_pointer())
    totals = [builder.alloca(vector) for _ in range(ROWS)]
    first, window, place = (cgutils.alloca_once(builder, ir.I64) for _ in range(3))
    row_length = builder.add(builder.mul(builder.sub(m, ir.I64(1)), step), length)
    vectors = builder.udiv(builder.add(row_length, builder.sub(lanes, ir.I64(1))), lanes)

    def pass_on():
        """Go to the next window, within which the vector stands at another place."""
        builder.store(builder.add(builder.load(window), ir.I64(1)), window)
        builder.store(builder.sub(builder.load(place), step), place)

    blocks = builder.udiv(builder.add(rows, ir.I64(ROWS - 1)), ir.I64(ROWS))
    with cgutils.for_range(builder, blocks) as block:
        # The last row stands for rows beyond the end, too: it is stored several times.
        numbers = [builder.add(builder.mul(block.index, ir.I64(ROWS)), ir.I64(r)) for r in range(ROWS)]
        rows_first = [builder.mul(_bounded(builder, number, rows), m) for number in numbers]
        starts = [builder.gep(image, [offset(builder, positions, number)]) for number in rows_first]
        sources = [builder.gep(windows, [builder.mul(number, stride)]) for number in rows_first]
        builder.store(ir.I64(0), first)
        with cgutils.for_range(builder, vectors) as loop:
            entry = builder.mul(loop.index, lanes)
            left = builder.sub(row_length, entry)
            mask, room = edge_mask(builder, left, vector), builder.icmp_signed(">=", left, lanes)
            places = [builder.gep(start, [entry]) for start in starts]
            for total, to in zip(totals, places, strict=True):
                builder.store(load_vector(builder, to, vector, mask), total)
            builder.store(builder.load(first), window)
            builder.store(builder.sub(entry, builder.mul(builder.load(first), step)), place)
            # Windows that end before the vector, then those that meet it.
            with _while(builder, lambda: builder.icmp_signed(">=", builder.load(place), length)):
                pass_on()
            builder.store(builder.load(window), first)
            with _while(builder, lambda: _meets(builder, place, window, lanes, m)):
                inside = _inside(builder, builder.load(place), length, vector)
                here = builder.add(builder.mul(builder.load(window), stride), builder.load(place))
                for total, source in zip(totals, sources, strict=True):
                    entries = load_vector(builder, builder.gep(source, [here]), vector, inside)
                    builder.store(builder.fadd(builder.load(total), entries), total)
                pass_on()
            for total, to in zip(totals, places, strict=True):
                store_edge(builder, builder.load(total), to, mask, room)
    builder.ret_void()


def _bounded(builder, number, count):
    """Return a number, or the last one before `count`."""
    last = builder.sub(count, ir.I64(1))
    return builder.select(builder.icmp_signed("<", number, last), number, last)


def _meets(builder, place, window, lanes, m):
    """Emit whether there is a window that begins before the vector's end."""
    begins = builder.icmp_signed(">", builder.add(builder.load(place), lanes), ir.I64(0))
    return builder.and_(begins, builder.icmp_signed("<", builder.load(window), m))


def _inside(builder, place, length, vector):
    """Return the mask of a vector's lanes that are within a window of `length`, where its first one is at `place`."""
    before = edge_mask(builder, builder.sub(ir.I64(0), place), vector)
    return builder.and_(edge_mask(builder, builder.sub(length, place), vector), builder.not_(before))


@contextmanager
def _while(builder, condition):
    """Emit a loop that runs while `condition()` holds."""
    test, body, after = (builder.append_basic_block(name) for name in ("test", "body", "after"))
    builder.branch(test)
    builder.position_at_end(test)
    builder.cbranch(condition(), body, after)
    builder.position_at_end(body)
    yield
    builder.branch(test)
    builder.position_at_end(after)


def _emit_lanes(function, shape):
    """Emit the body of `add_lanes`.  The inner loop runs over windows: no load waits for a store of the turn before."""
    image, size, x, positions, m, taps, k, b, n = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = Lanes(builder, shape.lanes, image.type.pointee, n)
    positions, taps = (builder.inttoptr(table, ir.I32.as_pointer()) for table in (positions, taps))
    with cgutils.for_range(builder, k) as tap:
        place = offset(builder, taps, tap.index)
        row = builder.mul(tap.index, n)

        def add(entry, mask):
            factor = load_vector(builder, builder.gep(b, [builder.add(row, entry)]), lanes.vector, mask)
            with cgutils.for_range(builder, m) as window:
                from_ = builder.gep(x, [builder.add(builder.mul(window.index, n), entry)])
                value = builder.fmul(load_vector(builder, from_, lanes.vector, mask), factor)
                first = builder.add(builder.add(offset(builder, positions, window.index), place), entry)
                _add_to(builder, lanes, image, size, first, value, mask)

        lanes.each(add)
    builder.ret_void()


def _add_to(builder, lanes, image, size, first, value, mask):
    """Add a vector, zero beyond the mask, to entries of an image of `size` entries."""
    to = builder.gep(image, [first])
    if mask is None:
        store_vector(builder, builder.fadd(load_vector(builder, to, lanes.vector), value), to)
        return
    # A masked store takes some ten cycles.  Within the image a whole vector is stored: it adds zero beyond the mask.
    with builder.if_else(builder.icmp_signed("<=", builder.add(first, lanes.count), size)) as (whole, masked):
        with whole:
            store_vector(builder, builder.fadd(load_vector(builder, to, lanes.vector), value), to)
        with masked:
            total = builder.fadd(load_vector(builder, to, lanes.vector, mask), value)
            store_vector(builder, total, to, mask)
