"""Pooling of windows: the largest entry or the sum of each window, channel by channel, and the way back.

A window is the place of its first entry in an image (``positions[i]``) and the offsets of its taps from there.  At each
tap there are c channels, and vectors run along the channels.  The last vector may be wider than the channels that are
left.  It is stored whole where the entries beyond are written later, because a masked store takes some ten cycles on
AMD's Zen 3.  Images of 6 channels have no other stores.
"""

from functools import partial

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import Shape, emitted_once, load_vector, splat, store_vector
from fastbp.kernels.windowadd import Lanes, offset, store_edge

# Taps of the commonest window, 2 x 2, whose loop is unrolled.
UNROLLED = 4
# Taps of a mean that are added one after the other.
FOLD = 64


def _pool(largest):
    """Return the intrinsic that pools."""

    @intrinsic
    def pool(typingctx, out, image, positions, m, taps, k, c, scales, scale_stride):
        def codegen(context, builder, signature, args):
            def emit(function, lanes):
                _emit_forward(function, lanes, largest)

            name = f"fastbp_pool_{'largest' if largest else 'sum'}_{args[0].type.pointee}"
            _call_by_channels(builder, Shape(context, signature.args[0].dtype), name, args, args[6], emit)
            return context.get_dummy_value()

        size = types.int64
        return types.void(out, out, size, size, size, size, size, out, size), codegen

    return pool


def _unpool(largest, overlapping):
    """Return the intrinsic that hands gradients back."""

    @intrinsic
    def unpool(typingctx, dimage, dout, out, image, positions, m, per_row, clear, taps, k, c, scales, scale_stride):
        def codegen(context, builder, signature, args):
            def emit(function, lanes):
                _emit_backward(function, lanes, largest, overlapping)

            kind = f"{'largest' if largest else 'sum'}{'_overlapping' if overlapping else ''}"
            name = f"fastbp_unpool_{kind}_{args[0].type.pointee}"
            _call_by_channels(builder, Shape(context, signature.args[0].dtype), name, args, args[10], emit)
            return context.get_dummy_value()

        pointer, size = dimage, types.int64
        pointers, sizes = (pointer,) * 4, (size,) * 7
        return types.void(*pointers, *sizes, pointer, size), codegen

    return unpool


# f(out, image, positions, m, taps, k, c, scales, scale_stride): out (m, c) = the largest entry, or the sum times
# scales[i * scale_stride], of each of m windows of k taps.  Pointers to the first entries; addresses of int32 offsets.
pool_largest, pool_sum = _pool(True), _pool(False)

# f(dimage, dout, out, image, positions, m, per_row, clear, taps, k, c, scales, scale_stride): hands the gradient
# dout (m, c) of the windows back.  For a maximum it goes to the window's largest entry (the first one, if there are
# several).  For a sum it goes to all entries, times the scale.  `unpool_*` overwrite, for windows that do not overlap;
# `add_unpooled_*` add, for windows that may overlap.  Entries outside all windows must be zero before.
# `per_row` windows lie beside each other; after each of the first `clear` of them the row of the image has room for a
# whole vector.
unpool_largest, unpool_sum = _unpool(True, False), _unpool(False, False)
add_unpooled_largest, add_unpooled_sum = _unpool(True, True), _unpool(False, True)


def _call_by_channels(builder, shape, name, args, c, emit):
    """Call a function of vectors, or one of half vectors where c channels fit these; ``emit(function, lanes)``."""
    half = shape.lanes // 2
    with builder.if_else(builder.icmp_signed("<=", c, ir.I64(half))) as (few, many):
        for lanes, branch in ((half, few), (shape.lanes, many)):
            with branch:
                function = emitted_once(builder.module, f"{name}_{lanes}", args, partial(emit, lanes=lanes))
                builder.call(function, args)


def _each_tap(builder, taps, k, body):
    """Emit `body(offset)` for each of k taps."""
    with builder.if_else(builder.icmp_signed("==", k, ir.I64(UNROLLED))) as (unrolled, any_number):
        with unrolled:
            for t in range(UNROLLED):
                body(offset(builder, taps, ir.I64(t)))
        with any_number, cgutils.for_range(builder, k) as loop:
            body(offset(builder, taps, loop.index))


