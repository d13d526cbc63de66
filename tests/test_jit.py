"""The cache of compiled kernels: never stale, never mixed up, never in the way."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numba import types

import fastbp
from fastbp import _files, _jit

VECTOR = types.Array(types.float64, 1, "C")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder for this test."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(_jit, "_warned", False)
    return tmp_path / "kernels"


@pytest.fixture
def compiled(monkeypatch):
    """The names of the kernels that were compiled, not loaded."""
    names = []
    save = _jit._KernelCache.save_overload

    def noted(self, signature, data):
        names.append(self._function.__name__)
        save(self, signature, data)

    monkeypatch.setattr(_jit._KernelCache, "save_overload", noted)
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
    assert files[0] == folder / _jit.compiler_digest()
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
    monkeypatch.setattr(_jit.Path, "home", no_home)
    quiet_after_one_warning("Could not determine home directory")


def test_a_folder_that_can_only_be_read_is_read(folder, compiled, monkeypatch):
    run(double)

    def fail(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_jit, "replace_file", fail)
    assert run(double) == 2
    assert compiled == ["double"]


def test_a_folder_that_vanishes_is_made_again(folder, compiled):
    run(double)
    shutil.rmtree(folder)
    assert run(triple) == 3
    assert len(list(folder.rglob("*.kernel"))) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_other_users_may_read_the_cache(folder):
    mask = os.umask(0o022)
    try:
        run(double)
    finally:
        os.umask(mask)
    assert next(folder.rglob("*.kernel")).stat().st_mode & 0o777 == 0o644


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    assert _jit.cache_dir() == tmp_path
    monkeypatch.delenv("FASTBP_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _jit.cache_dir() == tmp_path / "xdg" / "fastbp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _jit.cache_dir() == Path.home() / ".cache" / "fastbp"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _jit.cache_dir() == Path.home() / "Library" / "Caches" / "fastbp"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert _jit.cache_dir() == tmp_path / "fastbp"


def test_addresses_are_those_of_the_one_machine_code(folder):
    kernel = _jit.kernel(double)
    assert _jit.address(kernel, VECTOR) == _jit.address(kernel, VECTOR) != 0


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
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, cwd=path, stdout=subprocess.PIPE, text=True)


def output_of(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output


def test_an_edited_callee_in_another_file_is_noticed(tmp_path):
    shutil.copytree(Path(fastbp.__file__).parent, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    settings = {"folder": tmp_path / "kernels", "path": tmp_path}
    assert float(output_of(start(SIGMOID, **settings))) == pytest.approx(1 / (1 + np.exp(-2)))
    with open(tmp_path / "fastbp" / "vecmath.py", "a") as file:
        file.write("\n\n@inline\ndef sigmoid(x):\n    return x + x\n")
    assert float(output_of(start(SIGMOID, **settings))) == 4.0
    assert len(list((tmp_path / "kernels").rglob("*.kernel"))) == 2


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
    expected = output_of(start(FIT + "print(fit())", folder=_jit.cache_dir())).strip()
    output = output_of(start(SPY + FIT + "print(fit(), *compiled)", folder=_jit.cache_dir()))
    assert output.split() == [expected]
