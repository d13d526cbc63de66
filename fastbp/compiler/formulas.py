"""What can be told of a user's formula (a method without self) before it is compiled."""

import dis

from fastbp.compiler.sources import is_ours


def check_formula(decorator, formula, arguments):
    """Raise TypeError where a formula does not take its arguments; a method's `self` would be one too many."""
    code = getattr(formula, "__code__", None)
    if code is None or code.co_argcount != len(arguments):
        found = (
            formula if code is None else f"{formula.__qualname__}({', '.join(code.co_varnames[: code.co_argcount])})"
        )
        raise TypeError(f"@{decorator} is for a formula of ({', '.join(arguments)}), without self, not {found}.")


def reads(function, number):
    """Does a function read its argument of that number?"""
    name = function.__code__.co_varnames[number]
    loads = (step.argval for step in dis.get_instructions(function.__code__) if step.opname.startswith("LOAD_"))
    # Python 3.13 loads two variables at once.
    return any(name == loaded or (isinstance(loaded, tuple) and name in loaded) for loaded in loads)


def check_activation(cls, base):
    """Raise TypeError where a user's class is no activation: not of the class `base`, or without a formula."""
    if is_ours(cls):
        return
    if not issubclass(cls, base):
        raise TypeError(f"{cls.__name__} is not derived from fastbp.custom.Activation.")
    for kind in ("forward", "backward"):
        given = getattr(cls, kind)
        if not hasattr(given, "py_func"):
            raise TypeError(f"{cls.__name__}.{kind} is {given!r}: put @fastbp.custom.{kind} over its formula.")
    formula = getattr(cls.backward, "formula", None)
    if formula is not None and reads(formula, 1) and not cls.needs_input:
        raise TypeError(
            f"{cls.__name__}.backward reads its argument {formula.__code__.co_varnames[1]!r}, the input, which is "
            "there with `needs_input = True` only: write that in the class."
        )
