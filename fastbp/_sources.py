"""What compiled kernels were made from: the package's sources, and those of kernels that users write."""

import hashlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import llvmlite
import numba
import numpy as np

_PACKAGE = Path(__file__).parent
# NUMBA_OPT, NUMBA_BOUNDSCHECK, NUMBA_LOOP_VECTORIZE and others change the machine code.  These do not.
_NO_CODE = {"NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR", "NUMBA_THREADING_LAYER", "NUMBA_WARNINGS"}
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(fastbp[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+(fastbp[\w.]*))", re.MULTILINE
)


def compiler_digest():
    """Return a digest of what turns sources into machine code: versions, and numba's settings in the environment."""
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in _NO_CODE)
    return hashlib.sha256(repr((versions, settings)).encode()).hexdigest()[:20]


def kernel_digest(function):
    """Return a digest of what a kernel was made from, or None where that cannot be told.

    Of a function of the package: its module and all modules that it imports, directly or not.  (Numba's own cache
    looks at the caller's file only, numba#1833.)  Of a user's function: the content of its file, its own code (the
    file may have been edited since it was imported), the constants it names, and, of each compiled function that it
    names, the same.  Of both: what they close over.  What else a function without a file (of a notebook, a prompt or
    `exec`) depends on leaves no trace: there is no digest of it.
    """
    digest = hashlib.sha256()
    try:
        return digest.hexdigest() if _add_function(digest, function, set()) else None
    except OSError:  # a package without its sources
        return None


@cache
def modules_behind(module):
    """Return the names of a module of the package and of all that it imports, directly or not, in order."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {name for known in new for name in _imports(known)} - found
    return sorted(found)


@cache
def _imports(module):
    """Return the names of the package's modules in the import statements of one of them."""
    named = []
    for package, names, alone in _IMPORT.findall(_source(module).decode()):
        words = re.sub(r"#[^\n]*", "", names).strip("()").replace(",", " ").split()
        named += [alone or package, *(f"{package}.{word}" for word in words)]
    return {name for name in named if name != "fastbp" and _path(name) is not None}


@cache
def _source(module):
    path = _path(module)
    if path is None:
        raise FileNotFoundError(f"the source of {module} is not there")
    return path.read_bytes()


def _path(module):
    """Return the file of a module of the package, or None where there is none of that name."""
    base = _PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def is_ours(function):
    """Does the function come from the package?"""
    return str(function.__module__).startswith("fastbp.")


def _add_function(digest, function, seen):
    """Add a function and what it names to a digest; return False where it has no file."""
    if function in seen:
        return True
    seen.add(function)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    if is_ours(function):
        for module in modules_behind(function.__module__):
            digest.update(module.encode() + _source(module))
        return all(_add_value(digest, value, seen) for value in cells)
    try:
        digest.update(Path(function.__code__.co_filename).read_bytes())
    except OSError:
        return False
    _add_code(digest, function.__code__)
    return all(_add_value(digest, value, seen) for value in [*_named(function), *cells])


def _add_code(digest, code):
    """Add a code object to a digest, with those of functions within it (whose `repr` is an address)."""
    digest.update(code.co_code)
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    digest.update(repr([part for part in code.co_consts if part not in inner]).encode())
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    for part in inner:
        _add_code(digest, part)


def _named(function):
    """Return the values of the global names in a function, and of names of modules that are among them."""
    names = sorted(function.__code__.co_names)
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [value for value in found if isinstance(value, ModuleType)]
    return [*found, *(vars(module)[name] for module in modules for name in names if name in vars(module))]


def _add_value(digest, value, seen):
    """Add a constant or a compiled function to a digest; other things are no part of machine code."""
    if hasattr(value, "py_func"):
        return _add_function(digest, value.py_func, seen)
    if isinstance(value, FunctionType):
        return _add_function(digest, value, seen)
    if hasattr(value, "_defn"):  # an intrinsic
        return _add_function(digest, value._defn, seen)
    if isinstance(value, np.ndarray):
        digest.update(value.tobytes())
    if isinstance(value, bool | int | float | complex | str | tuple | np.generic | np.ndarray | np.dtype):
        digest.update(repr(value).encode())
    return True
