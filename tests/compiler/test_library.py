"""The kernel library: what is taken from it, what is not, and that nothing of it is trusted unread."""

import compileall
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from llvmlite import binding

import fastbp
from fastbp.commands.main import main
from fastbp.compiler import build, jit, library
from fastbp.compiler.levels import LEVELS, LevelError, machine_levels, runnable_levels
from fastbp.compiler.libraryfile import MAGIC, LibraryFile, key_of, library_content
from fastbp.compiler.signatures import signature
from fastbp.compiler.sources import file_digest, file_size, modules_behind
from tests.compiler import NO_GARBAGE

on_a_level = pytest.mark.skipif(not machine_levels(), reason="this machine's CPU has no level")
VECTOR = signature("f8[:]")


def double(x):
    for i in range(x.size):
        x[i] *= 2.0


def kernel_of_ours():
    """Return a kernel that passes for one of the package's."""
    made = jit.Kernel(double)
    made.module, made.qualname = "fastbp.kernels.rng", "double"
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of that of the libraries, in a process that has looked at none."""
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    monkeypatch.delenv("FASTBP_KERNELS", raising=False)
    for name in [name for name in os.environ if name.startswith("NUMBA_")]:
        monkeypatch.delenv(name)
    caches = library.library, library._warn_of, library._is_unchanged, machine_levels
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def compiled_object(kernel, level=None):
    """Return the object file of a kernel for a level, or this machine's, compiled in a process of its own."""
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from fastbp.compiler.levels import LEVELS
        from fastbp.compiler.libraryfile import key_of, symbol_of
        from fastbp.compiler import machinecode
        from tests.compiler import test_library
        machinecode.compile_for(LEVELS[{level or machine_levels()[0]!r}])
        kernel = test_library.kernel_of_ours()
        symbol = symbol_of(key_of(kernel, test_library.VECTOR))
        code, returns = machinecode.object_of(kernel, test_library.VECTOR, symbol)
        assert returns == ""
        sys.stdout.buffer.write(code)
    """
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def content():
    """A library of one kernel."""
    kernel = kernel_of_ours()
    objects = {key_of(kernel, VECTOR): (compiled_object(kernel), "")}
    return made(objects)


def sources_of(kernel):
    """Return what a library says of the files behind a kernel."""
    behind = {kernel.module: modules_behind(kernel.module)}
    return {name: (file_digest(name), file_size(name)) for name in behind[kernel.module]}, behind


def made(objects, level=None, version=fastbp.__version__, sources=None):
    known, behind = sources_of(kernel_of_ours())
    return library_content(level or machine_levels()[0], {"fastbp": version}, known | (sources or {}), behind, objects)


def put(folder, content):
    (folder / f"{machine_levels()[0]}.kernels").write_bytes(content)


def find():
    return library.find(kernel_of_ours(), VECTOR)


@on_a_level
def test_a_kernel_is_linked_and_called(folder, content):
    put(folder, content)
    kernel, x = kernel_of_ours(), np.arange(3.0)
    kernel.code(VECTOR)
    kernel(x)
    assert x.tolist() == [0, 2, 4]
    assert kernel._codes[VECTOR] == find() or find().entry  # linked anew, for an object of its own


@on_a_level
def test_what_it_has_not_is_compiled(folder, content):
    put(folder, content)
    assert library.find(kernel_of_ours(), signature("f4[:]")) is None
    assert library.find(jit.Kernel(double), VECTOR) is None  # a user's


@on_a_level
@pytest.mark.parametrize(
    ("name", "value"), [("FASTBP_KERNELS", "jit"), ("NUMBA_OPT", "0"), ("NUMBA_CPU_NAME", "x86-64")]
)
def test_settings_that_ask_for_other_code(folder, content, monkeypatch, name, value):
    put(folder, content)
    assert find() is not None
    monkeypatch.setenv(name, value)
    assert find() is None


@on_a_level
def test_settings_in_a_file_and_in_python(folder, content, monkeypatch, tmp_path):
    put(folder, content)
    from numba.core import config

    with monkeypatch.context() as changed:
        changed.setattr(config, "ENABLE_AVX", 0)
        assert find() is None
    assert find() is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".numba_config.yaml").write_text("enable_avx: 0")
    assert find() is None


@on_a_level
def test_an_edited_source_has_its_kernels_compiled(folder, content):
    put(folder, made({}, sources={"fastbp.compiler.jit": ("another digest", 1)}))
    index = library.library().file.index
    assert not library.is_up_to_date(index, "fastbp.kernels.rng")
    assert not library.is_up_to_date(index, "fastbp.kernels.tile")  # of which it knows nothing


@on_a_level
def test_without_a_library_nobody_is_warned(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find() is None


def flipped(content, place):
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@on_a_level
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: b"", "no library"),
        (lambda content: content[:40], "no library"),
        (lambda content: b"x" + content, "no library"),
        (lambda content: flipped(content, 20), "index is damaged"),  # the digest
        (lambda content: flipped(content, 90), "index is damaged"),
        (lambda content: content[:-1], "cut short"),
        (lambda content: content + b"x", "longer"),
        (lambda content: flipped(content, -100), "machine code is damaged"),
        (lambda content: made({}, level="aarch64" if machine_levels()[0] != "aarch64" else "x86-64-v3"), "it is for"),
        (lambda content: made({}, version="0.0.1"), r"of fastbp 0\.0\.1"),
    ],
)
def test_a_file_that_does_not_fit_is_warned_of_once(folder, content, damage, reason, capsys):
    put(folder, damage(content))
    with pytest.warns(RuntimeWarning, match=reason) as caught:
        assert [find(), find()] == [None, None]
    assert len(caught) == 1
    assert "python -m fastbp.compiler.build" in str(caught[0].message)
    library.library.cache_clear()
    assert main(["info"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("kernel library"))
    assert re.search(reason.replace("machine code is", "machine code of 1 kernels is"), line)


@on_a_level
@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'{"sources": [], "behind": {"a": [9]}, "kernels": {}}',
        b'{"sources": [], "behind": [1], "kernels": {}}',
        b'{"sources": [], "behind": {}, "kernels": {"a": [0]}}',
        b'{"sources": [], "behind": {}, "kernels": {"a": [0, "x", "", "", ""]}}',
        b'{"sources": [], "behind": {}, "kernels": {}, "level": "", "versions": ["x"]}',
    ],
    ids=lambda index: index[:60].decode(errors="replace"),
)
def test_an_index_of_another_shape_is_refused(folder, index, capsys):
    """Its digest fits: another program, or another version, wrote it."""
    head = MAGIC + hashlib.sha256(index).digest() + struct.pack("<Q", len(index))
    (folder / f"{machine_levels()[0]}.kernels").write_bytes(head + index)
    with pytest.warns(RuntimeWarning, match="its index is none of this version"):
        assert [find(), find()] == [None, None]
    assert main(["info"]) == 0
    assert "its index is none of this version" in capsys.readouterr().out


WHILE_ANOTHER_THREAD_COMPILES = """
import os, signal, threading, time
import numpy as np
from fastbp.compiler import jit
from fastbp.engine import threads

