"""The asv suite: its folders are the package's, and what is skipped is torn down without an error."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUITE = ROOT / "asv_benchmarks"


def names_in(folder):
    """Return the names of the modules and packages in `folder`, without the ending."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def test_benchmarks_lie_in_folders_that_mirror_the_package():
    assert names_in(SUITE / "benchmarks") - names_in(ROOT / "fastbp") == {"shared"}


@pytest.mark.parametrize("path", sorted((SUITE / "benchmarks" / "shared").glob("*.py")), ids=lambda path: path.stem)
def test_shared_code_holds_no_benchmark(path):
    assert not re.search(r"def (time|track|mem|peakmem|timeraw)_", path.read_text())


IMPORT_ALL = """
import sys, threading
from asv_runner.discovery import disc_benchmarks
sys.path.insert(0, sys.argv[1])
count = len(list(disc_benchmarks(sys.argv[1] + "/benchmarks")))
peers = {"jax", "lightgbm", "onnx", "onnxruntime", "torch"}
print(count, threading.active_count(), *sorted(peers & sys.modules.keys()))
"""


def test_the_suite_can_be_forked():
    """What asv imports once and forks for each figure has no threads, and no peers: they are their classes' own."""
    command = [sys.executable, "-c", IMPORT_ALL, str(SUITE)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    assert int(told[0]) > 40
    assert told[1:] == ["1"]


@pytest.fixture
def suite(monkeypatch):
    """Benchmarks can be imported; later tests find none of their modules."""
    monkeypatch.syspath_prepend(str(SUITE))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.mark.usefixtures("suite")
def test_peak_of_a_small_process_is_not_that_of_a_large_parent():
    embedding = importlib.import_module("benchmarks.layers.embedding")
    held = b"x" * (600 << 20)
    assert 50 < embedding.peak(1000, False) < len(held) / 2**20


@pytest.mark.usefixtures("suite")
@pytest.mark.parametrize("peer", ["lightgbm", "sklearn"])
def test_start_of_a_peer_that_is_not_installed_is_skipped(peer, monkeypatch):
    startup = importlib.import_module("benchmarks.compiler.startup")
    monkeypatch.setattr(startup.importlib.util, "find_spec", lambda name: None)
    case = startup.PeersFirstFit()
    with pytest.raises(NotImplementedError, match=f"{peer} is not installed"):
        case.setup(peer)
    case.teardown(peer)
