"""``fastbp info``: what a report of a problem should say; of a model, what it was trained on."""

import platform
import sys
import warnings
from importlib import metadata

from fastbp.commands.options import add_json, print_json

HELP = "print versions, CPU, vector width, threads and kernels; of MODEL columns, classes and scores"

PACKAGES = (
    "numba",
    "llvmlite",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "narwhals",
    "safetensors",
    "pyarrow",
)

# A feature that LLVM reports, and the width of its vectors in bits; the first one found counts.
VECTORS = (("avx512f", 512), ("avx2", 256), ("avx", 256), ("sve", 128), ("neon", 128), ("vsx", 128), ("sse2", 128))


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("--card", action="store_true", help="print a model card of MODEL, in Markdown")
    parser.add_argument("--license", metavar="NAME", help="the licence that the card tells")
    add_json(parser)


def run(arguments):
    """Print one line a fact."""
    if arguments.card or arguments.license:
        _print_card(arguments)
        return
    if arguments.model is not None:
        from fastbp.commands.loading import load_model
        from fastbp.commands.modelinfo import print_model

        print_model(arguments.model, load_model(arguments.model), arguments.json)
        return
    facts = {"fastbp": _version("fastbp"), "Python": sys.version.split()[0], "system": platform.platform()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts |= _machine()
    if arguments.json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def _print_card(arguments):
    """Print a model's card; its date is the file's."""
    from datetime import UTC, datetime
    from pathlib import Path

    from fastbp.commands.loading import load_any
    from fastbp.tabular.errors import TableError

    if arguments.model is None:
        raise TableError("--card: name the model, fastbp info MODEL --card.")
    model = load_any(arguments.model)
    date = datetime.fromtimestamp(Path(arguments.model).stat().st_mtime, UTC).date()
    card = model.card(license=arguments.license, date=f"{date} (of the file)")
    if arguments.json:
        print_json({"card": card})
    else:
        print(card, end="")


def _machine():
    from fastbp.compiler.cpu import cpu_features, cpu_name
    from fastbp.compiler.kernelfolder import kept_sizes, told_folder
    from fastbp.engine.threads import available_cores, get_num_threads

    features = cpu_features()
    vector, bits = next((pair for pair in VECTORS if features.get(pair[0])), ("none", 0))
    sizes = kept_sizes()
    return {
        "CPU": f"{_cpu_name()} (LLVM: {cpu_name()})",
        "vector width": f"{bits} bits ({vector})",
        "cores": available_cores(),
        "threads": get_num_threads(),
        "kernel library": _library(),
        "cache folder": told_folder(),
        "compiled kernels": f"{len(sizes)} ({sum(sizes) / 1e6:.1f} MB)",
    }


def _library():
    """Return which library of kernels this machine uses and how many of them, or why it uses none."""
    from fastbp.compiler import library

    with warnings.catch_warnings(action="ignore"):
        served = library.library()
    told = list(served.refused)
    if library.wants_compiling():
        told.append("not asked, because a setting of the environment (FASTBP_KERNELS, NUMBA_...) has kernels compiled")
    elif served.file is None and not served.refused:
        levels = ", ".join(library.machine_levels()) or "none: this machine's CPU has no level"
        told.append(f"none in {library.FOLDER} (levels of this CPU: {levels}): kernels are compiled when first needed")
    if served.file is not None:
        index = served.file.index
        fresh = sum(library.is_up_to_date(index, key.partition(" ")[0]) for key in index.kernels)
        made_by = ", ".join(f"{name} {version}" for name, version in index.versions.items())
        stale = f", {len(index.kernels) - fresh} of other sources" if fresh < len(index.kernels) else ""
        told.insert(0, f"{index.level}, {fresh} kernels{stale} (made by {made_by})")
        if damaged := served.file.damaged():
            told.append(f"{served.file.path}: machine code of {damaged} kernels is damaged: they are compiled")
    return "; ".join(told)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
