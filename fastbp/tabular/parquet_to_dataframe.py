"""A Parquet file as a pandas frame.  The levels of an index become columns, too."""

import numpy as np

from fastbp.tabular.errors import TableError


def read_parquet(file, name):
    """Return the table in an open file, and a list of notes."""
    import pandas as pd

    try:
        frame = pd.read_parquet(file, engine="pyarrow")
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors are ValueErrors
        reason = " ".join(str(error).split()).rstrip(".")
        raise TableError(f"{name} is a damaged Parquet file: {reason}.") from None
    frame, notes = _with_index(frame)
    frame = frame.rename(columns=str)
    for column, dtype in frame.dtypes.items():
        if dtype == np.float16:
            frame[column] = frame[column].astype(np.float32)
        elif dtype.kind == "f":
            frame[column] = _exact(frame[column], file)
    return frame, notes


def _with_index(frame):
    """Return a frame with the levels of its index as columns; an index of row numbers is dropped."""
    index = frame.index
    if index.nlevels == 1 and index.name is None and index.dtype.kind in "iu":
        plain = np.array_equal(index, np.arange(len(index)))
        frame = frame.reset_index(drop=True)
        return frame, [] if plain else ["the index has no name and holds whole numbers: it is left out."]
    names = [
        level if level is not None else ("index" if i == 0 else f"level_{i}") for i, level in enumerate(index.names)
    ]
    taken = [name for name in names if name in frame.columns]
    if taken:
        raise TableError(f"there are two columns named {taken[0]!r}: one is a level of the index.")
    return frame.reset_index(names=names), []


def _exact(column, file):
    """Return whole numbers exactly as in the file; pandas made them floats if some values are missing."""
    if not np.nanmax(np.abs(column.to_numpy()), initial=0) >= 2**53:
        return column
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    try:
        values = pq.read_table(file, columns=[column.name]).column(0)
    except (IndexError, KeyError, ValueError):  # its name is no text
        return column
    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    return values.to_pandas(types_mapper=nullable.get).set_axis(column.index) if values.type in nullable else column
