"""What imports what: files only from files above them, and `import fastbp` next to nothing."""

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fastbp
from fastbp.layers import LAYERS

PACKAGE = Path(fastbp.__file__).parent

# From the ground up: a folder, or a file beside the folders, imports only from those before it.
LEVELS = [
    "settings",
    "registry",
    "io",
    "compiler",
    "kernels",
    "regularizers",
    "initializers",
    "activations",
    "schedules",
    "losses",
    "optimizers",
    "metrics",
    "layers",
    "custom",
    "callbacks",
    "engine",
    "explain",
    "models",
    "distributed",
    "doctor",
    "solvers",
    "estimators",
    "tabular",
    "interop",
    "reporting",
    "commands",
    "__main__",
]


@cache
def modules():
    """Return {dotted name within the package: path}, the package's own __init__ left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found[""]
    return found


@cache
def imports(path, at_once=False):
    """Return the names of the package's modules that a file imports, anywhere in it, or at once: outside functions."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {home(f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {home(alias.name) for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fastbp":
            found.add(home(f"fastbp.{node.attr}"))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found |= {home(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return found - {""}


def home(dotted):
    """Return which of the package's modules has "fastbp.NAME.NAME", also by a public name; "" where none does."""
    package, _, name = dotted.partition(".")
    if package != "fastbp":
        return ""
    name = fastbp._HOME_OF.get(name, name)
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


def level(name):
    return LEVELS.index(name.split(".")[0])


def test_every_file_has_its_level():
    assert {name.split(".")[0] for name in modules()} == set(LEVELS)
    files = [path for path in PACKAGE.iterdir() if path.is_file()]
    assert len(files) <= 11, sorted(path.name for path in files)


def test_files_that_folders_and_files_tell_of_are_there():
    """In a folder's first words `name` is a file of it; elsewhere "(name.py)" is a file of the package."""
    for name, path in modules().items():
        text = path.read_text()
        if path.name == "__init__.py":
            for told in re.findall(r"`([a-z_0-9]+)`", ast.get_docstring(ast.parse(text)) or ""):
                assert f"{name}.{told}" in modules() or told in ("fastbp", *fastbp.__all__), told
        for told in re.findall(r"\b(?:fastbp/)?(?!__init__)([\w/]+)\.py\b", text):
            ending = told.replace("/", ".")
            found = [one for one in modules() if f".{one}".endswith(f".{ending}")]
            assert found or (PACKAGE.parent / f"{told}.py").exists(), f"{name} tells of {told}.py"


@pytest.mark.parametrize("name", ["", *fastbp._MODULES])
def test_dir_shows_what_users_need_and_nothing_else(name):
    """Completion in a notebook shows public names: no imports and no files of the package."""
    module = getattr(fastbp, name) if name else fastbp
    shown = {one for one in dir(module) if not one.startswith("__")}
    modules = {"": set(fastbp._MODULES), "interop": {"dask", "optuna"}}
    assert shown == set(module.__all__) | modules.get(name, set())


def test_no_file_is_longer_than_400_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("name", modules())
def test_no_import_runs_upward(name):
    upward = {other for other in imports(modules()[name]) if level(other) > level(name)}
    assert not upward, f"{name} imports {', '.join(sorted(upward))}, which stands above it"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from fastbp import Sequential", "models.sequential"),
        ("from fastbp import models", "models"),
        ("from fastbp.models import sequential", "models.sequential"),
        ("import fastbp.models.sequential as later", "models.sequential"),
        ("def late():\n    import fastbp\n    return fastbp.Sequential()", "models.sequential"),
        ("def late():\n    from fastbp.models.sequential import Sequential", "models.sequential"),
        ('import importlib\nimportlib.import_module("fastbp.models.sequential")', "models.sequential"),
        ('__import__("fastbp.models.sequential")', "models.sequential"),
    ],
)
def test_a_planted_import_is_seen(tmp_path, line, found):
    planted = tmp_path / "planted.py"
    planted.write_text(line + "\n")
    assert imports(planted) == {found}


def test_numba_is_imported_in_the_compiler_alone():
    speaks = re.compile(r"^\s*(from|import) (numba|llvmlite)\b", re.MULTILINE)
    found = [name for name, path in modules().items() if speaks.search(path.read_text())]
    assert [name for name in found if not name.startswith("compiler.")] == []


def test_numba_is_loaded_when_something_has_to_be_compiled_and_no_sooner():
    """Of the files that need it at once nothing else imports one, but within a function."""
    speaks = re.compile(r"^(from|import) (numba|llvmlite)\b", re.MULTILINE)
    compile_with_it = {name for name, path in modules().items() if speaks.search(path.read_text())}
    assert "compiler.dispatchers" in compile_with_it
    for name, path in modules().items():
        if name not in compile_with_it:
            assert not imports(path, at_once=True) & compile_with_it, name


def test_no_imports_run_in_a_circle():
    """Those inside of functions count."""
    waiting = {name: imports(path) - {name} for name, path in modules().items()}
    # A folder's __init__ gathers what the folder has.
    for name, others in waiting.items():
        waiting[name] = {other for other in others if not name.startswith(f"{other}.")}
    while ready := {name for name, others in waiting.items() if not others & waiting.keys()}:
        waiting = {name: others for name, others in waiting.items() if name not in ready}
    assert not waiting, f"in or behind a circle: {', '.join(sorted(waiting))}"


