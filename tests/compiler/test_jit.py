"""The cache of compiled kernels: never stale, never mixed up, never in the way."""

import compileall
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.compiler import dispatchers as _dispatchers
from fastbp.compiler import jit as _jit
from fastbp.compiler import kernelcache as _kernelcache
from fastbp.compiler import kernelfolder as _kernelfolder
from fastbp.compiler.signatures import signature
from fastbp.io import files as _files
from tests.compiler import NO_GARBAGE


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    """What this file tests is compiled, and kept in the user's cache."""
    monkeypatch.setenv("FASTBP_KERNELS", "jit")


VECTOR = signature("f8[:]")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder for this test."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(_kernelcache, "_warned", False)
    monkeypatch.setattr(_kernelcache, "_pruned", False)
    return tmp_path / "kernels"


@pytest.fixture
def compiled(monkeypatch):
    """The names of the kernels that were compiled, not loaded."""
    names = []
    save = _kernelcache.KernelCache.save_overload

    def noted(self, signature, data):
        names.append(self._function.__name__)
        save(self, signature, data)

    monkeypatch.setattr(_kernelcache.KernelCache, "save_overload", noted)
    return names


def double(x):
    for i in range(x.size):
        x[i] *= 2.0


def triple(x):
    for i in range(x.size):
        x[i] *= 3.0


def run(function):
    """Compile a function anew, as a new process would, or load it from the cache; return what it makes of 1."""
    x = np.ones(3)
    _jit.kernel(function)(x)
    return x[0]


def test_kernels_are_kept_and_found_again(folder, compiled):
    assert run(double) == 2
    files = list(folder.rglob("*"))
    assert [path.name.split("-")[0] for path in files if path.is_file()] == ["double"]
    assert files[0] == folder / _kernelcache.compiler_digest()
    assert run(double) == 2
    assert compiled == ["double"]
    # Another signature is another file.
    x = np.ones(2, "float32")
    _jit.kernel(double)(x)
    assert x[0] == 2
    assert compiled == ["double", "double"]
    assert len(list(folder.rglob("*.kernel"))) == 2


def test_functions_of_one_name_are_not_mixed_up(folder, compiled):
    assert run(triple) == 3

    def triple_again():
        def triple(x):
            x[:] = 9.0

        return triple

    assert run(triple_again()) == 9
    assert run(triple) == 3
    assert compiled == ["triple", "triple"]


def flip(content):
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[:20], lambda content: content[:-1], flip, lambda content: b"x" * 500],
    ids=["empty", "no more than a digest", "cut short", "one bit", "foreign"],
)
def test_a_damaged_file_is_compiled_anew(folder, compiled, damage):
    run(double)
    path = next(folder.rglob("*.kernel"))
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert run(double) == 2
    assert compiled == ["double"] * 2
    assert run(double) == 2
    assert compiled == ["double"] * 2


def quiet_after_one_warning(match):
    with pytest.warns(RuntimeWarning, match=match) as caught:
        assert run(double) == 2
    assert len(caught) == 1
    assert "Set FASTBP_CACHE_DIR to a writable folder" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(triple) == 3


def test_a_folder_that_cannot_be_made_warns_once_and_works(folder):
    folder.write_text("a file is in the way")
    quiet_after_one_warning("cannot keep its compiled kernels")


