"""A wheel, installed in an environment that has no Numba: everything runs from its kernel library."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fastbp.compiler import library
from fastbp.compiler.levels import machine_levels

ROOT = Path(__file__).parents[1]
# What a library of every kernel has, and one of the demo's has not.
WHOLE = {"fastbp.layers.recurrent.lstm", "fastbp.layers.convolution.conv"}


def has_whole_library():
    index = library.library().file and library.library().file.index
    return index is not None and all(library.is_up_to_date(index, module) for module in WHOLE)


pytestmark = pytest.mark.skipif(not (ROOT / "hatch_build.py").exists(), reason="no source tree")


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("python /venv/bin/pip wheel . --no-deps", True),
        ("/venv/bin/python -m pip wheel .", True),
        ("python -m build --outdir dist", True),
        ("uv build", True),
        ("/venv/bin/python3 /venv/bin/pip install .", False),
        ("pip install ./wheel -e .[test]", False),
        ("uv pip install .", False),
        ("uv sync", False),
        ("bash -c whatever", False),
    ],
)
def test_who_makes_a_wheel_gets_every_kernel_and_who_installs_waits_for_a_few(command, whole):
    specification = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    in_between = ["python", "/venv/lib/_in_process.py", "build_wheel", "/tmp/x"]
    assert hook.tells_to_make_a_wheel([in_between, command.split(), ["bash"]]) is whole


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of an environment with the wheel and what it depends on, from which Numba was taken out again."""
    if not machine_levels():
        pytest.skip("this machine's CPU has no level")
    if not has_whole_library():
        pytest.skip("first run python -m fastbp.compiler.build --level machine")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    packed = {**os.environ, "FASTBP_BUILD": "none"}
    wheel = [*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run(wheel, env=packed, check=True)
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        name = path.name.lower()
        if "fastbp" not in name and not name.endswith((".pth", "__pycache__")) and not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    for path in packages.glob("numba*"):
        path.unlink()
    return python


def run(python, code, **settings):
    """Run code in the environment, with a home that nobody can make or write to."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FASTBP", "PYTHONPATH", "XDG"))}
    nowhere = "/dev/null/nobody"
    command = [str(python), "-W", "error", "-c", code]
    return subprocess.run(
        command, env=clean | {"HOME": nowhere} | settings, cwd=python.parents[1], capture_output=True, text=True
    )


EVERYTHING = """
import numpy as np, pandas as pd, fastbp, tempfile, sys
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 40)
networks = {
    "dense": ([fastbp.Dense(8, activation="relu"), fastbp.Dropout(0.2), fastbp.Dense(3, activation="softmax")], (5,)),
    "cnn": ([fastbp.Conv2D(4, 3, activation="relu"), fastbp.MaxPooling2D(), fastbp.Flatten(),
             fastbp.Dense(3, activation="softmax")], (8, 8, 1)),
    "lstm": ([fastbp.LSTM(4), fastbp.Dense(3, activation="softmax")], (6, 2)),
}
for dtype in ("float32", "float64"):
    for name, (layers, shape) in networks.items():
        x = rng.normal(size=(40, *shape))
        model = fastbp.Sequential(layers, seed=0, dtype=dtype)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, epochs=3, batch_size=16, validation_split=0.2, verbose=0).history
        assert np.isfinite(history["loss"]).all(), name
        path = tempfile.mktemp()
        model.save(path)
        assert (fastbp.load_model(path).predict(x) == model.predict(x)).all(), name
frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.choice(list("pqr"), 200)})
target = np.where(frame["a"] > 0, "yes", "no")
model = fastbp.TabularClassifier("fast", random_state=0).fit(frame, target)
assert model.score(frame, target) > 0.9
model.save(path)
assert (fastbp.load_model(path).predict_proba(frame) == model.predict_proba(frame)).all()
assert "numba" not in sys.modules
"""


def files_of(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_networks_train_predict_and_are_kept_without_numba(environment):
    """In a home that cannot be written to, and nothing is written beside the package either."""
    assert "No module named 'numba'" in run(environment, "import numba").stderr
    before = files_of(environment.parents[1])
    done = run(environment, EVERYTHING)
    assert done.returncode == 0, done.stderr
    assert files_of(environment.parents[1]) == before


def test_a_damaged_library_is_not_used(environment):
    """Without Numba that is an error that says so, with it kernels are compiled; either way it is said once."""
    (packages,) = environment.parents[1].glob("lib/python*/site-packages")
    (path,) = packages.glob(f"fastbp/compiler/built/{machine_levels()[0]}.kernels")
    content = path.read_bytes()
    code = "import numpy as np; from fastbp.kernels import arraymath; print(arraymath.exp(np.zeros(1)))"
    try:
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        alone = run(environment, code.replace("import", "import warnings; warnings.simplefilter('default'); import", 1))
        assert "index is damaged" in alone.stderr
        assert "pip install numba" in alone.stderr
        (packages / "numba").symlink_to(Path(sysconfig.get_path("purelib")) / "numba")
        code = code.replace("import", "import warnings; warnings.simplefilter('ignore'); import", 1)
        assert run(environment, code).stdout == "[1.]\n"
        told = run(environment, "from fastbp.commands.main import main; main(['info'])").stdout
        assert "index is damaged" in told
    finally:
        (packages / "numba").unlink(missing_ok=True)
        path.write_bytes(content)
