"""What every layer has: a spec with `build`, a row of the layer table, and up to four kernels.

The kernels of a layer kind, called through their addresses in its row:

    forward (layer, step, params, shared, work, start, stop, row0)   x -> out
    backward(layer, step, params, shared, work, start, stop, row0)   dout -> dx (dout may become dz in place)
    gradient(layer, params, grads, work, start, stop, block, first, last, accumulate)
    prepare (layer, params, shared, first, last)                     after its parameters changed

`start` and `stop` are rows of the layer's regions of `work`; region row `i` holds row `row0 + i` of
the batch (dropout's counter needs that).  `gradient` writes rows `first` to `last` of the layer's
parameter number `block` into `grads` (laid out as `params`), overwriting them or adding to them.
`shared` is what `prepare` makes of the parameters, read by all threads (a transposed kernel).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numba
import numpy as np
from numba import types

from fastbp._jit import address
from fastbp._registry import Registry
from fastbp._rows import record_type, row_dtype

LAYERS = Registry("layer")

LAYER_ROW_SIZE = 256
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
    ("params", "i8"),  # offset in params
    ("shared", "i8"),  # offset in shared
    ("prepare_rows", "i8"),  # leading size of the first parameter: what `prepare` covers
]

# What a kernel may ask about the step it runs in.
STEP = row_dtype(
    128,
    [
        ("seed", "i8"),
        ("counter", "i8"),  # steps since the model was built: keys the random numbers
        ("training", "i8"),
        ("first", "i8"),  # the batch is order[first : first + rows]
        ("rows", "i8"),
        ("dropout", "f8"),  # factor on every dropout rate
        ("decay", "f8"),  # factor on every decoupled weight decay
        ("divisor", "f8"),  # what a mean loss divides by: the rows, or the sum of their weights
        ("penalty", "f8"),  # factor on every penalty
    ],
)


def layer_dtype(*fields):
    """Return the row dtype of a layer kind with these fields of its own."""
    return row_dtype(LAYER_ROW_SIZE, LAYER_HEADER, fields)


@dataclass(frozen=True)
class Param:
    """One named parameter of a layer: its shape, and how it starts and is updated."""

    name: str
    shape: tuple[int, ...]
    initializer: Any
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Build:
    """A layer's answer to `build`: all that the plan must know to place it."""

    output_shape: tuple[int, ...]
    params: list[Param] = field(default_factory=list)
    extra: int = 0  # entries of work that the layer keeps for each batch row
    shared: int = 0  # entries of the shared buffer
    multiply_adds: int = 0  # a row, forward


class Layer:
    """Base of all layer specs: dataclasses of settings; weights live in the model.

    A spec is never changed by a model, so the same one may stand in several.
    """

    dtype: ClassVar = layer_dtype()  # of its row
    forward: ClassVar = None  # kernels
    backward: ClassVar = None
    gradient: ClassVar = None
    prepare: ClassVar = None
    training_only: ClassVar = False  # True: the identity at prediction, and left out there
    trainable = True

    def build(self, input_shape: tuple[int, ...]) -> Build:
        """Return the `Build` for inputs of this shape (without the batch axis)."""
        raise NotImplementedError

    def fill(self, row, float_type):
        """Set the row's own fields; its header is filled already."""

    @property
    def output_activation(self):
        """The activation that ends the layer, or None: a loss may take its place."""
        return None


@cache
def kernel_address(layer_class, kind, float_type):
    """Return the address of a layer kind's kernel (0 if it has none), compiling it on first use."""
    kernel = getattr(layer_class, kind)
    if kernel is None:
        return 0
    array, size, layer = types.Array(float_type, 1, "C"), types.int64, record_type(layer_class.dtype)
    signatures = {
        "forward": (layer, record_type(STEP), array, array, array, size, size, size),
        "backward": (layer, record_type(STEP), array, array, array, size, size, size),
        "gradient": (layer, array, array, array, size, size, size, size, size, types.boolean),
        "prepare": (layer, array, array, size, size),
    }
    return address(kernel, *signatures[kind])


def float_type_of(dtype):
    """Return the Numba type of a NumPy float dtype."""
    return numba.from_dtype(np.dtype(dtype))
