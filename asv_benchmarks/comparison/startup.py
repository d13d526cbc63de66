"""Seconds of fresh processes from `python` to the end: imports, first fits and steps, commands; memory of a large fit.

fastbp is a copy in a folder without write permission, in processes without a home and without any cache: what it has
to compile it compiles each time.  A case named "compiled" has all kernels compiled (`FASTBP_KERNELS=jit`).
"""

import statistics
import tempfile
from collections import Counter
from pathlib import Path

PEERS = ["sklearn", "lightgbm"]
# Turns of the case that compiles for seconds.
COMPILED_TURNS = 3
HEAVY = ("numba", "pandas", "sklearn", "scipy", "narwhals", "pyarrow")
# Packages of the table of imports.
SHOWN = 4


def run(report, options, peers):
    """Print tables of the seconds, of ratios to the peers, of what is imported, and of the memory of a large fit."""
    from benchmarks.shared.installed import Installed
    from benchmarks.shared.processes import FreshProcesses

    with FreshProcesses() as processes, Installed() as installed, tempfile.TemporaryDirectory() as folder:
        chosen = cases(installed, processes.iris, Path(folder), peers)
        found = measure(chosen, options.repeats)
        _print_seconds(report, options, found)
        _print_ratios(report, found, peers)
        _print_imports(report, installed, imports(processes.iris), Path(folder))
        report.say(f"written beside the read-only package: {', '.join(map(str, installed.written())) or 'nothing'}")
        _print_memory(report, processes.memory())


def cases(installed, iris, folder, peers):
    """Return {name: function that runs a process and returns its seconds, or {more of the name: seconds}}."""
    from benchmarks.shared.installed import CLI
    from benchmarks.shared.processes import FASTBP_W3, FOLDER, IRIS, LENET_STEP, LSTM_STEP

    def python(code, **settings):
        return lambda: installed.seconds("-c", code, str(iris), **settings)

    def demo():
        seen = installed.on_screen(*CLI, "demo", "--dir", ".", folder=folder)
        bar = next(seconds for seconds, text in seen if b"training" in text)
        return {", first line": seen[0][0], ", first bar": bar, "": seen[-1][0]}

    def predict():
        _write_rows(folder, "breast_cancer.csv", 10)
        arguments = ("breast_cancer.fastbp", "rows.csv", "--out", "predictions.csv")
        return installed.seconds(*CLI, "predict", *arguments, folder=folder)

    modules = ("numpy", "numba", "fastbp", "fastbp.models.sequential")
    return {
        **{f"import {module}": python(f"import {module}") for module in modules},
        **{f"iris, 50 epochs: {name}": python(IRIS[name]) for name in ("fastbp", *peers)},
        "LeNet-5, a step": python(LENET_STEP),
        "LSTM, a step": python(LSTM_STEP),
        "W3, 1 epoch, 2 threads": python(FASTBP_W3, folder=FOLDER),
        "fastbp demo": demo,
        "fastbp predict, 10 rows": predict,
        "iris, 50 epochs: compiled": python(IRIS["fastbp"], FASTBP_KERNELS="jit"),
    }


def _write_rows(folder, name, count):
    with open(folder / name, encoding="utf-8") as file, open(folder / "rows.csv", "w", encoding="utf-8") as rows:
        rows.writelines(line for line, _ in zip(file, range(count + 1), strict=False))


def measure(chosen, repeats):
    """Return {name: seconds of each turn}; the cases take turns, after one that fills the system's caches."""
    found = {}
    for turn in range(-1, repeats):
        for name, run_one in chosen.items():
            if "compiled" in name and not 0 <= turn < COMPILED_TURNS:
                continue
            seconds = run_one()
            told = seconds if isinstance(seconds, dict) else {"": seconds}
            if turn >= 0:
                for more, value in told.items():
                    found.setdefault(name + more, []).append(value)
    return found


def _print_seconds(report, options, found):
    columns = {"fresh process": "", "seconds": ".2f", "fastest": ".2f", "slowest": ".2f"}
    row = report.table(f"Start-up, seconds (median of {options.repeats}; compiled: of {COMPILED_TURNS})", columns)
    for name, seconds in found.items():
        row(name, statistics.median(seconds), min(seconds), max(seconds))


def _print_ratios(report, found, peers):
    row = report.table("Iris, fastbp's share of a peer's seconds (median over the turns)", {"peer": "", "share": ".2f"})
    ours = found["iris, 50 epochs: fastbp"]
    for peer in peers:
        theirs = found[f"iris, 50 epochs: {peer}"]
        row(peer, statistics.median(one / other for one, other in zip(ours, theirs, strict=True)))


def imports(iris):
    """Return {name: arguments of Python} of the processes whose imports are shown."""
    from benchmarks.shared.installed import CLI
    from benchmarks.shared.processes import IRIS

    predict = (*CLI, "predict", "breast_cancer.fastbp", "rows.csv", "--out", "predictions.csv")
    return {"import fastbp": ("-c", "import fastbp"), "iris": ("-c", IRIS["fastbp"], str(iris)), "predict": predict}


def _print_imports(report, installed, chosen, folder):
    columns = {"imports of": "", "modules": "d", "ms": ".0f", "fastbp's": "d", "ms of them": ".0f"}
    row = report.table("Imports, as -X importtime tells them (which makes them slower)", columns)
    for name, arguments in chosen.items():
        modules = installed.imported(*arguments, folder=folder)
        ours = [own for module, own in modules if module.partition(".")[0] == "fastbp"]
        row(name, len(modules), sum(own for _, own in modules), len(ours), sum(ours))
        spent = Counter()
        for module, own in modules:
            spent[module.partition(".")[0]] += own
        longest = ", ".join(f"{package} {own:.0f} ms" for package, own in spent.most_common(SHOWN))
        heavy = ", ".join(package for package in HEAVY if package in spent) or "none of " + ", ".join(HEAVY)
        report.say(f"    most of it: {longest}; it loads {heavy}")


def _print_memory(report, memory):
    columns = {"1,000,000 x 28 float32, MB": "", "data": ".0f", "before": ".0f", "peak": ".0f", "above data": ".0f"}
    row = report.table("Memory of a fit, largest resident set (before: imports and data)", columns)
    figures = {name: bytes_ / 1e6 for name, bytes_ in memory.items()}
    row("28-64-1, batch 1024", *figures.values(), figures["peak"] - figures["data"])
