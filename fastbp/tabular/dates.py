"""Parts of dates and times that a network can use: a linear time, and places within years, months, weeks and days.

A place within a cycle is used if the table spans more than one cycle; within one cycle it would repeat the linear time.
The linear time of times with a zone is in UTC; their parts are those that the zone's clocks show.
"""

import numpy as np

from fastbp.tabular.columns import all_missing, column_kind, to_numbers, type_name
from fastbp.tabular.errors import TableError

DAY = 86_400


def _day_of_year(days, seconds):
    dates = days.astype("datetime64[D]")
    return (dates - dates.astype("datetime64[Y]")).astype(np.float64)


def _day_of_month(days, seconds):
    dates = days.astype("datetime64[D]")
    return (dates - dates.astype("datetime64[M]")).astype(np.float64)


def _weekday(days, seconds):
    return (days + 3) % 7.0  # 1970-01-01 was a Thursday, number 3


def _hour(days, seconds):
    return seconds / 3600


# Name: (days of a cycle, part of whole days since 1970 (n,) int64 and of seconds since midnight (n,) float64).
CYCLES = {
    "day of year": (366, _day_of_year),
    "day of month": (31, _day_of_month),
    "weekday": (7, _weekday),
    "hour": (1, _hour),
}


def read_times(name, column, zone):
    """Return the linear time and the clocks' time of a column of dates: seconds since 1970, NaN where missing.

    Parameters
    ----------
    name : str
        For messages.
    column : narwhals Series or vector
    zone : str or None
        The time zone in training.  Times of other zones are converted.  Times with a zone and times without one do not
        mix.
    """
    if all_missing(column):
        return np.full((2, len(column)), np.nan)
    if column_kind(column) != "date":
        raise TableError(f"column {name!r} held dates in training and holds {type_name(column)} now.")
    found = zone_of(column)
    if (found is None) != (zone is None):
        was, now = (f"times of the zone {z}" if z else "times without a zone" for z in (zone, found))
        raise TableError(f"column {name!r} held {was} in training and holds {now} now.")
    linear = to_numbers(column)
    if zone is None:
        return np.stack([linear, linear])
    import narwhals as nw

    if (
        zone.startswith("UTC") and zone != "UTC" and not column.implementation.is_pandas()
    ):  # "UTC+02:00" is no zone for other libraries
        column = nw.from_native(column.to_pandas(), series_only=True)
    clock = column.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return np.stack([linear, to_numbers(clock)])


def zone_of(column):
    """Return the name of a column's time zone, or None."""
    return getattr(column.dtype, "time_zone", None)


def parts_that_tell(times):
    """Return the names of the cycles' parts worth taking of times (2, n) from `read_times`."""
    known = times[1][~np.isnan(times[1])]
    if len(known) == 0:
        return []
    extent = known.max() - known.min()
    names = [name for name, (days, _) in CYCLES.items() if extent > days * DAY]
    return [name for name in names if np.ptp(part_of(known, name)) > 0]


def part_of(clock, name):
    """Return a part of the clocks' time (n,), NaN where that is NaN."""
    missing = np.isnan(clock)
    known = np.where(missing, 0.0, clock)
    days = np.floor(known / DAY)
    values = CYCLES[name][1](days.astype(np.int64), known - days * DAY)
    values[missing] = np.nan
    return values
