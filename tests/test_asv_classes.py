"""The asv suite's classes: what is skipped is torn down without an error."""

import importlib
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).resolve().parents[1] / "asv_benchmarks"


@pytest.mark.parametrize("peer", ["lightgbm", "sklearn"])
def test_start_of_a_peer_that_is_not_installed_is_skipped(peer, monkeypatch):
    monkeypatch.syspath_prepend(str(SUITE))
    startup = importlib.import_module("benchmarks.startup")
    monkeypatch.setattr(startup.importlib.util, "find_spec", lambda name: None)
    case = startup.PeersFirstFit()
    try:
        with pytest.raises(NotImplementedError, match=f"{peer} is not installed"):
            case.setup(peer)
        case.teardown(peer)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            del sys.modules[name]
