"""Every script of examples/ runs, without a warning, and its own assertions hold."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(script, folder, *arguments):
    """Run a script in `folder`, where its pictures and files go; return what it printed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", str(script), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "MPLCONFIGDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{script.name} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example(script, tmp_path):
    assert len(run(script, tmp_path).splitlines()) >= 3


def test_compare_optimizers_draws_a_picture(tmp_path):
    run(ROOT / "examples" / "compare_optimizers.py", tmp_path, "--out", str(tmp_path / "ways.png"))
    assert (tmp_path / "ways.png").read_bytes().startswith(b"\x89PNG")


def test_digits_softmax_reads_the_mnist_file(tmp_path):
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
