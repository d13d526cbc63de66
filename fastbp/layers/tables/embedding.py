"""Embedding: out (n, ..., dim) = rows of a table (categories, dim); and how categories are checked.

Inputs are whole numbers in the model's float type.  float32 holds them exactly up to 2**24.  `refuses` checks them
before anything runs, but kernels check them again: x is the user's own array, and anybody may change it while they run.
A category that a table does not have becomes NaN, and gets no gradient.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import at, copy_entries, shift, span
from fastbp.compiler.tileshape import DEPTH, stack_panel, tile_columns
from fastbp.kernels.columnsums import clear_unless
from fastbp.layers.base import LAYERS, Layer, layer_dtype, resolve_settings, whole_number
from fastbp.layers.build import Build, Lookup, Param
from fastbp.layers.weights import penalties

# Whole numbers up to this one are exact in float32.
MOST_CATEGORIES = 2**24
# For the gradient of a small table, so many reads are added into a sum of their own.
FOLD = 512


@inline
def category_at(work, place, n):
    """Return the category in work, or -1 where it is none of 0 to n - 1.

    The conversion turns NaN and numbers beyond int64 into its smallest or largest number, which is out of range, too.
    """
    category = np.int64(work[place])
    return category if np.uint64(category) < np.uint64(n) else np.int64(-1)


@inline
def fill_nan(out):
    """out = NaN."""
    for j in range(out.size):
        out[j] = np.nan


EMBEDDING = layer_dtype(("categories", "i8"), ("dim", "i8"), ("mask_zero", "i8"))


@kernel
def embedding_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers, table (c, dim) -> out (n, t, dim); with mask_zero, the mask (n, t) of x != 0."""
    dim, n, strangers = layer.dim, layer.categories, 0
    for i in range(start * layer.n_in, stop * layer.n_in):
        row = np.int64(work[layer.x + i])
        if np.uint64(row) < np.uint64(n):
            copy_entries(at(work, layer.out + i * dim), at(params, layer.params + row * dim), dim)
        else:
            strangers += 1
        if layer.mask_zero:
            work[layer.own_mask + i] = row != 0
    # In a loop of its own: in the loop of the copies it took 0.8 of 2.3 ns a category.
    for i in range(start * layer.n_in, stop * layer.n_in if strangers else start * layer.n_in):
        if category_at(work, layer.x + i, n) < 0:
            fill_nan(span(work, layer.out + i * dim, dim))


@kernel
def embedding_backward(layer, step, params, shared, work, start, stop, row0):
    """dx (n, t) = 0: a category cannot become a little larger, so it has no derivative."""
    clear_unless(False, span(work, layer.dx + start * layer.n_in, (stop - start) * layer.n_in))


@inline
def add_reads(dtable, work, reads, n, first, end, dim):
    """dtable, rows first to end of a gradient (., dim), += dout of each of n reads, in their order.

    `reads` holds the offset in work of the first read's row number, the distance to the next number, and the same
    two of dout.  Where a small table is read often, each FOLD reads are added into a sum of their own, and then these
    sums are added.
    """
    sums, room = stack_panel(at(dtable, 0)), DEPTH * tile_columns(at(dtable, 0))
    if n <= FOLD or dtable.size > room or dtable.size > FOLD * dim:
        add_each(at(dtable, 0), work, reads, 0, n, first, end, dim)
        return
    for start in range(0, n, FOLD):
        for j in range(np.uint64(dtable.size)):
            sums[j] = work.dtype.type(0)
        add_each(sums, work, reads, start, min(start + FOLD, n), first, end, dim)
        for j in range(np.uint64(dtable.size)):
            dtable[j] += sums[j]


@inline
def add_each(table, work, reads, start, stop, first, end, dim):
    """Add dout of the reads start to stop to the rows of `table` that they read."""
    x, x_stride, dout, dout_stride = reads
    for i in range(start, stop):
        row = np.int64(work[x + i * x_stride])
        if first <= row < end:
            drow, drow_add = shift(table, (row - first) * dim), span(work, dout + i * dout_stride, dim)
            for j in range(np.uint64(dim)):
                drow[j] += drow_add[j]


