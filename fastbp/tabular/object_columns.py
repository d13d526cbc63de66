"""Columns of Python objects in a pandas frame get the type that all of their values have."""

import numpy as np

SECONDS = {"hour": 3600, "minute": 60, "second": 1, "microsecond": 1e-6}


def settle(frame, names):
    """Return a pandas frame of columns called `names`; objects that are all numbers, or all dates, get that type.

    Text stays as it is, and so do values of different types, which are categories.
    """
    frame = frame.set_axis(names, axis=1)
    settled = {name: _settled(frame[name]) for name, dtype in frame.dtypes.items() if _is_vague(dtype)}
    return frame.assign(**settled) if settled else frame


def _is_vague(dtype):
    if isinstance(dtype, np.dtype) and dtype.kind != "O":  # most are, and to write their names takes 15 us
        return False
    return str(dtype).startswith(("object", "Sparse[", "period[", "time32[", "time64["))


def _settled(column):
    import pandas as pd

    if isinstance(column.dtype, pd.SparseDtype):
        return column.sparse.to_dense()
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    column = column.astype(object)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("mixed", "mixed-integer"):  # a NaT among numbers is enough
        kind = pd.api.types.infer_dtype(column.dropna())
    if kind not in CONVERSIONS:
        return column
    values = column.to_numpy(copy=True)
    values[column.isna().to_numpy()] = None  # of all the ways to say missing the one that every conversion knows
    try:
        return CONVERSIONS[kind](pd.Series(values, column.index, dtype=object))
    except (ValueError, OverflowError, TypeError):  # 10**400, the year 3000 in nanoseconds, two time zones
        return column


def _booleans(column):
    return column.astype("boolean")


def _integers(column):
    for dtype in ("Int64", "UInt64"):
        try:
            return column.astype(dtype)
        except (ValueError, OverflowError, TypeError):
            pass
    return _numbers(column)


def _numbers(column):
    numbers = np.full(len(column), np.nan)
    known = column.notna().to_numpy()
    numbers[known] = column.to_numpy()[known].astype(np.float64)
    return numbers


def _dates(column):
    import pandas as pd

    return pd.to_datetime(column)


def _durations(column):
    import pandas as pd

    return pd.to_timedelta(column)


def _seconds(column):
    """Return times of day as seconds since midnight."""
    import pandas as pd

    codes, times = pd.factorize(column)
    seconds = [sum(factor * getattr(time, part) for part, factor in SECONDS.items()) for time in times]
    return np.array([*seconds, np.nan])[codes]


# By pandas' name for the type of all values.
CONVERSIONS = {
    "boolean": _booleans,
    "integer": _integers,
    **dict.fromkeys(("floating", "mixed-integer-float", "decimal"), _numbers),
    **dict.fromkeys(("date", "datetime", "datetime64"), _dates),
    **dict.fromkeys(("timedelta", "timedelta64"), _durations),
    "time": _seconds,
}
