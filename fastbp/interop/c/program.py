"""A C file while it is written: calls of functions one after the other, constant arrays, and places in `work`."""

import re
from typing import Any

import numpy as np

from fastbp.interop.c.activations import activate
from fastbp.interop.c.functions import FUNCTIONS
from fastbp.layers import LAYERS

# How many numbers of a constant array stand on a line.
LINE = 8
# Functions of <math.h> for float end in f.
MATHEMATICS = (
    "acos|acosh|asin|asinh|atan|atan2|atanh|cbrt|ceil|copysign|cos|cosh|erf|erfc|exp|exp2|expm1|fabs|floor|fma|fmax|fmin"
    "|fmod|hypot|lgamma|log|log10|log1p|log2|pow|rint|round|sin|sinh|sqrt|tan|tanh|tgamma|trunc"
)
KEYWORDS = frozenset(
    {
        *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern"),
        *("float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed"),
        *("sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while"),
        *("main", "x", "out", "work"),
    }
)


class Value:
    """An array of the model's numbers.  It has a place in `work` from the first call that names it to the last one.

    Parameters
    ----------
    size : int
    name : str, optional
        The C expression for it; by default its place in `work`.
    """

    def __init__(self, size, name=None):
        self.size, self.name = size, name


class Program:
    """The calls and arrays of a C function.

    Parameters
    ----------
    dtype : dtype
        The numbers' dtype, float32 or float64.

    Examples
    --------
    >>> program, x = Program("float32"), Value(2, "x")
    >>> y = program.value(1)
    >>> program.call("dense", x, program.array("kernel", np.ones((2, 1), "float32")), 0, y, 1, 2, 1)
    >>> program.body()
    ['dense(x, kernel, 0, work + 0, 1, 2, 1);']
    >>> program.work
    1
    """

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.lines, self.arrays = [], {}
        self.known, self.needed = dict(FUNCTIONS), set()  # functions by name; the names of those that are called
        self.activations, self.own = {}, []  # names and definitions of functions that have settings
        self._names = set(KEYWORDS | FUNCTIONS.keys()).union(*(LAYERS[kind].c_functions for kind in LAYERS))
        self.work = 0

    def value(self, size):
        """Return a new value in `work`."""
        return Value(int(size))

    def call(self, function: str, *arguments: Any) -> None:
        """Append a call.

        Parameters
        ----------
        function : str
            One of `fastbp.interop.c.functions`, or of those that a layer has defined.
        *arguments : Value, str, int or float
        """
        self.need(function)
        self.lines.append((f"{function}({{}});", arguments))

    def activate(self, activation: Any, value: Any, width: int) -> None:
        """Append a call: activation(value), in place, row by row of `width` entries.

        ValueError is raised for an activation object that has no C.
        """
        activate(self, activation, value, width)

    def line(self, text, *values):
        """Append a statement, in which {} stand for values."""
        self.lines.append((text, values))

    def comment(self, text):
        """Append a comment."""
        self.line(f"/* {commented(text).replace('{', '{{').replace('}', '}}')} */")

    def define(self, functions):
        """Make functions, {name: text}, known to `call`, beside those of `fastbp.interop.c.functions`."""
        for name, text in functions.items():
            if self.known.setdefault(name, text) != text:
                raise ValueError(f"there is another C function {name!r}: call yours otherwise.")
            self._names.add(name)

    def need(self, function):
        """Put a function, and those that it calls, into the file."""
        if function not in self.needed:
            self.needed.add(function)
            for called in re.findall(r"\b(\w+)\(", self.known[function]):
                if called in self.known:
                    self.need(called)

    def array(self, hint, values, kind=None):
        """Return the name of a constant array; numbers of the model's dtype, or of a C type `kind`."""
        name = self.name(hint)
        self.arrays[name] = (kind or self.real, np.asarray(values).ravel())
        return name

    def name(self, hint):
        """Return a new C name near the hint."""
        name = base = re.sub(r"\W", "_", hint, flags=re.ASCII)
        base = name = f"_{base}" if not base or base[0].isdigit() else base
        number = 0
        while name in self._names:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name

    @property
    def real(self):
        """The C type of the model's numbers."""
        return "float" if self.dtype == np.float32 else "double"

    def number(self, value):
        """Return a number as C writes it."""
        if isinstance(value, bool | np.bool_ | int | np.integer):
            return str(int(value))
        return literal(value, self.real)

    def body(self):
        """Return the statements, every value at its place in `work`."""
        places, self.work = placed(self.lines)
        return [self._statement(text, arguments, places) for text, arguments in self.lines]

    def _statement(self, text, arguments, places):
        shown = [self._shown(one, places) for one in arguments]
        if text.endswith("({});"):
            return text.format(", ".join(shown))
        # (work + 3)[4] is work[7].
        return re.sub(r"\(work \+ (\d+)\)\[(\d+)\]", lambda at: f"work[{int(at[1]) + int(at[2])}]", text.format(*shown))

    def _shown(self, argument, places):
        if isinstance(argument, Value):
            return argument.name or f"work + {places[id(argument)]}"
        return argument if isinstance(argument, str) else self.number(argument)

    def constants(self):
        """Return the definitions of all constant arrays."""
        return [definition(name, kind, values) for name, (kind, values) in self.arrays.items()]

    def helpers(self):
        """Return the definitions of the functions that are called, in the order in which they became known."""
        found = [text for name, text in self.known.items() if name in self.needed]
        return [*map(self.in_real, found), *self.own]

    def in_real(self, text):
        """Return a C function that is written for float, for the model's numbers."""
        return as_double(text) if self.real == "double" else text


