"""Prefetching: rows of a large table are scattered over memory, and each costs 0.1 us or more to wait for."""

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, intrinsic, ir, types

# Rows are prefetched so many rows ahead.  A step that updates 256 rows of a million (16 entries, Adam) takes 38 us so.
# With 2 rows ahead it takes the same, with 16 it takes 53 us, and without prefetching 72.
AHEAD = 4
LINE_BYTES = 64
# The processor itself fetches what follows the first lines.
MOST_LINES = 4


@intrinsic
def prefetch(typingctx, array, index):
    """Begin to load entry `index` of a 1-D contiguous array into the cache; an index beyond the array does no harm."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        emit_prefetch(builder, builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def emit_prefetch(builder, pointer):
    """Emit the beginning of a load into the cache; a pointer to nowhere does no harm."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    function_type = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0i8")
    # To read, into all caches, data.  What is asked for the second-level cache alone, Zen 5 drops if it is in memory.
    builder.call(function, [builder.bitcast(pointer, byte), flag(0), flag(3), flag(1)])


@inline
def prefetch_row(array, start, size):
    """Begin to load the entries from `start` to before `start + size` into the cache, or the first lines of them."""
    step = LINE_BYTES // array.itemsize
    for i in range(0, min(size, MOST_LINES * step), step):
        prefetch(array, start + i)
