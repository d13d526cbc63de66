"""What imports what: files only from files above them, and `import fastbp` next to nothing."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp.layers import LAYERS

PACKAGE = Path(fastbp.__file__).parent

# In this order a newcomer may read the package: a file imports only from files above it.
ORDER = [
    "warned",
    "_files",
    "repeatable",
    "_sources",
    "_madefrom",
    "_kernelfolder",
    "_fpmode",
    "_jit",
    "_rows",
    "naming",
    "_registry",
    "_formulas",
    "settings",
    "pointers",
    "prefetch",
    "_intrinsics",
    "phases",
    "cores",
    "threads",
    "vectors",
    "dots",
    "columnsums",
    "tile",
    "windowtile",
    "windowadd",
    "pooltile",
    "transpose",
    "vecmath",
    "arraymath",
    "rng",
    "initializers",
    "lanes",
    "activations",
    "targets",
    "lossbase",
    "crossentropy",
    "memberloss",
    "quantileloss",
    "losses",
    "metrics",
    "scorebase",
    "schedules",
    "optimizerbase",
    "optimizers",
    "regularizers",
    "layers",
    "layers.base",
    "kernelviews",
    "custom",
    "layers.branches",
    "layers.reshape",
    "layers.activation",
    "layers.weights",
    "layers.dense",
    "layers.windows",
    "layers.conv",
    "layers.depthwise",
    "layers.pooling",
    "layers.globalpooling",
    "layers.padding",
    "layers.dropout",
    "layers.noise",
    "layers.normalization",
    "layers.batchnorm",
    "layers.rowsums",
    "layers.layernorm",
    "layers.prelu",
    "layers.parametric",
    "layers.scaling",
    "layers.packs",
    "layers.recurrentdropout",
    "layers.recurrent",
    "layers.recurrentspec",
    "layers.rnn",
    "layers.lstm",
    "layers.gru",
    "layers.bidirectional",
    "layers.masking",
    "layers.members",
    "layers.columns",
    "layers.embedding",
    "layers.categories",
    "layers.periodic",
    "layers.piecewise",
    "specs",
    "sizes",
    "network",
    "blocks",
    "tables",
    "plan",
    "crew",
    "training",
    "touched",
    "job",
    "interrupts",
    "runner",
    "stretches",
    "outputs",
    "reach",
    "exclusive",
    "engine",
    "leastsquares",
    "levenberg",
    "callbacks",
    "data",
    "diagnose",
    "fit",
    "saving",
    "summary",
    "arguments",
    "taken",
    "described",
    "confusion",
    "scoring",
    "modelfile",
    "sequential",
    "estimators.objectives",
    "estimators.labels",
    "estimators.names",
    "estimators.network",
    "estimators.watchers",
    "estimators.stochastic",
    "estimators.lbfgs",
    "estimators.files",
    "estimators.lm",
    "estimators.base",
    "estimators.classifier",
    "estimators.scores",
    "estimators.regressor",
    "estimators",
    "tabular.calibration",
    "tabular.quantiles",
    "tabular.repeats",
    "tabular.objectives",
    "tabular.target",
    "tabular.errors",
    "tabular.objects",
    "tabular.pandastable",
    "tabular.sparsetable",
    "tabular.columns",
    "tabular.vocabulary",
    "tabular.factorize",
    "tabular.tablewarning",
    "tabular.words",
    "tabular.datetimes",
    "tabular.numerals",
    "tabular.recognition",
    "tabular.textcolumns",
    "tabular.settling",
    "tabular.csvfile",
    "tabular.parquetfile",
    "tabular.sniffing",
    "tabular.reading",
    "tabular.scaling",
    "tabular.dates",
    "tabular.numeric",
    "tabular.categories",
    "tabular.coders",
    "tabular.writing",
    "tabular.encoding",
    "tabular.recipe",
    "tabular.pace",
    "tabular.learner",
    "tabular.order",
    "tabular.folds",
    "tabular.networks",
    "tabular.bagging",
    "tabular.several",
    "tabular.estimator",
    "tabular.classifier",
    "tabular.regressor",
    "tabular.model",
    "idx",
    "interop.kerasgraph",
    "interop.kerasweights",
    "interop.kerasdescribed",
    "interop.kerasactivations",
    "interop.kerassettings",
    "interop.kerasmetrics",
    "interop.kerascompile",
    "interop.kerasmasks",
    "interop.keras",
    "interop",
    "gradcheck",
    "datainit",
    "tabular.task",
    "tabular.crossvalidation",
    "tabular",
    "commands.arguments",
    "commands.loading",
    "commands.report",
    "commands.options",
    "commands.modelinfo",
    "commands.info",
    "commands.warmup",
    "commands.estimators",
    "commands.columns",
    "commands.roles",
    "commands.train",
    "commands.predict",
    "commands.evaluate",
    "commands.demo",
    "cli",
    "commands",
]

# Imports within functions that go the other way, and why.
UPWARD = {
    ("modelfile", "sequential"),  # load_model makes the kind of model that the file tells of
    ("modelfile", "tabular.model"),
    ("modelfile", "estimators"),
    ("commands.demo", "cli"),  # the demo types the other commands' lines
}


def modules():
    """Return {dotted name within the package: path}, the package's own __init__ left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found[""]
    return found


