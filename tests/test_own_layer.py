"""Layers of one's own: examples/own_layer.py as a user's module, and what is said of layers that are wrong."""

import dataclasses
import gc
import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import fastbp
from fastbp.compiler import kernelcache as _kernelcache
from fastbp.custom import (
    Build,
    Layer,
    Param,
    array_at,
    int64s_at,
    kernel,
    layer_dtype,
    matmul,
    register_layer,
    rows,
)
from fastbp.kernels.tile import product_address
from fastbp.layers import LAYERS
from fastbp.layers.base import float_type_of

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_layer.py"


@pytest.fixture(scope="module")
def own():
    """The example as a module that has been imported; its layer stays registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE.parent)
        return importlib.import_module("own_layer")


@pytest.fixture
def wrong():
    """Leave none of the layers behind that a test defines: others look at all classes that derive from `Layer`."""
    yield
    for name, cls in dict(LAYERS._classes).items():
        if not cls.__module__.startswith("fastbp.") and cls.__module__ != "own_layer":
            del LAYERS._classes[name]
    gc.collect()


def problem(n=70, d=5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    return x, np.sin(x).sum(1)


def small_model(own, dtype="float64"):
    layers = [own.SwiGLU(7), fastbp.Dropout(0.2), own.SwiGLU(4), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(5,), seed=3, dtype=dtype)
    model.compile("adam", "mean_squared_error")
    return model


def test_values_and_gradients(own):
    model, (x, y) = small_model(own), problem()
    out = x
    for name in ("swiglu", "swiglu_1"):
        z = out @ model.views[f"{name}/kernel"] + model.views[f"{name}/bias"]
        a, b = np.split(z, 2, axis=1)
        out = a * b / (1 + np.exp(-b))
    out = out @ model.views["dense/kernel"] + model.views["dense/bias"]
    np.testing.assert_allclose(model.predict(x), out, rtol=1e-12, atol=1e-12)
    assert fastbp.check_gradients(model, x, y, training=True).max_relative_error < 1e-7
    rng = np.random.default_rng(1)
    dout, towards = rng.normal(size=(len(x), 1)), 1e-6 * rng.normal(size=x.shape)
    dx = model.vjp(x, dout)
    difference = ((model.predict(x + towards) - model.predict(x - towards)) * dout).sum() / 2
    assert (dx * towards).sum() == pytest.approx(difference, rel=1e-6)


@pytest.mark.usefixtures("small_work")
def test_the_same_bits_at_one_and_two_threads(own, run_threads):
    x, y = problem(300)
    bits = set()
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = small_model(own, "float32")
        model.fit(x, y, batch_size=150, epochs=3, verbose=0)
        bits.add(model.params.tobytes())
    assert run_threads.used
    assert len(bits) == 1


def test_files_and_pickles(own, tmp_path, monkeypatch):
    model, (x, y) = small_model(own), problem()
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model")
    for twin in (fastbp.load_model(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert twin.layers == model.layers
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))
        twin.fit(x, y, epochs=1, verbose=0)
    monkeypatch.delitem(LAYERS._classes, "SwiGLU")
    with pytest.raises(fastbp.ModelFileError, match=r"'SwiGLU' is not fastbp's own.*import the module.*\('own_layer' "):
        fastbp.load_model(tmp_path / "model")


def test_a_kernel_knows_its_summary(own, capsys):
    small_model(own).summary()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("swiglu "))
    assert line.split() == ["swiglu", "SwiGLU", "(n,", "7)", str(5 * 14 + 14), str(5 * 14)]


def test_another_process_unpickles_and_predicts(own, tmp_path):
    """As a grid search's workers do: the class is found by its module, the kernels in the cache."""
    (tmp_path / "own_layer.py").write_text(EXAMPLE.read_text())
    model, (x, _) = small_model(own), problem()
    (tmp_path / "model").write_bytes(pickle.dumps((model, x)))
    code = "import pickle; model, x = pickle.load(open('model', 'rb')); print(model.predict(x).tobytes().hex())"
    path = os.pathsep.join(filter(None, [str(tmp_path), str(EXAMPLE.parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == model.predict(x).tobytes().hex()


# The cache

HELPER = """
import numba

@numba.njit
def grow(x):
    return x * 2
"""
OWN = """
import helper
from fastbp.custom import kernel

FACTOR = 1.0

def make(offset):
    @kernel
    def change(x):
        for i in range(x.size):
            x[i] = helper.grow(x[i]) * FACTOR + offset

    return change
"""


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """An empty cache folder, and the kernels that were compiled, not loaded."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "kernels"))
    compiled, save = [], _kernelcache.KernelCache.save_overload
    monkeypatch.setattr(_kernelcache.KernelCache, "save_overload", lambda *args: compiled.append(args) or save(*args))
    return compiled


def test_an_edit_of_what_a_kernel_is_made_of_compiles_it_anew(tmp_path, monkeypatch, compiled):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within a second of the same length goes unseen

    def run(helper=HELPER, own=OWN):
        """What the kernels of newly imported files make of 1, and how many of them were compiled."""
        for name, source in (("helper", helper), ("own_kernels", own)):
            (tmp_path / f"{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        module, values = importlib.import_module("own_kernels"), []
        compiled.clear()
        for offset in (0.0, 10.0):
            x = np.ones(2)
            module.make(offset)(x)
            values.append(x[0])
        return *values, len(compiled)

    assert run() == (2, 12, 2)
    assert run() == (2, 12, 0)
    assert run(helper=HELPER.replace("x * 2", "x * 3")) == (3, 13, 2)
    assert run(own=OWN.replace("FACTOR = 1.0", "FACTOR = 4.0")) == (8, 18, 2)
    assert run() == (2, 12, 0)


def test_kernels_without_a_file_work_and_are_not_kept(tmp_path, compiled):
    for factor in (2.0, 3.0):
        names = {"__name__": "__main__", "kernel": kernel}
        exec(f"@kernel\ndef change(x):\n    for i in range(x.size):\n        x[i] *= {factor}\n", names)
        x = np.ones(3)
        names["change"](x)
        assert x[0] == factor
    assert len(compiled) == 2
    assert not list((tmp_path / "kernels").rglob("*.kernel"))


def constant_of_a_file(x):
    x[0] = FACTOR


FACTOR = 1.0


def test_a_file_edited_after_its_import_is_not_taken_for_the_new_one(monkeypatch):
    """The machine code of what was imported must not be found by those who import what is there now."""
    old = _kernelcache.kernel_digest(constant_of_a_file)
    assert _kernelcache.kernel_digest(constant_of_a_file) == old
    assert _kernelcache.kernel_digest(forget_edits(constant_of_a_file)) != old
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert _kernelcache.kernel_digest(constant_of_a_file) != old


def forget_edits(function):
    """The function as it would be had another line been imported from the same file."""
    code = function.__code__.replace(co_consts=(None, 7))
    return type(function)(code, function.__globals__, function.__name__)


# What is wrong with a layer


@kernel
def eight(layer, step, params, shared, work, start, stop, row0):
    x, out = rows(work, layer.x, start, stop, layer.n_in), rows(work, layer.out, start, stop, layer.n_out)
    for i in range(len(x)):
        for j in range(layer.n_in):
            out[i, j] = x[i, j]


@kernel
def ten(layer, params, grads, work, start, stop, block, first, end, accumulate):
    pass


@kernel
def seven(layer, step, params, shared, work, start, stop):
    pass


def plain(layer, step, params, shared, work, start, stop, row0):
    pass


FIELDS = [f"factor_{i}" for i in range(200)]


@kernel
def many_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d) -> out (n, d) = x * (first + last factor) + the table's entry of its column."""
    x, out = rows(work, layer.x, start, stop, layer.n_in), rows(work, layer.out, start, stop, layer.n_out)
    table, places = array_at(layer.table, layer.n_in, work), int64s_at(layer.places, layer.n_in)
    for i in range(len(x)):
        for j in range(layer.n_in):
            out[i, j] = x[i, j] * (layer.factor_0 + layer.factor_199) + table[j] + places[j]


@pytest.mark.usefixtures("wrong")
def test_a_record_of_any_size_with_arrays():
    """200 fields of its own, and addresses of arrays, real ones in the model's dtype."""

    def build(shape):
        fields = {name: float(i + 1) for i, name in enumerate(FIELDS)}
        arrays = {"table": np.arange(5.0)[::-1], "places": np.array([0, 7, 0, 7, 0])}
        return Build(shape, fields=fields, arrays=arrays)

    addresses = [("table", "i8"), ("places", "i8")]
    dtype = layer_dtype(*((name, "f8") for name in FIELDS), *addresses)
    assert dtype.itemsize == layer_dtype().itemsize + 8 * len(dtype.names[-202:])
    layer = register_layer(own_class(build, dtype=dtype, forward=many_forward))()
    for dtype in ("float32", "float64"):
        model = fastbp.Sequential([layer], input_shape=(5,), dtype=dtype)
        gc.collect()
        x = np.random.default_rng(0).normal(size=(9, 5)).astype(dtype)
        expected = x * 201 + [4, 3 + 7, 2, 1 + 7, 0]
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5)


def own_class(build=None, base=Layer, fields=(("name", str, None),), **attributes):
    """A dataclass of a layer, not yet registered."""
    namespace = {"forward": eight, "backward": eight} | attributes
    if build is not None:
        namespace["build"] = lambda self, *shapes: build(*shapes)
    fields = [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    return dataclasses.make_dataclass("Wrong", fields, bases=(base,), namespace=namespace)


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: 3, "a class derived from fastbp.Layer, not 3"),
        (lambda: dict, "derived from fastbp.Layer, not <class 'dict'>"),
        (lambda: type("Wrong", (Layer,), {}), "Wrong is no dataclass: write @dataclass beneath @register_layer"),
        (lambda: own_class(fields=()), "Wrong has no name: give it the field `name: str | None = None`"),
        (lambda: own_class(forward=seven), r"Wrong.forward takes 7 arguments.*called with 8: layer, step, .*row0"),
        (lambda: own_class(gradient=eight), r"Wrong.gradient takes 8 arguments.*called with 10: layer, params"),
        (lambda: own_class(forward=plain), r"Wrong.forward is <function plain.*no kernel: put @fastbp.custom.kernel"),
        (lambda: own_class(backward=None), "Wrong has no kernel `backward`"),
        (lambda: own_class(dtype=np.dtype([("k", "i8")])), "Wrong.dtype is dtype.*: make it by layer_dtype"),
        (lambda: own_class(dtype=np.dtype("f8")), "Wrong.dtype is dtype.'float64'.: make it by layer_dtype"),
    ],
)
def test_wrong_classes(make, message):
    with pytest.raises(TypeError, match=message):
        register_layer(make())


SHAPE = (3,)


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda shape: shape, r"Wrong.build\(\(3,\)\) returned \(3,\): it returns a fastbp.custom.Build"),
        (lambda shape: Build(3), r"output_shape is 3; it is a tuple of whole numbers"),
        (lambda shape: Build((3, 0)), r"output_shape is \(3, 0\)"),
        (lambda shape: Build(()), r"output_shape is \(\)"),
        (
            lambda shape: Build(SHAPE, [(3, 3)]),
            r"returned \(3, 3\) among its parameters: each is a fastbp.custom.Param",
        ),
        (lambda shape: Build(SHAPE, [Param("w", (3, -1), "zeros")]), r"'w': shape is \(3, -1\)"),
        (lambda shape: Build(SHAPE, [Param("w", 3, "zeros")]), "'w': shape is 3"),
        (
            lambda shape: Build(SHAPE, [Param("w", (3,), "zeroes")]),
            "unknown initializer 'zeroes'. Did you mean 'zeros'",
        ),
        (lambda shape: Build(SHAPE, buffers=[Param("w", (0,), "zeros")]), r"'w': shape is \(0,\)"),
        (lambda shape: Build(SHAPE, fields={"kk": 1}), r"returned the field 'kk'; fields of its own .* are \['k'\]"),
        (lambda shape: Build(SHAPE, fields={"n_in": 1}), "returned the field 'n_in'"),
        (lambda shape: Build(SHAPE, arrays={"kk": np.zeros(2)}), r"returned the field 'kk'; fields of its own"),
        (lambda shape: Build(SHAPE, arrays={"k": [1, 2]}), r"returned arrays=\{'k': \[1, 2\]\}: it is a NumPy array"),
        (lambda shape: Build(SHAPE, arrays={"k": np.array(["a"])}), "it is a NumPy array of numbers"),
        (lambda shape: Build(SHAPE, extra=-1), "returned extra=-1: it is a whole number of at least 0"),
        (lambda shape: Build(SHAPE, multiply_adds=1.5), "returned multiply_adds=1.5"),
    ],
)
def test_wrong_answers_of_build(build, message):
    layer = register_layer(own_class(build, gradient=ten, dtype=layer_dtype(("k", "i8"))))()
    with pytest.raises((TypeError, ValueError), match=message):
        fastbp.Sequential([layer], input_shape=SHAPE)