def _in_parts(builder, total, taps, k, add):
    """Emit `add(offset)`, which adds to the vector at `total`, for each of k taps: a sum of sums of FOLD taps."""
    few = builder.icmp_signed("<=", k, ir.I64(FOLD))
    with builder.if_else(few) as (one_sum, sums):
        with one_sum:
            _each_tap(builder, taps, k, add)
        with sums:
            zero, fold = ir.Constant(total.type.pointee, None), ir.I64(FOLD)
            whole = cgutils.alloca_once_value(builder, zero)
            with cgutils.for_range(builder, builder.udiv(builder.add(k, ir.I64(FOLD - 1)), fold)) as part:
                first = builder.mul(part.index, fold)
                left = builder.sub(k, first)
                builder.store(zero, total)
                with cgutils.for_range(
                    builder, builder.select(builder.icmp_signed("<", left, fold), left, fold)
                ) as loop:
                    add(offset(builder, taps, builder.add(first, loop.index)))
                builder.store(builder.fadd(builder.load(whole), builder.load(total)), whole)
            builder.store(builder.load(whole), total)


def _larger(builder, x, y):
    """Return the larger of two vectors, or NaN where one of them is."""
    larger = builder.select(builder.fcmp_ordered(">", y, x), y, x)
    return builder.select(builder.fcmp_unordered("uno", y, y), y, larger)


def _scale(builder, scales, stride, window, vector):
    """Return the scale of a window in every lane."""
    return splat(builder, builder.load(builder.gep(scales, [builder.mul(window, stride)])), vector.count)


def _emit_forward(function, lanes, largest):
    """Emit the body of pool_largest or pool_sum."""
    out, image, positions, m, taps, k, c, scales, scale_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    positions, taps = (builder.inttoptr(table, ir.I32.as_pointer()) for table in (positions, taps))
    channels = Lanes(builder, lanes, out.type.pointee, c)
    vector, end = channels.vector, builder.mul(m, c)
    start = ir.Constant(vector, [float("-inf") if largest else 0.0] * vector.count)
    total = builder.alloca(vector)
    with cgutils.for_range(builder, m) as loop:
        first = builder.gep(image, [offset(builder, positions, loop.index)])
        row = builder.mul(loop.index, c)

        def pool(channel, mask):
            def add(tap):
                entry = load_vector(builder, builder.gep(first, [builder.add(tap, channel)]), vector, mask)
                before = builder.load(total)
                builder.store(_larger(builder, before, entry) if largest else builder.fadd(before, entry), total)

            builder.store(start, total)
            if largest:
                _each_tap(builder, taps, k, add)
            else:
                _in_parts(builder, total, taps, k, add)
            value, place = builder.load(total), builder.add(row, channel)
            if not largest:
                value = builder.fmul(value, _scale(builder, scales, scale_stride, loop.index, vector))
            # Beyond the edge begin the windows that come next.
            room = builder.icmp_signed("<=", builder.add(place, channels.count), end)
            store_edge(builder, value, builder.gep(out, [place]), mask, room)

        channels.each(pool)
    builder.ret_void()


def _emit_backward(function, lanes, largest, overlapping):
    """Emit the body of one of the four functions that hand gradients back."""
    dimage, dout, out, image, positions, m, per_row, clear, taps, k, c, scales, scale_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    positions, taps = (builder.inttoptr(table, ir.I32.as_pointer()) for table in (positions, taps))
    channels = Lanes(builder, lanes, out.type.pointee, c)
    vector, zero = channels.vector, ir.Constant(channels.vector, None)
    left = builder.alloca(vector)
    # Of several vectors the first ones of all taps are stored before the edges.
    one_vector = builder.icmp_signed("<", c, channels.count)
    with cgutils.for_range(builder, m) as loop:
        first = offset(builder, positions, loop.index)
        room = builder.and_(one_vector, builder.icmp_signed("<", builder.urem(loop.index, per_row), clear))

        def hand_back(channel, mask):
            def load(base, place):
                return load_vector(builder, builder.gep(base, [builder.add(place, channel)]), vector, mask)

            def give(tap):
                place, share = builder.add(first, tap), builder.load(left)
                if largest:
                    # Also where the window's largest is NaN.
                    chosen = builder.fcmp_unordered(">=", load(image, place), best)
                    builder.store(builder.select(chosen, zero, share), left)
                    share = builder.select(chosen, share, zero)
                to = builder.gep(dimage, [builder.add(place, channel)])
                if overlapping:
                    share = builder.fadd(load(dimage, place), share)
                    store_vector(builder, share, to, mask)
                else:
                    # What is left beyond the edge is zero.
                    store_edge(builder, share, to, mask, room)

            row = builder.mul(loop.index, c)
            best, share = load(out, row) if largest else None, load(dout, row)
            if not largest:
                share = builder.fmul(share, _scale(builder, scales, scale_stride, loop.index, vector))
            builder.store(share, left)
            _each_tap(builder, taps, k, give)

        channels.each(hand_back)
    builder.ret_void()
