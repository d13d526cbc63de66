"""What the machine code of a kernel was made from: the package's files, a user's functions, what these name."""

import builtins
import enum
import functools
import hashlib
import operator
import os
import sys
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, NoneType

import llvmlite
import numba
import numpy as np
from numba.core import config

from fastbp.compiler.sources import is_ours, sources_digest

# NUMBA_OPT, NUMBA_BOUNDSCHECK, NUMBA_LOOP_VECTORIZE and others change the machine code.  These do not.
_NO_CODE = {
    *("NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS", "CACHE_DIR", "CACHE_LOCATOR_CLASSES", "FUNCTION_CACHE_SIZE"),
    *("THREADING_LAYER", "DEVELOPER_MODE", "FULL_TRACEBACKS", "SHOW_HELP", "COLOR_SCHEME", "WARNINGS", "DEBUG_CACHE"),
    *("THREADING_LAYER_PRIORITY", "DISABLE_PERFORMANCE_WARNINGS"),
}
_SIMPLE = (bool, int, float, complex, str, bytes, NoneType, type(...), range, slice, np.generic, np.dtype)
# The files of these folders are in the key by a version.  They are told by their folder, because a user's module may be
# called `code` or `types`.
_PYTHON, *_KNOWN_PLACES = (os.path.dirname(str(module.__file__)) + os.sep for module in (os, np, numba, llvmlite))
_KNOWN_NAMES = {"builtins", "numpy", "numba", "llvmlite", *sys.stdlib_module_names}  # for what is written in C
_ADDRESSES = {"_ctypes", "ctypes", "_cffi_backend"}


def compiler_digest():
    """Return a digest of what turns sources into machine code: versions, and numba's settings.

    Settings count wherever they come from: the environment (read again, as numba does before it compiles), a
    ``.numba_config.yaml``, or Python (``numba.config.BOUNDSCHECK = 1``).
    """
    config.reload_config()
    return _digest_of_settings(*map(repr, _setting_values(vars(config))))


# The names of Numba's settings are known from its import on; a start of 17 kernels asks 17 times.
_settings = sorted(name for name in vars(config) if name.isupper() and name not in _NO_CODE)
_setting_values = operator.itemgetter(*_settings)


@functools.lru_cache(maxsize=8)
def _digest_of_settings(*values):
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = list(zip(_settings, values, strict=True))
    return hashlib.sha256(repr((versions, settings)).encode()).hexdigest()[:20]


def kernel_digest(function):
    """Return a digest of what a kernel was made from, or None where that cannot be told.

    Of a function of the package: its module and all modules that it imports, directly or not.  (Numba's own cache
    looks at the caller's file only, numba#1833.)  Of a user's function: the content of its file, its own code (the
    file may have been edited since it was imported), its defaults, the values of the names in it (``FACTOR``,
    ``settings.FACTOR``), and the same of each function that it names.  Of both: the values that they close over.  A
    function without a file (of a notebook, a prompt or `exec`) may depend on more, so there is no digest of it.
    """
    parts = _Parts()
    try:
        # Of a kernel of a user's own too, which may import nothing of the package: how an entry is written, say.
        parts.digest.update(sources_digest("fastbp.compiler.dispatchers").encode())
        return parts.digest.hexdigest() if parts.add(function, ()) else None
    except OSError:  # a package without its files
        return None


