"""Seconds of a fresh process from `python` to the end: imports, first fits with and without a kernel cache; memory."""

import statistics

PEERS = ["sklearn", "lightgbm"]
# Turns of the cases that compile for seconds.
COLD_TURNS = 3


def run(report, options, peers):
    """Print the table of seconds and that of the memory of a large fit."""
    from benchmarks.processes import FreshProcesses

    with FreshProcesses() as processes:
        columns = {"fresh process": "", "seconds": ".2f", "fastest": ".2f", "slowest": ".2f"}
        title = f"Start-up, seconds (median of {options.repeats}; of {COLD_TURNS} with an empty kernel cache)"
        row = report.table(title, columns)
        for name, seconds in measure(processes, cases(peers), options.repeats).items():
            row(name, statistics.median(seconds), min(seconds), max(seconds))
        columns = {"1,000,000 x 28 float32, MB": "", "data": ".0f", "before": ".0f", "peak": ".0f", "above data": ".0f"}
        row = report.table("Memory of a fit, largest resident set (before: imports and data)", columns)
        figures = {name: bytes_ / 1e6 for name, bytes_ in processes.memory().items()}
        row("28-64-1, batch 1024", *figures.values(), figures["peak"] - figures["data"])


def cases(peers):
    """Return {name: (code, with an empty cache)}."""
    from benchmarks.processes import FASTBP_W3, IRIS

    imports = {f"import {name}": (f"import {name}", False) for name in ("numba", "fastbp", "fastbp.models.sequential")}
    iris = {f"iris, 50 epochs: {name}": (IRIS[name], False) for name in ["fastbp", *peers]}
    w3 = {"W3, 1 epoch, 2 threads": (FASTBP_W3, False)}
    cold = {"iris, empty cache": (IRIS["fastbp"], True), "W3, empty cache": (FASTBP_W3, True)}
    return imports | iris | w3 | cold


def measure(processes, chosen, repeats):
    """Return {name: seconds of each turn}; the cases take turns, after one that fills caches."""
    for code, cold in chosen.values():
        if not cold:
            processes.seconds(code)
    found = {name: [] for name in chosen}
    for turn in range(repeats):
        for name, (code, cold) in chosen.items():
            if not cold or turn < COLD_TURNS:
                found[name].append(processes.seconds(code, cold))
    return found
