"""Layers, activations, losses and optimizers of one's own, compiled and run in the same call as fastbp's.

**Activations and losses** are classes with formulas for one entry, without `self`. A decorator makes kernels of the
formulas, and `register` gives the class a name. examples/own_activation.py and examples/own_loss.py are complete ones::

    @ACTIVATIONS.register("squareplus")
    @dataclass(frozen=True)
    class Squareplus(Activation):                           # the base class, not the layer
        needs_input = True                                  # `backward` reads x, not only out

        @forward
        def forward(x, alpha):                              # -> out; alpha is the activation's one setting
            return (x + np.sqrt(x * x + like(x, 4))) * like(x, 0.5)

        @backward
        def backward(d, x, out, alpha):                     # d is dout -> dx
            return d * like(x, 0.5) * (like(x, 1) + x / np.sqrt(x * x + like(x, 4)))

    @LOSSES.register("log_cosh")
    @dataclass(frozen=True)
    class LogCosh(Loss):
        @mean_over_outputs                                  # or @sum_over_outputs
        def kernel(out, y, setting):                        # -> the loss, and its derivative by out
            error = out - y
            return abs(error) + softplus(-like(out, 2) * abs(error)) - like(out, LOG_2), tanh(error)

A setting is a field of the dataclass. The property ``alpha`` of an activation, or ``setting`` of a loss, gives it to
the formulas as one number. A loss says in `check_output` and `prepare_targets` which outputs and targets it takes. Such
classes are used by name (``Dense(8, "squareplus")``) or as objects, and model files hold their names. In all else they
work as fastbp's own. A loss that mixes a row's outputs is a `fastbp.CustomLoss`.

**Optimizers** are dataclasses derived from `Optimizer`, under ``@OPTIMIZERS.register("name")``, with a kernel like
those of fastbp/optimizers/adam.py. Their settings are fields of the record of ``dtype =
optimizer_dtype(momentum="f8")``.

**Layers** of one's own are made as fastbp's own layers. fastbp/layers/core/dense.py is one to read, and
examples/own_layer.py is a complete one::

    @kernel
    def forward(layer, step, params, shared, work, start, stop, row0): ...      # x -> out
    @kernel
    def backward(layer, step, params, shared, work, start, stop, row0): ...     # dout -> dx
    @kernel
    def gradient(layer, params, grads, work, start, stop, block, first, end, accumulate): ...
    @kernel
    def prepare(layer, params, shared, first, end): ...                         # after its parameters changed

    @register_layer
    @dataclass
    class MyLayer(Layer):
        units: int
        name: str | None = None

        dtype = layer_dtype(("k", "i8"))                    # fields of its own, as many as it needs
        forward, backward, gradient, prepare = forward, backward, gradient, prepare

        def build(self, input_shape):                       # shapes without the batch axis
            (d,) = input_shape
            params = [Param("kernel", (d, self.units), "glorot_uniform")]
            return Build((self.units,), params, fields={"k": self.units}, multiply_adds=d * self.units)

**Arrays.** `params`, `grads` (laid out as `params`), `shared` and `work` are flat, in the model's dtype; the record
`layer` tells where things are in them. `rows` makes a matrix of a stretch::

    x    = rows(work, layer.x, start, stop, layer.n_in)       the layer's inputs (n, d)
    out  = rows(work, layer.out, start, stop, layer.n_out)    its outputs (n, k), which `forward` overwrites
    dout = rows(work, layer.dout, start, stop, layer.n_out)   their gradient; `backward` may overwrite it
    dx   = rows(work, layer.dx, start, stop, layer.n_in)      `backward` overwrites it
    kept = rows(work, layer.extra, start, stop, e)            `Build.extra` = e entries a row from forward to backward
    kernel = rows(params, layer.params, 0, d, k)              the first parameter; the next one is behind it

**forward** and **backward** take rows `start` to before `stop`, and only read the parameters. Row i of the regions is
row ``row0 + i`` of the batch. ``step.training`` tells whether this is training. A layer with parameters that is the
first one of a model needs no dx: then ``layer.dx < 0``. With ``only_dx = True`` in the class, which says that its
`backward` makes dx and nothing else, `backward` does not run there.

**gradient** writes rows `first` to before `end` (of the first axis) of the gradient of parameter number `block` of
`Build.params`; with `accumulate` it adds to what is there. It runs after `backward`.

**prepare** makes what `backward` (or `forward`, with ``always_prepare = True``, in training) reads from `shared`, of
`Build.shared` entries from ``layer.shared``: of rows `first` to `end` of the first parameter, such as columns of its
transpose.

**Fields** of the record with the name of a setting hold the setting. A field ``("bias", "param")`` says where the
parameter "bias" begins in `params` (-1: there is none). Tables go into ``Build(arrays={"places": array})``, and the
field ``("places", "i8")`` gets the address: ``array_at(layer.places, size, work)`` reads real numbers, in the model's
dtype, and ``int64s_at(layer.places, size)`` whole ones. A method ``fill(self, record, float_type)`` sets the other
fields, such as addresses of kernels (``record["product"] = product_address(float_type)``, for `matmul`).

**Settings** are fields. A value that is assigned to one later runs ``__post_init__`` once more, so that method should
accept its own results. A layer with parameters should have the field ``trainable: bool = True``, so that it can be
frozen.

**Files for other programs** have the layer if its class says how: ``emit_onnx(graph, site, x)`` and ``emit_c(program,
site, x)`` return the output (fastbp/layers/core/softmax.py has both), and ``c_functions`` holds C functions of its own,
written for float. An activation has ``c_expression``, such as ``"v / (1.0f + expf(-v))"``, and ``emit_onnx(graph, x,
alpha)``.

Kernels compile at the first use, for one float type each: no strings, no exceptions, no allocation (``np.zeros``,
``a + b`` of arrays, ``a[:] = b``: Numba then says "NRT required" and shows the line). A whole number and a float32 make
a float64: write ``like(x, 0.5)`` or ``x.dtype.type(0.5)`` (of an array) for a constant, and ``select(a, b, c)`` for
what is b where a is true and else c. ``fastbp.kernels.vecmath`` has exp, tanh, sigmoid and others that vectorise; plain
`numba.njit` functions may be called (without ``cache=True``: Numba's own cache does not see edits of other files).

The machine code is kept on disk. It is compiled anew after an edit of the formula's file, of the file of a function
that the formula calls, or of a value that it names (``FACTOR``, ``settings.FACTOR``). The code of functions without a
file (in a notebook) is not kept. A running process keeps what it has compiled, as Numba does: after a change of a
global, define the class again.

`fastbp.check_gradients` proves derivatives. A model file holds the settings, no code: import the module that registers
the class before `load_model`.
"""

