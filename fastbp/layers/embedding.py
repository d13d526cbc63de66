"""Categories: Embedding (one table), CategoryEmbedding (a table a column), OneHot.

Inputs are whole numbers in the model's float type, which holds them exactly up to 2**24 in float32.  `refuses` looks
at them before anything runs: the kernels trust them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp._jit import inline, kernel
from fastbp.initializers import INITIALIZERS
from fastbp.layers.base import LAYERS, Build, Layer, Param, check_factors, layer_dtype, whole_number
from fastbp.pointers import at, copy_entries, int64_at, part

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


TABLES = layer_dtype(("tables", "i8"))  # address of (offset in params, dim, first column of out) of each column


@kernel
def tables_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers, a table (c, dim) for each column -> out (n, sum of all dim)."""
    for row in range(start, stop):
        for column in range(layer.n_in):
            table, dim = int64_at(layer.tables, 3 * column), int64_at(layer.tables, 3 * column + 1)
            out = layer.out + row * layer.n_out + int64_at(layer.tables, 3 * column + 2)
            category = np.int64(work[layer.x + row * layer.n_in + column])
            copy_entries(at(work, out), at(params, table + category * dim), dim)


@kernel
def tables_gradient(layer, params, grads, work, start, stop, block, first, last, accumulate):
    """x (n, t), dout (n, sum of all dim) -> rows first to last of the table of column `block`, added in batch order."""
    table, dim = int64_at(layer.tables, 3 * block), int64_at(layer.tables, 3 * block + 1)
    dtable = part(grads, table + first * dim, (last - first) * dim)
    if not accumulate:
        for j in range(dtable.size):
            dtable[j] = 0
    for row in range(start, stop):
        category = np.int64(work[layer.x + row * layer.n_in + block])
        if first <= category < last:
            drow = part(dtable, (category - first) * dim, dim)
            dout = part(work, layer.dout + row * layer.n_out + int64_at(layer.tables, 3 * block + 2), dim)
            for j in range(dim):
                drow[j] += dout[j]


@LAYERS.register("CategoryEmbedding")
@dataclass
class CategoryEmbedding(Layer):
    """Trained vectors for the categories of every column of a table, side by side; each column has its own.

    Parameters
    ----------
    cardinalities : list of int
        Categories of each column; inputs are 0, 1, ... one less than that.
    output_dims : int or list of int, default 8
        Numbers that a category becomes: of all columns, or of each.
    embeddings_initializer : str or initializer object, optional
        Default standard normal, as in RealMLP (Holzmueller et al., 2024).
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"categoryembedding"``, ``"categoryembedding_1"`` and so on.

    Raises
    ------
    ValueError
        Where a size is out of range, or (at building) inputs do not have as many columns; when data are given, where
        an input is not such a whole number.

    Notes
    -----
    Inputs ``(n, t)``, ``column_0`` and so on ``(cardinality, output_dim)``, outputs ``(n, sum of output_dims)``.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.CategoryEmbedding([5, 40], [2, 8])], input_shape=(2,))
    >>> model.output_shape, list(model.views)
    ((10,), ['categoryembedding/column_0', 'categoryembedding/column_1'])
    """

    cardinalities: Any
    output_dims: Any = 8
    embeddings_initializer: Any = None
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = TABLES
    forward, backward, gradient = tables_forward, embedding_backward, tables_gradient

    def __post_init__(self):
        self.cardinalities = checked_cardinalities(self)
        dims = [self.output_dims] * len(self.cardinalities) if np.ndim(self.output_dims) == 0 else self.output_dims
        if len(dims) != len(self.cardinalities) or not all(_is_size(dim) for dim in dims):
            raise ValueError(
                f"CategoryEmbedding(output_dims={self.output_dims!r}): it is a size, or one for each of the "
                f"{len(self.cardinalities)} columns."
            )
        self.output_dims = tuple(int(dim) for dim in dims)
        default = INITIALIZERS["random_normal"](0.0, 1.0)
        self.embeddings_initializer = INITIALIZERS.resolve(self.embeddings_initializer or default)
        check_factors(self)

    def build(self, input_shape):
        check_columns(self, input_shape)
        factors = {"learning_rate_factor": self.learning_rate_factor, "decay_factor": self.decay_factor}
        params = [
            Param(f"column_{i}", shape, self.embeddings_initializer, **factors)
            for i, shape in enumerate(self._shapes())
        ]
        return Build(output_shape=(sum(self.output_dims),), params=params)

    def fill(self, row, float_type):
        sizes = [cardinality * dim for cardinality, dim in self._shapes()]
        tables = np.empty((len(sizes), 3), np.int64)
        tables[:, 0] = row["params"] + np.cumsum([0, *sizes[:-1]])
        tables[:, 1] = self.output_dims
        tables[:, 2] = np.cumsum([0, *self.output_dims[:-1]])
        row["tables"] = tables.ctypes.data
        return tables

    def _shapes(self):
        return list(zip(self.cardinalities, self.output_dims, strict=True))

    def refuses(self, x):
        return unknown_category(x, self.cardinalities, "CategoryEmbedding")


