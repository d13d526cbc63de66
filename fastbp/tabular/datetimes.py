"""Dates, times of day and durations as people write them.

One of a few patterns takes each text apart, and NumPy puts the parts together.  A text alone may not tell whether the
day or the month comes first; then the whole column does.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastbp.tabular.missing_words import Form

DAY = 86_400

_MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6})"
_CLOCK = (
    r"(?:(?:t|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"\s?(?P<half>[ap]\.?m\.?)?\s?(?P<zone>z|utc|gmt|[+-]\d{2}(?::?\d{2})?)?)?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,?\s+)?"
_DATES = [
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_CLOCK}",
        rf"(?P<first>\d{{1,2}})(?P<mark>[-/. ])(?P<other>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d{{2}}){_CLOCK}",
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.?[-\s./]\s?{_MONTH}\.?,?[-\s./](?P<year>\d{{4}}|\d{{2}}){_CLOCK}",
        rf"{_WEEKDAY}{_MONTH}\.?[-\s](?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[-\s](?P<year>\d{{4}}){_CLOCK}",
        r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})"
        r"(?:[t\s]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?(?P<zone>z)?)?",
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2})",
        r"(?P<month>\d{1,2})[-/.](?P<year>(?:19|20)\d{2})",
        rf"{_MONTH}\.?[-\s,]\s?(?P<year>\d{{4}})",
        r"(?P<year>\d{4})[-\s]?q(?P<quarter>[1-4])",
        r"q(?P<quarter>[1-4])[-\s](?P<year>\d{4})",
    )
]
_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d(?:[.,]\d{1,9})?))?\s?(?P<half>[ap]\.?m\.?)?",
    re.ASCII | re.IGNORECASE,
)
_SPAN = re.compile(
    r"(?P<sign>[-+])?\s?(?:(?P<days>\d+)\s?(?:days?|d),?\s+)?(?P<plus>\+)?(?P<hour>\d+):(?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d(?:[.,]\d{1,9})?))?",
    re.ASCII | re.IGNORECASE,
)
_ISO_SPAN = re.compile(r"(?P<sign>[-+])?p(?=.)(?P<date>(?:\d+[wd])*)(?:t(?P<time>(?:\d+(?:\.\d+)?[hms])+))?", re.I)
_UNITS = {"w": 7 * DAY, "d": DAY, "h": 3600, "m": 60, "s": 1, "ms": 1e-3}
_UNIT = r"(ms|milliseconds?|w|weeks?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)"
_PIECE = re.compile(rf"(\d+(?:\.\d+)?)\s?{_UNIT}(?![a-z]),?\s?", re.I)
_PIECES = re.compile(rf"-?(?:\d+(?:\.\d+)?\s?{_UNIT}(?![a-z]),?\s?)+", re.I)

_METRES = re.compile(r"-?\d+(?:\.\d+)?\s?[mw]", re.I)  # or watts


@dataclass(frozen=True)
class DateForm(Form):
    """How a column writes dates.

    Parameters
    ----------
    day_first : bool
        Whether 3/4/2024 is in April.
    zoned : bool
        Whether times have a zone, or an offset from UTC: those with one and those without do not mix.

    Examples
    --------
    >>> DateForm(day_first=True).parse(["31.12.2024 18:30", "x"])[0].tolist()
    [datetime.datetime(2024, 12, 31, 18, 30), None]
    >>> times, offsets = DateForm(zoned=True).parse(["2024-05-01T00:00+02:00", "2024-05-01"])
    >>> times.astype(str).tolist(), offsets.tolist()
    (['2024-05-01T00:00:00.000000', 'NaT'], [7200.0, nan])
    """

    day_first: bool = False
    zoned: bool = False
    kind: ClassVar[str] = "date"

    def parse(self, texts):
        """Return what clocks showed, datetime64[us] (k,), NaT for no date, and seconds east of UTC (k,) or NaN."""
        fields = np.array([_fields(found, self.day_first) for found in map(match_date, texts)], np.float64)
        fields = fields.reshape(len(texts), 8)
        times, offsets = _put_together(fields), fields[:, 7]
        times[np.isnan(offsets) == self.zoned] = np.datetime64("NaT", "us")
        return times, offsets

    def column(self, texts, codes):
        """Return the rows of codes (n,), -1 where missing, as a pandas Series of times.

        If the texts have a zone, the Series has that zone; if they have several, it is in UTC.
        """
        import pandas as pd

        times, offsets = self.parse(texts)
        used = np.zeros(len(texts) + 1, bool)
        used[codes] = True
        known = np.unique(offsets[used[:-1] & ~np.isnan(offsets)])
        if len(known):
            times = times - (np.nan_to_num(offsets) * 1e6).astype("m8[us]")
        series = pd.Series(np.append(times, np.datetime64("NaT", "us"))[codes])
        if not len(known):
            return series
        return series.dt.tz_localize("UTC").dt.tz_convert(_zone_name(known[0]) if len(known) == 1 else "UTC")

    def describe(self):
        """Return words for the table of columns."""
        return "date"


@dataclass(frozen=True)
class TimeForm(Form):
    """Times of day: seconds since midnight."""

    kind: ClassVar[str] = "time"

    def parse(self, texts):
        """Return texts as float64 (k,), NaN where one is no time of day."""
        return np.array([_time_of_day(_TIME.fullmatch(text.strip())) for text in texts], np.float64)

    def describe(self):
        """Return words for the table of columns."""
        return "time of day"


@dataclass(frozen=True)
class DurationForm(Form):
    """Durations: seconds."""

    kind: ClassVar[str] = "duration"

    def parse(self, texts):
        """Return texts as float64 (k,), NaN where one is no duration.

        Examples
        --------
        >>> DurationForm().parse(["1 days 02:00:00", "P1DT2H", "26:00:00", "-1 days +23:00:00", "soon"]).tolist()
        [93600.0, 93600.0, 93600.0, -3600.0, nan]
        """
        return np.array([_seconds(text.strip()) for text in texts], np.float64)

    def describe(self):
        """Return words for the table of columns."""
        return "duration"


def match_date(text):
    """Return the match of the first pattern of dates that a text has, or None."""
    if not 6 <= len(text) <= 64:
        return None
    text = text.strip()
    return next(filter(None, (pattern.fullmatch(text) for pattern in _DATES)), None)


def find_day_first(matches, counts):
    """Return whether the day stands before the month, and whether the column tells, for matches (k,), None for none."""
    day_rows = month_rows = dotted = slashed = 0
    for found, count in zip(matches, counts, strict=True):
        if found is not None and "first" in (parts := found.groupdict()):
            day_rows += count * (int(parts["first"]) > 12)
            month_rows += count * (int(parts["other"]) > 12)
            dotted += count * (parts["mark"] in ".-")
            slashed += count * (parts["mark"] not in ".-")
    if day_rows == month_rows == 0:
        return dotted > slashed, dotted + slashed == 0
    return day_rows > month_rows, True


def _fields(found, day_first):
    """Return (year, month, day, hour, minute, second, microsecond, offset); NaN for the year of what is no date."""
    if found is None:
        return (np.nan,) * 8
    parts = found.groupdict()
    year, month, day = int(parts["year"]), parts.get("month"), int(parts.get("day") or 1)
    if len(parts["year"]) == 2:  # as POSIX has it
        year += 1900 if year > 68 else 2000
    if "first" in parts:
        pair = int(parts["first"]), int(parts["other"])
        day, month = pair if day_first else pair[::-1]
    elif parts.get("quarter"):
        month = 3 * int(parts["quarter"]) - 2
    else:
        month = int(month) if month.isdecimal() else _MONTHS[month[:3].lower()]
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    part = int((parts.get("part") or "0").ljust(6, "0")[:6])
    return year, month, day, _hour(hour, parts.get("half")), minute, second, part, _offset(parts.get("zone"))


def _hour(hour, half):
    """Return the hour of 24, NaN for 13 pm."""
    if not half:
        return hour
    return hour % 12 + 12 * (half[0] in "pP") if 1 <= hour <= 12 else np.nan


def _offset(zone):
    """Return seconds east of UTC."""
    if not zone:
        return np.nan
    if zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (60 * int(digits[:2]) + int(digits[2:])) * (-60 if zone[0] == "-" else 60)


def _put_together(fields):
    """Return fields (k, 8) as datetime64[us] (k,), NaT for the 30th of February."""
    year, month, day, hour, minute, second, part = fields[:, :7].T
    with np.errstate(invalid="ignore"):
        valid = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 24) & (minute < 60) & (second < 61)
    valid &= ~((hour == 24) & (minute + second + part > 0))
    months = (np.where(valid, year - 1970, 0) * 12 + np.where(valid, month - 1, 0)).astype(np.int64).astype("M8[M]")
    valid &= day <= ((months + np.timedelta64(1, "M")).astype("M8[D]") - months.astype("M8[D]")).astype(np.float64)
    seconds = np.where(valid, ((day - 1) * DAY + hour * 3600 + minute * 60 + second) * 1e6 + part, 0)
    times = months.astype("M8[us]") + seconds.astype(np.int64).astype("m8[us]")
    times[~valid] = np.datetime64("NaT", "us")
    return times


def _zone_name(offset):
    if offset == 0:
        return "UTC"
    minutes = int(abs(offset)) // 60
    return f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _clock_seconds(found):
    return int(found["hour"]) * 3600 + int(found["minute"]) * 60 + float((found["second"] or "0").replace(",", "."))


def _time_of_day(found):
    if found is None:
        return np.nan
    hour = _hour(int(found["hour"]), found["half"])
    return np.nan if not hour < 24 else _clock_seconds(found) + 3600 * (hour - int(found["hour"]))


def _seconds(text):
    if found := _SPAN.fullmatch(text):
        sign, days = -1 if found["sign"] == "-" else 1, int(found["days"] or 0) * DAY
        # pandas writes an hour less than nothing as "-1 days +23:00:00".
        return sign * days + (1 if found["plus"] else sign) * _clock_seconds(found)
    if found := _ISO_SPAN.fullmatch(text):
        pieces = (found["date"] or "") + (found["time"] or "")
        sign = -1 if found["sign"] == "-" else 1
    elif _PIECES.fullmatch(text) and not _METRES.fullmatch(text):
        pieces, sign = text, -1 if text[0] == "-" else 1
    else:
        return np.nan
    return sign * sum(float(number) * _UNITS[_unit_name(unit)] for number, unit in _PIECE.findall(pieces.lower()))


def _unit_name(unit):
    return "ms" if unit == "ms" or unit.startswith("milli") else unit[0]
