"""What every layer has: a spec with `build`, a record in the layer table, and up to seven kernels.

The record, `layer` to the kernels, has the fields of LAYER_HEADER and, behind them, those of the layer's own kind, as
many as it needs (`layer_dtype`).  The driver has the records' addresses and reads the header alone.

The kernels of a layer kind, called through their addresses in its record:

    forward (layer, step, params, shared, work, start, stop, row0)   x -> out
    backward(layer, step, params, shared, work, start, stop, row0)   dout -> dx (dout may become dz in place)
    gradient(layer, params, grads, work, start, stop, block, first, last, accumulate)
    prepare (layer, params, shared, first, last)                     after its parameters changed
    tabulate(layer, params, shared, first, last)                     before a call in which nothing goes back through it

`backward` runs where something goes back: dx of a layer without parameters, or with `only_dx`, is always wanted, that
of another one where ``layer.dx >= 0``.
`start` and `stop` are batch rows of the layer's regions of `work`; region row `i` holds row `row0 + i` of
the batch (dropout's counter needs that).  `gradient` writes rows `first` to `last` of the layer's
parameter number `block` into `grads` (laid out as `params`), overwriting them or adding to them.
`shared` is what `prepare` or `tabulate` makes of the parameters, read by all threads (a transposed kernel).

`buffers` are what a layer keeps from step to step beside its parameters (running statistics), one vector of the
model: `array_at(step.buffers, size, work)`, the layer's own from offset `layer.buffers`.

A layer that needs sums over the whole batch (`Build.whole_batch`) has two more kernels, and in training two records.
All slices of the batch are through with what stands before its second one when that begins, and backward
the other way round:

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

# Sizes and strides are smaller.
MOST_SIZE = 2**31
LAYER_HEADER = [
    ("forward", "i8"),  # kernel addresses; 0: there is nothing to do
    ("backward", "i8"),
    ("gradient", "i8"),
    ("prepare", "i8"),
    ("index", "i8"),  # place in the network: the layer's random stream
    ("n_in", "i8"),  # entries a row
    ("n_out", "i8"),
    ("x", "i8"),  # offsets in work
    ("out", "i8"),
    ("dx", "i8"),  # -1: nobody wants the gradient with respect to the input
    ("dout", "i8"),
    ("extra", "i8"),  # what the layer keeps for its backward pass
    ("n_inputs", "i8"),  # where branches meet: how many, and the address of (x, dx, entries a row) of each
    ("inputs", "i8"),
    ("n_branches", "i8"),  # where they part: how many, and the distance from one's dout to the next one's
    ("branch_stride", "i8"),
    ("mask", "i8"),  # offset in work of the mask (n, t) of the input's time steps, 0 for one to skip; -1: none
    ("own_mask", "i8"),  # of the mask that the layer writes for those behind it
    ("params", "i8"),  # offset in params
    ("shared", "i8"),  # offset in shared
    ("packed", "i8"),  # the same, of what forward reads; -1: it reads the parameters
    ("panels", "i8"),  # offset in work of what `gradient` reads as panels; -1: there are none
    ("region_rows", "i8"),  # batch rows of a region
    ("prepare_rows", "i8"),  # leading size of the first parameter: what `prepare` covers
    ("buffers", "i8"),  # offset in the buffers
    ("slice_work", "i8"),  # offset in work of what the layer keeps for slice 0, and the distance to slice 1
    ("slice_stride", "i8"),
    ("slice_rows", "i8"),  # rows of a slice; region row i belongs to slice i // slice_rows
]

LAYER = record_dtype(LAYER_HEADER)

# What a kernel may ask about the step it runs in.
STEP = record_dtype(
    [
        ("seed", "i8"),
        ("counter", "i8"),  # steps since the model was built: keys the random numbers
        ("training", "i8"),
        ("first", "i8"),  # the batch is order[first : first + rows]
        ("rows", "i8"),
        ("dropout", "f8"),  # factor on every dropout rate
        ("decay", "f8"),  # factor on every decoupled weight decay
        # What a mean loss divides by: the rows, their entries that count, or the sum of their weights; 0: no update.
        ("divisor", "f8"),
        ("penalty", "f8"),  # factor on every penalty
        ("buffers", "i8"),  # address
        ("before", "i8"),  # rows of the batch that stand in front of these, in other processes
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

    A spec is never changed by a model, so the same one may stand in several: each draws weights of its own. What is
    assigned to a setting is checked at once, and models take it at their next `compile`.

    A layer with `branches`, lists of layers that all read its input, stands where they meet: its kernels
    read the branches' outputs, and `build` gets all their shapes.

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
    training_only: ClassVar = False  # True: the identity at prediction, and left out there
    finish: ClassVar = None  # of a last layer that is an alias in kernels: outputs (n, ...) -> predictions, in NumPy
    spread: ClassVar = None  # its gradient: dout, the outputs' shape, () -> outputs -> dout of the outputs
    only_dx: ClassVar = False  # True: backward makes dx and nothing else; it is left out where nobody wants dx
    alias: ClassVar = False  # True: the output is the input, in place (in another shape)
    always_prepare: ClassVar = False  # True: gradients need what `prepare` makes even where nobody wants dx
    # What ONNX and C files say in its place: (graph or program, site, x) -> output, of fastbp/interop; or, a text, why
    # there is nothing.
    emit_onnx: ClassVar = None
    emit_c: ClassVar = None
    branches: tuple = ()
    trainable = True
    stateful = False  # True: its buffers are states that go on from batch to batch, of as many rows as
    batch_size = None  # every batch must have

    def __setattr__(self, name, value):
        if self._made and name == "trainable" and name not in setting_names(type(self)):
            self._set_trainable(value)
        else:
            super().__setattr__(name, value)

    def _set_trainable(self, value):
        """As in Keras: it is a setting of the layers within, and of no meaning where there is nothing to train."""
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

    def fill(self, row: Any, float_type: np.dtype) -> Any:
        """Set the row's other fields, such as addresses; `fill_row` has filled what it can.

        What it returns is kept as long as the row: arrays to which the row has addresses.
        """

    def adapt(self, views: dict[str, np.ndarray], x: np.ndarray, rng: np.random.Generator) -> None:
        """Set parameters, {name: view} of this layer, in place, by its inputs x (n, ...) of the training data."""

    def refuses(self, x: np.ndarray) -> tuple | None:
        """Return the place of the first entry of x (n, ...) that the kernels cannot take, and the rule; or None."""
        return None

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        """Return what the layer makes of x (n, ...) where it only hands entries on, so that the next one is asked."""
        return None

    def mask_of(self, x: np.ndarray) -> np.ndarray | None:
        """Return the mask that the layer writes for inputs x (n, t, ...): booleans (n, t), False for steps to skip."""

    @property
    def draws(self) -> bool:
        """Does training draw random numbers, so that no two passes over the same rows have the same loss?"""
        return self.training_only

    @property
    def output_activation(self) -> Any:
        """The activation that ends the layer, or None: a loss may take its place."""
        return None


def fill_row(row, spec, build, float_type):
    """Set the fields of a record's own that go by their names, once its header is filled; return what it points to.

    They are those of the build's `fields` and `arrays`, offsets of parameters, and settings that are numbers.
    """
    names = row.dtype.names[len(LAYER_HEADER) :]
    values = {name: getattr(spec, name) for name in setting_names(type(spec)) if name in names}
    values = {name: value for name, value in values.items() if isinstance(value, bool) or is_number(value)}
    wanted, offset = (row.dtype.metadata or {}).get("params", ()), row["params"][0]
    values |= dict.fromkeys(wanted, -1)
    for param in build.params:
        if param.name in wanted:
            values[param.name] = offset
        offset += param.size
    arrays = {name: _as_read(array, float_type) for name, array in build.arrays.items()}
    values |= {name: address_of(array) for name, array in arrays.items()}
    for name, value in (values | build.fields).items():
        row[name] = value
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
