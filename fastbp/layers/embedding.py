"""Embedding: out (n, ..., dim) = rows of a table (categories, dim); and how categories are checked.

Inputs are whole numbers in the model's float type, which holds them exactly up to 2**24 in float32.  `refuses` looks
at them before anything runs: the kernels trust them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp._jit import inline, kernel
from fastbp.initializers import INITIALIZERS
from fastbp.layers.base import LAYERS, Build, Layer, Param, check_factors, layer_dtype, whole_number
from fastbp.pointers import at, copy_entries, part

# Whole numbers up to here are exact in float32.
MOST_CATEGORIES = 2**24


@inline
def zero_gradient(layer, work, start, stop):
    """dx = 0: a category is no number that could be a little larger."""
    if layer.dx >= 0:
        dx = part(work, layer.dx + start * layer.n_in, (stop - start) * layer.n_in)
        for i in range(dx.size):
            dx[i] = 0


EMBEDDING = layer_dtype(("dim", "i8"))


@kernel
def embedding_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers, table (c, dim) -> out (n, t, dim)."""
    dim = layer.dim
    for i in range(start * layer.n_in, stop * layer.n_in):
        row = np.int64(work[layer.x + i])
        copy_entries(at(work, layer.out + i * dim), at(params, layer.params + row * dim), dim)


@kernel
def embedding_backward(layer, step, params, shared, work, start, stop, row0):
    """dx (n, t) = 0."""
    zero_gradient(layer, work, start, stop)


@kernel
def embedding_gradient(layer, params, grads, work, start, stop, block, first, last, accumulate):
    """x (n, t), dout (n, t, dim) -> rows first to last of dtable (c, dim), equal categories added in batch order."""
    dim = layer.dim
    dtable = part(grads, layer.params + first * dim, (last - first) * dim)
    if not accumulate:
        for j in range(dtable.size):
            dtable[j] = 0
    for i in range(start * layer.n_in, stop * layer.n_in):
        row = np.int64(work[layer.x + i])
        if first <= row < last:
            drow, dout = part(dtable, (row - first) * dim, dim), part(work, layer.dout + i * dim, dim)
            for j in range(dim):
                drow[j] += dout[j]


@LAYERS.register("Embedding")
@dataclass
class Embedding(Layer):
    """A trained vector for each of `input_dim` categories: ``out = embeddings[x]``.

    Parameters
    ----------
    input_dim : int
        Number of categories, at most 2**24; inputs are 0, 1, ... ``input_dim - 1``.
    output_dim : int
        Numbers that a category becomes.
    embeddings_initializer : str or initializer object, default "random_uniform"
        Uniform in +-0.05, as in Keras.
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"embedding"``, ``"embedding_1"`` and so on.

    Raises
    ------
    ValueError
        Where a size is out of range; when data are given, where an input is not such a whole number.

    Notes
    -----
    Inputs ``(n, ...)``, embeddings ``(input_dim, output_dim)``, outputs ``(n, ..., output_dim)``. The gradient with
    respect to the inputs is zero.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Embedding(1000, 16)], input_shape=(7,)).output_shape
    (7, 16)
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Any = "random_uniform"
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = EMBEDDING
    forward, backward, gradient = embedding_forward, embedding_backward, embedding_gradient

    def __post_init__(self):
        self.input_dim, self.output_dim = whole_number(self, "input_dim"), whole_number(self, "output_dim")
        if self.input_dim > MOST_CATEGORIES:
            raise ValueError(f"Embedding(input_dim={self.input_dim}): at most {MOST_CATEGORIES}, exact in float32.")
        self.embeddings_initializer = INITIALIZERS.resolve(self.embeddings_initializer)
        check_factors(self)

    def build(self, input_shape):
        table = Param(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            learning_rate_factor=self.learning_rate_factor,
            decay_factor=self.decay_factor,
        )
        return Build(output_shape=(*input_shape, self.output_dim), params=[table], fields={"dim": self.output_dim})

    def refuses(self, x):
        return unknown_category(x, self.input_dim, f"Embedding(input_dim={self.input_dim})")


def unknown_category(x, limits, owner):
    """Return the place of the first entry of x that is no whole number from 0 below `limits`, and the rule; or None."""
    limits = np.broadcast_to(np.asarray(limits), x.shape[1:])
    known = (x >= 0) & (x < limits) & (x == np.floor(x))
    if known.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~known)[0])
    return place, f"{owner} takes whole numbers from 0 to {limits[place[1:]] - 1} there"
