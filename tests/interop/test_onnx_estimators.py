"""ONNX of whole estimators: the predictions of onnxruntime for the columns as they are, and those of `predict`."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import fastbp
from fastbp.interop.onnx import dates, repeats
from fastbp.interop.onnx.graph import Graph, model_of, value_info
from fastbp.tabular.dates import CYCLES
from fastbp.tabular.dates import part_of as reference_part
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.repeated_rows import row_keys

onnxruntime.set_default_logger_severity(3)
N = 160


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def evaluated(build, width=1, **inputs):
    """Return what a graph makes of float64 or float32 arrays."""
    graph = Graph("float64", list(inputs))
    out = graph.rename(build(graph), "out")
    declared = [value_info(name, array.dtype, array.shape[1:]) for name, array in inputs.items()]
    made = model_of(graph, declared, [value_info(out, np.float64, (width,))], {})
    return session(made).run(None, inputs)[0]


def table(n=N, seed=0):
    """Return a frame with columns of every kind, missing values in most."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "size": rng.normal(3, 2, n),
        "income": rng.lognormal(9, 1, n).round(),
        "spiked": np.where(rng.random(n) < 0.8, 0.0, rng.normal(size=n)),
        "rooms": rng.integers(1, 3, n),
        "flag": rng.random(n) < 0.4,
        "town": rng.choice(["Ulm", "Köln", "a b", "10"], n),
        "street": rng.choice([f"street {i}" for i in range(12)], n),
        "level": rng.choice([1.5, 2.5, 3.5], n),
        "day": pd.Timestamp("2019-12-30") + pd.to_timedelta(rng.integers(0, 900 * 86_400, n), "s"),
        "zoned": (pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 9_000, n), "h")).tz_localize("UTC")
        .tz_convert("Europe/Berlin"),
        "price": [f"{value:.2f} $" for value in rng.uniform(1, 9, n)],
        "same": 1,
    })  # fmt: skip
    for name in ("size", "town", "street", "day", "level"):
        frame.loc[rng.random(n) < 0.1, name] = None
    frame.loc[3, "income"] = np.inf
    return frame


def seconds(column):
    start = pd.Timestamp(0, tz="UTC" if column.dt.tz is not None else None)
    return ((column - start) / pd.Timedelta("1s")).to_numpy(np.float64)


def feeds(run, frame):
    """Return a frame as the graph's inputs: what a server without fastbp would write."""
    found = {}
    for one in run.get_inputs():
        column = frame[one.name]
        if one.type == "tensor(string)":
            values = column.fillna("").astype(str).to_numpy(object)
        elif column.dtype.kind == "M" or str(column.dtype).startswith("datetime"):
            values = seconds(column)
        elif one.name == "price":
            values = column.str.removesuffix(" $").astype(np.float64).to_numpy()
        else:
            values = column.to_numpy(np.float64, na_value=np.nan)
        found[one.name] = values[:, None]
    return found


@pytest.fixture(scope="module")
def frame():
    return table()


@pytest.fixture(scope="module")
def classes(frame):
    return np.where(frame["size"].fillna(0) + frame["rooms"] > 5, "many", np.where(frame["flag"], "some", "none"))


def fitted(kind, frame, y, **settings):
    with pytest.warns(fastbp.TableWarning):
        return kind("fast", random_state=0, categorical_features=["level", "rooms"], **settings).fit(frame, y)


def unseen():
    """Return rows with categories, dates and numbers that training had not."""
    rows = table(40, seed=9)
    rows.loc[0, ["town", "street"]] = "new"
    rows.loc[1, "level"] = 9.5
    rows.loc[2, "rooms"] = 7
    rows.loc[3, "size"] = -np.inf
    rows.loc[4, "day"] = pd.Timestamp("1899-03-01 05:06:07")
    rows.loc[5, "day"] = pd.Timestamp("2104-02-29")
    return rows


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_a_classifier_with_columns_of_every_kind(frame, classes):
    model = fitted(fastbp.TabularClassifier, frame, classes)
    exported = fastbp.to_onnx(model)
    run, rows = session(exported), unseen()
    label, probabilities = run.run(["label", "probabilities"], feeds(run, rows))
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-5)
    assert label.tolist() == model.predict(rows).tolist()
    assert "same" not in [one.name for one in run.get_inputs()]
    facts = json.loads({entry.key: entry.value for entry in exported.metadata_props}["fastbp"])
    assert facts["classes"] == ["many", "none", "some"]
    takes = {column["name"]: column["takes"] for column in facts["columns"]}
    assert takes["town"] == "category; missing is ''"
    assert takes["zoned"] == "seconds since 1970-01-01 in UTC; NaN is missing"
    assert takes["price"] == "number, as number ('$') is read; NaN is missing"


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_the_encoded_matrix_has_the_bits_of_the_encoder(frame):
    """Hash numbers of repeated rows need that."""
    from fastbp.interop.onnx.columns import TableInputs, encode

    encoder, rows = TableEncoder().fit(frame), unseen()
    inputs = TableInputs(encoder)
    graph = Graph("float64", inputs.names)
    out = graph.rename(encode(graph, inputs), "out")
    width = encoder.n_numeric + encoder.n_plain + encoder.n_codes
    run = session(model_of(graph, inputs.declared(), [value_info(out, np.float32, (width,))], {}))
    (found,) = run.run(None, feeds(run, rows))
    assert np.array_equal(found, encoder.transform(rows, []))


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
@pytest.mark.parametrize("settings", [{}, {"quantiles": [0.1, 0.5, 0.9]}], ids=["mean", "quantiles"])
def test_regressors(frame, settings):
    y = frame["income"].clip(0, 1e5) * 100 + frame["rooms"]
    model = fitted(fastbp.TabularRegressor, frame, y, **settings)
    run, rows = session(fastbp.to_onnx(model)), unseen()
    (found,) = run.run(["prediction"], feeds(run, rows))
    expected = model.predict(rows)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * y.std())


