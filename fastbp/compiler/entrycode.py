"""The entry of a kernel: the function through which Python calls its machine code, in the place of Numba's wrapper.

    int32 entry(int64 *slots)

Slots hold the result, the address of the exception, and then the arguments.  A number takes one slot; a record or a
pointer takes one for its address; an array takes one for its address and one for each axis (two, with its stride,
unless it is contiguous and may be written).  The entry flushes denormals (fpmode.py), calls, and returns Numba's
status: 0, or what `dispatchers.reraise` raises.  No function of Python's is called, so the machine code runs wherever
it is loaded.  With its slots filled, a call of the driver costs 0.24 us beside its work. (Through Numba's wrapper it
costs 0.35.)
"""

from llvmlite import ir
from numba import types
from numba.core.compiler import Compiler
from numba.np.arrayobj import make_array, populate_array

from fastbp.compiler.fpmode import call_flushed

I32, I64 = ir.IntType(32), ir.IntType(64)
RESULT, EXCEPTION, ARGUMENTS = 0, 1, 2


# For CPUs of Intel, LLVM uses half of an AVX-512 register in loops.  With half registers tanh takes 0.42 ns an entry,
# gelu 0.68 and relu 0.024; with whole ones they take 0.21, 0.35 and 0.018 (made for rocketlake, run on Zen 5).
WIDE_VECTORS = '"prefer-vector-width"="512"'


class EntryCompiler(Compiler):
    """Numba's compiler with two changes: it writes our entry in place of its wrapper, and loops use whole vectors."""

    def __init__(self, typingctx, targetctx, *arguments):
        def create_wrapper(*given, **options):
            _create_entry(targetctx, *given)

        def declare_function(module, description):
            function = targetctx.declare_function(module, description)
            set.add(function.attributes, WIDE_VECTORS)  # llvmlite's own `add` knows no attributes with values
            return function

        context = targetctx.subtarget(create_cpython_wrapper=create_wrapper, declare_function=declare_function)
        super().__init__(typingctx, context, *arguments)


def _create_entry(context, library, description, environment, call_helper, release_gil=False):
    """Write the entry into `library`, where `CPUContext.create_cpython_wrapper` would write the wrapper."""
    module = context.create_module("entry")
    kinds, returns = description.argtypes, description.restype
    callee = ir.Function(module, context.call_conv.get_function_type(returns, kinds), description.llvm_func_name)
    name = description.llvm_cpython_wrapper_name
    entry = ir.Function(module, ir.FunctionType(I32, [I64.as_pointer()]), name)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    if all(map(_fits, kinds)):
        _emit_call(context, builder, callee, returns, kinds, entry.args[0])
    else:  # compiled code alone calls it
        builder.ret(I32(-1))
    library.add_ir_module(module)


def _fits(kind):
    """Can Python hand over an argument of this type?"""
    if isinstance(kind, types.Array):
        return kind.layout in "CA"
    return isinstance(kind, types.Integer | types.Float | types.Boolean | types.Record | types.CPointer)


def _emit_call(context, builder, callee, returns, kinds, slots):
    number, values = ARGUMENTS, []
    for kind in kinds:
        values.append(_argument(context, builder, kind, slots, number))
        number += 1 + (len(_axes(kind)) * kind.ndim if isinstance(kind, types.Array) else 0)

    def make_call():
        return context.call_conv.call_function(builder, callee, returns, kinds, values, attrs=("noinline",))

    status, result = call_flushed(builder, context.codegen().magic_tuple()[0], make_call)
    builder.store(builder.ptrtoint(status.excinfoptr, I64), _slot(builder, slots, EXCEPTION))
    if isinstance(returns, types.Integer | types.Float | types.Boolean):
        stored = builder.zext(result, ir.IntType(8)) if isinstance(returns, types.Boolean) else result
        builder.store(stored, _slot(builder, slots, RESULT, stored.type))
    builder.ret(builder.select(status.is_ok, I32(0), status.code))


def _slot(builder, slots, number, kind=I64):
    """Return the pointer to a slot, in which something of this LLVM type stands first."""
    return builder.bitcast(builder.gep(slots, [I64(number)]), kind.as_pointer())


def _argument(context, builder, kind, slots, number):
    """Return the argument of a Numba type that begins in a slot."""
    if isinstance(kind, types.Float):
        return builder.load(_slot(builder, slots, number, context.get_value_type(kind)))
    value = builder.load(_slot(builder, slots, number))
    if isinstance(kind, types.Boolean):
        return builder.icmp_unsigned("!=", value, I64(0))
    if isinstance(kind, types.Integer):
        return builder.trunc(value, ir.IntType(kind.bitwidth)) if kind.bitwidth < 64 else value
    if isinstance(kind, types.Array):
        numbers = [
            [builder.load(_slot(builder, slots, number + 1 + first * kind.ndim + axis)) for axis in range(kind.ndim)]
            for first in range(len(_axes(kind)))
        ]
        return _array(context, builder, kind, value, *numbers)
    return builder.inttoptr(value, context.get_value_type(kind))


def _axes(kind):
    """What stands in slots of each axis of an array."""
    return ("length",) if kind.layout == "C" and kind.mutable else ("length", "stride")


def _array(context, builder, kind, address, shape, strides=None):
    """Return an array that owns nothing; without strides a contiguous one."""
    number = context.get_data_type(kind.dtype)
    size = I64(context.get_abi_sizeof(number))
    if strides is None:
        strides = [size]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
    array = make_array(kind)(context, builder)
    data = builder.inttoptr(address, number.as_pointer())
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()
