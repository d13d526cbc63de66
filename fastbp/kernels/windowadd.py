"""The transpose of reading windows: entries of overlapping windows are added up in the image they came from."""

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import Shape, edge_mask, emitted_once, load_vector, store_vector

# Room for entries of windows before they are added up: 32 KiB of float32, the size of a first-level cache.
SCRATCH = 8192


@intrinsic
def add_windows(typingctx, image, size, windows, stride, positions, m, segments, n, length):
    """Add windows (m, n * length) to an image of `size` entries: pointers to the first entries.

    Segment s of window i, its entries from s * length on, belongs to the image's entries from
    ``positions[i] + segments[s]`` on: addresses of int32 offsets.  Windows are added in order.
    """

    def codegen(context, builder, signature, args):
        def emit(function):
            _emit(function, Shape(context, signature.args[0].dtype))

        name = f"fastbp_add_windows_{args[0].type.pointee}"
        builder.call(emitted_once(builder.module, name, args, emit), args)
        return context.get_dummy_value()

    pointer, whole = image, types.int64
    return types.void(pointer, whole, pointer, whole, whole, whole, whole, whole, whole), codegen


@intrinsic
def add_lanes(typingctx, image, size, x, positions, m, taps, k, b, n):
    """Add to an image of `size` entries, for window i of m and tap l of k, the products x[i] * b[l] of n lanes.

    x (m, n) and b (k, n): pointers to the first entries; they belong to the image's entries from
    ``positions[i] + taps[l]`` on: addresses of int32 offsets.
    """

    def codegen(context, builder, signature, args):
        def emit(function):
            _emit_lanes(function, Shape(context, signature.args[0].dtype))

        name = f"fastbp_add_lanes_{args[0].type.pointee}"
        builder.call(emitted_once(builder.module, name, args, emit), args)
        return context.get_dummy_value()

    pointer, whole = image, types.int64
    return types.void(pointer, whole, pointer, whole, whole, whole, whole, pointer, whole), codegen


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

    def __init__(self, builder, shape, number, entries):
        self._builder, self.vector = builder, ir.VectorType(number, shape.lanes)
        self.count = ir.I64(shape.lanes)
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


def _emit(function, shape):
    """Emit the body of `add_windows`."""
    image, size, windows, stride, positions, m, segments, n, length = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = Lanes(builder, shape, image.type.pointee, length)
    positions, segments = (builder.inttoptr(table, ir.I32.as_pointer()) for table in (positions, segments))
    with cgutils.for_range(builder, m) as window:
        start = offset(builder, positions, window.index)
        source = builder.gep(windows, [builder.mul(window.index, stride)])
        with cgutils.for_range(builder, n) as segment:
            first = builder.add(start, offset(builder, segments, segment.index))
            entries = builder.gep(source, [builder.mul(segment.index, length)])

            def add(entry, mask):
                value = load_vector(builder, builder.gep(entries, [entry]), lanes.vector, mask)
                _add_to(builder, lanes, image, size, builder.add(first, entry), value, mask)

            lanes.each(add)
    builder.ret_void()


def _emit_lanes(function, shape):
    """Emit the body of `add_lanes`.  The inner loop runs over windows: no load waits for a store of the turn before."""
    image, size, x, positions, m, taps, k, b, n = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = Lanes(builder, shape, image.type.pointee, n)
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
