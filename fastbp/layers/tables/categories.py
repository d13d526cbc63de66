"""Columns of categories: CategoryEmbedding (a table of vectors for each column) and OneHot."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import at, copy_entries, int64_at, span
from fastbp.initializers import RandomNormal
from fastbp.kernels.columnsums import clear_unless
from fastbp.layers.base import LAYERS, Layer, is_size, layer_dtype, resolve_settings
from fastbp.layers.build import Build, Lookup, Param
from fastbp.layers.tables.embedding import (
    MOST_CATEGORIES,
    add_reads,
    category_at,
    embedding_backward,
    fill_nan,
    unknown_category,
)

# `tables` is the address of four numbers for each column: offset in params, dim, first column of out, categories.
TABLES = layer_dtype(("tables", "i8"))


@kernel
def tables_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers, a table (c, dim) for each column -> out (n, sum of all dim)."""
    strangers = 0
    for row in range(start, stop):
        for column in range(layer.n_in):
            table, dim = int64_at(layer.tables, 4 * column), int64_at(layer.tables, 4 * column + 1)
            out = layer.out + row * layer.n_out + int64_at(layer.tables, 4 * column + 2)
            category = np.int64(work[layer.x + row * layer.n_in + column])
            if np.uint64(category) < np.uint64(int64_at(layer.tables, 4 * column + 3)):
                copy_entries(at(work, out), at(params, table + category * dim), dim)
            else:
                strangers += 1
    for row in range(start, stop if strangers else start):
        for column in range(layer.n_in):
            n = int64_at(layer.tables, 4 * column + 3)
            if category_at(work, layer.x + row * layer.n_in + column, n) < 0:
                out = layer.out + row * layer.n_out + int64_at(layer.tables, 4 * column + 2)
                fill_nan(span(work, out, int64_at(layer.tables, 4 * column + 1)))


@kernel
def tables_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, t), dout (n, sum of all dim) -> rows first to end of the gradient of `block`, a column's table."""
    table, dim = int64_at(layer.tables, 4 * block), int64_at(layer.tables, 4 * block + 1)
    dtable = span(grads, table + first * dim, (end - first) * dim)
    clear_unless(accumulate, dtable)
    dout = layer.dout + start * layer.n_out + int64_at(layer.tables, 4 * block + 2)
    reads = (layer.x + start * layer.n_in + block, layer.n_in, dout, layer.n_out)
    add_reads(dtable, work, reads, stop - start, first, end, dim)


@LAYERS.register("CategoryEmbedding")
@dataclass
class CategoryEmbedding(Layer):
    """Trained vectors for the categories of every column of a table, side by side; each column has its own.

    Parameters
    ----------
    cardinalities : list of int
        Categories of each column; inputs are 0, 1, ... one less than that.
    output_dims : int or list of int, default 8
        How many numbers a category becomes: one size for all columns, or one for each.
    embeddings_initializer : str or initializer object, optional
        Default standard normal, as in RealMLP (Holzmueller et al., 2024).
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    lazy : bool, default False
        Update only those rows of the tables that the batch reads: see `Embedding`.
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
    lazy: bool = False
    trainable: bool = True
    name: str | None = None

    dtype = TABLES
    forward, backward, gradient = tables_forward, embedding_backward, tables_gradient
    only_dx = True

    def __post_init__(self):
        self.cardinalities = checked_cardinalities(self)
        dims = [self.output_dims] * len(self.cardinalities) if np.ndim(self.output_dims) == 0 else self.output_dims
        if len(dims) != len(self.cardinalities) or not all(is_size(dim) for dim in dims):
            raise ValueError(
                f"CategoryEmbedding(output_dims={self.output_dims!r}): it is a size, or one for each of the "
                f"{len(self.cardinalities)} columns."
            )
        self.output_dims = tuple(int(dim) for dim in dims)
        self.embeddings_initializer = self.embeddings_initializer or RandomNormal(0.0, 1.0)
        resolve_settings(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_columns(self, input_shape)
        factors: dict[str, Any] = {"learning_rate_factor": self.learning_rate_factor, "decay_factor": self.decay_factor}
        params = [
            Param(
                f"column_{i}",
                shape,
                self.embeddings_initializer,
                lookup=Lookup(1, i, sum(self.output_dims[:i])),
                lazy=self.lazy,
                **factors,
            )
            for i, shape in enumerate(self._shapes())
        ]
        return Build(output_shape=(sum(self.output_dims),), params=params)

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        sizes = [cardinality * dim for cardinality, dim in self._shapes()]
        tables = np.empty((len(sizes), 4), np.int64)
        tables[:, 0] = record["params"] + np.cumsum([0, *sizes[:-1]])
        tables[:, 1] = self.output_dims
        tables[:, 2] = np.cumsum([0, *self.output_dims[:-1]])
        tables[:, 3] = self.cardinalities
        record["tables"] = tables.ctypes.data
        return tables

    def _shapes(self):
        return list(zip(self.cardinalities, self.output_dims, strict=True))

    def refuses(self, x: np.ndarray) -> tuple | None:
        return unknown_category(x, self.cardinalities, "CategoryEmbedding")


ONE_HOT = layer_dtype(("stops", "i8"))  # address of a number for each column: one past its last output


@kernel
def one_hot_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, t) whole numbers -> out (n, sum of all categories) of zeros and, for each column, a one (or a NaN)."""
    for row in range(start, stop):
        out = span(work, layer.out + row * layer.n_out, layer.n_out)
        for j in range(out.size):
            out[j] = 0
        first = 0
        for column in range(layer.n_in):
            stop = int64_at(layer.stops, column)
            category = category_at(work, layer.x + row * layer.n_in + column, stop - first)
            if category >= 0:
                out[np.uint64(first + category)] = 1
            else:
                out[np.uint64(first)] = np.nan
            first = stop


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

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_columns(self, input_shape)
        return Build(output_shape=(sum(self.cardinalities),), arrays={"stops": np.cumsum(self.cardinalities)})

    def refuses(self, x: np.ndarray) -> tuple | None:
        return unknown_category(x, self.cardinalities, "OneHot")


def checked_cardinalities(layer):
    """Return a layer's cardinalities as a tuple of int, or raise ValueError."""
    given, name = layer.cardinalities, type(layer).__name__
    sizes = tuple(given) if isinstance(given, list | tuple | np.ndarray) else ()
    if not sizes or not all(is_size(size) and size <= MOST_CATEGORIES for size in sizes):
        raise ValueError(f"{name}(cardinalities={given!r}): it is a list of sizes from 1 to {MOST_CATEGORIES}.")
    return tuple(int(size) for size in sizes)


def check_columns(layer, input_shape):
    """Raise ValueError where inputs do not have a column for each of the layer's cardinalities."""
    if input_shape != (len(layer.cardinalities),):
        raise ValueError(
            f"{type(layer).__name__} has the cardinalities of {len(layer.cardinalities)} columns; its inputs have "
            f"shape {input_shape}."
        )