def imports(path):
    """Return the names of the package's modules that a file imports, anywhere in it."""
    names = modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            source = (node.module or "").split(".")
            if source[0] != "fastbp":
                continue
            base = ".".join(source[1:])
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in names else base)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("fastbp.") for alias in node.names if alias.name.startswith("fastbp.")}
    return found - {""}


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(modules())


@pytest.mark.parametrize("name", ORDER)
def test_files_import_only_from_files_above_them(name):
    above = set(ORDER[: ORDER.index(name)])
    upward = {other for other in imports(modules()[name]) - above if (name, other) not in UPWARD}
    assert not upward, f"{name} imports {', '.join(sorted(upward))}, further down in the order"


def test_exceptions_to_the_order_are_needed():
    for name, other in UPWARD:
        assert other in imports(modules()[name])
        assert other not in top_level_imports(modules()[name])


def top_level_imports(path):
    """Return the names in the import statements outside of functions."""
    tree = ast.parse(path.read_text())
    return {node.module.removeprefix("fastbp.") for node in tree.body if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", fastbp.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(fastbp, name)
    assert name in dir(fastbp)
    assert value.__doc__


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'fastbp' has no attribute 'Sequentail'"):
        fastbp.Sequentail  # noqa: B018


def test_the_package_tells_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


IMPORTS = """
import json, sys
before = set(sys.modules)
import fastbp
stages = {"import": sorted(set(sys.modules) - before)}
dir(fastbp), fastbp.__version__
stages["dir"] = sorted(set(sys.modules) - before)
import numpy as np
x = np.linspace(-1, 1, 20, dtype="float32")[:, None]
model = fastbp.Sequential([fastbp.Dense(2, activation="softmax")], seed=0)
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, x[:, 0] > 0, validation_split=0.2, verbose=0)
model.predict(x)
stages["fit"] = sorted({name.split(".")[0] for name in sys.modules})
stages["layers"] = sorted(name.removeprefix("fastbp.layers.") for name in sys.modules if "fastbp.layers." in name)
print(json.dumps(stages))
"""


def test_importing_fastbp_imports_next_to_nothing():
    run = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    stages = json.loads(run.stdout)
    assert {name.split(".")[0] for name in stages["import"]} - sys.stdlib_module_names == {"fastbp"}
    assert [name for name in stages["import"] if name.startswith("fastbp.")] == []
    assert stages["dir"] == stages["import"]
    heavy = {"sklearn", "pandas", "jax", "torch", "narwhals", "matplotlib", "pyarrow", "safetensors"}
    assert not heavy & set(stages["fit"])
    # And no layer of another family: a dense model does not wait for convolutions.
    assert stages["layers"] == DENSE_LAYERS


DENSE_LAYERS = ["activation", "base", "branches", "dense", "weights"]


def test_estimators_import_no_layers_that_they_do_not_use():
    found, waiting = set(), ["estimators"]
    while waiting:
        new = {name for name in imports(modules()[waiting.pop()]) if name not in found}
        found |= new
        waiting += sorted(new)
    assert {name.removeprefix("layers.") for name in found if name.startswith("layers.")} <= {*DENSE_LAYERS, "dropout"}


def test_layers_are_where_the_package_says():
    """Every name of the table is registered by the module that the table names, and none besides."""
    ours = {name for name, cls in LAYERS.items() if cls.__module__.startswith("fastbp.layers.")}
    for name in ours:
        assert LAYERS[name].__module__ == f"fastbp.{fastbp._HOME_OF[name]}"
    assert set(fastbp.layers.__all__) == {*ours, "LAYERS", "Layer"}
    assert set(fastbp.layers.__all__) <= set(dir(fastbp.layers))
    for name in fastbp.layers.__all__:
        assert getattr(fastbp.layers, name)
    with pytest.raises(AttributeError, match="module 'fastbp.layers' has no attribute 'Dens'"):
        fastbp.layers.Dens  # noqa: B018
    with pytest.raises(KeyError):
        LAYERS["Dens"]
    assert len(LAYERS) == len(list(LAYERS))


def test_the_stub_names_what_the_package_offers():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    stub = {alias.asname: node.module for node in imports for alias in node.names}
    assert stub == {name: f"fastbp.{module}" for name, module in fastbp._HOME_OF.items()}
    for name in fastbp.__all__:
        assert getattr(fastbp, name).__doc__
