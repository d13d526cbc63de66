"""What compiled kernels were made from: the package's sources, and those of kernels that users write."""

import hashlib
import sys
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

import numba
import numpy as np

_PACKAGE = Path(__file__).parent


@cache
def source_digest():
    """A digest of every source of the package: an edited callee anywhere makes a new cache.

    (Numba's own cache looks at the caller's file only, numba#1833.)
    """
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def own_digest(function):
    """A digest of what a function from outside the package was made from, or None where that cannot be told.

    That is the content of its file, its own code (the file may have been edited since it was imported), what it closes
    over, the constants it names, and, of each compiled function that it names, the same.  What else a function without
    a file (of a notebook, a prompt or `exec`) depends on leaves no trace: there is no digest of it.
    """
    digest = hashlib.sha256()
    return digest.hexdigest() if _add_function(digest, function, set()) else None


def is_ours(function):
    """Does the function come from the package, whose sources `source_digest` covers?"""
    return str(function.__module__).startswith("fastbp.")


def _add_function(digest, function, seen):
    """Add a function and what it names to a digest; return False where it has no file."""
    if function in seen or is_ours(function):
        return True
    seen.add(function)
    try:
        digest.update(Path(function.__code__.co_filename).read_bytes())
    except OSError:
        return False
    _add_code(digest, function.__code__)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
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
    if isinstance(value, np.ndarray):
        digest.update(value.tobytes())
    if isinstance(value, bool | int | float | complex | str | tuple | np.generic | np.ndarray):
        digest.update(repr(value).encode())
    return True
