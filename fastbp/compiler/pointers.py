"""Typed pointers and arrays inside kernels: into arrays, and from the addresses that Python hands over."""

from fastbp.compiler.lazy import arrayobj, cgutils, intrinsic, ir, types
from fastbp.compiler.records import record_type


@intrinsic
def at(typingctx, array, index):
    """Return a pointer to entry `index` of a 1-D contiguous array."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.int64), codegen


@intrinsic
def null(typingctx, array):
    """Return a null pointer to the type that the array holds."""

    def codegen(context, builder, signature, args):
        return context.get_constant_null(signature.return_type)

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def unit(typingctx, array):
    """Return a pointer to a 1 of the type that the array holds."""

    def codegen(context, builder, signature, args):
        value = context.get_constant(signature.args[0].dtype, 1)
        return cgutils.global_constant(builder, "fastbp_one", value)

    return types.CPointer(array.dtype)(array), codegen


def stack_room(count):
    """Return an intrinsic f(value): a pointer to room on the stack for `count` entries of the type of `value`."""

    @intrinsic
    def room(typingctx, value):
        def codegen(context, builder, signature, args):
            size = ir.Constant(ir.IntType(64), count)
            entries = cgutils.alloca_once(builder, context.get_data_type(signature.args[0]), size=size)
            entries.align = 64
            return entries

        return types.CPointer(value)(value), codegen

    return room


@intrinsic
def shift(typingctx, pointer, count):
    """Return `pointer` moved by `count` entries; a null pointer stays null."""

    def codegen(context, builder, signature, args):
        is_null = builder.icmp_unsigned("==", args[0], ir.Constant(args[0].type, None))
        return builder.select(is_null, args[0], builder.gep(args[0], [args[1]]))

    return pointer(pointer, types.int64), codegen


@intrinsic
def same_place(typingctx, a, b):
    """Do two pointers of one type point to the same place?"""

    def codegen(context, builder, signature, args):
        return builder.icmp_unsigned("==", *args)

    return types.boolean(a, b), codegen


@intrinsic
def null_like(typingctx, pointer):
    """Return the null pointer of a pointer's type."""

    def codegen(context, builder, signature, args):
        return context.get_constant_null(signature.return_type)

    return pointer(pointer), codegen


@intrinsic
def pointer_like(typingctx, address, like):
    """Return the address (int64) as a pointer to entries of the type that the array `like` holds."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), codegen


def _array_of(kind, context, builder, data, size):
    """Return a 1-D contiguous array of type `kind` that owns nothing: `size` entries from pointer `data`."""
    array = arrayobj.make_array(kind)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    bytes_ = context.get_constant(types.intp, itemsize)
    arrayobj.populate_array(array, data=data, shape=[size], strides=[bytes_], itemsize=bytes_, meminfo=None)
    return array._getvalue()


@intrinsic
def span(typingctx, array, start, size):
    """Return array[start : start + size] of a 1-D contiguous array; a slice would look whether they are negative."""

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        return _array_of(signature.return_type, context, builder, builder.gep(data, [args[1]]), args[2])

    return array(array, types.int64, types.int64), codegen


@intrinsic
def array_at(typingctx, address, size, like):
    """Return the array of `size` entries behind the address (int64), of the type that the array `like` holds."""
    return _array_at(types.Array(like.dtype, 1, "C"), like)


@intrinsic
def float64s_at(typingctx, address, size):
    """Return the float64 array of `size` entries behind the address (int64)."""
    return _array_at(types.Array(types.float64, 1, "C"))


def record_at(dtype):
    """Return an intrinsic f(address): the record of `dtype` behind the address (int64)."""

    @intrinsic
    def record(typingctx, address):
        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return record_type(dtype)(types.int64), codegen

    return record


def records_at(dtype):
    """Return an intrinsic f(address, size): the array of records of `dtype` behind the address (int64)."""

    @intrinsic
    def records(typingctx, address, size):
        return _array_at(types.Array(record_type(dtype), 1, "C"))

    return records


def _array_at(kind, *more):
    """Return signature and code of an intrinsic (address, size, *more) that makes an array of type `kind`."""

    def codegen(context, builder, signature, args):
        data = builder.inttoptr(args[0], context.get_data_type(kind.dtype).as_pointer())
        return _array_of(kind, context, builder, data, args[1])

    return kind(types.int64, types.int64, *more), codegen


@intrinsic
def int64s_at(typingctx, address, size):
    """Return the int64 array of `size` entries behind the address (int64)."""
    return _array_at(types.Array(types.int64, 1, "C"))


@intrinsic
def int64_at(typingctx, address, index):
    """Read int64 number `index` behind the address (int64)."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(pointer, [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def copy_entries(typingctx, target, source, count):
    """Copy `count` entries from pointer `source` to pointer `target`."""

    def codegen(context, builder, signature, args):
        to, from_, number = args
        size = context.get_abi_sizeof(to.type.pointee)
        cgutils.raw_memcpy(builder, to, from_, number, size)
        return context.get_dummy_value()

    return types.void(target, source, types.int64), codegen
