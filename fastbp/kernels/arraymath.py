"""Compiled functions of whole arrays for Python code: the vector functions and the product that kernels use.

Their bits depend on the arguments alone, as those of repeatable.py.
"""

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, null
from fastbp.kernels import vecmath
from fastbp.kernels.tile import product


def exp(x):
    """Return the exponentials of x (...), float32 or float64: a new array.

    Examples
    --------
    >>> import numpy as np
    >>> exp(np.zeros((1, 2)))
    array([[1., 1.]])
    """
    return _applied(_exp, x)


def log(x):
    """Return the natural logarithms of x (...), float32 or float64: a new array.

    Examples
    --------
    >>> import numpy as np
    >>> log(np.ones(2))
    array([0., 0.])
    """
    return _applied(_log, x)


def matmul(a, b):
    """Return a (m, k) @ b (k, n) for float64 matrices: a new array.

    Examples
    --------
    >>> import numpy as np
    >>> matmul(np.eye(2), np.array([[1.0], [2.0]])).tolist()
    [[1.0], [2.0]]
    """
    a, b = np.ascontiguousarray(a, np.float64), np.ascontiguousarray(b, np.float64)
    out = np.empty((len(a), b.shape[1]))
    _product(out.ravel(), a.ravel(), b.ravel(), len(a), b.shape[1], len(b))
    return out


def _applied(function, x):
    out = np.empty_like(x, order="C", subok=False)
    function(out.ravel(), np.ascontiguousarray(x).ravel())
    return out


@kernel
def _exp(out, x):
    for i in range(x.size):
        out[i] = vecmath.exp(x[i])


@kernel
def _log(out, x):
    for i in range(x.size):
        out[i] = vecmath.log(x[i])


@kernel
def _product(out, a, b, m, n, k):
    """out (m, n) = a (m, k) @ b (k, n), all flat."""
    product(at(out, 0), n, null(out), 0, at(a, 0), k, 1, at(b, 0), n, m, n, k)
