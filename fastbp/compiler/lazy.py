"""Modules of Numba and llvmlite that are imported when one of their names is first used.

``import numba`` takes 0.3 s.  A process whose kernels are compiled already does not need it.  So a file that writes
instructions for LLVM takes `ir`, `types` and `cgutils` from here, and uses them within functions only.
"""

import functools
import importlib
import sys


class _Names:
    """The attributes of a module, which is imported when the first one is read."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if name.startswith("__"):  # doctest looks through the names of modules: this imports nothing
            raise AttributeError(name)
        value = getattr(importlib.import_module(self._module), name)
        setattr(self, name, value)
        return value


class _LLVM(_Names):
    """`llvmlite.ir` and the whole numbers that kernels count with."""

    @functools.cached_property
    def I32(self):
        """The type of a 32-bit whole number; ``I32(3)`` is a constant."""
        return self.IntType(32)

    @functools.cached_property
    def I64(self):
        """The type of a 64-bit whole number."""
        return self.IntType(64)


ir, types, cgutils = _LLVM("llvmlite.ir"), _Names("numba.types"), _Names("numba.core.cgutils")
numba, errors, arrayobj = _Names("numba"), _Names("numba.core.errors"), _Names("numba.np.arrayobj")


class Intrinsic:
    """An intrinsic of Numba, with instructions written by hand.  Numba's object is made when a caller compiles."""

    def __init__(self, definition):
        functools.update_wrapper(self, definition)
        self._defn = definition

    @functools.cached_property
    def _numba_type_(self):
        """What Numba takes the name of the function for."""
        from numba.core.registry import cpu_target
        from numba.extending import intrinsic as make

        made = make(self._defn)
        cpu_target.typing_context.refresh()
        return cpu_target.typing_context.resolve_value_type(made)

    def __call__(self, *arguments):
        raise NotImplementedError(f"{self.__name__} is for compiled functions only.")

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return by_name(self) or (Intrinsic, (self._defn,))


def intrinsic(definition):
    """Make ``definition(typingctx, *types) -> (signature, codegen)`` an intrinsic, as `numba.extending.intrinsic`."""
    return Intrinsic(definition)


def by_name(thing):
    """Return the name by which a pickle finds a thing again in its module, or None: it is not there."""
    found = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return thing.__qualname__ if found is thing else None
