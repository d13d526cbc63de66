"""Rows: fixed-size records through which Python tells compiled code what to do.

A row starts with its family's header (the same names at the same places), goes on with the fields of
its own kind, and is padded to the family's size, so that rows of different kinds stand in one table
and a kernel reads its own by name: `row.n_in`.  Fields are int64 ("i8") or float64 ("f8").
"""

import numpy as np

from fastbp.compiler.lazy import numba


def row_dtype(size, header, fields=()):
    """Return the structured dtype of `header` and `fields`, (name, "i8" or "f8") pairs, in `size` bytes."""
    names, formats = zip(*(*header, *fields), strict=True)
    offsets = [8 * i for i in range(len(names))]
    if 8 * len(names) > size:
        raise ValueError(f"{len(names)} fields of 8 bytes do not fit in a row of {size} bytes")
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def record_type(dtype):
    """Return the Numba type of one row of `dtype`."""
    return numba.from_dtype(dtype)


def make_row(dtype, **values):
    """Return an array of one row with the given fields, the others zero."""
    row = np.zeros(1, dtype)
    for name, value in values.items():
        row[name] = value
    return row
