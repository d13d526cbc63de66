"""How kernels are compiled, cached, found by address and called: the only place with Numba options.

A *kernel* is a plain function that compiles for one signature at a time, on first use, in its own
module, and is called through its address (`call`).  So a network compiles the kernels it uses and
no others, and the same machine code serves every caller, at any number of threads: the same bits.
"""

import hashlib
import itertools
import os
import pickle
import secrets
import sys
from functools import cache
from pathlib import Path

import numba
from numba import types
from numba.core import bytecode, cgutils, compiler
from numba.core.codegen import JITCodeLibrary
from numba.extending import intrinsic

from fastbp.compiler.fpmode import FlushingCompiler
from fastbp.compiler.kerneldigest import compiler_digest, kernel_digest
from fastbp.compiler.kernelfolder import (
    UnsafeFolderError,
    check_folder,
    kernel_content,
    make_folder,
    prune,
    read_kernel,
)
from fastbp.io.files import replace_file
from fastbp.settings.warned import warn

# Kernels allocate nothing.  Without Numba's reference counts (`_nrt`) a slice of an array costs no atomic
# operations: a step of the smallest network takes 3.2 us instead of 4.1.
_OPTIONS = {"error_model": "numpy", "nogil": True, "_nrt": False}
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inline(function):
    """Compile `function` into each kernel that calls it (no cache of its own).

    Forced: LLVM leaves a large formula as a call, and then the loop around it stays scalar (the derivative of
    gelu in float64 took 28.6 ns an entry, inlined 7.3).  For compiled callers only: without the wrappers that
    Python would call, a first fit compiles in 8.5 s instead of 10.8.
    """
    return numba.njit(**_OPTIONS, **_NO_WRAPPERS, forceinline=True, pipeline_class=_InlineCompiler)(function)


class _InlineLibrary(JITCodeLibrary):
    """The code of a function that its callers take in: linked into theirs, optimised there and nowhere else.

    Numba optimises it by itself too and makes machine code of it, which nobody runs: a first fit of an LSTM compiles
    in 16 s of CPU time without that, in 25 with it (dense layers: 10.5 and 11.3), the kernels are as fast.
    """

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        """Do nothing: there is no machine code that could ask for it."""


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
    """Does `_InlineLibrary` work with this Numba?  Of a release newer than the tested ones a small kernel tells."""
    if numba.version_info[:2] <= _TESTED_NUMBA:
        return True
    options = _OPTIONS | _NO_WRAPPERS

    @numba.njit(**options, forceinline=True, pipeline_class=_SavingCompiler)
    def twice(x):
        return 2.0 * x

    @numba.njit(**options)
    def four_times(x):
        return twice(twice(x))

    try:
        pointer = address(four_times, types.float64, returns=types.float64)
    except Exception:
        return False
    return pointer != 0


def kernel(function):
    """Make `function` a kernel: compiled on first use, cached on disk, holding no GIL.

    No fast-math flag at all: NaN and infinity must survive, and lane order must be ours.  Python's calls flush
    denormals (fpmode.py).
    """
    if numba.config.DISABLE_JIT:
        return _Uncompiled(function)
    dispatcher = numba.njit(**_OPTIONS, no_cfunc_wrapper=True, pipeline_class=FlushingCompiler)(function)
    dispatcher._cache = _KernelCache(function)
    return dispatcher


def unkept_kernel(function):
    """Make `function`, which stands in no module, a kernel that each process compiles."""
    if numba.config.DISABLE_JIT:
        return _Uncompiled(function)
    return numba.njit(**_OPTIONS, **_NO_WRAPPERS)(function)


class _Uncompiled:
    """What stands for a kernel where Numba was told to compile nothing: an error as soon as one is needed."""

    def __init__(self, function):
        self.py_func, self.__name__, self.__doc__ = function, function.__name__, function.__doc__

    def __call__(self, *arguments):
        need_compiler()

    get_compile_result = __call__


class NoCompilerError(RuntimeError):
    """Numba was told to compile nothing."""


def need_compiler():
    """Raise NoCompilerError where Numba was told to compile nothing."""
    if numba.config.DISABLE_JIT:
        raise NoCompilerError(
            "NUMBA_DISABLE_JIT is set: fastbp's kernels run compiled or not at all. Unset it and start Python again."
        )


