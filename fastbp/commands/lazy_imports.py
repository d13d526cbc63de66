"""Modules that a library imports and a command does not use: they load when something of them is asked for."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


class _Later(ModuleType):
    def __getattr__(self, name):
        if name in ("__spec__", "__path__", "__file__"):  # Python's own look at a module that it imports
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_later(name: str) -> None:
    """Have a module loaded when one of its names is first asked for, in a process of our own.

    scikit-learn imports `scipy.stats` for one function: 0.4 s of the 1.2 that ``fastbp predict`` took for ten rows.
    """
    if name not in sys.modules and find_spec(name.partition(".")[0]) is not None:
        sys.modules[name] = _Later(name)