import dataclasses
import functools
import inspect
import math

import numpy as np

from fastbp.activations import ACTIVATIONS, Activation, backward, forward
from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import array_at, int64s_at
from fastbp.compiler.views import matmul, rows
from fastbp.initializers import INITIALIZERS
from fastbp.kernels.tile import product_address
from fastbp.layers.base import LAYER_HEADER, LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build, Param
from fastbp.losses.base import LOSSES, Loss, mean_over_outputs, sum_over_outputs
from fastbp.optimizers.base import OPTIMIZERS, Optimizer, entries, optimizer_dtype

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "Activation",
    "Build",
    "Layer",
    "Loss",
    "Optimizer",
    "Param",
    "array_at",
    "backward",
    "entries",
    "forward",
    "inline",
    "int64s_at",
    "kernel",
    "layer_dtype",
    "like",
    "matmul",
    "mean_over_outputs",
    "optimizer_dtype",
    "product_address",
    "register_layer",
    "rows",
    "select",
    "sum_over_outputs",
]


def __dir__():
    return __all__


_ROWS = ("layer", "step", "params", "shared", "work", "start", "stop", "row0")
_ARGUMENTS = dict.fromkeys(("forward", "backward", "sum_forward", "finish_backward"), _ROWS) | {
    "gradient": ("layer", "params", "grads", "work", "start", "stop", "block", "first", "end", "accumulate"),
    "prepare": ("layer", "params", "shared", "first", "end"),
}
_HEADER = [name for name, _ in LAYER_HEADER]
_COUNTS = ("extra", "shared", "mask", "slice_work", "multiply_adds")


def register_layer(cls: type) -> type:
    """Class decorator: make a dataclass derived from `Layer` a layer that models take and model files name.

    Parameters
    ----------
    cls : type
        A dataclass with a field ``name: str | None = None``. Files know it by the class's name.

    Returns
    -------
    type
        The same one; its `build` checks what it returns, and takes names for initializers.

    Raises
    ------
    TypeError
        Where it is no dataclass derived from `Layer`, or a kernel is none or has other arguments.
    ValueError
        Where another layer has its name.

    Examples
    --------
    >>> import fastbp
    >>> from dataclasses import dataclass
    >>> from fastbp.custom import Build, Layer, kernel, register_layer, rows
    >>> @kernel
    ... def square_forward(layer, step, params, shared, work, start, stop, row0):
    ...     x, out = rows(work, layer.x, start, stop, layer.n_in), rows(work, layer.out, start, stop, layer.n_out)
    ...     for i in range(len(x)):
    ...         for j in range(layer.n_in):
    ...             out[i, j] = x[i, j] * x[i, j]
    >>> @kernel
    ... def square_backward(layer, step, params, shared, work, start, stop, row0):
    ...     x, dx = rows(work, layer.x, start, stop, layer.n_in), rows(work, layer.dx, start, stop, layer.n_in)
    ...     dout = rows(work, layer.dout, start, stop, layer.n_out)
    ...     for i in range(len(x)):
    ...         for j in range(layer.n_in):
    ...             dx[i, j] = 2 * x[i, j] * dout[i, j]
    >>> @register_layer
    ... @dataclass
    ... class Square(Layer):
    ...     name: str | None = None
    ...     forward, backward = square_forward, square_backward
    ...     def build(self, input_shape):
    ...         return Build(output_shape=input_shape)
    >>> model = fastbp.Sequential([fastbp.Dense(3), Square(), fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> model.compile(loss="mean_squared_error")
    >>> fastbp.check_gradients(model, [[0.5, -1.0], [2.0, 0.25]], [1.0, 0.0]).max_relative_error < 1e-6
    True
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise TypeError(f"register_layer takes a class derived from fastbp.Layer, not {cls!r}.")
    if "__dataclass_fields__" not in vars(cls):
        raise TypeError(f"{cls.__name__} is no dataclass: write @dataclass beneath @register_layer.")
    if "name" not in vars(cls)["__dataclass_fields__"]:
        raise TypeError(f"{cls.__name__} has no name: give it the field `name: str | None = None`.")
    _check_record(cls)
    _check_kernels(cls)
    if "build" in vars(cls):
        cls.build = _checked(cls.build)  # type: ignore[method-assign]
    return LAYERS.register(cls.__name__)(cls)


def _check_record(cls):
    """Raise TypeError where the dtype of the layer's record is not one of `layer_dtype`."""
    dtype = cls.dtype
    names = dtype.names if isinstance(dtype, np.dtype) else None
    if list(names or ())[: len(_HEADER)] != _HEADER:
        raise TypeError(f"{cls.__name__}.dtype is {dtype!r}: make it by layer_dtype(('field', 'i8'), ...).")