@pytest.mark.usefixtures("wrong")
def test_parameters_without_a_gradient():
    layer = register_layer(own_class(lambda shape: Build(shape, [Param("w", shape, "ones")])))()
    with pytest.raises(TypeError, match="returned parameters, but Wrong has no kernel `gradient`"):
        fastbp.Sequential([layer], input_shape=SHAPE)


@pytest.mark.usefixtures("wrong")
def test_an_alias_keeps_its_entries():
    layer = register_layer(own_class(lambda shape: Build((4,)), alias=True, forward=None, backward=None))()
    with pytest.raises(ValueError, match=r"the output of an alias is its input, of as many entries; not \(4,\)"):
        fastbp.Sequential([layer], input_shape=SHAPE)


@pytest.mark.usefixtures("wrong")
def test_initializers_by_name_and_of_one_s_own():
    params = [Param("a", (2, 3), "ones"), Param("b", (4,), lambda shape, rng, dtype: np.arange(4))]
    layer = register_layer(own_class(lambda shape: Build(shape, params), gradient=ten))()
    model = fastbp.Sequential([layer], input_shape=SHAPE)
    assert model.params.tolist() == [1] * 6 + [0, 1, 2, 3]


@pytest.mark.usefixtures("wrong")
def test_names_that_are_taken():
    def named(name, module="somewhere"):
        cls = own_class()
        cls.__name__ = cls.__qualname__ = name
        cls.__module__ = module
        return cls

    with pytest.raises(ValueError, match="fastbp.layers.core.dense has a layer 'Dense' already"):
        register_layer(named("Dense"))
    with pytest.raises(ValueError, match="fastbp.layers.core.noise has a layer 'GaussianNoise' already"):
        register_layer(named("GaussianNoise"))
    register_layer(named("Wrong"))
    # The cell of a notebook, run again.
    assert register_layer(again := named("Wrong")) is again is LAYERS["Wrong"]
    with pytest.raises(ValueError, match="somewhere has a layer 'Wrong' already: give the layer of elsewhere another"):
        register_layer(named("Wrong", "elsewhere"))


