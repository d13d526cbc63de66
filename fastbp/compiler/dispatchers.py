"""How Numba compiles kernels: the only place with its options, its compilers, and the conversion of its types."""

import itertools
import os
import secrets
from functools import cache

import numba
from numba import types
from numba.core import bytecode, compiler, config
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from fastbp.compiler.entrycode import EntryCompiler
from fastbp.compiler.kernelcache import KernelCache
from fastbp.compiler.levels import SETTING, named_level
from fastbp.compiler.library import wants_compiling
from fastbp.compiler.signatures import Code


def _follow_named_level():
    """Have Numba compile for the level that FASTBP_KERNELS names: all kernels of a process are of one width.

    Raises
    ------
    RuntimeError
        Where Numba has made its code generator before, for this very CPU.
    """
    level = named_level()
    if level is None or wants_compiling():
        return
    config.CPU_NAME, config.CPU_FEATURES = level.cpu, level.flags
    made_for = cpu_target.target_context.codegen().magic_tuple()[1:]
    if made_for != (level.cpu, level.flags):
        raise RuntimeError(
            f"{SETTING} is {level.name}, but Numba has compiled for {made_for[0]} in this process already: set also "
            f"NUMBA_CPU_NAME={level.cpu} and NUMBA_CPU_FEATURES={level.flags}, or train before other code compiles."
        )


_follow_named_level()  # before the first dispatcher, which makes Numba's code generator


def make(compiled):
    """Return Numba's dispatcher of a `Kernel` or an `Inline` (jit.py)."""
    options = compiled.targetoptions
    if options.get("forceinline"):
        return numba.njit(**options, pipeline_class=_InlineCompiler)(compiled.py_func)
    if not compiled.kept:
        return numba.njit(**options)(compiled.py_func)
    dispatcher = numba.njit(**options, pipeline_class=EntryCompiler)(compiled.py_func)
    dispatcher._cache = KernelCache(compiled.py_func)
    return dispatcher


def compile_result(kernel, signature):
    """Return Numba's result of compiling a kernel for a signature, or of loading it from the user's cache."""
    arguments = tuple(map(numba_type, signature.arguments))
    if signature.returns is None:
        kernel.dispatcher.compile(arguments)
        return kernel.dispatcher.overloads[arguments]
    returns = numba_type(signature.returns) if signature.returns else types.void
    return kernel.dispatcher.get_compile_result(returns(*arguments))


def compile_code(kernel, signature):
    """Return the `Code` of a kernel for a signature."""
    result = compile_result(kernel, signature)
    find = result.library.get_pointer_to_function
    entry = find(result.fndesc.llvm_cpython_wrapper_name) if kernel.kept else 0
    return Code(find(result.fndesc.llvm_func_name), entry, returned(result.signature.return_type))


def returned(kind):
    """Return NumPy's code of a number's type, "" of any other."""
    return as_dtype(kind).str[1:] if isinstance(kind, types.Number | types.Boolean) else ""


def numba_type(kind):
    """Return Numba's type of an argument (signatures.py)."""
    number = numba.from_dtype(kind.dtype)
    if kind.axes < 0:
        return types.CPointer(number)
    layout = "A" if "strided" in kind.how else "C"
    return types.Array(number, kind.axes, layout, readonly="readonly" in kind.how) if kind.axes else number


class UnrunLibrary(JITCodeLibrary):
    """Code that this process does not run.  It is not given to the linker, so it has no addresses."""

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name):
        """Return 0, which Numba stores as the function's address: nobody calls the function by it."""
        return 0


class _InlineLibrary(UnrunLibrary):
    """The LLVM code of an inlined function.  It is linked into the code of its callers and optimised there alone.

    By default Numba also optimises such a function by itself, and makes machine code that nobody runs.  Without that,
    the first fit of an LSTM compiles in 16 s of CPU time in place of 25 (dense layers: 10.5 and 11.3), and the kernels
    are as fast.
    """

    def _optimize_final_module(self):
        pass

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        """Do nothing: only machine code would read the environment."""


class _SavingCompiler(compiler.Compiler):
    def __init__(self, typingctx, targetctx, library, *arguments):
        super().__init__(typingctx, targetctx, _InlineLibrary(targetctx.codegen(), "inline"), *arguments)


class _InlineCompiler(compiler.Compiler):
    def __init__(self, typingctx, targetctx, library, *arguments):
        if _saving_works():
            library = _InlineLibrary(targetctx.codegen(), "inline")
        super().__init__(typingctx, targetctx, library, *arguments)


# `_InlineLibrary` leans on Numba's private parts, which these releases have; `.ci/try_numba` tries a newer one.
_TESTED_NUMBA = (0, 68)


@cache
def _saving_works():
    """Does `_InlineLibrary` work with this Numba?  A small kernel is tried if the release is not a tested one."""
    if numba.version_info[:2] <= _TESTED_NUMBA:
        return True
    options = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

    @numba.njit(**options, forceinline=True, pipeline_class=_SavingCompiler)
    def twice(x):
        return 2.0 * x

    @numba.njit(**options)
    def four_times(x):
        return twice(twice(x))

    try:
        result = four_times.get_compile_result(types.float64(types.float64))
        return result.library.get_pointer_to_function(result.fndesc.llvm_func_name) != 0
    except Exception:
        return False


def _number_functions_apart():
    """Have Numba number functions from a place of this process's own.

    By default the numbers start at 1 in every process.  They are part of a function's symbol.  Two processes compiled
    kernels of one name, which got one number; a third process loaded both, and found one address for the two.
    """
    bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


_number_functions_apart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_number_functions_apart)


@intrinsic
def _propagate(typingctx, code, excinfo):
    """Return from the calling function with the status `code` and the exception at `excinfo` (int64)."""

    def codegen(context, builder, signature, args):
        convention = context.call_conv
        kind = convention._get_excinfo_argument(builder.function).type.pointee
        pointer = builder.inttoptr(args[1], kind)
        status = convention._get_return_status(builder, args[0], pointer)
        convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(types.int32, types.int64), codegen


@numba.njit
def reraise(code, excinfo):
    """Raise what compiled code has raised: `code` and `excinfo` of its entry (entrycode.py)."""
    _propagate(numba.int32(code), excinfo)
