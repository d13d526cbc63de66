"""The floating-point mode of compiled code: denormal numbers count as zero, and the caller's mode comes back.

A denormal operand or result takes a CPU's microcode 50 to 150 cycles, and training makes them: Adam's moment of a
parameter without a gradient shrinks for 830 steps and then stays at 6e-45.  So Python reaches every kernel through an
entry (entrycode.py) that sets the CPU's control register and puts it back whatever the kernel returns or raises.
Kernels that kernels call run in the mode of their callers, in the main thread and in helpers, which Python starts as
well.

The whole register is set: rounding to the nearest, no traps, denormals flushed, whatever the caller had.  So the bits
of a result do not depend on it either.  Elsewhere than on x86-64 and AArch64 nothing is set.
"""

from llvmlite import ir
from numba.core import cgutils

# Values of the control registers.  x86: no traps (0x1F80), results flushed (FTZ, 0x8000), operands too (DAZ, 0x40).
# AArch64: FZ, which does both.
MXCSR, FPCR = 0x9FC0, 1 << 24


def _exchange_mxcsr(builder):
    """Set MXCSR; return a function that puts back what it was."""
    word, byte_pointer = ir.IntType(32), ir.IntType(8).as_pointer()

    def move(name, place):
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer])
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.sse.{name}mxcsr")
        builder.call(function, [builder.bitcast(place, byte_pointer)])

    before, during = cgutils.alloca_once(builder, word), cgutils.alloca_once_value(builder, word(MXCSR))
    move("st", before)
    move("ld", during)
    return lambda: move("ld", before)


def _exchange_fpcr(builder):
    """Set FPCR; return a function that puts back what it was."""
    register = ir.IntType(64)
    get_type, set_type = ir.FunctionType(register, []), ir.FunctionType(ir.VoidType(), [register])
    get = cgutils.get_or_insert_function(builder.module, get_type, "llvm.aarch64.get.fpcr")
    put = cgutils.get_or_insert_function(builder.module, set_type, "llvm.aarch64.set.fpcr")
    before = builder.call(get, [])
    builder.call(put, [register(FPCR)])
    return lambda: builder.call(put, [before])


_EXCHANGES = {
    "x86_64": _exchange_mxcsr,
    "amd64": _exchange_mxcsr,
    "aarch64": _exchange_fpcr,
    "arm64": _exchange_fpcr,
}


def call_flushed(builder, triple, make_call):
    """Emit what `make_call()` emits, between a change of the mode and its end; return what that returned.

    LLVM takes the mode for constant.  Calls do not move across a statement that may change any memory, and a call that
    is not inlined keeps its arithmetic to itself.
    """
    exchange = _EXCHANGES.get(triple.split("-")[0].lower())
    if exchange is None:
        return make_call()
    put_back = exchange(builder)
    _order_memory(builder)
    result = make_call()
    _order_memory(builder)
    put_back()
    _order_memory(builder)
    return result


def _order_memory(builder):
    """Emit no instruction, but let LLVM believe that any memory is changed here."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)