@pytest.mark.usefixtures("wrong")
def test_layers_that_are_not_registered():
    with pytest.raises(TypeError, match=r"not Wrong\(name=None\). Its class Wrong is not registered"):
        fastbp.Sequential([own_class(lambda shape: Build(shape))()])


# What kernels use


def test_rows_are_views():
    work = np.arange(30.0)

    @numba.njit(_nrt=False)
    def touch(work):
        x = rows(work, 4, 1, 3, 5)
        x[1, 2] = -1
        return x.shape[0] * 100 + x.shape[1] * 10 + x[0, 0]

    assert touch(work) == 2 * 100 + 5 * 10 + 9
    assert work[4 + 2 * 5 + 2] == -1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_matmul(dtype, accumulate):
    @numba.njit(_nrt=False)
    def multiply(product, flat, accumulate):
        x, dout, out = rows(flat, 0, 0, 9, 5), rows(flat, 45, 0, 9, 4), rows(flat, 81, 0, 3, 4)
        # Columns 1 to 4 of x, transposed.
        matmul(product, out, x[:, 1:4].T, dout, accumulate)

    flat = np.random.default_rng(0).normal(size=93).astype(dtype)
    x, dout, out = flat[:45].reshape(9, 5), flat[45:81].reshape(9, 4), flat[81:].reshape(3, 4).copy()
    multiply(product_address(float_type_of(dtype)), flat, accumulate)
    expected = x[:, 1:4].T @ dout + (out if accumulate else 0)
    np.testing.assert_allclose(flat[81:].reshape(3, 4), expected, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_matmul_refuses_a_transposed_right_side():
    @numba.njit(_nrt=False)
    def multiply(product, flat):
        a, b = rows(flat, 0, 0, 2, 2), rows(flat, 4, 0, 2, 2)
        matmul(product, rows(flat, 8, 0, 2, 2), a, b.T, False)

    with pytest.raises(numba.TypingError, match="matmul takes out and b as `rows` returns them.*only a may be .T"):
        multiply(0, np.zeros(12))
