"""Every script of examples/ runs, without a warning, and its own assertions hold."""

import ast
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TIMEOUT = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run scripts in forks of one process (script_server.py)."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "script_server.py")]
    environment = os.environ | {"PYTHONPATH": path, "MPLCONFIGDIR": str(tmp_path_factory.mktemp("matplotlib"))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # A group of its own: a script that hangs is ended with it.
    with subprocess.Popen(command, text=True, env=environment, start_new_session=True, **pipes) as process:
        yield process


@pytest.fixture
def run(server, tmp_path_factory):
    """Return a function that runs a script in a folder, where its files go, and returns what it printed."""
    out = tmp_path_factory.mktemp("printed") / "out"

    def run_script(script, folder, *arguments):
        request = {"script": str(script), "arguments": arguments, "folder": str(folder), "out": str(out)}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], TIMEOUT)[0]:
            os.killpg(server.pid, 9)
            pytest.fail(f"{script.name} has run for {TIMEOUT} seconds.")
        code = server.stdout.readline().strip()
        assert code == "0", f"{script.name} ended with {code}:\n{out.read_text()}\n{Path(f'{out}.err').read_text()}"
        return out.read_text()

    return run_script


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example(script, run, tmp_path):
    assert len(run(script, tmp_path).splitlines()) >= 3


def test_examples_name_the_modules_that_they_use():
    """The process that runs them has imported some: after `import sklearn` alone `sklearn.metrics` would be found."""
    nodes = [node for script in EXAMPLES for node in ast.walk(ast.parse(script.read_text()))]
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert "numpy" in names
    assert not names & {"sklearn", "scipy"}


def test_a_script_that_fails_warns_or_needs_an_import_is_told(run, tmp_path):
    for code, told in (
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('odd')", "odd"),
        ("np", "NameError"),
    ):
        script = tmp_path / "script.py"
        script.write_text(f"print('before')\n{code}\n")
        with pytest.raises(AssertionError, match=rf"(?s)script.py ended with 1:.*before.*{told}"):
            run(script, tmp_path)
    script.write_text("import sys; print(sys.argv[1:], __name__, sys.path[0]); sys.exit(0)")
    assert run(script, tmp_path, "--a", "b") == f"['--a', 'b'] __main__ {tmp_path}\n"


def test_compare_optimizers_draws_a_picture(run, tmp_path):
    run(ROOT / "examples" / "compare_optimizers.py", tmp_path, "--out", str(tmp_path / "ways.png"))
    assert (tmp_path / "ways.png").read_bytes().startswith(b"\x89PNG")


def test_digits_softmax_reads_the_mnist_file(run, tmp_path):
    # Ten random pictures of 28 x 28 stand for the digits; the rows are noisy copies of them.
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 200, size=(10, 28, 28))
    arrays = {}
    for part, n in (("train", 600), ("test", 100)):
        labels = rng.integers(0, 10, size=n)
        arrays |= {f"x_{part}": pictures[labels] + rng.integers(0, 56, size=(n, 28, 28)), f"y_{part}": labels}
    np.savez(tmp_path / "mnist.npz", **arrays)
    script = ROOT / "examples" / "digits_softmax.py"
    assert "(n, 784)" in run(script, tmp_path, "--mnist", "mnist.npz", "--epochs", "2")
