"""Dates as ONNX nodes: seconds since 1970 become the parts that `fastbp.tabular.dates` takes, in any time zone."""

import numpy as np

from fastbp.interop.columnfacts import changes_of
from fastbp.tabular.dates import DAY


def clock_of(graph, seconds, zone):
    """Return what clocks of a zone show at seconds (n, 1) in UTC."""
    if zone is None:
        return seconds
    first, times, steps = changes_of(zone)
    offset = first
    if len(times):
        after = graph.cast(graph.add("GreaterOrEqual", seconds, times[None]), np.float64)
        offset = graph.add("Add", graph.add("MatMul", after, steps[:, None]), float(first))
    return graph.add("Add", seconds, offset)


def part_of(graph, clock, name):
    """Return a part of the clocks' time (n, 1), NaN where that is NaN."""
    missing = graph.add("IsNaN", clock)
    known = graph.add("Where", missing, 0.0, clock)
    days = graph.add("Floor", graph.add("Div", known, float(DAY)))
    part = PARTS[name](graph, graph.cast(days, np.int64), graph.add("Sub", known, graph.add("Mul", days, float(DAY))))
    return graph.add("Where", missing, np.nan, part)


def whole(graph, op, a, b):
    """Return an operation of whole numbers."""
    return graph.add(op, a, b if isinstance(b, str) else np.array(b, np.int64))


def civil(graph, days):
    """Return year, month, day of the month and day of the year for days since 1970 (n, 1); years begin in March.

    It computes with whole numbers, from the first of March of the year 0 (Hinnant, chrono-compatible date algorithms).
    """
    shifted = whole(graph, "Add", days, 719_468)
    era = whole(graph, "Div", shifted, 146_097)
    of_era = whole(graph, "Mod", shifted, 146_097)
    years = of_era
    for op, size in (("Sub", 1460), ("Add", 36_524), ("Sub", 146_096)):
        years = whole(graph, op, years, whole(graph, "Div", of_era, size))
    years = whole(graph, "Div", years, 365)
    before = whole(graph, "Mul", years, 365)
    before = whole(graph, "Add", before, whole(graph, "Div", years, 4))
    before = whole(graph, "Sub", before, whole(graph, "Div", years, 100))
    of_year = whole(graph, "Sub", of_era, before)
    month = whole(graph, "Div", whole(graph, "Add", whole(graph, "Mul", of_year, 5), 2), 153)
    first = whole(graph, "Div", whole(graph, "Add", whole(graph, "Mul", month, 153), 2), 5)
    year = whole(graph, "Add", years, whole(graph, "Mul", era, 400))
    return year, month, whole(graph, "Sub", of_year, first), of_year


def day_of_month(graph, days, seconds):
    """Return 0 for the first."""
    return graph.cast(civil(graph, days)[2], np.float64)


def day_of_year(graph, days, seconds):
    """Return 0 for the first of January; years that begin in March have 59 or 60 days before it, or 306 less."""
    year, month, _, of_year = civil(graph, days)
    leap = [graph.add("Equal", whole(graph, "Mod", year, size), np.int64(0)) for size in (4, 100, 400)]
    leap = graph.add("Or", graph.add("And", leap[0], graph.add("Not", leap[1])), leap[2])
    from_march = whole(graph, "Add", whole(graph, "Add", of_year, 59), graph.cast(leap, np.int64))
    is_later = graph.add("Less", month, np.int64(10))
    return graph.cast(graph.add("Where", is_later, from_march, whole(graph, "Sub", of_year, 306)), np.float64)


def weekday(graph, days, seconds):
    """Return 0 for Monday."""
    return graph.cast(whole(graph, "Mod", whole(graph, "Add", days, 3), 7), np.float64)


def hour(graph, days, seconds):
    """Return hours since midnight, with their fractions."""
    return graph.add("Div", seconds, 3600.0)


PARTS = {"day of year": day_of_year, "day of month": day_of_month, "weekday": weekday, "hour": hour}