def double(x):
    x[0] *= 2.0

jit.Kernel(double)(np.ones(1))  # Numba is there
compile, begun = jit.Kernel._compiled, threading.Event()

def compiled(kernel, of):
    begun.set()
    time.sleep(0.1)  # the fork begins, and waits
    return compile(kernel, of)

jit.Kernel._compiled = compiled
signal.alarm(60)  # ends a process that waits for ever
thread = threading.Thread(target=jit.Kernel(double), args=(np.ones(1),))
thread.start()
begun.wait()
child = os.fork()
jit.Kernel._compiled = compile
x = np.ones(1)
if child == 0:
    signal.alarm(30)
    jit.Kernel(double)(x)
    os._exit(int(x[0]))
thread.join()
jit.Kernel(double)(x)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), x[0])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_was_forked_while_a_thread_compiled_can_compile():
    assert run_python(WHILE_ANOTHER_THREAD_COMPILES) == ["2", "2.0"]


def test_a_build_takes_over_machine_code_of_the_same_level_alone(tmp_path):
    """A file that was given another level's name would mix two widths of vectors."""
    kernel = kernel_of_ours()
    key = key_of(kernel, VECTOR)
    content = library_content("x86-64-v3", build.versions(), *sources_of(kernel), {key: (b"code", "")})
    (tmp_path / "x").write_bytes(content)
    kernels = {key: (kernel, VECTOR)}
    assert build._kept(tmp_path / "x", "x86-64-v3", kernels) == {key: (b"code", "")}
    assert build._kept(tmp_path / "x", "x86-64-v4", kernels) == {}


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_wrong_number_of_processes_is_named(number, capsys):
    with pytest.raises(SystemExit):
        build.main(["--processes", number])
    assert f"{number!r} is no whole number of at least 1" in capsys.readouterr().err


def test_an_index_says_what_was_put_in(tmp_path):
    objects = {"b": (b"second", "f8"), "a": (b"first", "")}
    content = made(objects, level="x86-64-v3")
    assert content == made(dict(sorted(objects.items())), level="x86-64-v3")
    (tmp_path / "x").write_bytes(content)
    file = LibraryFile(tmp_path / "x")
    assert {key: (file.code(entry), entry.returns) for key, entry in file.index.kernels.items()} == objects
    assert file.index.level == "x86-64-v3"
    assert b"pickle" not in content


