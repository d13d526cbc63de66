"""Records: fixed-size structures through which Python tells compiled code what to do.

A record starts with the header of its family (the same names at the same places).  The fields of its own kind follow.
It is padded to the family's size, so that records of different kinds stand in one table.  A kernel reads its record's
fields by name, as in `row.n_in`: in kernels a record of a table is a row.  Fields are int64 ("i8") or float64 ("f8").
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
