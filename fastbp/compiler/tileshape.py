"""What the tiles of a product ask of the CPU: their sizes, room on the stack for a panel of b, and its copy."""

from fastbp.compiler.lazy import cgutils, intrinsic, ir, types
from fastbp.compiler.vectors import HEIGHTS, Shape, load_vector, store_vector

# Inner indices that a tile adds up at once: a panel of 256 x 32 float32 is 32 KiB, within L1.
DEPTH = 256


@intrinsic
def tile_columns(typingctx, pointer):
    """Return the columns of the widest tile."""

    def codegen(context, builder, signature, args):
        return ir.I64(Shape(context, signature.args[0].dtype).columns)

    return types.int64(pointer), codegen


@intrinsic
def stack_panel(typingctx, pointer):
    """Return room on the stack for DEPTH rows of one tile's columns, aligned to a cache line."""

    def codegen(context, builder, signature, args):
        size = DEPTH * Shape(context, signature.args[0].dtype).columns
        buffer = cgutils.alloca_once(builder, args[0].type.pointee, size=ir.I64(size))
        buffer.align = 64
        return buffer

    return pointer(pointer), codegen


@intrinsic
def copy_panel(typingctx, panel, source, source_stride, depth):
    """Copy `depth` rows of one tile's columns from `source` to the contiguous `panel`."""

    def codegen(context, builder, signature, args):
        to, source_, stride, count = args
        shape = Shape(context, signature.args[0].dtype)
        vector = ir.VectorType(to.type.pointee, shape.lanes)
        with cgutils.for_range(builder, count) as loop:
            for v in range(shape.vectors):
                start = ir.I64(v * shape.lanes)
                read = builder.gep(source_, [builder.add(builder.mul(loop.index, stride), start)])
                row = builder.mul(loop.index, ir.I64(shape.columns))
                write = builder.gep(to, [builder.add(row, start)])
                store_vector(builder, load_vector(builder, read, vector), write)
        return context.get_dummy_value()

    return types.void(panel, source, types.int64, types.int64), codegen


@intrinsic
def log_height(typingctx, pointer, width, kind):
    """Return the binary logarithm of height number `kind` (0: the tallest) of tiles that are `width` columns wide.

    Heights are powers of two: to divide by one takes 5 ns, three times in each product, 3 % of a step of 10-32-1.
    """

    def codegen(context, builder, signature, args):
        shape = Shape(context, signature.args[0].dtype)
        logs = [height.bit_length() - 1 for heights in shape.heights for height in heights]
        values = ir.Constant.literal_array([ir.I64(log) for log in logs])
        table = cgutils.global_constant(builder, "tile_heights", values)
        before = vectors_before_last(builder, shape, args[1])
        index = builder.add(builder.mul(before, ir.I64(HEIGHTS)), args[2])
        return builder.load(builder.gep(table, [ir.I64(0), index]))

    return types.int64(pointer, types.int64, types.int64), codegen


def vectors_before_last(builder, shape, width):
    """The number of vectors that `width` columns (1 or more) fill before their last one."""
    return builder.udiv(builder.sub(width, ir.I64(1)), ir.I64(shape.lanes))