@pytest.mark.parametrize(
    ("machine", "features", "level"),
    [
        ("x86_64", LEVELS["x86-64-v4"].features, "x86-64-v4"),
        ("x86_64", LEVELS["x86-64-v3"].features, "x86-64-v3"),
        ("x86_64", (*LEVELS["x86-64-v3"].features, "avx512f"), None),  # whose own tiles are wider
        ("x86_64", ("sse2", "avx"), None),
        ("aarch64", ("neon", "sve"), "aarch64"),
        ("riscv64", (), None),
    ],
)
def test_a_machine_has_the_level_with_vectors_of_its_own_width(monkeypatch, machine, features, level):
    """Panels of a matrix are as wide as the tiles of whoever packs them, and another kernel may read them."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
    assert machine_levels.__wrapped__() == (() if level is None else (level,))


COMPILE = """
import sys, hashlib, json, re
from fastbp.compiler.levels import LEVELS
from fastbp.compiler import machinecode
from fastbp.kernels import rng, tile
from fastbp.compiler.signatures import signature
import numpy as np
level, order = sys.argv[1:]
machinecode.compile_for(LEVELS[level])
f = np.dtype("float32")
kernels = {
    "product": (tile.product, signature("f* i8 f* i8 f* i8 i8 f* i8 i8 i8 i8", f=f)),
    "shuffle": (rng.shuffle, signature("i8[:] i8 i8")),
}
emit, assembly = machinecode._emit, []
def noted(module, names):
    code = emit(module, names)
    assembly.append(machinecode.cpu_target.target_context._internal_codegen._tm.emit_assembly(module))
    return code
machinecode._emit = noted
digests = {}
for name in sorted(kernels, reverse=order == "backward"):
    code, _ = machinecode.object_of(*kernels[name], name)
    digests[name] = hashlib.sha256(code).hexdigest()
text = "".join(assembly)
neon, calls = re.findall(r"fmla\\s+v\\d+\\.4s", text), re.findall(r"\\bbl\\s+fma", text)
words = {"zmm": text.count("%zmm"), "ymm": text.count("%ymm"), "neon": len(neon), "calls": len(calls)}
print(json.dumps({"digests": digests} | words))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_machine_code_of_a_level(level):
    """Compiled and read, **not run** here: vectors as wide as the level has, and no call of the C library's fma."""
    found = compiled_for(level, "forward")
    assert (found["zmm"] > 50) == (level == "x86-64-v4")
    assert found["ymm"] > 50 or level != "x86-64-v3"
    assert (found["neon"] > 10) == (level == "aarch64")
    assert found["calls"] == 0


def test_the_same_sources_give_the_same_bytes():
    """Whatever the process has compiled before."""
    found = [compiled_for("x86-64-v3", order)["digests"] for order in ("forward", "backward")]
    assert found[0] == found[1]