def commented(text):
    """Return a text that may stand in a comment: ASCII, which neither ends the comment nor begins another."""
    for mark, apart in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?")):  # ??/ is a backslash of old
        text = text.replace(mark, apart)
    return text.encode("ascii", "backslashreplace").decode().replace("\\", "\\\\")


def literal(value, kind):
    """Return a number as a C constant of a type, in the fewest digits that mean it."""
    if kind not in ("float", "double"):
        return f"{int(value)}{'ULL' if kind == 'uint64_t' else ''}"
    if not np.isfinite(value):
        return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    return f"{np.float32(value)}f" if kind == "float" else repr(float(value))


def definition(name, kind, values):
    """Return the C definition of a constant array."""
    shown = [literal(value, kind) for value in values]
    rows = [", ".join(shown[first : first + LINE]) for first in range(0, len(shown), LINE)]
    return f"static const {kind} {name}[{len(shown)}] = {{\n    " + ",\n    ".join(rows) + "\n};"


def as_double(text):
    """Return a function for float as one for double."""
    text = re.sub(r"\bfloat\b", "double", text)
    text = re.sub(rf"\b({MATHEMATICS})f\(", r"\1(", text)
    return re.sub(r"\b(\d+\.\d*(?:e[-+]?\d+)?)f\b", r"\1", text)


def placed(lines):
    """Return {id of a value: its place in `work`}, and the size of `work`.

    Values that are needed at the same time do not overlap.
    """
    lives = {}
    for number, (_, arguments) in enumerate(lines):
        for value in arguments:
            if isinstance(value, Value) and value.name is None:
                first = lives[id(value)][1] if id(value) in lives else number
                lives[id(value)] = (value, first, number)
    places, total = {}, 0
    for key, (value, first, last) in lives.items():
        beside = sorted(
            (places[other], places[other] + one.size)
            for other, (one, begin, end) in lives.items()
            if other in places and begin <= last and first <= end
        )
        start = 0
        for begin, end in beside:
            if begin >= start + value.size:
                break
            start = max(start, end)
        places[key], total = start, max(total, start + value.size)
    return places, total
