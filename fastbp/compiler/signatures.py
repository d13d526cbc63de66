"""What kernels take, told without Numba: a signature is text in which names stand for float types and records.

    signature("layer step f[:] f[:] i8 i8", f=np.dtype("float32"), layer=DENSE, step=STEP)

One word an argument: a number by NumPy's code ("i8", "f8", "?" for a bool) or a name, alone or as

    f[:]    a contiguous array of one axis, f[:,:] of two
    f*      a pointer

and ``-> f8`` behind them for a kernel that returns a number.
"""

import functools
import hashlib
from typing import NamedTuple

import numpy as np


class Kind(NamedTuple):
    """The type of one argument: a number or a record (0 axes), an array, or a pointer (-1).

    Python may also call with an array that is "strided" (not contiguous), "readonly", or both: `how`.
    """

    dtype: np.dtype
    axes: int = 0
    how: str = ""

    def __str__(self):
        ending = "*" if self.axes < 0 else f"[{','.join(':' * self.axes)}]" if self.axes else ""
        return _code(self.dtype) + ending + self.how


class Signature(NamedTuple):
    """What a kernel takes and returns; its text is the same in every process.

    `returns` is "" for nothing, and None where Numba finds it out: Python calls with arguments alone.
    """

    arguments: tuple[Kind, ...]
    returns: Kind | str | None = ""

    def __str__(self):
        returns = "any" if self.returns is None else str(self.returns)
        return f"{','.join(map(str, self.arguments))}->{returns}"


class Code(NamedTuple):
    """The machine code of a kernel for one signature.

    Attributes
    ----------
    function : int
        Its address, in Numba's calling convention: what other kernels call.
    entry : int
        The address of ``int32 entry(int64 *slots)``, through which Python calls it (entrycode.py).
    returns : str
        NumPy's code of the number that it returns; "" for nothing, or nothing that `entry` hands over.
    """

    function: int
    entry: int
    returns: str


def signature(words, **named):
    """Return the `Signature` of these words.

    Parameters
    ----------
    words : str
        Of each argument, with spaces between; "-> f8" at the end.
    **named : numpy dtypes
        What the words stand for that are no codes of NumPy's.

    Examples
    --------
    >>> import numpy as np
    >>> str(signature("f[:] f* i8 ? -> f8", f=np.dtype("float32")))
    'f4[:],f4*,i8,b1->f8'
    """
    arguments, arrow, returns = words.partition("->")
    kinds = tuple(_kind(word, named) for word in arguments.split())
    return Signature(kinds, _kind(returns.strip(), named) if arrow else "")


def _kind(word, named):
    name, bracket, rest = word.partition("[")
    axes = rest.count(":") if bracket else 0
    if name.endswith("*"):
        name, axes = name[:-1], -1
    return Kind(named[name] if name in named else np.dtype(name), axes)


@functools.cache
def _code(dtype):
    """Return NumPy's code of a number, "rec" and a digest of a record."""
    if dtype.names is None:
        return dtype.str[1:]
    places = [(name, *map(str, dtype.fields[name])) for name in dtype.names]
    return f"rec{hashlib.sha256(repr((places, dtype.itemsize)).encode()).hexdigest()[:16]}"
