"""What every layer has: a spec with `build`, a record in the layer table, and up to seven kernels.

Kernels call the record `layer`.  It has the fields of LAYER_HEADER, and after them the fields of its own kind, as many
as that needs (`layer_dtype`).  The driver has the records' addresses, and reads the header alone.

A layer kind has these kernels, and the driver calls them through their addresses in the record:

    forward (layer, step, params, shared, work, start, stop, row0)   x -> out
    backward(layer, step, params, shared, work, start, stop, row0)   dout -> dx (dout may become dz in place)
    gradient(layer, params, grads, work, start, stop, block, first, end, accumulate)
    prepare (layer, params, shared, first, end)                      after its parameters changed
    tabulate(layer, params, shared, first, end)                      before a call without a backward pass through it

`backward` runs where a gradient goes back.  A layer without parameters, or with `only_dx`, always has to make dx.
Another one makes it where ``layer.dx >= 0``.
Rows `start` to `stop` are batch rows of the layer's regions of `work`.  Region row `i` holds row `row0 + i` of the
batch: dropout's random numbers go by that row.  `gradient` writes rows `first` to `end` of the layer's parameter number
`block` into `grads` (laid out as `params`): it overwrites them or adds to them.  `stop` and `end` are one past the last
row.
`shared` holds what `prepare` or `tabulate` makes of the parameters, such as a transposed kernel.  All threads read it.

`buffers` hold what a layer keeps from step to step beside its parameters, such as running statistics.  The model has
one vector of them, `array_at(step.buffers, size, work)`.  The layer's own part begins at offset `layer.buffers`.

A layer that needs sums over the whole batch (`Build.whole_batch`) has two more kernels, and in training two records.
The second record runs only after all slices of the batch have run the first one.  Backward, the order is reversed:

    sum_forward    (as forward)    first record    x -> what its slice adds up to
    forward                        second record   all slices' sums, x -> out
    backward                       second record   dout -> what its slice adds up to
    finish_backward(as backward)   first record    all slices' sums, dout -> dx

The sums of slice s stand in work at layer.slice_work + s * layer.slice_stride; `gradient` may read all of them.
"""

from dataclasses import fields
from functools import cache
from typing import Any, ClassVar

import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.compiler.entry import address_of
from fastbp.compiler.jit import compiled_address
from fastbp.compiler.records import record_dtype
from fastbp.compiler.signatures import signature
from fastbp.initializers import INITIALIZERS
from fastbp.layers.build import Build
from fastbp.registry import Registry
from fastbp.regularizers import CONSTRAINTS, REGULARIZERS
from fastbp.settings.validation import Settings, checked_switch, is_number, setting_names

LAYERS = Registry("layer")

# Sizes and strides must be smaller.
MOST_SIZE = 2**31
LAYER_HEADER = [
    ("forward", "i8"),  # addresses of kernels; 0: there is nothing to do
    ("backward", "i8"),
    ("gradient", "i8"),
    ("prepare", "i8"),
    ("index", "i8"),  # place in the network: the layer's random stream
    ("n_in", "i8"),  # entries of a row of its inputs, and of its outputs
    ("n_out", "i8"),
    ("x", "i8"),  # offsets in work
    ("out", "i8"),
    ("dx", "i8"),  # -1: nobody wants the gradient with respect to the input
    ("dout", "i8"),
    ("extra", "i8"),  # offset in work of what the layer keeps for its backward pass
    ("n_inputs", "i8"),  # number of branches that meet in this layer
    ("inputs", "i8"),  # address of (x, dx, entries of a row) of each of them
    ("n_branches", "i8"),  # number of branches that begin after this layer
    ("branch_stride", "i8"),  # distance in work from the dout of one to that of the next
    ("mask", "i8"),  # offset in work of the mask (n, t) of the input's time steps, 0 for one to skip; -1: none
    ("own_mask", "i8"),  # offset in work of the mask that the layer writes for later layers
    ("params", "i8"),  # offset in params
    ("shared", "i8"),  # offset in shared
    ("packed", "i8"),  # offset in shared of packed parameters, which forward reads; -1: it reads params
    ("panels", "i8"),  # offset in work of the panels that `gradient` reads; -1: there are none
    ("region_rows", "i8"),  # batch rows of a region
    ("prepare_rows", "i8"),  # size of the first parameter's first axis: the rows of `prepare`
    ("buffers", "i8"),  # offset in the buffers
    ("slice_work", "i8"),  # offset in work of what the layer keeps for slice 0
    ("slice_stride", "i8"),  # distance in work from there to slice 1
    ("slice_rows", "i8"),  # rows of a slice; region row i belongs to slice i // slice_rows
]

LAYER = record_dtype(LAYER_HEADER)