ONE_HOT = layer_dtype(("firsts", "i8"))  # address of each column's first output


@kernel
def one_hot_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers -> out (n, sum of all categories) of zeros and, for each column, a one."""
    for row in range(start, stop):
        out = part(work, layer.out + row * layer.n_out, layer.n_out)
        for j in range(out.size):
            out[j] = 0
        for column in range(layer.n_in):
            category = np.int64(work[layer.x + row * layer.n_in + column])
            out[int64_at(layer.firsts, column) + category] = 1


@LAYERS.register("OneHot")
@dataclass
class OneHot(Layer):
    """A column of zeros and ones for each category, for every column of a table.

    Parameters
    ----------
    cardinalities : list of int
        Categories of each column; inputs are 0, 1, ... one less than that.
    name : str, optional
        Default ``"onehot"``, ``"onehot_1"`` and so on.

    Raises
    ------
    ValueError
        As `CategoryEmbedding`.

    Notes
    -----
    Inputs ``(n, t)``, outputs ``(n, sum of cardinalities)``.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.OneHot([2, 3])], input_shape=(2,))
    >>> model.predict([[1, 0]]).tolist()
    [[0.0, 1.0, 1.0, 0.0, 0.0]]
    """

    cardinalities: Any
    name: str | None = None

    dtype = ONE_HOT
    forward, backward = one_hot_forward, embedding_backward

    def __post_init__(self):
        self.cardinalities = checked_cardinalities(self)

    def build(self, input_shape):
        check_columns(self, input_shape)
        return Build(output_shape=(sum(self.cardinalities),))

    def fill(self, row, float_type):
        firsts = np.cumsum([0, *self.cardinalities[:-1]])
        row["firsts"] = firsts.ctypes.data
        return firsts

    def refuses(self, x):
        return unknown_category(x, self.cardinalities, "OneHot")


def _is_size(value):
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1


def checked_cardinalities(layer):
    """Return a layer's cardinalities as a tuple of int, or raise ValueError."""
    given, name = layer.cardinalities, type(layer).__name__
    sizes = tuple(given) if isinstance(given, list | tuple | np.ndarray) else ()
    if not sizes or not all(_is_size(size) and size <= MOST_CATEGORIES for size in sizes):
        raise ValueError(f"{name}(cardinalities={given!r}): it is a list of sizes from 1 to {MOST_CATEGORIES}.")
    return tuple(int(size) for size in sizes)


def check_columns(layer, input_shape):
    """Raise ValueError where inputs do not have a column for each of the layer's cardinalities."""
    if input_shape != (len(layer.cardinalities),):
        raise ValueError(
            f"{type(layer).__name__} has the cardinalities of {len(layer.cardinalities)} columns; its inputs have "
            f"shape {input_shape}."
        )


def unknown_category(x, limits, owner):
    """Return the place of the first entry of x that is no whole number from 0 below `limits`, and the rule; or None."""
    limits = np.broadcast_to(np.asarray(limits), x.shape[1:])
    known = (x >= 0) & (x < limits) & (x == np.floor(x))
    if known.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~known)[0])
    return place, f"{owner} takes whole numbers from 0 to {limits[place[1:]] - 1} there"
