"""Names of a package that load their module when they are first used."""

import sys
from importlib import import_module


def late_names(package, homes):
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names stand in other modules.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : dict of str to str
        The module of each name.
    """
    held = vars(sys.modules[package])

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}.{_nearest(name, homes)}")
        held[name] = value = getattr(import_module(homes[name]), name)
        return value

    # What the module imported, and files of the package that are loaded, are not the user's.
    return get, lambda: sorted({*homes, *(name for name in held if name.startswith("__"))})


def _nearest(name, homes):
    """Return the nearest of the names as a question, or "" for a name that tools ask for, such as ``__path__``."""
    if name.startswith("_"):
        return ""
    from fastbp.settings.naming import nearest

    return nearest(name, homes)
