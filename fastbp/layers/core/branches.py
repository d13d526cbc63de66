"""Where branches part and meet: Concatenate (side by side) and Residual (input + output).

A layer with branches has two records in the layer table, and the records of its branches stand between them:

    fork   forward: x (n, d) is the input of every branch     backward: dx = the branches' dx, added in their order
    join   forward: the branches' outputs -> out              backward: dout -> each branch's dout
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, int64_at, span
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build


@kernel
def fork_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (branches, n, d) -> dx (n, d)."""
    first, size = start * layer.n_in, (stop - start) * layer.n_in
    # dx = dout[0] + dout[1] + ...
    copy_entries(at(work, layer.dx + first), at(work, layer.dout + first), size)
    for branch in range(1, layer.n_branches):
        add(span(work, layer.dx + first, size), span(work, layer.dout + branch * layer.branch_stride + first, size))


@inline
def add(out, x):
    """out (n,) += x (n,)."""
    for i in range(out.size):
        out[i] += x[i]


@dataclass
class Fork(Layer):
    """One input for several branches: the network puts a fork in front of every layer with branches."""

    count: int

    backward = fork_backward
    alias = True

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=input_shape, branches=self.count)

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        return x


@inline
def input_of(inputs, number):
    """Return where x and dx (-1: nobody wants it) of the join's input `number` are, and how many entries a row has."""
    first = 3 * number
    return int64_at(inputs, first), int64_at(inputs, first + 1), int64_at(inputs, first + 2)


CONCATENATE = layer_dtype(("blocks", "i8"))  # product of the axes before the one along which outputs are joined


@kernel
def concatenate_forward(layer, step, params, shared, work, start, stop, row0):
    """x_b (n, blocks, d_b) -> out (n, blocks, sum of all d_b)."""
    width = layer.n_out // layer.blocks
    first = 0
    for branch in range(layer.n_inputs):
        x, _, entries = input_of(layer.inputs, branch)
        d = entries // layer.blocks
        for block in range(start * layer.blocks, stop * layer.blocks):
            copy_entries(at(work, layer.out + block * width + first), at(work, x + block * d), d)
        first += d


@kernel
def concatenate_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, blocks, sum of all d_b) -> dx_b (n, blocks, d_b)."""
    width = layer.n_out // layer.blocks
    first = 0
    for branch in range(layer.n_inputs):
        _, dx, entries = input_of(layer.inputs, branch)
        d = entries // layer.blocks
        if dx >= 0:
            for block in range(start * layer.blocks, stop * layer.blocks):
                copy_entries(at(work, dx + block * d), at(work, layer.dout + block * width + first), d)
        first += d


@LAYERS.register("Concatenate")
@dataclass
class Concatenate(Layer):
    """Branches side by side: each reads the same input, their outputs are put together along one axis.

    Parameters
    ----------
    branches : list of lists of layers
        At least two; an empty list passes the input on.
    axis : int, default -1
        The axis along which the outputs are put together; -1 is the last one, 0 is the batch and not possible.
    name : str, optional
        Default ``"concatenate"``, ``"concatenate_1"`` and so on.

    Raises
    ------
    ValueError
        Where there are fewer than two branches, or (at building) shapes differ along another axis.
    TypeError
        Where a branch is not a list of layers.

    Notes
    -----
    Branches' outputs ``(n, ..., d_b, ...)``, output ``(n, ..., sum of all d_b, ...)``.

    Examples
    --------
    >>> import fastbp
    >>> wide_and_deep = fastbp.Concatenate([[fastbp.Dense(8, activation="relu"), fastbp.Dense(4)], []])
    >>> fastbp.Sequential([wide_and_deep], input_shape=(3,)).output_shape
    (7,)
    """

    branches: Any
    axis: int = -1
    name: str | None = None

    dtype = CONCATENATE
    forward, backward = concatenate_forward, concatenate_backward

    def __post_init__(self):
        if isinstance(self.branches, str | Layer) or not hasattr(self.branches, "__iter__"):
            raise TypeError(f"Concatenate takes a list of branches, each a list of layers, not {self.branches!r}.")
        self.branches = tuple(checked_chain(branch, "a branch of Concatenate") for branch in self.branches)
        if len(self.branches) < 2:
            raise ValueError(f"Concatenate takes two branches or more, not {len(self.branches)}.")
        if not isinstance(self.axis, int | np.integer) or isinstance(self.axis, bool) or self.axis == 0:
            raise ValueError(f"Concatenate(axis={self.axis!r}): it is a whole number other than 0, the batch.")
        self.axis = int(self.axis)

    def build(self, *input_shapes: tuple[int, ...]) -> Build:
        first = input_shapes[0]
        axis = self.axis - 1 if self.axis > 0 else self.axis + len(first)
        rest = {(*shape[:axis], None, *shape[axis + 1 :]) for shape in input_shapes}
        if not 0 <= axis < len(first) or len(rest) > 1:
            shapes = ", ".join(str(shape) for shape in input_shapes)
            raise ValueError(
                f"Concatenate(axis={self.axis}): the branches' outputs must have equal shapes but for that axis; they "
                f"have {shapes} (without the batch)."
            )
        size = sum(shape[axis] for shape in input_shapes)
        fields = {"blocks": int(np.prod(first[:axis], dtype=np.int64))}
        return Build(output_shape=(*first[:axis], size, *first[axis + 1 :]), fields=fields)


@kernel
def residual_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d), y (n, d) -> out (n, d) = x + y."""
    first, size = start * layer.n_out, (stop - start) * layer.n_out
    out = span(work, layer.out + first, size)
    x = span(work, input_of(layer.inputs, 0)[0] + first, size)
    y = span(work, input_of(layer.inputs, 1)[0] + first, size)
    for i in range(size):
        out[i] = x[i] + y[i]