def test_a_full_disk_warns_once_and_leaves_no_temporary_file(folder, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", fail)
    quiet_after_one_warning("No space left on device")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_machine_without_a_home_warns_once_and_works(folder, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FASTBP_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    quiet_after_one_warning("Could not determine home directory")


def test_a_folder_that_can_only_be_read_is_read(folder, compiled, monkeypatch):
    run(double)

    def fail(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_kernelcache, "replace_file", fail)
    assert run(double) == 2
    assert compiled == ["double"]


def test_a_folder_that_vanishes_is_made_again(folder, compiled):
    run(double)
    shutil.rmtree(folder)
    assert run(triple) == 3
    assert len(list(folder.rglob("*.kernel"))) == 1


# Whose the folder is: its files are code that runs

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")


@POSIX
@pytest.mark.parametrize("mask", [0o022, 0o000], ids=oct)
def test_folders_are_private_and_files_can_be_written_by_their_owner_only(folder, compiled, mask):
    mask = os.umask(mask)
    try:
        run(double)
    finally:
        os.umask(mask)
    path = next(folder.rglob("*.kernel"))
    assert [one.stat().st_mode & 0o777 for one in (folder, path.parent, path)] == [0o700, 0o700, 0o644]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(double)
    assert compiled == ["double"]


class Mark:
    """What leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def put(path, payload):
    """Write what a foreigner might: a file whose digest is right."""
    path.write_bytes(_kernelfolder.kernel_content(path, payload))


@POSIX
@pytest.mark.parametrize("place", ["file", "folder of the compiler", "cache folder"])
def test_what_others_can_write_is_ignored_with_one_warning(folder, compiled, tmp_path, place):
    run(double)
    path = next(folder.rglob("*.kernel"))
    put(path, pickle.dumps(Mark(tmp_path / "trace")))
    changed = {"file": path, "folder of the compiler": path.parent, "cache folder": folder}[place]
    changed.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=r"could be another user's code \(others may write to .*chmod go-w"):
        assert run(double) == 2
    assert not (tmp_path / "trace").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(double) == 2
    assert not (tmp_path / "trace").exists()
    # A file is replaced; into a folder of others nothing is written.
    assert compiled == ["double"] * (2 if place == "file" else 3)


@POSIX
def test_nothing_is_made_in_a_folder_that_is_refused(folder, compiled):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=rf"others may write to {re.escape(str(folder))}: chmod go-w"):
        assert run(double) == 2
    assert not list(folder.iterdir())
    folder.chmod(0o700)
    assert run(double) == 2
    assert len(list(folder.rglob("*.kernel"))) == 1
    assert compiled == ["double"] * 2


@POSIX
def test_what_belongs_to_another_user_is_ignored(folder, compiled, monkeypatch, tmp_path):
    run(double)
    path = next(folder.rglob("*.kernel"))
    put(path, pickle.dumps(Mark(tmp_path / "trace")))
    monkeypatch.setattr(_kernelfolder, "_ROOT", -1)  # the tests may run as root, whom everybody trusts
    owner = os.geteuid()
    monkeypatch.setattr(_kernelfolder.os, "geteuid", lambda: owner + 1)
    with pytest.warns(RuntimeWarning, match=rf"belongs to another user \(uid {owner}\).*a folder of your own"):
        assert run(double) == 2
    assert not (tmp_path / "trace").exists()


@POSIX
def test_a_common_temporary_folder_may_hold_the_cache(folder, compiled):
    folder.mkdir()
    folder.chmod(0o1777)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(double) == run(double) == 2
    assert compiled == ["double"]


@pytest.mark.parametrize(
    "payload",
    [pickle.dumps((1, 2)), pickle.dumps(None), b"", b"no pickle", pickle.dumps(ValueError), b"cno_module\nname\n."],
    ids=["two numbers", "nothing", "empty", "no pickle", "a class", "an unknown module"],
)
def test_a_foreign_content_is_compiled_anew(folder, compiled, payload):
    run(double)
    put(next(folder.rglob("*.kernel")), payload)
    assert run(double) == 2
    assert run(double) == 2
    assert compiled == ["double"] * 2


def test_a_kernel_under_another_ones_name_is_compiled_anew(folder, compiled):
    run(double)
    first = next(folder.rglob("*.kernel"))
    run(triple)
    second = next(path for path in folder.rglob("*.kernel") if path != first)
    shutil.copy(second, first)
    assert run(double) == 2
    assert compiled == ["double", "triple", "double"]


LARGE = np.full(300_000, 4.0)


def names_a_large_array(x):
    for i in range(x.size):
        x[i] *= LARGE[i]


def test_machine_code_with_addresses_is_not_kept(folder, compiled):
    """Numba leaves an array of more than a megabyte where it is: its address means nothing to another process."""
    assert run(names_a_large_array) == run(names_a_large_array) == 4
    assert compiled == ["names_a_large_array"] * 2
    assert not list(folder.rglob("*.kernel"))


# What is removed


def age(path, days):
    os.utime(path, (time.time() - days * 24 * 3600,) * 2)


def test_what_was_long_not_used_is_removed(folder, compiled, monkeypatch):
    run(double)
    path = next(folder.rglob("*.kernel"))
    old = folder / ("0123456789abcdef" + "0123")
    foreign = folder / "foreign"
    for one in (old, foreign):
        one.mkdir()
        (one / "of_old-1.kernel").write_bytes(b"x")
        (one / f".0123.7-abc{_files.ENDING}").write_bytes(b"x")
        for file in one.iterdir():
            age(file, 70)
        age(one, 70)
    (folder / "notes").write_text("of the user's")
    run(triple)  # which compiles, but not as the first of the process
    assert (old / "of_old-1.kernel").exists()
    age(path, 30)
    monkeypatch.setattr(_kernelcache, "_pruned", False)
    run(names_a_large_array)
    run(quadruple)
    assert path.exists()
    assert not list(old.iterdir())
    assert len(list(foreign.iterdir())) == 2
    assert (folder / "notes").exists()
    age(old, 2)
    age(path, 70)
    _kernelfolder.prune(folder)
    assert not old.exists()
    assert not path.exists()
    assert len(list(path.parent.glob("*.kernel"))) == 2


def quadruple(x):
    for i in range(x.size):
        x[i] *= 4.0


def test_a_use_is_noted_now_and_then(folder, compiled):
    run(double)
    path = next(folder.rglob("*.kernel"))
    age(path, 3)
    noted = path.stat().st_mtime
    run(double)
    assert path.stat().st_mtime == noted
    age(path, 20)
    run(double)
    assert path.stat().st_mtime > noted
    assert compiled == ["double"]


def test_the_oldest_of_too_much_are_removed(folder, monkeypatch):
    run(double)
    run(triple)
    first, second = folder.rglob("*.kernel")
    age(first, 2)
    monkeypatch.setattr(_kernelfolder, "_KEPT_BYTES", second.stat().st_size + 1)
    _kernelfolder.prune(folder)
    assert second.exists()
    assert not first.exists()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    assert _kernelfolder.cache_dir() == tmp_path
    monkeypatch.setenv("FASTBP_CACHE_DIR", "~/kernels")
    assert _kernelfolder.cache_dir() == Path.home() / "kernels"
    monkeypatch.delenv("FASTBP_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _kernelfolder.cache_dir() == tmp_path / "xdg" / "fastbp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _kernelfolder.cache_dir() == Path.home() / ".cache" / "fastbp"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _kernelfolder.cache_dir() == Path.home() / "Library" / "Caches" / "fastbp"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert _kernelfolder.cache_dir() == tmp_path / "fastbp"


def test_addresses_are_those_of_the_one_machine_code(folder):
    kernel = _jit.kernel(double)
    assert _jit.compiled_address(kernel, VECTOR) == _jit.compiled_address(kernel, VECTOR) != 0


# In processes of their own

SIGMOID = """
import numpy as np
from fastbp.activations import ACTIVATIONS
out, x = np.empty(3), np.full(3, 2.0)
ACTIVATIONS["sigmoid"].forward(out, x, 3, 0.0)
print(out[0])
"""


def start(script, *arguments, folder, path=None):
    environment = {**os.environ, "FASTBP_CACHE_DIR": str(folder)}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-W", "error", "-c", NO_GARBAGE + script, *arguments]
    return subprocess.Popen(command, env=environment, cwd=folder.parent, stdout=subprocess.PIPE, text=True)


def output_of(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output


@pytest.mark.parametrize("sources", [True, False], ids=["with sources", "without"])
def test_an_edited_callee_in_another_file_is_noticed(tmp_path, sources):
    package = tmp_path / "fastbp"
    shutil.copytree(Path(fastbp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / "kernels" / "vecmath.py").read_text()
    settings = {"folder": tmp_path / "kernels", "path": tmp_path}

    def made():
        if not sources:
            compileall.compile_dir(package, quiet=2, legacy=True)
            for path in package.rglob("*.py"):
                path.unlink()
        return float(output_of(start(SIGMOID, **settings)))

    assert made() == pytest.approx(1 / (1 + np.exp(-2)))
    (package / "kernels" / "vecmath.py").write_text(f"{text}\n\n@inline\ndef sigmoid(x):\n    return x + x\n")
    assert made() == 4.0
    assert len(list((tmp_path / "kernels").rglob("*.kernel"))) == 2


OWN = """
import numba
import numpy as np
from fastbp.compiler.jit import compiled_address
from fastbp.compiler.signatures import signature
from fastbp.custom import forward

@numba.njit
def helper(x):  # which calls itself: it stays a function of its own
    return x if x > 100 else helper(x * FACTOR)

class Own:
    @forward
    def forward(x, alpha):
        return helper(x)

def made():
    out = np.empty(1)
    Own.forward(out, np.ones(1), 1, 0.0)
    return out[0]

def place():
    return compiled_address(Own.forward, signature("f8[:] f8[:] i8 f8"))
"""
ALL = "import sys; from importlib import import_module; all = [import_module(name) for name in sys.argv[1:]]; "
SHOW = ALL + "print(*(one.made() for one in all), len({one.place() for one in all}))"


def test_kernels_of_one_name_that_two_processes_compiled_stay_apart(tmp_path):
    for name, factor in (("first", 3.0), ("second", 7.0)):
        (tmp_path / f"{name}.py").write_text(f"FACTOR = {factor}\n{OWN}")
    path = os.pathsep.join([str(tmp_path), str(Path(fastbp.__file__).parents[1])])
    settings = {"folder": tmp_path / "kernels", "path": path}
    assert output_of(start(SHOW, "first", **settings)).split() == ["243.0", "1"]
    assert output_of(start(SHOW, "second", **settings)).split() == ["343.0", "1"]
    assert output_of(start(SPY + SHOW, "first", "second", **settings)).split() == ["243.0", "343.0", "2"]
    assert len(list((tmp_path / "kernels").rglob("*.kernel"))) == 2


WITHOUT_COMPILER = """
import fastbp, numpy as np
from fastbp.custom import kernel
for need in (
    lambda: fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,)).predict(np.ones((3, 2))),
    lambda: fastbp.CustomLoss(lambda y_true, y_pred, dout: 0.0),
    lambda: kernel(lambda x: None)(np.ones(3)),
):
    try:
        need()
    except RuntimeError as error:
        print(error)
