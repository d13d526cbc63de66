"""What a layer says of itself once it knows the shape of its inputs: its parameters, its output, what it keeps."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Lookup(NamedTuple):
    """How a batch row reads a table (a parameter of two axes): `count` rows of it, and nothing else.

    The layer's inputs `x` to `x + count` are the numbers of the rows.  Each row is copied to the layer's outputs: the
    first one begins at `out`, the next one follows it.  The gradient of a table row is the sum of dout at all these
    copies, in batch order.  The layer prepares nothing.
    """

    count: int
    x: int = 0
    out: int = 0


@dataclass(frozen=True)
class Param:
    """One named parameter (or buffer) of a layer: its shape, and how it starts and is updated.

    A parameter with a `lookup` may get its gradient row by row.  If it is `lazy`, an update changes (and decays) only
    the rows that the batch reads.

    Parameters
    ----------
    name : str
        The second half of its key in `views`: "kernel" of "dense/kernel".
    shape : tuple of int
    initializer : str or initializer
    l1, l2 : float, default 0
        Factors of the penalties.
    max_norm : float, default 0
        The largest norm of a column; 0: there is no limit.
    learning_rate_factor, decay_factor : float, default 1
    lookup : Lookup, optional
    lazy : bool, default False
    norm_axes : int, default 1
        `max_norm` limits a norm for each index of so many last axes.

    Examples
    --------
    >>> from fastbp.custom import Param
    >>> Param("kernel", (4, 3), "glorot_uniform").size
    12
    """

    name: str
    shape: tuple[int, ...]
    initializer: Any
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    lookup: Lookup | None = None
    lazy: bool = False
    norm_axes: int = 1  # max_norm limits a norm for each index of so many last axes

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Build:
    """A layer's answer to `build`: all that the plan must know to place it.

    Parameters
    ----------
    output_shape : tuple of int
        Without the batch axis.
    params, buffers : list of Param
        `params` are trained. `buffers` are kept from step to step, and in files, but are not trained.
    fields : dict of int
        Fields of the layer's record that depend on shapes.
    arrays : dict of array
        Arrays by the field of the record that gets their address: int32, int64, or real numbers, which become the
        model's dtype.
    branches : int, default 1
        How many layers read the output: each writes a gradient of its own.
    extra : int, default 0
        Entries of work that the layer keeps for each batch row.
    mask : int, default 0
        Time steps of the mask that it writes.
    shared, packed : int, default 0
        Entries of the shared buffer; `packed` ones are read by forward in place of a parameter.
    panels : int, default 0
        Entries of work that it packs for its gradient, for each batch row.
    slice_work : int, default 0
        Entries of work that it keeps for each slice of the batch.
    whole_batch : bool, default False
        Training takes sums over the whole batch.
    multiply_adds : int, default 0
        Those of one row, forward.

    Examples
    --------
    >>> from fastbp.custom import Build, Param
    >>> built = Build((3,), [Param("kernel", (4, 3), "glorot_uniform")], multiply_adds=12)
    >>> built.output_shape
    (3,)
    """

    output_shape: tuple[int, ...]
    params: list[Param] = field(default_factory=list)
    buffers: list[Param] = field(default_factory=list)  # kept from step to step, and in files; not trained
    fields: dict[str, int] = field(default_factory=dict)  # fields of its record that depend on shapes alone
    # By the field of the record that gets the address: int32, int64, or real numbers, which become the model's dtype.
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    branches: int = 1  # layers that read the output: each writes a dout of its own
    extra: int = 0  # entries of work that the layer keeps for each batch row
    mask: int = 0  # time steps of the mask that the layer writes
    shared: int = 0  # entries of the shared buffer
    packed: int = 0  # entries of it that forward reads in place of a parameter, where there are many rows
    panels: int = 0  # entries of work that the layer packs for its gradient, for each batch row
    slice_work: int = 0  # entries of work that the layer keeps for each slice
    whole_batch: bool = False  # training takes sums over the whole batch
    multiply_adds: int = 0  # of one row, forward
