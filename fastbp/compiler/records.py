"""Records: through them Python tells compiled code what to do.

A record begins with the header of its family (layers, losses, optimizers): the same names at the same places.  Then
follow the fields of its own kind, any number of them.  Compiled code gets the record's address.  The driver reads the
header alone; a kernel reads all fields of its own kind, by name: `layer.n_in`.  Fields are int64 ("i8") or float64
("f8").
"""

import numpy as np

from fastbp.compiler.lazy import numba


class Record(np.ndarray):
    """An array of one record; it keeps the arrays alive to which the record holds addresses."""

    kept: tuple = ()


def record_dtype(fields):
    """Return the structured dtype of fields, (name, "i8" or "f8") pairs: 8 bytes each, one behind the other."""
    return np.dtype(list(fields))


def record_type(dtype):
    """Return the Numba type of one record of `dtype`."""
    return numba.from_dtype(dtype)


def make_record(dtype, *kept, **values):
    """Return a `Record` with the given fields, the others zero; it keeps these arrays."""
    record = np.zeros(1, dtype).view(Record)
    record.kept = kept
    for name, value in values.items():
        record[name] = value
    return record
