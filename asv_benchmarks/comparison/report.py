"""What a comparison prints: aligned tables, row by row as they are measured, kept for a file of data."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path

FIRST_COLUMN = 34
LIBRARIES = ["fastbp", "numba", "numpy", "jax", "torch", "scikit-learn", "onnxruntime", "lightgbm"]


class Report:
    """Prints, and remembers what it printed."""

    def __init__(self):
        self.entries = []

    def say(self, text):
        """Print a line."""
        self.entries.append({"text": text})
        print(text, flush=True)

    def table(self, title, columns):
        """Begin a table.

        Parameters
        ----------
        title : str
        columns : dict
            Heading of each column: format of its numbers; the first column holds names.

        Returns
        -------
        function
            Takes the values of one row and prints it; None shows as a dash.
        """
        (first, _), *rest = columns.items()
        widths = [max(len(heading) + 2, 9) for heading, _ in rest]
        entry = {"title": title, "columns": list(columns), "rows": []}
        self.entries.append(entry)

        def line(name, cells):
            padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
            print(f"{name.ljust(FIRST_COLUMN)}{''.join(padded)}".rstrip(), flush=True)

        def row(name, *values):
            entry["rows"].append([name, *values])
            line(name, [_shown(value, form) for value, (_, form) in zip(values, rest, strict=True)])

        print(f"\n{title}")
        line(first, [heading for heading, _ in rest])
        return row

    def save(self, path):
        """Write everything printed, with the machine it was measured on, as JSON."""
        Path(path).write_text(json.dumps({"machine": machine(), "entries": self.entries}, indent=1) + "\n")


def _shown(value, form):
    return "-" if value is None else format(value, form)


def machine():
    """Return what the figures depend on: processor, cores, how busy it is, versions."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"processor": processor(), "cores": os.cpu_count(), "load_average": busy, "versions": versions}


def processor():
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def describe_machine():
    """Return `machine()` as one line."""
    found = machine()
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    busy = "" if found["load_average"] is None else f", load average {found['load_average']:.1f}"
    return f"{found['processor']}, {found['cores']} cores{busy}; {versions}"
