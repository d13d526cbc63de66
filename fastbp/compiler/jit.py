"""Kernels: how they are declared, found by address and called, without Numba until one has to be compiled.

A *kernel* is a plain function that compiles for one signature at a time, on first use, in its own
module, and is called through its address (`call`).  So a network compiles the kernels it uses and
no others, and the same machine code serves every caller, at any number of threads: the same bits.

dispatchers.py has Numba's options; kernelcache.py keeps the machine code.
"""

import functools
from collections.abc import Callable
from typing import Any

from fastbp.compiler.compiling import compiling
from fastbp.compiler.entry import Entry, kinds_of
from fastbp.compiler.lazy import by_name, cgutils, intrinsic, types
from fastbp.compiler.library import find
from fastbp.compiler.llvm_lock import llvm_lock
from fastbp.compiler.signatures import Code, Signature

# Kernels allocate nothing.  Without Numba's reference counts (`_nrt`) a slice of an array costs no atomic
# operations: a step of the smallest network takes 3.2 us instead of 4.1.
_OPTIONS = {"error_model": "numpy", "nogil": True, "_nrt": False}
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# (kernel, signature) of all machine code that this process has needed, in that order.
asked = []


class _Compiled:
    """A function that Numba compiles; its dispatcher is made when Numba first needs it."""

    targetoptions: dict

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.py_func = function

    @property
    def _numba_type_(self):
        """Numba's type of the function, which it asks for where another function that it compiles names this one."""
        return self.dispatcher._numba_type_

    @functools.cached_property
    def dispatcher(self):
        """Numba's object for the function.

        Raises
        ------
        NoCompilerError
            Where Numba was told to compile nothing.
        """
        need_compiler(f"{self.__module__}.{self.__qualname__}")
        from fastbp.compiler import dispatchers

        return dispatchers.make(self)

    def __getstate__(self):
        made = ("dispatcher", "_codes", "_entries")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return by_name(self) or (_rebuilt, (type(self), self.__getstate__()))

    def __repr__(self):
        return f"<{type(self).__name__.lower()} {self.__module__}.{self.__qualname__}>"


def _rebuilt(cls, state):
    made = cls(state["py_func"])
    made.__dict__ |= state
    return made


class Inline(_Compiled):
    """A function that is compiled into each kernel that calls it."""

    targetoptions = _OPTIONS | _NO_WRAPPERS | {"forceinline": True}

    def __call__(self, *arguments):
        raise TypeError(f"{self.__name__} is an inline function: compiled functions call it, Python cannot.")


class Kernel(_Compiled):
    """A function that has machine code of its own for each signature.

    Attributes
    ----------
    py_func : function
    module, qualname : str
        Of the formula that `py_func` wraps, or of `py_func`. Each kernel of the package has names of its own.
    kept : bool
        Is its machine code kept on disk?
    advice : str
        What an error of the compiler ends with.
    """

    targetoptions = _OPTIONS | {"no_cfunc_wrapper": True}
    kept = True
    advice = ""

    def __init__(self, function, origin=None):
        super().__init__(function)
        origin = origin or function
        self.module, self.qualname = origin.__module__, origin.__qualname__
        self._codes, self._entries = {}, {}

    def code(self, of: Signature) -> Code:
        """Return the machine code for a signature: of the library, of the user's cache, or compiled now."""
        code = self._codes.get(of)
        return self._made_code(of) if code is None else code

    def _made_code(self, of):
        with llvm_lock:
            code = self._codes.get(of)  # another thread may have made it meanwhile
            if code is None:
                asked.append((self, of))
                code = find(self, of) if self.kept else None
                if code is None:
                    code = self._compiled(of)
                self._codes[of] = code
        return code

    def _compiled(self, of):
        need_compiler(f"{self.module}.{self.qualname}")
        with compiling():
            from fastbp.compiler import dispatchers

            try:
                return dispatchers.compile_code(self, of)
            except compile_errors() as error:
                # Numba tells of the loop around a formula, which is fastbp's, and of places within Numba.
                error.add_note(f"fastbp: {self.module}.{self.qualname} does not compile.{self.advice}")
                raise

    def entry(self, of: Signature):
        """Return the `Entry` by which Python calls the machine code for a signature."""
        found = self._entries.get(of)
        if found is None:
            if not self.kept:
                raise TypeError(f"{self.__name__} is not kept and has no entry: compiled functions call it alone.")
            found = self._entries[of] = Entry(self.__name__, of, self.code(of))
        return found

    def __call__(self, *arguments):
        """Call it from Python: with numbers, arrays, and rows of arrays of records."""
        return self.entry(Signature(kinds_of(self.__name__, arguments), None))(*arguments)


