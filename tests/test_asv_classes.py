"""The asv suite: its folders are the package's, and what is skipped is torn down without an error."""

import importlib
import re
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


@pytest.mark.parametrize("peer", ["lightgbm", "sklearn"])
def test_start_of_a_peer_that_is_not_installed_is_skipped(peer, monkeypatch):
    monkeypatch.syspath_prepend(str(SUITE))
    startup = importlib.import_module("benchmarks.compiler.startup")
    monkeypatch.setattr(startup.importlib.util, "find_spec", lambda name: None)
    case = startup.PeersFirstFit()
    try:
        with pytest.raises(NotImplementedError, match=f"{peer} is not installed"):
            case.setup(peer)
        case.teardown(peer)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            del sys.modules[name]
