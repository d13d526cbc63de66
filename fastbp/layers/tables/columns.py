"""Columns: out (n, k) = chosen columns of x (n, d)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import kernel
from fastbp.compiler.pointers import int64_at, span
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build

COLUMNS = layer_dtype(("columns", "i8"))  # address of the columns' numbers


@kernel
def columns_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d) -> out (n, k)."""
    d, k = layer.n_in, layer.n_out
    for row in range(start, stop):
        x, out = span(work, layer.x + row * d, d), span(work, layer.out + row * k, k)
        for j in range(k):
            out[j] = x[int64_at(layer.columns, j)]


@kernel
def columns_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k) -> dx (n, d): zero where a column is not chosen."""
    d, k = layer.n_in, layer.n_out
    for row in range(start, stop):
        dx, dout = span(work, layer.dx + row * d, d), span(work, layer.dout + row * k, k)
        for i in range(d):
            dx[i] = 0
        for j in range(k):
            dx[int64_at(layer.columns, j)] += dout[j]


@LAYERS.register("Columns")
@dataclass
class Columns(Layer):
    """Some columns of a table, for a branch: numbers here, categories there.

    Parameters
    ----------
    columns : list of int, or range
        Column numbers from 0, in the order in which they are wanted.
    name : str, optional
        Default ``"columns"``, ``"columns_1"`` and so on.

    Raises
    ------
    ValueError
        Where `columns` is not such a list, or (at building) names a column that inputs ``(n, d)`` do not have.

    Examples
    --------
    >>> import fastbp
    >>> numbers, categories = fastbp.Columns(range(4)), fastbp.Columns([4, 5])
    >>> both = fastbp.Concatenate([[numbers], [categories, fastbp.CategoryEmbedding([10, 100], 8)]])
    >>> fastbp.Sequential([both], input_shape=(6,)).output_shape
    (20,)
    """

    columns: Any
    name: str | None = None

    dtype = COLUMNS
    forward, backward = columns_forward, columns_backward

    def __post_init__(self):
        columns = tuple(self.columns) if isinstance(self.columns, list | tuple | range | np.ndarray) else ()
        whole = all(isinstance(column, int | np.integer) and not isinstance(column, bool) for column in columns)
        if not columns or not whole or min(columns) < 0:
            raise ValueError(f"Columns(columns={self.columns!r}): it is a list of column numbers from 0.")
        self.columns = tuple(int(column) for column in columns)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if len(input_shape) != 1 or max(self.columns) >= input_shape[0]:
            raise ValueError(
                f"Columns takes columns of rows (d,), among them number {max(self.columns)}; it got inputs of shape "
                f"{input_shape}."
            )
        return Build(output_shape=(len(self.columns),), arrays={"columns": np.array(self.columns, np.int64)})

    def passes_on(self, x: np.ndarray) -> np.ndarray | None:
        return x[:, self.columns]