def address(dispatcher, *argument_types, returns=types.void):
    """Compile `dispatcher` for the argument types (or find it compiled) and return its address."""
    signature = returns(*argument_types)
    if getattr(dispatcher, "targetoptions", {}).get("forceinline"):
        raise TypeError(f"{dispatcher.__name__} is an inline function: it has no address.")
    result = dispatcher.get_compile_result(signature)
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


def cache_dir():
    """The folder of compiled kernels: FASTBP_CACHE_DIR, or the platform's user cache folder."""
    if folder := os.environ.get("FASTBP_CACHE_DIR"):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fastbp"


def _cache_folder():
    """The cache folder of this compiler."""
    return cache_dir() / compiler_digest()


_warned = _pruned = False


def _warn_not_kept(reason, advice="writable folder"):
    """Warn, once a process, that kernels are not kept."""
    global _warned
    if _warned:
        return
    _warned = True
    warn(
        f"fastbp {reason}; they are compiled anew in every process. Set FASTBP_CACHE_DIR to a {advice}.",
        RuntimeWarning,
    )


def _warn_unsafe(error):
    _warn_not_kept(f"ignores compiled kernels that could be another user's code ({error})", "folder of your own")


class _KernelCache:
    """One file a compiled kernel, named by all that its machine code depends on (in the place of Numba's cache).

    No index file, so that two processes compiling at once cannot mix their entries up; files
    appear by renaming, so that a reader sees a whole one or none.  A folder that can only be read is read.
    """

    def __init__(self, function):
        self._function = function

    @property
    def cache_path(self):
        return str(cache_dir())

    def _path(self, signature, codegen):
        """Return where the machine code for a signature is kept, or None: not at all."""
        made_from = kernel_digest(self._function)
        if made_from is None:
            return None
        function = self._function
        key = repr((function.__module__, function.__qualname__, signature, codegen.magic_tuple(), made_from))
        name = f"{self._function.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.kernel"
        return _cache_folder() / name

    def load_overload(self, sig, target_context):
        target_context.refresh()
        try:
            path = self._path(sig, target_context.codegen())
            payload = None if path is None else read_kernel(path)
        except UnsafeFolderError as error:
            _warn_unsafe(error)
            return None
        except (OSError, RuntimeError):  # no file, or no home folder
            return None
        if payload is None:
            return None
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # what is whole and none of ours is compiled anew
            return None

    def save_overload(self, sig, data):
        # Such code holds addresses of this process: of a large array that it names, of a C function.
        if data.library.has_dynamic_globals:
            return
        try:
            path = self._path(sig, data.codegen)
            if path is None:
                return
            payload = pickle.dumps(data._reduce(), protocol=pickle.HIGHEST_PROTOCOL)
            make_folder(path.parent)
            check_folder(path.parent)
            path.unlink(missing_ok=True)  # what cannot be used, whose owner and mode a replaced file would keep
            replace_file(path, kernel_content(path, payload), mode=0o644)
            _prune_once(path.parents[1])
        except UnsafeFolderError as error:
            _warn_unsafe(error)
        except Exception as error:  # of the disk, or of what Numba cannot keep
            _warn_not_kept(f"cannot keep its compiled kernels ({error})")

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


def _prune_once(folder):
    """Prune the cache folder, once a process that compiled something: the others start without that."""
    global _pruned
    if not _pruned:
        _pruned = True
        prune(folder)


def _number_functions_apart():
    """Have Numba number functions from a place of this process's own.

    The numbers, from 1 in every process, are what tells apart the symbols of functions of one name: of two kernels of
    one name and number that two processes had compiled, a third one found the same address for both.
    """
    bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


_number_functions_apart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_number_functions_apart)


@intrinsic
def call(typingctx, address, arguments):
    """Call the kernel at `address` (int64) with a tuple of arguments; it returns nothing.

    The types of the arguments are the caller's promise: the address must come from `address` for
    exactly these types (records may differ in their field names, not in their size).
    """
    return types.void(address, arguments), _call_address(types.void)


@intrinsic
def call_float(typingctx, address, arguments):
    """As `call`, for a kernel that returns a float64."""
    return types.float64(address, arguments), _call_address(types.float64)


def _call_address(returns):
    def codegen(context, builder, signature, args):
        where, packed = args
        argument_types = signature.args[1].types
        values = [builder.extract_value(packed, i) for i in range(len(argument_types))]
        function_type = context.call_conv.get_function_type(returns, argument_types)
        function = builder.inttoptr(where, function_type.as_pointer())
        status, value = context.call_conv.call_function(builder, function, returns, argument_types, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return value if returns is not types.void else context.get_dummy_value()

    return codegen
