"""CONTRIBUTING.md: its complete layer is tried as its text says, and what it names is there."""

import gc
import importlib
import re
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp.layers import LAYERS
from tests import oracles
from tests.layers import test_layers
from tests.reference import autodiff, network

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SOURCE, ORACLE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The two files as modules, the layer registered for as long as the test takes."""
    (tmp_path / "contributed_layer.py").write_text(SOURCE)
    (tmp_path / "contributed_oracle.py").write_text(ORACLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fastbp, "Bias", importlib.import_module("contributed_layer").Bias, raising=False)
    module = importlib.import_module("contributed_oracle")
    for table, one in ((autodiff.LAYERS, oracles.autodiff_of), (network.LAYERS, oracles.reference_of)):
        monkeypatch.setitem(table, "Bias", one(module))
    monkeypatch.setitem(network.REGULARIZERS, "Bias", module.REGULARIZERS)
    monkeypatch.setitem(test_layers.IN_FRONT, "Bias", fastbp.Reshape(module.SHAPE))
    yield module
    del LAYERS._classes["Bias"], sys.modules["contributed_layer"], sys.modules["contributed_oracle"]
    monkeypatch.undo()
    gc.collect()


def test_its_layer_is_complete(example):
    for layer in example.CASES:
        test_layers.test_finite_differences(layer)
        test_layers.test_gradient_is_the_reference_s(layer)
        test_layers.test_prediction(layer, "float32")
    test_layers.test_vjp_is_jax_s(example.CASES[1])
    test_layers.test_a_nan_in_a_row_stays_in_it(example.CASES[0])


def test_files_and_names_that_it_mentions_are_there():
    for path in re.findall(r"`((?:fastbp|tests|tools|asv_benchmarks)/[\w/]+\.py)`", TEXT):
        assert (ROOT / path).exists() or path.endswith("/bias.py"), path
    for path in re.findall(r"`((?!tests|tools|asv|fastbp|interop/c)[a-z]+/[\w/]+\.py)`", TEXT):
        assert (ROOT / "fastbp" / path).exists(), path
    for command in re.findall(r"python ((?:tools|asv_benchmarks)/\w+\.py)", TEXT):
        assert (ROOT / command).exists(), command


def test_the_version_is_the_same_everywhere():
    """The changelog begins with what is not published yet: the version, or "Unreleased" above the last one."""
    assert f"\nversion: {fastbp.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    headings = re.findall(r"^## (.+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [heading for heading in headings if heading != "Unreleased"]
    assert versions[0].split(" - ")[0] == fastbp.__version__
    assert headings.count("Unreleased") <= (headings[0] == "Unreleased")
    assert not any("unreleased" in version for version in versions[1:])