def _check_kernels(cls):
    """Raise TypeError where a kernel is missing, is none, or has other arguments than its kind."""
    for kind, names in _ARGUMENTS.items():
        given = getattr(cls, kind)
        if given is None:
            continue
        if not hasattr(given, "py_func"):
            raise TypeError(
                f"{cls.__name__}.{kind} is {given!r}, no kernel: put @fastbp.custom.kernel over its function."
            )
        found = list(inspect.signature(given.py_func).parameters)
        if len(found) != len(names):
            raise TypeError(
                f"{cls.__name__}.{kind} takes {len(found)} arguments ({', '.join(found)}); this kernel is called with "
                f"{len(names)}: {', '.join(names)}."
            )
    if not cls.alias and (cls.forward is None or cls.backward is None):
        missing = "forward" if cls.forward is None else "backward"
        raise TypeError(f"{cls.__name__} has no kernel `{missing}`: a layer has forward and backward at least.")


def _checked(build):
    """Return `build` with its answer checked, and with initializers where it gives their names."""

    @functools.wraps(build)
    def checked(self, *input_shapes):
        return _check_build(self, build(self, *input_shapes), input_shapes)

    return checked


def _check_build(layer, built, input_shapes):
    where = f"{type(layer).__name__}.build{input_shapes if len(input_shapes) > 1 else f'({input_shapes[0]})'}"
    if not isinstance(built, Build):
        raise TypeError(f"{where} returned {built!r}: it returns a fastbp.custom.Build.")
    _check_shape(where, "output_shape", built.output_shape)
    if layer.alias and math.prod(built.output_shape) != math.prod(input_shapes[0]):
        raise ValueError(f"{where}: the output of an alias is its input, of as many entries; not {built.output_shape}.")
    for name in _COUNTS:
        value = getattr(built, name)
        if not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{where} returned {name}={value!r}: it is a whole number of at least 0.")
    own = set(type(layer).dtype.names) - set(_HEADER)
    if unknown := (set(built.fields) | set(built.arrays)) - own:
        raise ValueError(
            f"{where} returned the field {min(unknown)!r}; fields of its own in `dtype` are {sorted(own)}."
        )
    for name, array in built.arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "if":
            raise ValueError(f"{where} returned arrays={{{name!r}: {array!r}}}: it is a NumPy array of numbers.")
    if built.params and layer.gradient is None and layer.trainable:
        raise TypeError(f"{where} returned parameters, but {type(layer).__name__} has no kernel `gradient`.")
    checked = {kind: [_check_param(where, param) for param in getattr(built, kind)] for kind in ("params", "buffers")}
    return dataclasses.replace(built, **checked)


def _check_param(where, param):
    """Return a Param with an initializer object, or raise."""
    if not isinstance(param, Param):
        raise TypeError(f"{where} returned {param!r} among its parameters: each is a fastbp.custom.Param.")
    _check_shape(f"{where}, {param.name!r}", "shape", param.shape)
    initializer = param.initializer
    if not callable(initializer):
        initializer = INITIALIZERS.resolve(initializer)
    return dataclasses.replace(param, initializer=initializer)


def _check_shape(where, what, shape):
    whole = isinstance(shape, tuple) and all(isinstance(size, int | np.integer) and size >= 1 for size in shape)
    if not whole or not shape:
        raise ValueError(f"{where}: {what} is {shape!r}; it is a tuple of whole numbers of at least 1.")
