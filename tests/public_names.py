"""Every public name of fastbp: what the `__all__` of its public modules lists, and these classes' public methods."""

import inspect

import fastbp

MODULES = [fastbp, *(getattr(fastbp, name) for name in fastbp._MODULES)]


def is_ours(value):
    """Is it a class or function whose source is fastbp's?  Kernels, registries and tables are neither."""
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("fastbp.")


def public_values():
    """Return {full name: class or function}, each once, whatever the number of modules that list it."""
    listed = [getattr(module, name) for module in MODULES for name in getattr(module, "__all__", ())]
    return {f"{value.__module__}.{value.__qualname__}": value for value in listed if is_ours(value)}


def methods_of(cls):
    """Return {full name: function, property or other} of a class's public members, each where it is written."""
    found = {}
    for name in dir(cls):
        home = next((base for base in cls.__mro__ if name in vars(base)), None)
        if not name.startswith("_") and home is not None and home.__module__.startswith("fastbp."):
            found[f"{home.__module__}.{home.__qualname__}.{name}"] = unwrapped(vars(home)[name])
    return {name: value for name, value in found.items() if inspect.isfunction(value) or isinstance(value, property)}


def unwrapped(member):
    """Return the function of a class's or static method, and of one that scikit-learn hides at times."""
    return getattr(member, "__func__", None) or getattr(member, "fn", member)


def public_members():
    """Return {full name: class, function or property}: public values and the public methods of the classes."""
    values = public_values()
    members = [methods_of(value) for value in values.values() if inspect.isclass(value)]
    return values | {name: member for found in members for name, member in found.items()}
