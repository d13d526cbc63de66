"""Files that somebody made, with a checksum that is right: refused at loading, or models that predict."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.io import saving
from fastbp.io.saving import load_tensors, save_tensors

TESTS = Path(__file__).parents[1]


def test_fuzz(tmp_path):
    """Five hundred mutated files of all kinds, loaded in a process that may crash."""
    words = [sys.executable, "-X", "faulthandler", str(TESTS / "fuzz_files.py"), "500", "0"]
    environment = os.environ | {"FUZZED": str(tmp_path / "last")}
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    counts = {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in result.stdout.splitlines()}
    assert sum(counts.values()) == 500
    for kind in ("sequential", "estimator", "tabular"):
        assert counts[f"{kind} refused"] > 0
        assert counts[f"{kind} predicts"] > 0


def refused(path, tensors, description, message):
    save_tensors(path, tensors, description)
    with pytest.raises(fastbp.ModelFileError, match=message):
        fastbp.load_model(path)


@pytest.fixture(scope="module")
def mlp():
    rng = np.random.default_rng(0)
    settings = {"hidden_layer_sizes": (4,), "max_iter": 300, "tol": 1.0, "n_iter_no_change": 1}
    model = fastbp.MLPClassifier(**settings, random_state=np.random.RandomState(0))
    return model.fit(rng.normal(size=(40, 3)), rng.integers(0, 3, 40)).get_state()


def one_hot(described):
    described["model"]["layers"].insert(0, {"class": "layer/OneHot", "settings": {"cardinalities": [1, 1, 1]}})


def set_in(path, value):
    """Return a change of a description: what stands at a path of keys."""

    def change(described):
        for key in path[:-1]:
            described = described[key]
        described[path[-1]] = value

    return change


def random_state(key, value):
    return set_in(("parameters", "random_state", "random_state", *key), value)


ESTIMATOR_CHANGES = [
    (set_in(("fitted", "n_features_in_"), 10**6), "the features: .*3,.* in one place of the file, .*1000000"),
    (set_in(("fitted", "n_features_in_"), 2), "the features"),
    (set_in(("fitted", "n_outputs_"), 2), "the outputs"),
    (set_in(("fitted", "n_layers_"), 4), "the layers"),
    (set_in(("fitted", "out_activation_"), "logistic"), "the last activation"),
    (set_in(("fitted", "_label_kind"), "binary"), "the classes"),
    (set_in(("fitted", "t_"), 2**70), "t_ is 1180591620717411303424; it should be a whole number"),
    (set_in(("fitted", "loss_curve_"), ["x"]), "loss_curve_ is 'x'; it should be a number"),
    (set_in(("names", "classes_"), ["<i8", [0, 1]]), "the classes"),
    (set_in(("names", "classes_"), ["<U99999999", ["a", "b", "c"]]), "classes_ has the dtype"),
    (set_in(("names", "classes_"), ["V8", ["a", "b", "c"]]), "classes_ has the dtype"),
    (set_in(("names", "feature_names_in_"), ["O", ["a", "b"]]), "the features' names"),
    (set_in(("model", "input_shape"), [4]), "'dense/kernel' has shape"),
    (set_in(("model", "step"), -1), "step is -1"),
    (set_in(("parameters", "n_threads"), -1), "n_threads"),
    (set_in(("parameters", "alpha"), "x"), "alpha"),
    (one_hot, "no layer OneHot"),
    (random_state(("state", "pos"), 10**9), "pos is 1000000000; it should be a whole number from 0 to 624"),
    (random_state(("state", "key"), [1, 2]), "key is .*list of 624 values"),
]


@pytest.mark.parametrize(("change", "message"), ESTIMATOR_CHANGES)
def test_estimators_whose_parts_do_not_agree(tmp_path, mlp, change, message):
    tensors, description = mlp
    description = json.loads(json.dumps(description))
    change(description)
    refused(tmp_path / "m", tensors, description, message)


@pytest.fixture(scope="module")
def wine():
    """The state of a tabular classifier, of one network, with columns of all kinds."""
    from tests.fuzz_files import table

    rng = np.random.default_rng(0)
    model = fastbp.TabularClassifier("fast", time_limit=0.01, random_state=0)
    return model.fit(table(rng, 80), rng.integers(0, 3, 80)).get_state()


def coder(described, kind):
    return next(c["settings"] for c in described["encoder"]["coders"] if c["coder"] == kind)


def embedding(described):
    branches = described["ensemble"]["networks"][0]["layers"][0]["settings"]["branches"]
    return next(b for b in branches if len(b) > 1 and b[1]["class"] == "layer/CategoryEmbedding")


TABULAR_CHANGES = [
    (lambda d: coder(d, "category")["texts"].append("new"), "the (width of encoded rows|categories)"),
    (lambda d: coder(d, "category")["texts"].pop(), "the (width of encoded rows|categories)"),
    (lambda d: coder(d, "category")["texts"].append(5), "an entry of texts is 5"),
    (lambda d: coder(d, "number")["scales"].append([0.0, 1.0]), "scales is"),
    (lambda d: coder(d, "number")["scales"][0].__setitem__(1, 0.0), "scale"),
    (lambda d: coder(d, "number").update(indicator=None), "the width of encoded rows"),
    (lambda d: coder(d, "date")["parts"].append("century"), "'century'"),
    (lambda d: embedding(d)[1]["settings"].update(cardinalities=[900]), "'categoryembedding/column_0' has shape"),
    (lambda d: embedding(d)[1].update({"class": "layer/OneHot", "settings": {"cardinalities": [90]}}), "tensor|layer"),
    (lambda d: embedding(d)[0]["settings"].update(columns=[0]), "0.5: CategoryEmbedding takes whole numbers"),
    (lambda d: d["encoder"]["coders"].pop(), "the (width of encoded rows|categories)"),
    (lambda d: d["encoder"]["coders"].append(d["encoder"]["coders"][0]), "two of one name"),
    (lambda d: d["encoder"]["feature_names_in"].remove("many"), "there is no feature 'many'"),
    (lambda d: d["target"].update(classes=["<i8", [0, 1]]), "the outputs"),
    (lambda d: d["target"].update(classes=["<i8", []]), "a classifier has 0 classes"),
    (lambda d: d["ensemble"].update(networks=[]), "there are no networks"),
    (lambda d: d["ensemble"].update(temperature=0.0), "temperature is 0.0"),
    (lambda d: d["ensemble"].update(strength=1.0), "keys"),
    (lambda d: d["ensemble"]["networks"][0].update(input_shape=[1000]), "the width of encoded rows"),
    (lambda d: d.update(named="yes"), "named is 'yes'; it should be true or false"),
    (lambda d: d.update(best_score=[]), "best_score"),
]


@pytest.mark.parametrize(("change", "message"), TABULAR_CHANGES)
def test_tabular_estimators_whose_parts_do_not_agree(tmp_path, wine, change, message):
    tensors, description = wine
    description = json.loads(json.dumps(description))
    change(description)
    refused(tmp_path / "m", tensors, description, message)


def description_of(layers, shape=(4,), **more):
    return {
        "kind": "sequential",
        "layers": [{"class": f"layer/{name}", "settings": settings} for name, settings in layers],
        "input_shape": list(shape),
        "dtype": "float32",
        "seed": 0,
        "step": 0,
        "epoch": 0,
    } | more


SMALL_FILES = [
    (description_of([("Dense", {"units": 2**30})]), "the tensor 'dense/kernel' is missing"),
    (description_of([("Embedding", {"input_dim": 2**24, "output_dim": 64})]), "'embedding/embeddings' is missing"),
    (description_of([("Dense", {"units": 2**62})]), "units=4611686018427387904"),
    (description_of([("RepeatMembers", {"members": 2**30})] * 3), "too large, by far"),
    (description_of([("Flatten", {})], step=2**70), "step is 1180591620717411303424"),
    (description_of([("Flatten", {})], epoch=0.5), "epoch is 0.5"),
    (description_of([("Flatten", {})], seed=-1), "seed=-1"),
    (description_of([("Flatten", {})], shape=(2**70,)), "input_shape"),
    (description_of([("MaxPooling1D", {"pool_size": 1, "strides": 2**62})], shape=(4, 2)), "strides="),
    (description_of([("GRU", {"units": 1, "go_backwards": {"a": 1}})], shape=(4, 2)), "go_backwards"),
]


@pytest.mark.parametrize(("description", "message"), SMALL_FILES)
def test_sizes_are_compared_with_the_file_before_anything_is_made(tmp_path, description, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "m", {}, description, message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_deep_descriptions(tmp_path, monkeypatch):
    nested = '{"version": 1, "kind": "sequential", "layers": ' + "[" * 10**5 + "]" * 10**5 + "}"
    monkeypatch.setattr(saving.json, "dumps", lambda value: nested)
    save_tensors(tmp_path / "m", {}, {})
    monkeypatch.undo()
    with pytest.raises(fastbp.ModelFileError, match="a description that fastbp cannot read"):
        fastbp.load_model(tmp_path / "m")
    deep = []
    for _ in range(600):
        deep = [deep]
    settings = {"branches": deep}
    refused(tmp_path / "m", {}, description_of([("Concatenate", settings)]), "does not describe a whole model")


def test_long_descriptions_are_tensors(tmp_path, monkeypatch):
    texts = ["x" * 2**20] * 101  # headers end at 100 MB
    save_tensors(tmp_path / "m", {"a": np.arange(3)}, {"kind": "test", "texts": texts})
    tensors, description = load_tensors(tmp_path / "m")
    assert (list(tensors), description) == (["a"], {"kind": "test", "texts": texts})
    content = bytearray((tmp_path / "m").read_bytes())
    content[-5] ^= 1
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(fastbp.ModelFileError, match="damaged"):
        load_tensors(tmp_path / "m")


def test_models_with_long_descriptions_come_back(tmp_path, monkeypatch, folder):
    model = fastbp.load_model(f"{folder}/wine.fastbp")
    monkeypatch.setattr(saving, "MOST_IN_HEADER", 100)
    model.save(tmp_path / "m")
    monkeypatch.undo()
    twin = fastbp.load_model(tmp_path / "m")
    frame = np.linspace(0, 100, 26).reshape(2, 13)
    names = model.feature_names_in_
    import pandas as pd

    rows = pd.DataFrame(frame, columns=names)
    np.testing.assert_array_equal(twin.predict_proba(rows), model.predict_proba(rows))
    assert len(saving.json.dumps(model.get_state()[1])) > 10_000


def test_files_of_the_first_release_with_this_format_are_read():
    model = fastbp.load_model(TESTS / "data" / "version_1.fastbp")
    np.testing.assert_allclose(model.predict([[0.5, 0.25, 2]]), [[0.2780269384, 0.7219730616]], rtol=1e-5)
    assert model.step == 6