class UnkeptKernel(Kernel):
    """A kernel that stands in no module: each process compiles it, and compiled code alone calls it."""

    targetoptions = _OPTIONS | _NO_WRAPPERS
    kept = False


def inline(function: Callable) -> Any:
    """Compile `function` into each kernel that calls it (no cache of its own).

    Forced: LLVM leaves a large formula as a call, and then the loop around it stays scalar (the derivative of
    gelu in float64 took 28.6 ns an entry, inlined 7.3).  For compiled callers only: without the wrappers that
    Python would call, a first fit compiles in 8.5 s instead of 10.8.

    Parameters
    ----------
    function : function
        Plain Python that Numba compiles.

    Returns
    -------
    Inline
        For compiled callers only.

    Examples
    --------
    >>> from fastbp.custom import inline, kernel
    >>> @inline
    ... def square(x):
    ...     return x * x
    >>> @kernel
    ... def squares(out, x):
    ...     for i in range(x.size):
    ...         out[i] = square(x[i])
    >>> squares.__name__
    'squares'
    """
    return Inline(function)


def kernel(function: Callable, origin: Any = None) -> Any:
    """Make `function` a kernel: compiled on first use, cached on disk, holding no GIL.

    No fast-math flag at all: NaN and infinity must survive, and lane order must be ours.  Python's calls flush
    denormals (fpmode.py).

    Parameters
    ----------
    function : function
        Plain Python that Numba compiles.
    origin : function, optional
        The formula that the function wraps.

    Returns
    -------
    Kernel

    Examples
    --------
    >>> from fastbp.custom import kernel
    >>> @kernel
    ... def double(out, x):
    ...     for i in range(x.size):
    ...         out[i] = x[i] + x[i]
    >>> double.__name__
    'double'
    """
    return Kernel(function, origin)


def unkept_kernel(function):
    """Make `function`, which stands in no module, a kernel that each process compiles."""
    return UnkeptKernel(function)


class NoCompilerError(RuntimeError):
    """Numba is not installed, or was told to compile nothing."""


def need_compiler(what):
    """Raise NoCompilerError where Numba is not there, or was told to compile nothing; `what` is what needs it."""
    try:
        from numba import config
    except ModuleNotFoundError as error:
        raise NoCompilerError(
            f"{what} has to be compiled and Numba is not installed: pip install numba. fastbp's own "
            "kernels need no Numba where a kernel library is installed; `fastbp info` tells of it."
        ) from error
    if config.DISABLE_JIT:
        raise NoCompilerError(
            "NUMBA_DISABLE_JIT is set: fastbp's kernels run compiled or not at all. Unset it and start Python again."
        )


def compile_errors():
    """Return what Numba raises for code that it cannot compile.

    Call it in the ``except`` clause: Numba is then imported only after an exception.
    """
    from numba.core.errors import NumbaError

    return NumbaError


def compiled_address(of: Kernel, arguments: Signature) -> int:
    """Return the address of a kernel's machine code for its arguments: what `call` calls."""
    if isinstance(of, Inline):
        raise TypeError(f"{of.__name__} is an inline function: it has no address.")
    return of.code(arguments).function


@intrinsic
def call(typingctx, address, arguments):
    """Call the kernel at `address` (int64) with a tuple of arguments; it returns nothing.

    The types of the arguments are the caller's promise: the address must come from `compiled_address` for
    exactly these types (a record goes by its address: the kernel's may have more fields).
    """
    return types.void(address, arguments), _call_address(types.void)


@intrinsic
def call_float(typingctx, address, arguments):
    """As `call`, for a kernel that returns a float64."""
    return types.float64(address, arguments), _call_address(types.float64)


def _call_address(returns):
    def codegen(context, builder, signature, args):
        where, packed = args
        argument_types = signature.args[1].types
        values = [builder.extract_value(packed, i) for i in range(len(argument_types))]
        function_type = context.call_conv.get_function_type(returns, argument_types)
        function = builder.inttoptr(where, function_type.as_pointer())
        status, value = context.call_conv.call_function(builder, function, returns, argument_types, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return value if returns is not types.void else context.get_dummy_value()

    return codegen
