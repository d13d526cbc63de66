"""C files of models: compiled without a warning, every layer beside the model itself, what is refused."""

import ctypes
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.interop.c.activations import EMITTED
from fastbp.interop.c.layers import EMITTERS, REFUSED
from fastbp.layers import LAYERS
from tests.interop.random_networks import random_network
from tests.interop.test_onnx import CASES, randomize, rows_for

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-pedantic"]


def compiled(model, folder, flags=("-O0",)):
    """Return a function of rows (n, ...), by the C file of a model; the header is compiled on its own, as C++ too."""
    path = folder / "the net-1.c"
    fastbp.to_c(model, path)
    library = folder / "net.so"
    command = ["gcc", *FLAGS, *flags, "-fPIC", "-shared", str(path), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    header = path.with_suffix(".h").read_text()
    sizes = {
        line.split()[1].removeprefix("THE_NET_1_"): int(line.split()[2])
        for line in header.splitlines()
        if line.startswith("#define") and len(line.split()) == 3
    }
    declared = header[header.index("void the_net_1_predict") :]
    outer = np.float64 if "const double" in declared else np.float32
    inner = np.float64 if "double *work" in declared else np.float32
    predict = ctypes.CDLL(str(library)).the_net_1_predict

    def run(x):
        x = np.ascontiguousarray(x, outer).reshape(len(x), -1)
        assert x.shape[1] == sizes["INPUTS"]
        out, work = np.empty((len(x), sizes["OUTPUTS"]), outer), np.full(sizes["WORK"] + 8, 77, inner)
        for row, own in zip(x, out, strict=True):
            predict(*(ctypes.c_void_p(array.ctypes.data) for array in (row, own, work)))
        assert (work[-8:] == 77).all(), "it wrote beyond its work"
        return out

    return run


def assert_same(model, x, folder, tolerance=1e-6):
    expected = model.predict(np.asarray(x, model.dtype))
    found = compiled(model, folder)(x)
    assert_close(found, expected.reshape(found.shape), tolerance)


def assert_close(found, expected, tolerance=1e-6):
    """|found - expected| <= tolerance * max(1, |expected|), for every entry."""
    apart = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert np.max(apart) <= tolerance, f"{np.max(apart):.3g}"


@pytest.mark.parametrize("name", CASES)
def test_layers(name, tmp_path):
    shape, layers = CASES[name]
    model = randomize(fastbp.Sequential(layers(), input_shape=shape, seed=0))
    assert_same(model, rows_for(name, shape), tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed, tmp_path):
    assert_same(*random_network(seed), tmp_path)


WIDE = {
    "dense": ((6000,), lambda: [fastbp.Dense(3, kernel_initializer="ones")]),
    "convolution": ((2, 2, 2000), lambda: [fastbp.Conv2D(2, 2, kernel_initializer="ones")]),
    "normalisation": ((9000,), lambda: [fastbp.LayerNormalization()]),
    "pooling": ((90, 90, 2), lambda: [fastbp.GlobalAveragePooling2D()]),
    "groups": ((5000, 2), lambda: [fastbp.GroupNormalization(1)]),
}


@pytest.mark.parametrize("name", WIDE)
def test_long_sums_keep_their_digits(name, tmp_path):
    shape, layers = WIDE[name]
    model = fastbp.Sequential(layers(), input_shape=shape, seed=0)
    assert_same(model, np.random.default_rng(0).uniform(0.5, 1.5, (3, *shape)), tmp_path)


@pytest.mark.parametrize("name", ["Conv2D", "GRU", "LSTM masked", "PiecewiseLinearEmbedding"])
def test_float64_models(name, tmp_path):
    shape, layers = CASES[name]
    model = randomize(fastbp.Sequential(layers(), input_shape=shape, seed=0, dtype="float64"))
    assert_same(model, rows_for(name, shape), tmp_path, 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(dtype, tmp_path):
    layers = [[fastbp.Activation(name)] for name in EMITTED] + [[fastbp.Activation(fastbp.LeakyReLU(0.3))]]
    model = fastbp.Sequential([fastbp.Concatenate(layers)], input_shape=(7,), dtype=dtype)
    assert_same(model, np.linspace(-6, 6, 35).reshape(5, 7), tmp_path, 1e-6 if dtype == "float32" else 1e-13)
    ours = {name: one for name, one in ACTIVATIONS.items() if one.__module__ == "fastbp.activations"}
    assert set(EMITTED) == {name for name, one in ours.items() if one.c_expression is None}


def test_settings_that_differ_late(tmp_path):
    """Each has a function of its own, though six digits are the same."""
    slopes = [[fastbp.Activation(fastbp.LeakyReLU(slope))] for slope in (1234567.0, 1234568.0)]
    model = fastbp.Sequential([fastbp.Concatenate(slopes)], input_shape=(2,), dtype="float64")
    assert_same(model, -np.ones((1, 2)), tmp_path, 1e-13)


OWN_PRELU = """
static void own_alpha(const float *x, const float *alpha, float *out, int n)
{
    copy(x, out, n);
    for (int i = 0; i < n; i++) out[i] = fmaxf(x[i], 0.0f) - powf(alpha[i], 1.0f) * fmaxf(-x[i], 0.0f);
}
"""


def own_prelu(program, site, x):
    out = program.value(site.size)
    program.call("own_alpha", x, site.array(program, "alpha"), out, site.size)
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_c_of_a_layer_of_one_s_own(dtype, tmp_path, monkeypatch):
    """Its functions, as double too, with those that they call; no array has the name of one."""
    monkeypatch.setattr(fastbp.PReLU, "__module__", "mine")
    monkeypatch.setattr(fastbp.PReLU, "emit_c", own_prelu)
    monkeypatch.setattr(fastbp.PReLU, "c_functions", {"own_alpha": OWN_PRELU})
    layers = [fastbp.PReLU(name="own"), fastbp.Dense(2)]
    model = randomize(fastbp.Sequential(layers, input_shape=(3,), seed=0, dtype=dtype))
    assert_same(model, rows_for("PReLU", (3,)), tmp_path, 1e-6 if dtype == "float32" else 1e-13)
    monkeypatch.setattr(fastbp.Dense, "c_functions", {"own_alpha": "/* another one */"})
    with pytest.raises(ValueError, match=r"layer 'dense' \(Dense\) has no C: there is another C function 'own_alpha'"):
        fastbp.to_c(model, tmp_path / "net.c")


def test_c_of_an_activation_of_one_s_own(tmp_path, monkeypatch):
    leaky = fastbp.LeakyReLU(0.3)
    model = fastbp.Sequential([fastbp.Dense(2, leaky)], input_shape=(3,), seed=0)
    monkeypatch.setattr(type(leaky), "__module__", "mine")
    with pytest.raises(ValueError, match="'leaky_relu' is a function of your own: give its class `c_expression`, or"):
        fastbp.to_c(model, tmp_path / "net.c")
    monkeypatch.setattr(type(leaky), "c_expression", "fmaxf(v, 0.0f) - ALPHA * fmaxf(-v, 0.0f)")
    assert_same(model, rows_for("Dense", (3,)), tmp_path)


def test_every_registered_layer_has_an_emitter_or_a_reason():
    ours = {name for name in LAYERS if LAYERS[name].__module__.startswith("fastbp.layers.")}
    of_their_own = {name for name in ours if LAYERS[name].emit_c is not None}  # test_oracles.py
    assert ours == EMITTERS.keys() | REFUSED.keys() | of_their_own
    assert not EMITTERS.keys() & of_their_own
    assert not EMITTERS.keys() & REFUSED.keys()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["three", "two"])
def test_mlp_classifiers(kind, tmp_path):
    x, y = load_iris(return_X_y=True)
    labels = np.array(["setosa", 'a "b"\\', "ä"])[np.minimum(y, 2 if kind == "three" else 1)]
    model = fastbp.MLPClassifier((6,), max_iter=5, random_state=0).fit(x, labels)
    np.testing.assert_allclose(compiled(model, tmp_path)(x), model.predict_proba(x), atol=1e-12)
    library = ctypes.CDLL(str(tmp_path / "net.so"))
    names = (ctypes.c_char_p * len(model.classes_)).in_dll(library, "the_net_1_classes")
    assert [name.decode() for name in names] == model.classes_.tolist()


def numbers(n=150, seed=0):
    """Return a frame of numbers, booleans and dates."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "size": rng.normal(3, 2, n), "rooms": rng.integers(1, 3, n), "flag": rng.random(n) < 0.4,
        "level": rng.integers(0, 12, n), "few": rng.choice([1.5, 2.5, 4.0], n),
        "day": pd.Timestamp("2019-12-30") + pd.to_timedelta(rng.integers(0, 900 * 86_400, n), "s"),
    })  # fmt: skip
    frame["zoned"] = (frame["day"] + pd.Timedelta("70D")).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    for name in ("size", "day"):
        frame.loc[rng.random(n) < 0.1, name] = None
    return frame


def as_numbers(frame):
    """Return a frame as the C function's rows."""
    columns = []
    for _, column in frame.items():
        if column.dtype.kind == "M" or str(column.dtype).startswith("datetime"):
            start = pd.Timestamp(0, tz="UTC" if column.dt.tz is not None else None)
            column = (column - start) / pd.Timedelta("1s")
        columns.append(column.to_numpy(np.float64, na_value=np.nan))
    return np.stack(columns, axis=1)


def fitted(kind, frame, y, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.TableWarning)
        return kind("fast", random_state=0, categorical_features=["rooms", "level", "few"], **settings).fit(frame, y)


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_a_tabular_classifier(tmp_path):
    frame = numbers()
    model = fitted(
        fastbp.TabularClassifier,
        frame,
        (frame["size"].fillna(0) > 3).astype(int) + frame["flag"],
        class_weight="balanced",
    )
    rows = numbers(30, 9)
    rows.loc[0, "rooms"], rows.loc[1, "level"], rows.loc[2, "few"] = 9, 77, 9.5
    np.testing.assert_allclose(compiled(model, tmp_path)(as_numbers(rows)), model.predict_proba(rows), atol=1e-6)


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
@pytest.mark.parametrize("settings", [{}, {"quantiles": [0.1, 0.9]}], ids=["mean", "quantiles"])
def test_tabular_regressors(settings, tmp_path):
    frame = numbers()
    y = frame["size"].fillna(0) * 10 + frame["level"]
    model, rows = fitted(fastbp.TabularRegressor, frame, y, **settings), numbers(30, 9)
    expected = model.predict(rows).reshape(30, -1)
    np.testing.assert_allclose(compiled(model, tmp_path)(as_numbers(rows)), expected, rtol=1e-6, atol=1e-6 * y.std())


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_targets_of_different_kinds(tmp_path):
    frame = numbers()
    y = pd.DataFrame(
        {"large": frame["size"].fillna(0) > 3, "level": frame["level"] * 1.5, "few": frame["few"].astype(str)}
    )
    model = fastbp.TabularMultiTask("fast", random_state=0, tasks={"few": "classification"}).fit(frame, y)
    rows = numbers(30, 9)
    large, few = model.predict_proba(rows)
    expected = np.concatenate([large, model.predict(rows)[:, [1]].astype(float), few], axis=1)
    # Of a quantity the largest prediction is the measure: float32's rounding is of the standardised target.
    size = np.maximum(1, np.abs(expected).max(axis=0))
    assert_close(compiled(model, tmp_path)(as_numbers(rows)) / size, expected / size)
    assert '3 to 5: "few", probabilities of "1.5", "2.5", "4.0"' in (tmp_path / "the net-1.h").read_text()


def test_names_that_c_does_not_take(tmp_path):
    names = ["a/*b*/", "??/", "int", "{x}", "ä\\", "1st", "exp"]
    layers = [fastbp.Dense(3, name=name) for name in names]
    assert_same(fastbp.Sequential(layers, input_shape=(2,), seed=0), np.eye(2), tmp_path)
    frame = pd.DataFrame({"a */ b\n??/": np.arange(40.0) % 7, "dense_kernel": np.arange(40.0) % 5, "größe\\": 1.0})
    frame.iloc[0, 2] = 7.5
    model = fastbp.TabularRegressor("fast", random_state=0).fit(frame, np.arange(40.0) % 3)
    (tmp_path / "table").mkdir()
    found = compiled(model, tmp_path / "table")(frame.to_numpy())[:, 0]
    np.testing.assert_allclose(found, model.predict(frame), atol=1e-6)


def test_repeated_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 40, 400), rng.integers(0, 3, 400) / 7], axis=1)
    model = fastbp.TabularClassifier("fast", random_state=0).fit(x, (x[:, 0] * 7919 % 13 + 3 * x[:, 1]) % 2 > 0.9)
    assert model.ensemble_.repeats is not None
    rows = np.concatenate([x[:40], x[:5] + 0.5])
    np.testing.assert_allclose(compiled(model, tmp_path)(rows), model.predict_proba(rows), atol=1e-6)


def test_what_c_cannot_do_is_refused_by_name(tmp_path):
    stateful = fastbp.Sequential([fastbp.LSTM(2, stateful=True, batch_size=3)], input_shape=(4, 1))
    with pytest.raises(ValueError, match=r"layer 'lstm' \(LSTM\) has no C: it is stateful"):
        fastbp.to_c(stateful, tmp_path / "m.c")
    with pytest.raises(ValueError, match="name of a C file, such as 'model.c'"):
        fastbp.to_c(stateful, tmp_path / "m.onnx")
    with pytest.raises(TypeError, match="not str"):
        fastbp.to_c("model", tmp_path / "m.c")
    frame = pd.DataFrame({"a": np.arange(30.0) % 7, "town": ["Ulm", "Bonn", "Köln"] * 10})
    model = fastbp.TabularRegressor("fast", random_state=0).fit(frame, np.arange(30.0) % 5)
    with pytest.raises(ValueError, match="column 'town' holds text.*use ONNX"):
        fastbp.to_c(model, tmp_path / "m.c")
    assert not list(tmp_path.iterdir())