# Facts of the step in which a kernel runs: `step` to layers.
STEP = record_dtype(
    [
        ("seed", "i8"),
        ("counter", "i8"),  # steps since the model was built: keys the random numbers
        ("training", "i8"),
        ("first", "i8"),  # the batch is order[first : first + rows]
        ("rows", "i8"),
        ("dropout", "f8"),  # factor on every dropout rate
        ("decay", "f8"),  # factor on every decoupled weight decay
        # A mean loss divides by it: the number of rows or of entries that count, or the sum of weights; 0: no update.
        ("divisor", "f8"),
        ("penalty", "f8"),  # factor on every penalty
        ("buffers", "i8"),  # address
        ("before", "i8"),  # number of the batch's earlier rows, which other processes have
    ],
)


def layer_dtype(*fields: tuple[str, str]) -> np.dtype:
    """Return the record dtype of a layer kind: the header and these fields, (name, "i8", "f8" or "param") pairs.

    A "param" field is the offset in params of the parameter of its name; -1: the layer has none.

    Parameters
    ----------
    *fields : tuple of str
        The name, and "i8", "f8" or "param".

    Returns
    -------
    dtype

    Examples
    --------
    >>> from fastbp.custom import layer_dtype
    >>> layer_dtype(("k", "i8"), ("bias", "param")).names[-2:]
    ('k', 'bias')
    """
    kinds = [(name, "i8" if kind == "param" else kind) for name, kind in fields]
    params = [name for name, kind in fields if kind == "param"]
    return np.dtype(record_dtype([*LAYER_HEADER, *kinds]), metadata={"params": params})


class Layer(Settings):
    """Base of all layer specs: dataclasses of settings; weights live in the model.

    A model never changes a spec, so several models may share one: each draws weights of its own. A value that is
    assigned to a setting is checked at once, and models take it at their next `compile`.

    A layer may have `branches`, lists of layers that all read its input. Then its kernels read the branches' outputs,
    and `build` gets all their shapes.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.Dense(3), fastbp.Layer)
    True
    >>> fastbp.Dense(3).build((4,)).output_shape  # one of your own: see `fastbp.custom`
    (3,)
    """

    changes = [0]  # of all layers

    dtype: ClassVar = layer_dtype()  # of its record
    forward: ClassVar = None  # kernels
    backward: ClassVar = None
    gradient: ClassVar = None
    prepare: ClassVar = None
    tabulate: ClassVar = None
    sum_forward: ClassVar = None
    finish_backward: ClassVar = None
    training_only: ClassVar = False  # True: at prediction it is the identity, and is left out
    finish: ClassVar = None  # of a last layer that is an alias to kernels: outputs (n, ...) -> predictions, in NumPy
    spread: ClassVar = None  # the gradient of `finish`: (dout, outputs' shape, () -> outputs) -> dout of the outputs
    only_dx: ClassVar = False  # True: backward makes dx and nothing else; it does not run where nobody wants dx
    alias: ClassVar = False  # True: the output is the input, in place (in another shape)
    always_prepare: ClassVar = False  # True: gradients need what `prepare` makes even where nobody wants dx
    # Functions (graph or program, site, x) -> output, which write the layer into ONNX and C files (fastbp/interop); or
    # a text that says why there is none.
    emit_onnx: ClassVar = None
    emit_c: ClassVar = None
    c_functions: ClassVar[dict[str, str]] = {}  # definitions, in C for float, of what its `emit_c` alone calls
    # What `from_keras` must know of Keras's layer of the same name: {a setting that this one does not have: the value
    # that asks for nothing}, and what a mask does there and not here, as the end of a sentence.
    keras_neutral: ClassVar[dict[str, Any]] = {}
    keras_mask: ClassVar = None
    branches: tuple = ()
    trainable = True
    stateful = False  # True: its buffers are the states of a batch's rows, with which the next batch begins
    batch_size = None  # a number of rows that every batch must have

    def __setattr__(self, name, value):
        if self._made and name == "trainable" and name not in setting_names(type(self)):
            self._set_trainable(value)
        else:
            super().__setattr__(name, value)

    def _set_trainable(self, value):
        """Set it in the layers within, as Keras does; it has no meaning where there is nothing to train."""
        if type(self).gradient is not None:
            raise AttributeError(
                f"{type(self).__name__} has no setting `trainable`: give the class the field `trainable: bool = True`."
            )
        object.__setattr__(self, "trainable", checked_switch(self, "trainable", value))
        for layer in self.held:
            layer.trainable = value

    @property
    def held(self) -> tuple:
        """The layers within this one."""
        return tuple(layer for branch in self.branches for layer in branch)

    def build(self, *input_shapes: tuple[int, ...]) -> Build:
        """Return the `Build` for inputs of these shapes (without the batch axis): one, or one a branch."""
        raise NotImplementedError

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        """Set the record's other fields, such as addresses; `fill_record` has filled what it can.

        It may return arrays whose addresses are in the record: they are kept as long as the record.
        """

    def adapt(self, views: dict[str, np.ndarray], x: np.ndarray, rng: np.random.Generator) -> None:
        """Set parameters, {name: view} of this layer, in place, by its inputs x (n, ...) of the training data."""

    def refuses(self, x: np.ndarray) -> tuple | None:
        """Return the place of the first entry of x (n, ...) that the kernels cannot take, and the rule; or None."""
        return None

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        """Return the outputs for x (n, ...) of a layer that only hands entries on, for the next layer's `refuses`."""
        return None

    def mask_of(self, x: np.ndarray) -> np.ndarray | None:
        """Return the mask that the layer writes for inputs x (n, t, ...): booleans (n, t), False for steps to skip."""

    @property
    def draws(self) -> bool:
        """Does training draw random numbers, so that two passes over the same rows differ?"""
        return self.training_only

    @property
    def output_activation(self) -> Any:
        """The activation that ends the layer, or None; a loss may compute it in its own kernel."""
        return None


