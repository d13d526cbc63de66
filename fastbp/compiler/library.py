"""The kernel library: machine code that was compiled ahead of time, linked as networks ask for it, without Numba.

The folder of this file holds libraries (libraryfile.py), one for each CPU level that was built or installed.  The best
one that fits this machine is used.  A kernel is taken from it only if its source files are still those that it was
compiled from.  Otherwise the kernel is compiled, as users' own kernels are.  `FASTBP_KERNELS=jit` compiles all kernels.
`FASTBP_KERNELS=x86-64-v3` takes that level's library, and what is compiled beside it is compiled for that level.

A start of a dense network reads and checks 60 source files (3 ms) and links 17 kernels (3 ms).
"""

import ctypes
import hashlib
import os
import struct
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import fastbp
from fastbp.compiler.levels import machine_levels, named_level, setting
from fastbp.compiler.libraryfile import ENDING, LibraryError, LibraryFile, entry_symbol, function_symbol, key_of
from fastbp.compiler.signatures import Code
from fastbp.settings.user_warnings import warn

FOLDER = Path(__file__).parent / "built"
_PACKAGE = Path(__file__).parents[1]
# Settings of Numba that leave the kernels' machine code as it is in the library (which has no SVML calls, as after
# NUMBA_DISABLE_INTEL_SVML).
_NO_CODE = (
    *("NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS", "NUMBA_CACHE", "NUMBA_THREADING_LAYER", "NUMBA_WARNINGS"),
    *("NUMBA_DEVELOPER_MODE", "NUMBA_FULL_TRACEBACKS", "NUMBA_SHOW_HELP", "NUMBA_COLOR_SCHEME", "NUMBA_DISABLE_"),
    *("NUMBA_DEBUG_CACHE", "NUMBA_FUNCTION_CACHE_SIZE"),
)


class Served(NamedTuple):
    """What became of the libraries: the file in use, or None, and a line for each that was not taken."""

    file: LibraryFile | None
    refused: tuple[str, ...]


def find(kernel, signature):
    """Return the `Code` of one of fastbp's kernels for a signature, or None where it has to be compiled.

    The caller holds `llvm_lock`.
    """
    # A formula in a namespace without a name (`exec`) has the module None.
    if not (kernel.kept and str(kernel.module).startswith("fastbp.")) or wants_compiling():
        return None
    served = library()
    if served.file is None:
        return None
    entry = served.file.index.kernels.get(key_of(kernel, signature))
    if entry is None or not is_up_to_date(served.file.index, kernel.module):
        return None
    try:
        return _linked(served.file, entry)
    except (LibraryError, OSError) as error:
        _warn_of(served.file.path, str(error))
        return None


def wants_compiling():
    """Do settings ask for other machine code than the library's?  (Numba's: of the environment, a file, or Python.)"""
    if setting() == "jit" or os.path.exists(".numba_config.yaml"):
        return True
    if any(name.startswith("NUMBA_") and not name.startswith(_NO_CODE) for name in os.environ):
        return True
    # `config` is None or has no such attributes while Numba is not imported, or is being imported by another thread.
    # Then nobody can have set them in Python.
    config = sys.modules.get("numba.core.config")
    named = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    level = named_level()
    ours = level is not None and named == (level.cpu, level.flags)  # `dispatchers` has said so
    return (named != (None, None) and not ours) or not getattr(config, "ENABLE_AVX", True)


@cache
def library():
    """Return the library of this process; a file that does not fit is none, and warned of."""
    refused = []
    for name in machine_levels():
        try:
            return Served(_open(FOLDER / (name + ENDING), name), tuple(refused))
        except (FileNotFoundError, NotADirectoryError):  # the second: the package stands in an archive
            continue
        except (LibraryError, OSError) as error:
            refused.append(f"{FOLDER / (name + ENDING)} is not used: {error}")
            _warn_of(FOLDER / (name + ENDING), str(error))
    return Served(None, tuple(refused))


@cache  # once a process
def _warn_of(path, reason):
    warn(
        f"fastbp's kernel library {path} is not used: {reason}. Kernels are compiled when they are first needed. "
        "Install fastbp again, or run python -m fastbp.compiler.build.",
        RuntimeWarning,
    )


def _open(path, level):
    file = LibraryFile(path)
    if file.index.level != level:
        raise LibraryError(f"it is for {file.index.level}")
    made_by = file.index.versions.get("fastbp")
    if made_by != fastbp.__version__:
        raise LibraryError(f"it is of fastbp {made_by}, not {fastbp.__version__}")
    return file


def is_up_to_date(index, module):
    """Are the files behind a module of the package those that the library was made from?"""
    behind = index.behind.get(module)
    return behind is not None and all(_is_unchanged(name, *index.sources[name]) for name in behind)


@cache
def _is_unchanged(module, digest, size):
    """Has a module's file this digest?  One that is not there (a package in an archive) cannot have been edited.

    If a .pyc file stands in the place of the source (`compileall -b`), the size of the source is compared instead: it
    is in the header of the .pyc file.
    """
    stem = _PACKAGE.joinpath(*module.split(".")[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py", stem.with_suffix(".pyc"), stem / "__init__.pyc"):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            continue
        if path.suffix == ".py":
            return hashlib.sha256(content).hexdigest() == digest
        flags, _, source_size = struct.unpack_from("<III", content, 4)
        return flags == 0 and source_size == size
    return True


def _linked(file, entry):
    """Return the code of one kernel of the library, linked into this process."""
    engine = _engine()
    from llvmlite import binding

    engine.add_object_file(binding.ObjectFileRef.from_data(file.code(entry)))
    engine.finalize_object()
    addresses = [engine.get_function_address(symbol(entry.symbol)) for symbol in (function_symbol, entry_symbol)]
    return Code(*addresses, entry.returns)


@cache
def _engine():
    """Return the linker of this process, which knows what kernels may call."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    for name, address in _c_functions().items():
        binding.add_symbol(name, address)
    machine = binding.Target.from_default_triple().create_target_machine()
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


# Functions of the C library that kernels may call.  No function of mathematics is among them, because its last bits
# would depend on the machine's C library (vecmath.py has all that kernels need).
C_FUNCTIONS = ("memcpy", "memmove", "memset", "sched_yield", "usleep", "clock_gettime")


def _c_functions():
    of_process = ctypes.CDLL(None)
    return {name: ctypes.cast(getattr(of_process, name), ctypes.c_void_p).value for name in C_FUNCTIONS}
