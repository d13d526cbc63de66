"""The API reference: a page for every public name, grouped by what it is for; a name without a group is an error."""

import importlib
import inspect
from contextlib import suppress
from pathlib import Path

import fastbp

# Title, what it holds, and the modules or prefixes of modules whose names belong to it, in the order of the page.
GROUPS = [
    ("Tables", "Estimators for tables as people have them, and what belongs to them.", ["tabular"]),
    ("Estimators in scikit-learn's manner", "", ["estimators"]),
    ("Models", "", ["models"]),
    ("Layers", "", ["layers"]),
    ("Losses", "", ["losses"]),
    ("Optimizers", "", ["optimizers"]),
    ("Learning rate schedules", "", ["schedules"]),
    ("Activations", "", ["activations"]),
    ("Initializers", "", ["initializers"]),
    ("Regularizers", "", ["regularizers"]),
    ("Callbacks", "", ["callbacks"]),
    ("Explaining and reporting", "", ["explain", "reporting", "doctor", "diagnose"]),
    ("Other libraries", "", ["interop"]),
    ("Clusters", "", ["distributed"]),
    ("Files", "", ["io"]),
    ("Errors, warnings, threads, kernels", "", ["engine", "settings", "compiler", "kernels"]),
]
# Modules whose names are no attributes of fastbp: one page each.
MODULES = [
    *("fastbp.metrics", "fastbp.custom", "fastbp.explain", "fastbp.doctor", "fastbp.distributed"),
    *("fastbp.interop.dask", "fastbp.interop.optuna"),
]

CLASS = """{name}
{line}

.. currentmodule:: fastbp

.. autoclass:: {name}
   :members:
   :inherited-members: {bases}
"""
FUNCTION = """{name}
{line}

.. currentmodule:: fastbp

.. autofunction:: {name}
"""
MODULE = """{name}
{line}

.. automodule:: {name}
   :members:
   :exclude-members: {documented}
"""


def write(folder):
    """Write index.rst and a page for each name into `folder`; files that did not change keep their time."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: page_of(name) for name in fastbp.__all__}
    documented = ", ".join(fastbp.__all__)  # such names have pages of their own
    pages |= {name: MODULE.format(name=name, line="=" * len(name), documented=documented) for name in MODULES}
    pages["index"] = index()
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        _write(folder / f"{name}.rst", text)


def page_of(name):
    """Return the text of the page of a public name."""
    value = getattr(fastbp, name)
    if not inspect.isclass(value):
        return FUNCTION.format(name=name, line="=" * len(name))
    bases = ", ".join(sorted({base.__name__ for base in value.__mro__ if not base.__module__.startswith("fastbp")}))
    return CLASS.format(name=name, line="=" * len(name), bases=bases)


def index():
    """Return the text of the first page of the reference."""
    groups = {title: [] for title, _, _ in GROUPS}
    for name in fastbp.__all__:
        groups[_group_of(fastbp._HOME_OF[name])].append(name)
    parts = ["API reference\n=============\n\nNames of ``fastbp``; at the end those of its modules.\n"]
    for title, text, _ in GROUPS:
        if groups[title]:
            parts.append(_section(title, text, groups[title]))
    text = "Names that are written with their module before them, such as ``fastbp.explain.SmoothGrad``."
    parts.append(_section("Modules", text, MODULES))
    return "\n".join(parts)


def _section(title, text, names):
    rows = "\n".join(f"   * - :doc:`{name} <{name}>`\n     - {_summary(name)}" for name in names)
    pages = "\n".join(f"   {name}" for name in names)
    table = f".. list-table::\n   :widths: 30 70\n\n{rows}\n"
    tree = f".. toctree::\n   :hidden:\n   :caption: {title}\n\n{pages}\n"
    return f"{title}\n{'-' * len(title)}\n\n{text}\n\n{table}\n{tree}"


def _summary(name):
    value = importlib.import_module(name) if name.startswith("fastbp.") else getattr(fastbp, name)
    first = inspect.getdoc(value).partition("\n\n")[0].replace("\n", " ")
    return first.replace("`", "``").replace("````", "``").replace("*", "\\*")


def _group_of(home):
    for title, _, prefixes in GROUPS:
        if home.partition(".")[0] in prefixes:
            return title
    raise KeyError(f"fastbp.{home} belongs to no group of the API reference: name one in {Path(__file__).name}.")


def _write(path, text):
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    path.write_text(text)
