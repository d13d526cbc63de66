"""What a kernel is named by: every source and value that its machine code depends on."""

import ast
import compileall
import dataclasses
import enum
import functools
import importlib
import shutil
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import config

import fastbp
from fastbp.activations import ReLU
from fastbp.compiler import kerneldigest as _madefrom
from fastbp.compiler import sources as _sources
from fastbp.compiler.jit import inline, kernel
from fastbp.layers.core.dense import Dense

PACKAGE = Path(fastbp.__file__).parent


def digest(function):
    return _madefrom.kernel_digest(getattr(function, "py_func", function))


# The package's files


def imported(name):
    """The package's modules in the import statements of one, read by Python's own parser."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {other for other in found if other.startswith("fastbp.")}


@pytest.mark.parametrize(
    "name", ["fastbp.io.files", "fastbp.activations", "fastbp.layers.recurrent.gru", "fastbp.models.sequential"]
)
def test_modules_behind_are_all_that_is_imported(name):
    paths = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    found, new = set(), {name}
    while new:
        found |= new
        new = {other for one in new for other in imported(one) & modules} - found
    assert _sources.modules_behind(name) == sorted(found)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package, whose files are taken for the package's own; called, it forgets what was read."""

    def forget():
        for name in ("sources_digest", "modules_behind", "_imports", "file_digest", "_content", "_paths"):
            getattr(_sources, name).cache_clear()

    folder = tmp_path / "fastbp"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_sources, "_PACKAGE", folder)
    forget()
    yield folder, forget
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("sources", [True, False], ids=["with sources", "without"])
def test_an_edit_of_a_file_of_the_package_is_noticed(copy, sources):
    folder, forget = copy

    def edit(name):
        path = folder / f"{name}.py"
        path.write_text(f"{path.read_text()}\nEDITED = {name!r}\n")

    def now():
        shipped = {path: path.read_text() for path in folder.rglob("*.py")}
        if not sources:
            compileall.compile_dir(folder, quiet=2, legacy=True, force=True)
            for path in shipped:
                path.unlink()
        forget()
        digests = digest(Dense.forward), digest(ReLU.forward)
        for path, text in shipped.items():
            path.write_text(text)
        return digests

    first = now()
    assert None not in first
    assert now() == first
    edit("layers/weights")  # in a folder, of dense layers alone
    second = now()
    assert second[0] != first[0]
    assert (second[1] == first[1]) == sources  # without sources it is not told who imports whom
    edit("kernels/vecmath")  # of both
    third = now()
    assert third[0] != second[0]
    assert third[1] != second[1]


def test_of_a_package_without_files_nothing_is_known(copy):
    folder, forget = copy
    shutil.rmtree(folder)
    forget()
    assert digest(ReLU.forward) is None


# A user's functions: a change of whatever they depend on is another kernel


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Options:
    FACTOR = 1.0


@dataclasses.dataclass
class Setting:
    factor: float = 1.0


FACTOR, VECTOR, LIST, TABLE = 1.0, np.arange(3.0), [1.0, 2.0], {"factor": (1.0,)}
LEVEL, SETTING = Level.LOW, Setting()


@inline
def grown(x):
    return x * FACTOR


@numba.njit
def grown_twice(x):
    return grown(grown(x))


def plain(x):
    return x * FACTOR


def names_a_global(x):
    x[0] = FACTOR


def names_an_array(x):
    x[0] = VECTOR[1]


def names_a_list(x):
    x[0] = LIST[0]


def names_a_table(x):
    x[0] = TABLE["factor"][0]


def names_a_level(x):
    x[0] = LEVEL.value


def names_a_setting(x):
    x[0] = SETTING.factor


def names_a_class(x):
    x[0] = Options.FACTOR


def calls_compiled(x):
    x[0] = grown(x[0])


def calls_compiled_that_calls(x):
    x[0] = grown_twice(x[0])


def calls_plain(x):
    x[0] = plain(x[0])


def names_it_within(x):
    def inner(y):
        return y * FACTOR

    x[0] = inner(x[0])


CHANGES = {
    "global": (names_a_global, "FACTOR", 2.0),
    "global of another type": (names_a_global, "FACTOR", 1),
    "sign of zero": (names_a_global, "FACTOR", -0.0),
    "array": (names_an_array, "VECTOR", np.arange(3.0) + 1),
    "array's dtype": (names_an_array, "VECTOR", np.arange(3)),
    "array's order": (names_an_array, "VECTOR", np.ones((2, 2), order="F")),
    "list": (names_a_list, "LIST", [1.0, 3.0]),
    "table": (names_a_table, "TABLE", {"factor": (2.0,)}),
    "level": (names_a_level, "LEVEL", Level.HIGH),
    "object": (names_a_setting, "SETTING", Setting(2.0)),
    "of what is compiled": (calls_compiled, "FACTOR", 2.0),
    "two calls below": (calls_compiled_that_calls, "FACTOR", 2.0),
    "of a plain function": (calls_plain, "FACTOR", 2.0),
    "in a function within": (names_it_within, "FACTOR", 2.0),
    "another function": (calls_plain, "plain", functools.partial(plain, 1.0)),
}


@pytest.mark.parametrize(("function", "name", "value"), CHANGES.values(), ids=CHANGES)
def test_a_value_that_a_formula_names(monkeypatch, function, name, value):
    before = digest(function)
    assert before is not None
    assert digest(function) == before
    monkeypatch.setitem(globals(), name, value)
    assert digest(function) not in (None, before)
    monkeypatch.undo()
    assert digest(function) == before