@kernel
def embedding_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, t), dout (n, t, dim) -> rows first to end of dtable (c, dim), equal categories added in batch order."""
    dim = layer.dim
    dtable = span(grads, layer.params + first * dim, (end - first) * dim)
    clear_unless(accumulate, dtable)
    reads = (layer.x + start * layer.n_in, 1, layer.dout + start * layer.n_out, dim)
    add_reads(dtable, work, reads, (stop - start) * layer.n_in, first, end, dim)


@LAYERS.register("Embedding")
@dataclass
class Embedding(Layer):
    """A trained vector for each of `input_dim` categories: ``out = embeddings[x]``.

    Parameters
    ----------
    input_dim : int
        Number of categories, at most 2**24; inputs are 0, 1, ... ``input_dim - 1``.
    output_dim : int
        How many numbers a category becomes.
    embeddings_initializer : str or initializer object, default "random_uniform"
        Uniform in +-0.05, as in Keras.
    embeddings_regularizer : str or regularizer object, optional
        `L1`, `L2` or `L1L2`, of the whole table.
    embeddings_constraint : MaxNorm, optional
        Bounds the norm of each column of the table.
    mask_zero : bool, default False
        Category 0 is padding: recurrent layers, losses and metrics skip its time steps, as after `Masking`. Inputs
        are ``(n, t)``.
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    lazy : bool, default False
        Update only the rows that the batch reads, so that a step costs the same for a table of any height.
    trainable : bool, default True
    name : str, optional
        Default ``"embedding"``, ``"embedding_1"`` and so on.

    Raises
    ------
    ValueError
        Where a size is out of range, or a lazy table has a regularizer or a constraint (which change all rows); when
        data are given, where an input is not such a whole number.

    Notes
    -----
    Inputs ``(n, ...)``, embeddings ``(input_dim, output_dim)``, outputs ``(n, ..., output_dim)``. The gradient with
    respect to the inputs is zero.

    By default every row moves in every step, as the optimizer's formula has it for a gradient of zero: by its momentum
    and weight decay. With ``lazy=True`` the rows that the batch does not read keep their values and the optimizer's
    state, as in ``torch.optim.SparseAdam`` and TensorFlow Addons' ``LazyAdam``: weight decay applies to the rows read,
    bias corrections count the model's steps, not a row's, and clipping sees the gradient of the whole model either
    way. `apply_gradients` gets a dense gradient: there the rows of a lazy table that have one other than zero count
    as read. The model's `grads` get a table's gradient from `value_and_grad` and `vjp`; training does without.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Embedding(1000, 16)], input_shape=(7,)).output_shape
    (7, 16)
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Any = "random_uniform"
    embeddings_regularizer: Any = None
    embeddings_constraint: Any = None
    mask_zero: bool = False
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    lazy: bool = False
    trainable: bool = True
    name: str | None = None

    dtype = EMBEDDING
    forward, backward, gradient = embedding_forward, embedding_backward, embedding_gradient
    only_dx = True

    def __post_init__(self):
        self.input_dim, self.output_dim = whole_number(self, "input_dim"), whole_number(self, "output_dim")
        if self.input_dim > MOST_CATEGORIES:
            raise ValueError(f"Embedding(input_dim={self.input_dim}): at most {MOST_CATEGORIES}, exact in float32.")
        resolve_settings(self)
        for setting in ("embeddings_regularizer", "embeddings_constraint"):
            if self.lazy and getattr(self, setting) is not None:
                raise ValueError(
                    f"Embedding(lazy=True, {setting}={getattr(self, setting)!r}): it changes rows that the batch does "
                    "not read. Leave one of the two out."
                )

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if self.mask_zero and len(input_shape) != 1:
            raise ValueError(
                f"Embedding(mask_zero=True) takes sequences, inputs of shape (t,) without the batch; they have shape "
                f"{input_shape}."
            )
        table = Param(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            *penalties(self.embeddings_regularizer),
            self.embeddings_constraint.max_value if self.embeddings_constraint else 0.0,
            self.learning_rate_factor,
            self.decay_factor,
            Lookup(math.prod(input_shape)),
            self.lazy,
        )
        return Build(
            output_shape=(*input_shape, self.output_dim),
            params=[table],
            fields={"categories": self.input_dim, "dim": self.output_dim, "mask_zero": int(self.mask_zero)},
            mask=input_shape[0] if self.mask_zero else 0,
        )

    def mask_of(self, x: np.ndarray) -> np.ndarray | None:
        return x != 0

    def refuses(self, x: np.ndarray) -> tuple | None:
        return unknown_category(x, self.input_dim, f"Embedding(input_dim={self.input_dim})")


def unknown_category(x, limits, owner):
    """Return the place of the first entry of x that is no whole number from 0 to its limit, and the rule; or None."""
    limits = np.broadcast_to(np.asarray(limits), x.shape[1:])
    known = (x >= 0) & (x < limits) & (x == np.floor(x))
    if known.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~known)[0])
    return place, f"{owner} takes whole numbers from 0 to {limits[place[1:]] - 1} there"