class _Parts:
    """A digest in the making; `add` and its helpers return False for what no digest can stand for."""

    def __init__(self):
        self.digest = hashlib.sha256()
        self._seen = {}  # by id, with the object, so that no other gets the same id

    def add(self, value, names):
        """Add a value; of one that has attributes, those in `names`."""
        if isinstance(value, _SIMPLE) and not isinstance(value, enum.Enum):
            return self._note(type(value).__qualname__, value)
        key = (id(value), () if isinstance(value, FunctionType) else names)
        if key in self._seen:
            return self._note("seen", self._seen[key][0])
        self._seen[key] = len(self._seen), value
        if isinstance(value, np.ndarray):
            return self._add_array(value)
        if isinstance(value, tuple | list | set | frozenset | dict):
            return self._add_container(value, names)
        for kinds, add in self._KINDS.items():
            if isinstance(value, kinds):
                return add(self, value, names)
        return self._add_object(value, names)

    def _note(self, *parts):
        self.digest.update(repr(parts).encode())
        return True

    def _add_all(self, values, names):
        return all(self.add(value, names) for value in values)

    def _add_array(self, array):
        self._note(array.dtype.str, array.dtype.descr, array.shape, array.flags.c_contiguous, array.flags.f_contiguous)
        self.digest.update(array.tobytes())
        return not array.dtype.hasobject

    def _add_container(self, value, names):
        self._note(type(value).__qualname__, len(value))
        if isinstance(value, set | frozenset):  # its order differs between processes
            return self._note(sorted(map(repr, value))) and all(isinstance(part, _SIMPLE) for part in value)
        if isinstance(value, dict):
            return self._add_all([part for pair in value.items() for part in pair], names)
        return self._add_all(value, names)

    def _add_code(self, code, names):
        """Add a code object, with those of functions within it."""
        self._note(code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount, code.co_kwonlyargcount)
        self._note(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return self._add_all(code.co_consts, names)

    def _add_function(self, function, _):
        """Add a function and what it names."""
        self._note(function.__module__, function.__qualname__)
        if _is_known(function.__code__.co_filename):
            return True
        names = tuple(sorted(_names(function.__code__)))
        given = (function.__defaults__, function.__kwdefaults__, *map(_content, function.__closure__ or ()))
        if is_ours(function):
            return self._note(sources_digest(function.__module__)) and self._add_all(given, names)
        if not self._add_file(function.__code__.co_filename):
            return False
        named = [function.__globals__[name] for name in names if name in function.__globals__]
        return self._add_all([function.__code__, *given, *named], names)

    def _add_file(self, path):
        try:
            self.digest.update(Path(path).read_bytes())
        except OSError:
            return False
        return True

    def _add_module(self, module, names):
        self._note(module.__name__)
        if _is_known(getattr(module, "__file__", None) or "<built in>"):
            return True
        if module.__name__.startswith("fastbp."):
            self._note(sources_digest(module.__name__))
        return self._add_attributes(module, names)

    def _add_attributes(self, value, names):
        """Add the attributes by these names: ``settings.FACTOR``, ``package.settings.FACTOR``."""
        found = [name for name in names if name in getattr(value, "__dict__", ())]
        return self._note(found) and self._add_all([vars(value)[name] for name in found], names)

    def _add_class(self, cls, names):
        self._note(cls.__module__, cls.__qualname__)
        path = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if getattr(builtins, cls.__name__, None) is cls or (path is not None and _is_known(path)):
            return True
        if is_ours(cls):
            self._note(sources_digest(cls.__module__))
        elif path is None or not self._add_file(path):
            return False
        return self._add_all(cls.__mro__[1:], names) and self._add_attributes(cls, names)

    def _add_enum(self, value, names):
        return self._note(value.name) and self._add_all([type(value), value.value], names)

    def _add_partial(self, value, names):
        return self._add_all([value.func, value.args, value.keywords], names)

    def _add_method(self, value, names):
        return self._add_all([value.__func__, value.__self__], names)

    def _add_builtin(self, value, _):
        return self._note(value.__module__, value.__qualname__) and _root(value) in _KNOWN_NAMES

    def _add_type(self, value, _):
        return self._note(str(value))

    def _add_object(self, value, names):
        """Add what numba compiled or will (by the function within), or an object with its attributes."""
        for wrapped in ("py_func", "_defn", "_dispatcher"):
            if hasattr(value, wrapped):
                return self._add_options(value) and self.add(getattr(value, wrapped), names)
        cls = type(value)
        if cls.__module__ in _ADDRESSES:
            return False
        if _root(cls) in _KNOWN_NAMES and not hasattr(value, "__dict__"):
            return hasattr(value, "__qualname__") and self._note(cls.__qualname__, value.__module__, value.__qualname__)
        slots = [getattr(value, name, None) for part in cls.__mro__ for name in getattr(part, "__slots__", ())]
        return self._add_all([cls, getattr(value, "__dict__", None), *slots], names)

    def _add_options(self, dispatcher):
        """Add how numba compiles a function: ``fastmath=True``, given signatures."""
        given = [] if getattr(dispatcher, "_can_compile", True) else list(map(str, dispatcher.nopython_signatures))
        options = getattr(dispatcher, "targetoptions", {})
        ordered = sorted(options)
        return self._note(given, ordered) and self._add_all([options[name] for name in ordered], ())

    _KINDS = {
        CodeType: _add_code,
        FunctionType: _add_function,
        ModuleType: _add_module,
        enum.Enum: _add_enum,
        functools.partial: _add_partial,
        MethodType: _add_method,
        (BuiltinFunctionType, np.ufunc, type(np.sum)): _add_builtin,
        numba.types.Type: _add_type,
        type: _add_class,
    }


def _is_known(path):
    """Does a file belong to Python, NumPy or Numba, or a thing to no file, as what is written in C does?"""
    if path.startswith((*_KNOWN_PLACES, "<built in>", "<frozen ")):
        return True
    return path.startswith(_PYTHON) and "-packages" not in path[len(_PYTHON) :]


def _root(thing):
    """Return the name of the outermost package that a function or a class is of."""
    return str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]


def _names(code):
    """Return the names of globals and attributes in a code object and in those within it."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled: the name of what is being defined
        return None