def test_what_is_changed_in_its_place(monkeypatch):
    monkeypatch.setitem(globals(), "LIST", [1.0, 2.0])
    monkeypatch.setitem(globals(), "VECTOR", np.arange(3.0))
    for function, change in (
        (names_a_list, lambda: LIST.append(5.0)),
        (names_a_table, lambda: monkeypatch.setitem(TABLE, "factor", (5.0,))),
        (names_an_array, lambda: VECTOR.fill(5.0)),
        (names_a_setting, lambda: monkeypatch.setattr(SETTING, "factor", 5.0)),
        (names_a_class, lambda: monkeypatch.setattr(Options, "FACTOR", 5.0)),
    ):
        before = digest(function)
        change()
        assert digest(function) not in (None, before), function.__name__


def made(constant=1.0, helpers=(plain,), default=0.0, keyword=0.0):
    first, last = helpers[0], helpers[-1]

    def change(x, more=default, *, most=keyword):
        x[0] = first(x[0]) + last(x[0]) + constant + more + most

    return change


def once(x):
    return x


def test_what_a_formula_closes_over_and_its_defaults():
    variants = [
        made(),
        made(constant=2.0),
        made(constant=2),
        made(default=1.0),
        made(keyword=1.0),
        made(helpers=(once,)),
        made(helpers=(once, plain)),
        made(helpers=(plain, once)),
        made(constant=None),
        made(constant=(1.0, 2.0)),
        made(constant=frozenset({1.0})),
        made(constant=Setting()),
        made(constant=Setting(2.0)),
        made(constant=Options),
    ]
    digests = [digest(variant) for variant in variants]
    assert None not in digests
    assert len(set(digests)) == len(digests)
    assert digests == [digest(variant) for variant in variants]
    assert digest(made(constant=2.0)) == digests[1]


def test_how_numba_compiles_what_a_formula_calls(monkeypatch):
    digests = {digest(calls_compiled)}
    for options in ({}, {"fastmath": True}, {"error_model": "numpy"}):
        monkeypatch.setitem(globals(), "grown", numba.njit(**options)(grown.py_func))
        digests.add(digest(calls_compiled))
    assert len(digests) == 4


def test_addresses_are_no_part_of_a_key(monkeypatch):
    """A C function or an unknown thing stands at another place in the next process: such a kernel is not kept."""
    import ctypes

    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: x)
    for value in (function, ctypes.c_double(1.0), object(), np.array([object()])):
        monkeypatch.setitem(globals(), "FACTOR", value)
        assert digest(names_a_global) is None


MODULES = {
    "settings_of_user": "FACTOR = 1.0\n",
    "helpers_of_user": "def grow(x):\n    return x * 2\n",
    "code": "def grow(x):\n    return x * 3\n",  # the name of a module of Python's
    "own_of_user": """
import settings_of_user
import settings_of_user as settings
from code import grow as grow_more
from helpers_of_user import grow
def chain(x):
    x[0] = settings.FACTOR
def imported(x):
    x[0] = grow(x[0])
def named_as_pythons(x):
    x[0] = grow_more(x[0])
""",
}


def test_a_change_in_another_file_of_the_user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digests(**changed):
        for name, source in (MODULES | changed).items():
            (tmp_path / f"{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        own = importlib.import_module("own_of_user")
        return digest(own.chain), digest(own.imported), digest(own.named_as_pythons)

    first = digests()
    assert None not in first
    assert digests() == first
    for number, changed in enumerate(("settings_of_user", "helpers_of_user", "code")):
        second = digests(**{changed: MODULES[changed].replace("1", "4").replace("2", "4").replace("3", "4")})
        assert [a == b for a, b in zip(first, second, strict=True)] == [i != number for i in range(3)]
    assert digests() == first


def test_a_function_without_a_file_or_a_module_name():
    for names in ({}, {"__name__": "__main__"}, {"__name__": "math"}):
        exec("def change(x):\n    x[0] = 1.0\n", names)
        assert digest(names["change"]) is None


# Numba's settings


@pytest.mark.parametrize(
    ("name", "value"), [("OPT", 1), ("BOUNDSCHECK", 1), ("LOOP_VECTORIZE", 0), ("CPU_NAME", "generic")]
)
def test_settings_made_in_python(monkeypatch, name, value):
    before = _madefrom.compiler_digest()
    monkeypatch.setattr(config, name, value)
    assert _madefrom.compiler_digest() != before
    monkeypatch.undo()
    assert _madefrom.compiler_digest() == before


@pytest.fixture
def settings_again():
    """Leave Numba's settings as they were."""
    yield
    config.reload_config()


@pytest.mark.usefixtures("settings_again")
def test_settings_of_the_environment_and_of_a_file(monkeypatch, tmp_path):
    before = _madefrom.compiler_digest()
    with monkeypatch.context() as patch:
        patch.setenv("NUMBA_OPT", "1")
        of_environment = _madefrom.compiler_digest()
        assert of_environment != before
    assert _madefrom.compiler_digest() == before
    pytest.importorskip("yaml")
    (tmp_path / ".numba_config.yaml").write_text('opt: "1"\n')
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert _madefrom.compiler_digest() == of_environment
    assert _madefrom.compiler_digest() == before


@pytest.mark.usefixtures("settings_again")
@pytest.mark.parametrize("name", ["NUMBA_CACHE_DIR", "NUMBA_FULL_TRACEBACKS", "NUMBA_THREADING_LAYER"])
def test_settings_that_make_no_other_code(monkeypatch, name):
    before = _madefrom.compiler_digest()
    monkeypatch.setenv(name, "1")
    assert _madefrom.compiler_digest() == before


def test_kernels_know_their_functions():
    assert digest(kernel(names_a_global)) == digest(names_a_global)
