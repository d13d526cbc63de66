"""How Python calls a kernel: its arguments become slots (entrycode.py), and one pointer to them is handed over."""

import ctypes
import struct

import numpy as np

from fastbp.compiler.signatures import Kind

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_INT, _LARGE, _FLOAT, _BOOL = (Kind(np.dtype(code)) for code in ("i8", "u8", "f8", "?"))
# The result, the address of the exception.
_BEFORE = "QQ"


def address_of(array):
    """Return the address of an array's first entry.

    An array object begins with the header of all Python objects, and then comes that address: this is a part of NumPy's
    binary interface.  To ask the array takes ten times as long (3 us, 20 for rows of a table), and a call has a dozen
    arrays.
    """
    return ctypes.c_int64.from_address(id(array) + object.__basicsize__).value


class Entry:
    """The machine code of a kernel for one signature, for Python."""

    def __init__(self, name, signature, code):
        self._name, self._kinds = name, signature.arguments
        self._function, self._returns = _PROTOTYPE(code.entry), np.dtype(code.returns) if code.returns else None
        self._layout = struct.Struct("=" + _BEFORE + "".join(map(_format, self._kinds)))
        self._slots = ctypes.c_int64 * (self._layout.size // 8)

    def bind(self, *arguments):
        """Return the `Call` of these arguments, which are kept and may be changed in place."""
        numbers = [0, 0]
        for kind, argument in zip(self._kinds, arguments, strict=True):
            if kind.axes > 0:
                numbers.append(address_of(argument))
                numbers += argument.shape
                if kind.how:
                    numbers += argument.strides
            else:
                numbers.append(argument if kind.dtype.names is None else argument.__array_interface__["data"][0])
        return Call(self._function, self._slots.from_buffer_copy(self._layout.pack(*numbers)), self._returns, arguments)

    def __call__(self, *arguments):
        return self.bind(*arguments)()


class Call:
    """A call of a kernel with its arguments: one pointer to their slots."""

    __slots__ = ("_arguments", "_function", "_pointer", "_returns", "_slots")

    def __init__(self, function, slots, returns, arguments):
        self._function, self._slots, self._pointer = function, slots, ctypes.addressof(slots)
        self._returns, self._arguments = returns, arguments

    def ending_in(self, *numbers):
        """Return the same call but for its last slots, which hold these whole numbers: another thread makes it."""
        slots = type(self._slots).from_buffer_copy(self._slots)
        slots[-len(numbers) :] = numbers
        return Call(self._function, slots, self._returns, self._arguments)

    @property
    def place(self):
        """The addresses of the entry and of the slots, by which compiled code makes the call."""
        return ctypes.cast(self._function, ctypes.c_void_p).value, self._pointer

    def check(self, status):
        """Raise what the call raised, if its status tells of anything."""
        if status:
            _raise(status, self._slots[1])

    def __call__(self):
        status = self._function(self._pointer)
        if status:
            self.check(status)
        return None if self._returns is None else np.frombuffer(self._slots, self._returns, 1)[0].item()


def _raise(status, exception):
    from fastbp.compiler import dispatchers

    dispatchers.reraise(status, exception)


def _format(kind):
    """Return the slots of an argument as `struct` writes them."""
    if kind.axes > 0:
        return "q" * (1 + kind.axes * (2 if kind.how else 1))
    if kind.axes < 0 or kind.dtype.names is not None:
        return "q"
    if kind.dtype.kind == "f":
        return "d" if kind.dtype.itemsize == 8 else "f4x"
    return "Q" if kind.dtype.kind == "u" else "q"


def kinds_of(name, arguments):
    """Return the `Kind` of each of the arguments for which Python calls the kernel of that name."""
    return tuple(_kind_of(name, argument) for argument in arguments)


def _kind_of(name, argument):
    if isinstance(argument, np.ndarray) and argument.ndim:
        if not argument.flags.aligned:
            raise TypeError(f"the kernel {name} takes arrays whose entries are aligned.")
        strided, readonly = not argument.flags.c_contiguous, not argument.flags.writeable
        return Kind(argument.dtype, argument.ndim, "strided" * strided + "readonly" * readonly)
    if isinstance(argument, np.generic):
        return Kind(argument.dtype)
    if isinstance(argument, bool):
        return _BOOL
    if isinstance(argument, int):
        return _INT if -(2**63) <= argument < 2**63 else _LARGE
    if isinstance(argument, float):
        return _FLOAT
    raise TypeError(f"the kernel {name} takes numbers, arrays and rows of arrays of records: {argument!r}")
