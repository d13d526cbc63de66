"""Packing: a matrix b as the panels that a product's tiles read, each the columns of one tile, without gaps.

In b (k, n) the rows of a panel lie n entries apart.  If n is large, they share a few sets of the first-level cache, and
fall out of it between two row tiles.  So a product of 16 rows or more copies each panel before it reads it.  The copy
takes as long as one and a half row tiles, which is a tenth of a product of 64 rows (a slice of the batch).  A matrix
that several products read is packed once.

A panel holds columns j to j + width, where width is the width of a tile, or less at the end.  It stands at entry j * k
and has k rows of width entries.  All panels together have k * n entries.  A matrix of one panel is its own panel.
`tile.product` takes panels with the stride `panels(k)`.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import copy_entries, shift
from fastbp.compiler.tileshape import DEPTH, copy_panel, tile_columns
from fastbp.kernels.transpose import transpose

# DEPTH rows of a matrix with more entries are read faster from panels, by products of PANEL_READERS rows or more.
PLAIN_ENTRIES = 4096
PANEL_READERS = 16
# A prediction of so many rows pays for packing the weights: 64 rows of 784-512-512-10 take 389 us in place of 594.
PREDICTION_READERS = 32


@inline
def panels(rows):
    """Return the stride that tells `product` that b is the panels of a matrix of so many rows."""
    return -rows


@inline
def panels_pay(entries, rows, columns):
    """Are panels of a matrix (rows, columns) read faster than the matrix?  `entries`: any pointer of their type."""
    return columns > tile_columns(entries) and min(rows, DEPTH) * columns > PLAIN_ENTRIES


@inline
def panel_at(b, b_stride, row, column, width):
    """Return the pointer to an entry of b.

    The rows of b are `b_stride` apart.  If b is panels, it is that row of the panel that begins at `column` and has
    `width` columns.
    """
    return shift(b, row * width - column * b_stride if b_stride < 0 else row * b_stride + column)


@inline
def pack(panels_, rows, first, b, b_stride, m, n):
    """Write b (m, n) as rows `first` to `first + m` of the panels of a matrix (rows, n)."""
    columns = tile_columns(b)
    for j in range(0, n, columns):
        width = min(columns, n - j)
        to = shift(panels_, j * rows + first * width)
        if width == columns:
            copy_panel(to, shift(b, j), b_stride, m)
            continue
        for i in range(m):
            copy_entries(shift(to, i * width), shift(b, i * b_stride + j), width)


@inline
def pack_transpose(panels_, columns, first, b, b_stride, m, n):
    """Write b (m, n) as columns `first` to `first + m` of the panels of a matrix (n, columns)."""
    if n == 1 and b_stride == 1:  # a column is as well a row
        copy_entries(shift(panels_, first), b, m)
        return
    widest = tile_columns(b)
    i = 0
    while i < m:
        j = (first + i) // widest * widest
        width = min(widest, columns - j)
        count = min(j + width - first - i, m - i)
        to = shift(panels_, j * n + first + i - j)
        transpose(to, width, shift(b, i * b_stride), b_stride, count, n)
        i += count