from fastbp.commands.main import main
assert main(["warmup"]) == 2
"""


def test_numba_told_to_compile_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    lines = output_of(start(WITHOUT_COMPILER, folder=tmp_path)).splitlines()
    assert sum(line.startswith("NUMBA_DISABLE_JIT is set: ") for line in lines) == 3


def test_the_tested_releases_of_numba_are_those_that_the_package_declares():
    with open(Path(fastbp.__file__).parents[1] / "pyproject.toml", "rb") as file:
        (declared,) = (one for one in tomllib.load(file)["project"]["dependencies"] if one.startswith("numba"))
    major, minor = _dispatchers._TESTED_NUMBA
    assert declared.endswith(f",<{major}.{minor + 1}")


PLAIN_INLINE = """
import numba
from fastbp.compiler import dispatchers
dispatchers._TESTED_NUMBA = (0, 0)  # this one is newer than what was tried, and has other private parts
dispatchers._InlineLibrary._finalize_final_module = lambda self: self.no_such_thing()
"""


def test_without_numbas_private_parts_inline_functions_are_compiled_plainly(tmp_path):
    assert float(output_of(start(PLAIN_INLINE + SIGMOID, folder=tmp_path))) == pytest.approx(1 / (1 + np.exp(-2)))


# Notes what is compiled, not loaded.
SPY = """
from numba.core import compiler
compile_extra, compiled = compiler.compile_extra, []
compiler.compile_extra = lambda *args, **kwargs: compiled.append(args[2].__name__) or compile_extra(*args, **kwargs)
"""

KERNELS = """
import sys
import numpy as np
from fastbp.activations import ACTIVATIONS
x = np.linspace(-2, 2, 12, dtype=sys.argv[1])
out, shares = np.empty_like(x), np.empty_like(x)
ACTIVATIONS["relu"].forward(out, x, 3, 0.0)
ACTIVATIONS["softmax"].forward(shares, x, 3, 0.0)
print(len(compiled), out.dtype, *(format(float(value), ".5f") for value in [*out, *shares]))
"""


def test_two_processes_compile_into_an_empty_cache_at_once(tmp_path):
    seen = set()
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        processes = [start(SPY + KERNELS, dtype, folder=folder) for dtype in ("float32", "float64")]
        outputs = [output_of(process).split() for process in processes]
        assert [output[1] for output in outputs] == ["float32", "float64"]
        assert all(int(output[0]) > 0 for output in outputs)
        seen |= {tuple(output[2:]) for output in outputs}
    x = np.linspace(-2, 2, 12)
    (results,) = seen
    np.testing.assert_allclose([float(value) for value in results[:12]], np.maximum(x, 0), atol=1e-5)
    shares = np.exp(x).reshape(4, 3) / np.exp(x).reshape(4, 3).sum(1, keepdims=True)
    np.testing.assert_allclose([float(value) for value in results[12:]], shares.ravel(), atol=1e-5)
    # The files are whole: a third process compiles nothing.
    assert output_of(start(SPY + KERNELS, "float32", folder=folder)).split() == ["0", "float32", *results]


FIT = """
import numpy as np
import fastbp

def fit():
    x = np.linspace(-1, 1, 40, dtype="float32").reshape(20, 2)
    layers = [fastbp.Dense(4, activation="relu"), fastbp.Dropout(0.2), fastbp.Dense(2, activation="softmax")]
    model = fastbp.Sequential(layers, seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, x[:, 0] > 0, batch_size=8, epochs=2, validation_split=0.2, verbose=0)
    return model.predict(x).tobytes().hex()
"""


def test_a_second_process_compiles_nothing():
    # The first one is a process too: this one may have kernels that it keeps elsewhere.
    expected = output_of(start(FIT + "print(fit())", folder=_kernelfolder.cache_dir())).strip()
    output = output_of(start(SPY + FIT + "print(fit(), *compiled)", folder=_kernelfolder.cache_dir()))
    assert output.split() == [expected]