def compiled_for(level, order):
    run = subprocess.run([sys.executable, "-c", COMPILE, level, order], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_a_library_calls_no_function_of_mathematics():
    """The C library's logarithm has other last bits on other machines."""
    code = """
        import math
        from fastbp.compiler import jit, machinecode
        from fastbp.compiler.levels import LEVELS
        from fastbp.compiler.signatures import signature
        def logarithm(x):
            x[0] = math.log(x[0])
        machinecode.compile_for(LEVELS["x86-64-v3"])
        try:
            machinecode.object_of(jit.Kernel(logarithm), signature("f8[:]"), "x")
        except machinecode.ForeignCodeError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("logarithm calls log\n")


def is_whole():
    """Does this machine have a library of all kernels, made from these sources?"""
    index = library.library().file and library.library().file.index
    return index is not None and library.is_up_to_date(index, "fastbp.layers.recurrent.lstm")


needs_a_whole_library = pytest.mark.skipif(
    not is_whole(), reason="first run python -m fastbp.compiler.build --level machine"
)
FIT = """
import hashlib, numpy as np, fastbp, sys
rng = np.random.default_rng(0)
x, y = rng.normal(size=(300, 21)), rng.integers(0, 3, 300)
layers = [fastbp.Dense(37, activation="gelu"), fastbp.Dropout(0.2), fastbp.Dense(3, activation="softmax")]
model = fastbp.Sequential(layers, seed=0)
model.compile("adam", "sparse_categorical_crossentropy")
losses = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history["loss"]
held = (model.predict(x), model.params, np.array(losses))
heavy = sorted({"numba", "scipy", "sklearn", "pandas"} & set(sys.modules))
print(hashlib.sha256(b"".join(part.tobytes() for part in held)).hexdigest(), *heavy)
"""


def run_python(code, **settings):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "FASTBP_KERNELS"))}
    command = [sys.executable, "-c", NO_GARBAGE + code]
    run = subprocess.run(command, env=clean | settings, capture_output=True, text=True, check=True)
    return run.stdout.split()


@needs_a_whole_library
def test_the_bits_are_those_that_numba_compiles_for_the_level():
    level = LEVELS[library.library().file.index.level]
    told = run_python(FIT)
    compiled = run_python(FIT, NUMBA_CPU_NAME=level.cpu, NUMBA_CPU_FEATURES=level.flags)
    assert told == compiled[:1]  # and nothing heavy is imported
    assert "numba" in compiled


SIGMOID = """
import sys, numpy as np
sys.path.insert(0, {folder!r})
import fastbp
from fastbp.engine.output_activation import apply_activation
sigmoid = fastbp.activations.ACTIVATIONS["sigmoid"]()
print(apply_activation(sigmoid, np.full((1, 1), 2.0)).item(), "numba" in sys.modules)
"""


@needs_a_whole_library
@pytest.mark.parametrize("sources", [True, False], ids=["with sources", "without"])
def test_an_edit_of_a_callee_in_another_file_is_noticed(tmp_path, sources):
    package = tmp_path / "fastbp"
    shutil.copytree(Path(fastbp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / "kernels" / "vecmath.py").read_text()

    def made():
        if not sources:
            compileall.compile_dir(package, quiet=2, legacy=True)
            for path in package.rglob("*.py"):
                path.unlink()
        value, numba = run_python(SIGMOID.format(folder=str(tmp_path)))
        return float(value), numba

    assert made() == (pytest.approx(1 / (1 + np.exp(-2))), "False")
    (package / "kernels" / "vecmath.py").write_text(f"{text}\n\n@inline\ndef sigmoid(x):\n    return x + x\n")
    assert made() == (4.0, "True")


@on_a_level
def test_a_level_that_is_named_stands_for_the_cpu(folder, monkeypatch):
    """The narrowest one that this machine can run: its library is taken, though the CPU's own vectors are wider."""
    level = runnable_levels()[-1]
    monkeypatch.setenv("FASTBP_KERNELS", level.upper())
    kernel, x = kernel_of_ours(), np.arange(3.0)
    put(folder, made({key_of(kernel, VECTOR): (compiled_object(kernel, level), "")}))
    assert library.library().file.index.level == level
    assert library.find(kernel, VECTOR) is not None
    kernel(x)
    assert x.tolist() == [0, 2, 4]


@pytest.mark.parametrize("name", ["v3", "x86-64-v9", "jit!"])
def test_a_level_that_is_none_is_an_error_that_names_the_levels(folder, monkeypatch, name, capsys):
    monkeypatch.setenv("FASTBP_KERNELS", name)
    with pytest.raises(LevelError, match=f"FASTBP_KERNELS is '{name}': this machine can run jit"):
        find()
    assert main(["info"]) == 2
    assert f"FASTBP_KERNELS is '{name}'" in capsys.readouterr().err


NAMED = """
import fastbp, sys
{before}
from fastbp.compiler import dispatchers
from numba.core.registry import cpu_target
print(*cpu_target.target_context.codegen().magic_tuple()[1:])
"""


@on_a_level
def test_what_is_compiled_beside_a_named_level_is_compiled_for_it():
    level = LEVELS[runnable_levels()[-1]]
    assert run_python(NAMED.format(before=""), FASTBP_KERNELS=level.name) == [level.cpu, level.flags]


@on_a_level
def test_numba_that_has_compiled_for_the_cpu_before_is_told_of():
    """Two widths in one process would mix two layouts of panels."""
    code = NAMED.format(before="import numba; numba.njit(lambda x: x + 1)(1)")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run_python(code, FASTBP_KERNELS=runnable_levels()[-1])
    assert "set also NUMBA_CPU_NAME=" in raised.value.stderr


@pytest.mark.skipif(
    not all((library.FOLDER / f"{name}.kernels").exists() for name in runnable_levels()),
    reason="first run python -m fastbp.compiler.build",
)
@pytest.mark.parametrize("name", [name for name in runnable_levels() if name not in machine_levels()])
def test_a_narrower_level_has_the_bits_that_numba_compiles_for_it(name):
    told = run_python(FIT, FASTBP_KERNELS=name)
    level = LEVELS[name]
    assert told == run_python(FIT, NUMBA_CPU_NAME=level.cpu, NUMBA_CPU_FEATURES=level.flags)[:1]


def test_numba_that_another_thread_is_importing_asks_for_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.core.config", ModuleType("numba.core.config"))
    assert not library.wants_compiling()
    sys.modules["numba.core.config"].CPU_NAME = "haswell"
    assert library.wants_compiling()
