"""Files that earlier code wrote are read, and predict what they did: `tests/data/models`, a folder a version."""

import json
import runpy
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastbp
from fastbp.io.load import LOADERS

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "data" / "models"
WRITER = runpy.run_path(str(HERE / "model_files.py"))
FILES = sorted(MODELS.glob("*/*.fastbp"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file(path):
    case = json.loads((path.parent / "predictions.json").read_text())[path.stem]
    rows = pd.DataFrame(case["rows"]) if isinstance(case["rows"], dict) else np.array(case["rows"])
    model = fastbp.load_model(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.TableWarning)
        said = WRITER["predictions"](model, rows)
    for now, then in zip(said, case["predictions"], strict=True):
        # Of another CPU's vectors the sums differ in their last bits.
        assert (now is None) == (then is None)
        if now is not None:
            np.testing.assert_allclose(now, then, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file_written_again_is_the_same_model(path, tmp_path):
    fastbp.load_model(path).save(tmp_path / "again")
    before, after = load_file(path), load_file(tmp_path / "again")
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() or not before[name].size for name in before)


def test_weights_of_the_release_are_read():
    _, model, _ = next(WRITER["networks"]())
    weights = MODELS / "0.1.0" / "weights.safetensors"
    model.set_weights([0 * weight for weight in model.get_weights()])
    model.load_weights(weights)
    file = load_file(weights)
    assert all((view == file[name]).all() for name, view in model.views.items())


def test_every_kind_of_model_and_this_version_have_files():
    assert (MODELS / fastbp.__version__).is_dir(), f"python tests/io/model_files.py {MODELS / fastbp.__version__}"
    kinds = set()
    for path in (MODELS / fastbp.__version__).glob("*.fastbp"):
        with safe_open(path, "numpy") as file:
            kinds.add(json.loads(file.metadata()["fastbp"])["kind"])
    assert kinds == set(LOADERS)


def test_newer_format_is_refused_and_the_file_stays(tmp_path):
    source, path = MODELS / "0.1.0" / "normed.fastbp", tmp_path / "newer.fastbp"
    with safe_open(source, "numpy") as file:
        text = file.metadata()["fastbp"].replace('{"version": 1', '{"version": 2', 1)
    shutil.copy(source, path)
    save_file(load_file(source), path, {"fastbp": text})
    content = path.read_bytes()
    with pytest.raises(fastbp.ModelFileError, match=r"format version 2; this fastbp reads up to 1: upgrade fastbp"):
        fastbp.load_model(path)
    assert path.read_bytes() == content