@kernel
def residual_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, d) -> dx (n, d) = dy (n, d) = dout: two copies, because a layer may turn its dout into dz in place."""
    first, size = start * layer.n_out, (stop - start) * layer.n_out
    for number in range(2):
        dx = input_of(layer.inputs, number)[1]
        if dx >= 0:
            copy_entries(at(work, dx + first), at(work, layer.dout + first), size)


@LAYERS.register("Residual")
@dataclass
class Residual(Layer):
    """A residual block (He et al., 2016): ``out = x + layers(x)``.

    Parameters
    ----------
    layers : list of layers
        Their output must have the shape of their input.
    name : str, optional
        Default ``"residual"``, ``"residual_1"`` and so on.

    Raises
    ------
    ValueError
        Where there is no layer, or (at building) the shapes differ.
    TypeError
        Where `layers` is not a list of layers.

    Examples
    --------
    >>> import fastbp
    >>> block = fastbp.Residual([fastbp.Dense(8, activation="relu"), fastbp.Dense(3)])
    >>> fastbp.Sequential([block, fastbp.Dense(1)], input_shape=(3,)).output_shape
    (1,)
    """

    layers: Any
    name: str | None = None

    forward, backward = residual_forward, residual_backward

    def __post_init__(self):
        self.layers = checked_chain(self.layers, "Residual")
        if not self.layers:
            raise ValueError("Residual needs at least one layer.")

    @property
    def branches(self) -> tuple:
        """The input as it is, and the layers."""
        return (), self.layers

    def build(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Build:
        if output_shape != input_shape:
            raise ValueError(
                f"Residual adds its input to its layers' output: shape {input_shape} and shape {output_shape} differ "
                "(without the batch). End the layers with one of as many units as the input has."
            )
        return Build(output_shape=output_shape)


def checked_chain(layers, owner):
    """Return a list of layers as a tuple."""
    if isinstance(layers, str | Layer) or not hasattr(layers, "__iter__"):
        raise TypeError(f"{owner} is a list of layers, not {layers!r}.")
    layers = tuple(layers)
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"{owner} is a list of layers, but holds {layer!r}.")
    return layers