def fill_record(record, spec, build, float_type):
    """Set those own fields of a record that are found by name; return the arrays whose addresses are in the record.

    They are the build's `fields` and `arrays`, offsets of parameters, and settings that are numbers.  The header must
    be filled before.
    """
    names = record.dtype.names[len(LAYER_HEADER) :]
    values = {name: getattr(spec, name) for name in setting_names(type(spec)) if name in names}
    values = {name: value for name, value in values.items() if isinstance(value, bool) or is_number(value)}
    wanted, offset = (record.dtype.metadata or {}).get("params", ()), record["params"][0]
    values |= dict.fromkeys(wanted, -1)
    for param in build.params:
        if param.name in wanted:
            values[param.name] = offset
        offset += param.size
    arrays = {name: _as_read(array, float_type) for name, array in build.arrays.items()}
    values |= {name: address_of(array) for name, array in arrays.items()}
    for name, value in (values | build.fields).items():
        record[name] = value
    return list(arrays.values())


def _as_read(array, float_type):
    """Return an array of a record as kernels read it: contiguous, and real numbers in the model's dtype."""
    return np.ascontiguousarray(array, float_type if array.dtype.kind == "f" else array.dtype)


def whole_number(layer, setting):
    """Return a layer's setting as an int of at least 1, or raise ValueError."""
    value = getattr(layer, setting)
    if not is_size(value):
        most = " (and below 2**31)" if isinstance(value, int) and value > 1 else ""
        raise ValueError(
            f"{type(layer).__name__}({setting}={value!r}): {setting} is a whole number of at least 1{most}."
        )
    return int(value)


def is_size(value):
    """Is it a whole number of at least 1 (and so small that products of two do not overflow)?"""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 1 <= value < MOST_SIZE


_REGISTRIES = {
    "activation": ACTIVATIONS,
    "initializer": INITIALIZERS,
    "regularizer": REGULARIZERS,
    "constraint": CONSTRAINTS,
}


def resolve_settings(layer):
    """Put objects where names are, in settings that are called "bias_initializer" and the like; check the factors.

    No activation is the linear one; there may be no regularizer and no constraint.
    """
    for name in setting_names(type(layer)):
        kind = name.rpartition("_")[2]
        value = getattr(layer, name)
        if kind == "activation" and value is None:
            value = "linear"
        if kind in _REGISTRIES and (value is not None or kind == "initializer"):
            setattr(layer, name, _REGISTRIES[kind].resolve(value))
    check_factors(layer)


def check_factors(layer):
    """Raise ValueError where a setting of `layer` that is a factor is not a finite number of at least 0."""
    for name in (setting.name for setting in fields(layer) if setting.name.endswith("_factor")):
        value = getattr(layer, name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
            raise ValueError(f"{type(layer).__name__}({name}={value!r}): a factor is a finite number of at least 0.")
        setattr(layer, name, float(value))


_TAKES_ROWS = "layer step f[:] f[:] f[:] i8 i8 i8"
_TAKES = {
    "gradient": "layer f[:] f[:] f[:] i8 i8 i8 i8 i8 ?",
    "prepare": "layer f[:] f[:] i8 i8",
    "tabulate": "layer f[:] f[:] i8 i8",
}


@cache
def kernel_address(layer_class, kind, float_type):
    """Return the address of a layer kind's kernel (0 if it has none), compiling it on first use."""
    kernel = getattr(layer_class, kind)
    if kernel is None:
        return 0
    return compiled_address(
        kernel, signature(_TAKES.get(kind, _TAKES_ROWS), f=float_type, layer=layer_class.dtype, step=STEP)
    )


def float_type_of(dtype):
    """Return the float type that kernels of a model of this dtype are compiled for, NumPy's."""
    return np.dtype(dtype)
