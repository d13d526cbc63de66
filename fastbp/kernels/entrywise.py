"""Decorators that make kernels over whole arrays of formulas for one entry.

A formula is written as a method of the class that it belongs to, but without `self`.
"""

from collections.abc import Callable
from typing import Any

from fastbp.compiler.formulas import check_formula
from fastbp.compiler.jit import inline, kernel


def _named(function, formula):
    # The cache and Numba tell kernels apart by these names.
    function.__name__, function.__qualname__ = formula.__name__, formula.__qualname__
    compiled = kernel(function, origin=formula)
    compiled.formula = formula
    return compiled


def forward(formula: Callable) -> Any:
    """Make the forward kernel out[i] = formula(x[i], alpha) of a formula (a method without self).

    Parameters
    ----------
    formula : function
        A method without `self`: (x, alpha) -> out of x, all of them one entry's.

    Returns
    -------
    kernel
        What the class's `forward` is to be.

    Examples
    --------
    >>> from fastbp.custom import Activation, forward
    >>> class Square(Activation):
    ...     needs_input = True
    ...
    ...     @forward
    ...     def forward(x, alpha):
    ...         return x * x
    >>> hasattr(Square.forward, "py_func")
    True
    """
    check_formula("forward", formula, ("x", "alpha"))
    entry = inline(formula)

    def loop(out, x, width, alpha):
        setting = out.dtype.type(alpha)
        for i in range(out.size):
            out[i] = entry(x[i], setting)

    return staticmethod(_named(loop, formula))


def backward(formula: Callable) -> Any:
    """Make the backward kernel d[i] = formula(d[i], x[i], out[i], alpha) of a formula.

    A formula should multiply d by a select (0 * NaN stays NaN).  A select that may be d itself becomes a masked store,
    which takes twice the time on AMD's Zen 3.

    Parameters
    ----------
    formula : function
        A method without `self`: (d, x, out, alpha) -> dx of d, which is dout, all of them one entry's.

    Returns
    -------
    kernel
        What the class's `backward` is to be.

    Examples
    --------
    >>> from fastbp.custom import Activation, backward
    >>> class Square(Activation):
    ...     needs_input = True
    ...
    ...     @backward
    ...     def backward(d, x, out, alpha):
    ...         return d * (x + x)
    >>> hasattr(Square.backward, "py_func")
    True
    """
    check_formula("backward", formula, ("d", "x", "out", "alpha"))
    entry = inline(formula)

    def loop(d, x, out, width, alpha):
        setting = d.dtype.type(alpha)
        for i in range(d.size):
            d[i] = entry(d[i], x[i], out[i], setting)

    return staticmethod(_named(loop, formula))
