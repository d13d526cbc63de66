"""Columns of a sparse matrix, made dense one at a time."""

import numpy as np

from fastbp.tabular.errors import TableError

# The largest encoded matrix of a sparse one: an encoded matrix is dense.
MOST_ENCODED_BYTES = 4 * 2**30


class SparseTable:
    """A scipy sparse matrix (n, d), read like a narwhals DataFrame; its columns are called "x0", "x1" and so on.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array (n, d)
        Of any format, of numbers or booleans.
    """

    def __init__(self, matrix):
        if matrix.ndim != 2:
            raise TableError(f"Expected 2D array, got {matrix.ndim}D array instead: its shape is {matrix.shape}.")
        if matrix.dtype.kind == "c":
            raise TableError("Complex data not supported: give the real and the imaginary part a column each.")
        if matrix.dtype.kind not in "biuf":
            raise TableError(f"a sparse matrix of {matrix.dtype} is no table that can be used: it holds no numbers.")
        self._matrix = matrix.tocsc()
        if not self._matrix.has_canonical_format:  # an entry may stand twice: they are added, in a copy of our own
            self._matrix = self._matrix.copy()
            self._matrix.sum_duplicates()
        self.columns = [f"x{i}" for i in range(matrix.shape[1])]

    def __len__(self):
        return self._matrix.shape[0]

    def __getitem__(self, name):
        matrix, place = self._matrix, int(name[1:])
        entries = slice(matrix.indptr[place], matrix.indptr[place + 1])
        column = np.zeros(len(self), matrix.dtype)
        column[matrix.indices[entries]] = matrix.data[entries]
        return column

    def check_encoded(self, width):
        """Raise TableError where the encoded table, (n, width) float32, would be larger than `MOST_ENCODED_BYTES`."""
        size = 4 * len(self) * width
        if size > MOST_ENCODED_BYTES:
            raise TableError(
                f"this sparse matrix of {len(self)} rows becomes a dense table of {width} columns, {size / 2**30:.1f} "
                f"GiB, and at most {MOST_ENCODED_BYTES / 2**30:g} GiB are made: give fewer columns (those with most "
                "entries, or sklearn.decomposition.TruncatedSVD of all) or fewer rows."
            )


def is_sparse(data):
    """Is this a scipy sparse matrix or array?"""
    return hasattr(data, "toarray") and hasattr(data, "tocsc")