def test_several_targets_of_an_array():
    """An array of numbers is one input."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    x[::9, 1] = np.nan
    x[:, 2] = 5
    with pytest.warns(fastbp.TableWarning, match="x2"):
        model = fastbp.TabularRegressor("fast", random_state=0).fit(x, x[:, [0, 3]] * [1, 1000])
    run = session(fastbp.to_onnx(model))
    (found,) = run.run(None, {"x": x})
    np.testing.assert_allclose(found, model.predict(x), rtol=1e-4, atol=1e-5 * 1000)


def test_weighed_classes():
    """Labels favour what weighs more, probabilities do not."""
    x = np.random.default_rng(0).normal(size=(150, 2))
    y = np.where(x[:, 0] + x[:, 1] > 1.2, "rare", "usual")
    model = fastbp.TabularClassifier("fast", class_weight="balanced", random_state=0).fit(x, y)
    label, probabilities = session(fastbp.to_onnx(model)).run(None, {"x": x})
    np.testing.assert_allclose(probabilities, model.predict_proba(x), atol=1e-6)
    assert label.tolist() == model.predict(x).tolist()


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_targets_of_different_kinds(frame, classes):
    y = pd.DataFrame({"kind": classes, "income": frame["income"].clip(0, 1e5), "flag": frame["flag"]})
    x = frame.drop(columns=["income", "flag"])
    model = fastbp.TabularMultiTask("fast", random_state=0, categorical_features=["level", "rooms"]).fit(x, y)
    run, rows = session(fastbp.to_onnx(model)), unseen()
    names = ["kind_label", "kind_probabilities", "income_prediction", "flag_label", "flag_probabilities"]
    assert [one.name for one in run.get_outputs()] == names
    found = dict(zip(names, run.run(None, feeds(run, rows)), strict=True))
    expected = model.predict(rows)
    assert found["kind_label"].tolist() == expected[:, 0].tolist()
    np.testing.assert_allclose(found["income_prediction"], expected[:, 1].astype(float), rtol=1e-5)
    assert found["flag_label"].tolist() == expected[:, 2].tolist()
    for name, p in zip(("kind", "flag"), model.predict_proba(rows), strict=True):
        np.testing.assert_allclose(found[f"{name}_probabilities"], p, atol=1e-5)


def test_repeated_rows_join_the_predictions():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(
        {"a": rng.integers(0, 40, 800), "b": rng.choice(["u", "v"], 800), "c": rng.integers(0, 3, 800) / 7}
    )
    y = (x["a"] * 7919 % 13 + (x["b"] == "u") + 3 * x["c"]) % 2 > 0.9
    model = fastbp.TabularClassifier("fast", random_state=0, categorical_features=["b"]).fit(x, y)
    assert model.ensemble_.repeats is not None
    run = session(fastbp.to_onnx(model))
    rows = pd.concat([x[:50], x[:9].assign(a=0.5)], ignore_index=True)
    label, probabilities = run.run(None, feeds(run, rows))
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-5)
    assert label.dtype == bool
    assert (label == model.predict(rows)).all()


def test_hash_numbers_of_rows():
    rng = np.random.default_rng(0)
    x = np.concatenate([
        rng.normal(size=(200, 3)), np.exp(rng.uniform(-104, 88, (200, 3))), 2.0 ** rng.integers(-149, 128, (200, 3)),
        [[0.0, -0.0, 1.0], [3.0, -3.0, np.finfo(np.float32).max], [1e-45, -1e-45, np.finfo(np.float32).tiny]],
    ]).astype(np.float32)  # fmt: skip
    factors = repeats.hash_factors(3)
    keys = evaluated(lambda graph: graph.cast(repeats.bits_of(graph, "x"), np.float64), 3, x=x)
    assert np.array_equal(keys.astype(np.int64), (x + np.float32(0)).view(np.uint32).astype(np.int64))
    graph = Graph("float64", ["x"])
    out = graph.rename(repeats.row_keys(graph, "x", factors), "out")
    run = session(model_of(graph, [value_info("x", np.float32, (3,))], [value_info(out, np.int64, ())], {}))
    assert np.array_equal(run.run(None, {"x": x})[0].view(np.uint64), row_keys(x))


@pytest.mark.parametrize("part", CYCLES)
def test_parts_of_dates(part):
    days = np.arange(np.datetime64("1899-12-31"), np.datetime64("2101-03-05")).astype(np.int64)
    clock = days * 86_400.0 + np.arange(len(days)) % 86_400
    clock[5] = np.nan
    found = evaluated(lambda graph: dates.part_of(graph, "x", part), x=clock[:, None])[:, 0]
    np.testing.assert_array_equal(found, reference_part(clock, part))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "UTC+05:30"])
def test_clocks_of_zones(zone):
    moments = np.random.default_rng(0).integers(-2_000_000_000, 4_000_000_000, 3000)
    moments[:4] = 1_711_846_799, 1_711_846_800, 1_729_990_799, 1_729_990_800  # Berlin's changes of 2024
    shown = pd.to_datetime(moments, unit="s", utc=True).tz_convert(zone).tz_localize(None)
    expected = (shown - pd.Timestamp(0)) / pd.Timedelta("1s")
    found = evaluated(lambda graph: dates.clock_of(graph, "x", zone), x=moments[:, None].astype(np.float64))
    np.testing.assert_array_equal(found[:, 0], expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["text", "binary", "multilabel", "floats"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mlp_classifiers(kind, dtype):
    x, y = load_iris(return_X_y=True)
    x = x.astype(dtype)
    labels = {
        "text": np.array(["setosa", "versi", "ä"])[y],
        "binary": np.array(["no", "yes"])[(y > 0).astype(int)],
        "multilabel": np.stack([y > 0, y > 1], axis=1).astype(int),
        "floats": y.astype(np.float64),
    }[kind]
    model = fastbp.MLPClassifier((6,), max_iter=5, random_state=0).fit(x, labels)
    label, probabilities = session(fastbp.to_onnx(model)).run(None, {"x": x})
    np.testing.assert_allclose(probabilities, model.predict_proba(x), atol=1e-5)
    assert label.tolist() == model.predict(x).tolist()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("targets", [1, 2])
def test_mlp_regressors(targets):
    x, _ = load_iris(return_X_y=True)
    y = x[:, 0] if targets == 1 else x[:, :2]
    model = fastbp.MLPRegressor(hidden_layer_sizes=(6,), activation="gelu", max_iter=5, random_state=0).fit(x, y)
    (found,) = session(fastbp.to_onnx(model)).run(None, {"x": x})
    np.testing.assert_allclose(found, model.predict(x), rtol=1e-5, atol=1e-6)
    assert found.shape == model.predict(x).shape


def test_a_file_is_written_whole(tmp_path):
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0)
    made = fastbp.to_onnx(model, tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx") == made
    with pytest.raises(FileNotFoundError):
        fastbp.to_onnx(model, tmp_path / "none" / "m.onnx")


def test_what_onnx_cannot_say_is_refused_by_name():
    with pytest.raises(ValueError, match=r"layer 'gru' \(GRU\) has no ONNX: it is stateful.*stateful=False"):
        fastbp.to_onnx(fastbp.Sequential([fastbp.GRU(2, stateful=True, batch_size=3)], input_shape=(4, 1)))
    with pytest.raises(ValueError, match="needs a built model"):
        fastbp.to_onnx(fastbp.Sequential([fastbp.Dense(1)]))
    with pytest.raises(TypeError, match="not str"):
        fastbp.to_onnx("model.fastbp")
    with pytest.raises(ValueError, match="not fitted"):
        fastbp.to_onnx(fastbp.TabularClassifier())


def test_a_column_without_a_name_is_refused():
    frame = pd.DataFrame({"": np.arange(30.0) % 7, "b": np.arange(30.0) % 5})
    model = fastbp.TabularRegressor("fast", random_state=0).fit(frame, np.arange(30.0))
    with pytest.raises(ValueError, match="a column has the name ''"):
        fastbp.to_onnx(model)


def test_the_error_without_onnx_says_what_to_install():
    code = "import sys; sys.modules['onnx'] = None; import fastbp; fastbp.to_onnx(1)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert 'ImportError: to_onnx writes ONNX with the package onnx: pip install "fastbp[onnx]"' in told