@pytest.mark.parametrize("name", fastbp.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(fastbp, name)
    assert name in dir(fastbp)
    assert value.__doc__


@pytest.mark.parametrize("name", fastbp._MODULES)
def test_modules_are_attributes_that_tell_their_names(name):
    """In a new process, where nothing has imported them."""
    code = f"import fastbp; print(sorted(fastbp.{name}.__all__), set(fastbp.{name}.__all__) <= set(dir(fastbp.{name})))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = [public for public, home in fastbp._HOME_OF.items() if home.split(".")[0] == name]
    assert told.endswith("True\n")
    assert set(names) <= set(ast.literal_eval(told[: told.rindex("]") + 1]))
    assert name in dir(fastbp)


def test_modules_of_interop_are_attributes():
    """In a new process; Dask itself is imported when a table of its comes."""
    code = "import fastbp; print(fastbp.interop.dask.TabularClassifier.__name__, fastbp.interop.optuna.__name__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "TabularClassifier fastbp.interop.optuna\n"
    assert fastbp.interop.to_onnx is fastbp.to_onnx
    for package, wrong, right in ((fastbp.interop, "daks", "dask"), (fastbp.distributed, "fti", "fit")):
        with pytest.raises(AttributeError, match=f"no attribute '{wrong}'. Did you mean '{right}'"):
            getattr(package, wrong)


def test_a_misspelt_name_is_told_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'Dens'\. Did you mean 'Dense'\?"):
        fastbp.Dens  # noqa: B018


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
model = fastbp.Sequential([fastbp.Dense(2, activation="softmax")], seed=0, input_shape=(1,))
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
stages["compile"] = sorted({name.split(".")[0] for name in sys.modules})
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
    # Nor Numba (0.3 s), before a kernel has to be compiled.
    assert not {"numba", "llvmlite"} & set(stages["compile"])
    # And no layer of another family: a dense model does not wait for convolutions.
    assert stages["layers"] == DENSE_LAYERS


DENSE_LAYERS = ["base", "build", "core", "core.activation", "core.branches", "core.dense", "weights"]


def test_estimators_import_no_layers_that_they_do_not_use():
    found, waiting = set(), ["estimators"]
    while waiting:
        new = {name for name in imports(modules()[waiting.pop()]) if name not in found}
        found |= new
        waiting += sorted(new)
    layers = {name.removeprefix("layers.") for name in found if name.startswith("layers.")}
    assert layers <= {*DENSE_LAYERS, "core.dropout"}


def test_layers_are_where_the_package_says():
    """Every name of the table is registered by the module that the table names, and none besides."""
    ours = {name for name, cls in LAYERS.items() if cls.__module__.startswith("fastbp.layers.")}
    for name in ours:
        assert LAYERS[name].__module__ == f"fastbp.{fastbp._HOME_OF[name]}"
    assert set(fastbp.layers.__all__) == {*ours, "LAYERS", "Layer"}
    assert set(fastbp.layers.__all__) <= set(dir(fastbp.layers))
    for name in fastbp.layers.__all__:
        assert getattr(fastbp.layers, name)
    with pytest.raises(
        AttributeError, match=r"module 'fastbp.layers' has no attribute 'Dens'\. Did you mean 'Dense'\?"
    ):
        fastbp.layers.Dens  # noqa: B018
    with pytest.raises(KeyError):
        LAYERS["Dens"]
    assert len(LAYERS) == len(list(LAYERS))


def test_the_stub_names_what_the_package_offers():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    stub = {alias.asname: node.module for node in imports for alias in node.names}
    homes = {name: f"fastbp.{module}" for name, module in fastbp._HOME_OF.items()}
    assert stub == homes | dict.fromkeys(fastbp._MODULES, "fastbp")
    for name in fastbp.__all__:
        assert getattr(fastbp, name).__doc__


def names_script():
    """Return tools/public_names.py as a module."""
    spec = importlib.util.spec_from_file_location("public_names", PACKAGE.parent / "tools" / "public_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lists_of_names_are_those_that_the_sources_register():
    assert names_script().stale() == [], "run python tools/public_names.py"


@pytest.mark.parametrize(
    ("file", "line", "added"),
    [
        ("layers/core/new.py", '@LAYERS.register("New")', "from fastbp.layers.core.new import New as New"),
        ("losses/new.py", "@LOSSES.accept", "from fastbp.losses import New as New"),
        ("optimizers/new.py", '@OPTIMIZERS.register("new")', "from fastbp.optimizers import New as New"),
    ],
)
def test_a_new_file_needs_no_edit_of_a_list(tmp_path, file, line, added):
    script = names_script()
    script.PACKAGE = shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    (script.PACKAGE / file).write_text(f"{line}\nclass New:\n    pass\n")
    assert script.PACKAGE / "__init__.pyi" in script.stale()
    script.main([])
    assert script.stale() == []
    assert added in (script.PACKAGE / "__init__.pyi").read_text()
    script.main([])
    assert (script.PACKAGE / "__init__.pyi").read_text().count("import New as New") == 1
