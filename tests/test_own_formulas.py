"""Activations, losses and optimizers of one's own: never stale, never mixed up, checked when they are registered."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pytest

import fastbp
from fastbp import custom
from fastbp.compiler import jit as _jit
from fastbp.compiler import kernelcache as _kernelcache
from fastbp.custom import ACTIVATIONS, LOSSES, OPTIMIZERS, Activation, Loss, backward, forward, kernel, like

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def examples():
    """The two examples as modules that have been imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("own_activation"), importlib.import_module("own_loss")
    forget_own()


@pytest.fixture
def own():
    """Leave nothing behind that a test registers."""
    kept = [dict(registry._classes) for registry in (ACTIVATIONS, LOSSES, OPTIMIZERS)]
    yield
    for registry, classes in zip((ACTIVATIONS, LOSSES, OPTIMIZERS), kept, strict=True):
        registry._classes.clear()
        registry._classes.update(classes)


def forget_own():
    for registry in (ACTIVATIONS, LOSSES, OPTIMIZERS):
        for name, cls in dict(registry._classes).items():
            if not cls.__module__.startswith("fastbp."):
                del registry._classes[name]


def problem(n=12):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


# What the examples' classes compute


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_of_an_activation(examples, dtype):
    x = np.linspace(-4, 4, 50).reshape(10, 5)
    for activation, b in (("squareplus", 4.0), (examples[0].Squareplus(0.3), 0.3)):
        model = fastbp.Sequential([fastbp.Activation(activation)], input_shape=(5,), dtype=dtype)
        np.testing.assert_allclose(model.predict(x), (x + np.sqrt(x * x + b)) / 2, rtol=1e-5, atol=1e-6)


def test_derivatives_of_an_activation(examples):
    act, (x, y) = examples[0].Squareplus(0.5), problem()
    layers = [fastbp.Dense(4, act), fastbp.Dense(3), fastbp.Activation(act), fastbp.Dense(2, act)]
    model = fastbp.Sequential(layers, seed=1, dtype="float64")
    model.compile("sgd", "mean_squared_error")
    assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-6


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_values_and_derivatives_of_a_loss(examples, scale):
    loss, (x, y) = examples[1].LogCosh(scale), problem()
    model = fastbp.Sequential([fastbp.Dense(2)], seed=1, dtype="float64")
    model.compile("sgd", loss)
    assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-6
    each = scale * np.log(np.cosh((model.predict(x) - y) / scale)).mean(1)
    weight = np.random.default_rng(1).uniform(0.5, 2, size=len(x))
    assert model.evaluate(x, y) == pytest.approx(each.mean(), rel=1e-12)
    assert model.evaluate(x, y, sample_weight=weight) == pytest.approx((weight * each).mean(), rel=1e-12)
    members = [fastbp.RepeatMembers(3), fastbp.MemberDense(2)]
    ensemble = fastbp.Sequential(members, seed=1, dtype="float64")
    ensemble.compile("sgd", fastbp.MemberLoss(loss, members=3))
    assert fastbp.check_gradients(ensemble, x, y).max_relative_error < 1e-6


def test_files_name_what_is_one_s_own(examples, tmp_path, own):
    act, loss, (x, y) = examples[0].Squareplus(0.5), examples[1].LogCosh(2.0), problem()
    model = fastbp.Sequential([fastbp.Dense(2, act)], seed=1)
    model.compile("sgd", loss)
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model")
    again = fastbp.load_model(tmp_path / "model")
    assert (again.layers[0].activation, again.loss) == (act, loss)
    assert again.evaluate(x, y) == model.evaluate(x, y)
    del ACTIVATIONS._classes["squareplus"]
    with pytest.raises(fastbp.ModelFileError, match="the activation 'squareplus' is not fastbp's own.*own_activation"):
        fastbp.load_model(tmp_path / "model")


# Never stale, never mixed up

FORMULAS = """
from dataclasses import dataclass
import numpy as np
from fastbp.custom import (ACTIVATIONS, LOSSES, OPTIMIZERS, Activation, Loss, Optimizer, backward, entries, forward,
                           kernel, like, mean_over_outputs, optimizer_dtype)
FACTOR = 2

@ACTIVATIONS.register("own_times")
@dataclass(frozen=True)
class MyActivation(Activation):
    @forward
    def forward(x, alpha):
        return x * like(x, FACTOR)

    @backward
    def backward(d, x, out, alpha):
        return d * like(d, FACTOR)

@LOSSES.register("own_loss")
@dataclass(frozen=True)
class MyLoss(Loss):
    @mean_over_outputs
    def kernel(out, y, setting):
        return like(out, FACTOR) * (out - y), like(out, FACTOR)

@kernel
def update(row, c, factor, params, grads, state, start, stop):
    for i in entries(start, stop):
        params[i] -= params.dtype.type(FACTOR) * grads[i]

@OPTIMIZERS.register("own_steps")
@dataclass
class MyOptimizer(Optimizer):
    kernel = staticmethod(update)
    dtype = optimizer_dtype()
    slots = 0

def results():
    one, d = np.ones(1), np.ones(1)
    out = np.empty(1)
    MyActivation.forward(out, one, 1, 0.0)
    MyActivation.backward(d, one, out, 1, 0.0)
    value = MyLoss.kernel(MyLoss().record(1, 1, 0, None)[0], np.empty(1), 3 * one, one, one, 1.0)
    params = np.zeros(1)
    MyOptimizer.kernel(MyOptimizer().record(0)[0], one, 1.0, params, one, one, 0, 1)
    return out[0], d[0], value, params[0]
"""


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """An empty cache folder, and the kernels that were compiled, not loaded."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "kernels"))
    compiled, save = [], _kernelcache.KernelCache.save_overload
    monkeypatch.setattr(_kernelcache.KernelCache, "save_overload", lambda *args: compiled.append(args) or save(*args))
    return compiled


@pytest.mark.usefixtures("own")
def test_edited_formulas_and_formulas_of_one_name(tmp_path, monkeypatch, compiled):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(name, factor):
        """What a newly imported module's formulas make, and how many of them were compiled."""
        source = FORMULAS.replace("FACTOR = 2", f"FACTOR = {factor}").replace('"own_', f'"{name}_')
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        compiled.clear()
        return importlib.import_module(name).results(), len(compiled)

    assert run("first", 2) == ((2, 2, 4, -2), 4)
    assert run("second", 5) == ((5, 5, 10, -5), 4)  # the classes have the names of the first ones
    assert run("first", 2) == ((2, 2, 4, -2), 0)
    assert run("first", 7) == ((7, 7, 14, -7), 4)
    assert run("second", 5) == ((5, 5, 10, -5), 0)


NOTEBOOK = """
@LOSSES.register("cell")
@dataclass(frozen=True)
class Cell(Loss):
    @mean_over_outputs
    def kernel(out, y, setting):
        return like(out, FACTOR) * (out - y), like(out, FACTOR)
"""


@pytest.mark.usefixtures("own")
def test_a_cell_of_a_notebook_that_is_run_again():
    """The new formula counts, and models with the old one go on with that."""
    names = {name: getattr(custom, name) for name in custom.__all__} | {"dataclass": dataclass, "__name__": "__main__"}
    x, y = np.full((4, 1), 3.0), np.zeros((4, 1))

    def model(loss):
        made = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(1,), dtype="float64")
        made.compile("sgd", loss)
        return made

    exec(f"FACTOR = 2\n{NOTEBOOK}", names)
    old, loss = model("cell"), names["Cell"]()
    assert old.evaluate(x, y) == 6
    exec(f"FACTOR = 9\n{NOTEBOOK}", names)
    assert model("cell").evaluate(x, y) == model(names["Cell"]()).evaluate(x, y) == 27
    assert old.evaluate(x, y) == model(loss).evaluate(x, y) == 6


def test_a_class_that_is_given_another_kernel(examples, monkeypatch):
    """What is kept in a process is found by the kernel, not by its class."""
    x, y = np.full((4, 1), 3.0), np.zeros((4, 1))

    def loss():
        model = fastbp.Sequential([fastbp.Activation("linear")], input_shape=(1,), dtype="float64")
        model.compile("sgd", examples[1].LogCosh())
        return model.evaluate(x, y)

    assert loss() == pytest.approx(np.log(np.cosh(3)))
    monkeypatch.setattr(examples[1].LogCosh, "kernel", staticmethod(fastbp.MeanSquaredError.kernel))
    assert loss() == 9


# What is wrong with a class


def class_of(base, attributes, is_dataclass=True):
    cls = type("Wrong", (base,), {"__module__": "somewhere"} | attributes)
    return dataclass(frozen=True)(cls) if is_dataclass else cls


def rule(attributes):
    return dataclass(type("Wrong", (custom.Optimizer,), {"__module__": "somewhere"} | attributes))


@forward
def twice(x, alpha):
    return x + x


@backward
def twice_back(d, x, out, alpha):
    return d + d


@backward
def reads_x(d, x, out, alpha):
    return d * like(d, 2) * x


def plain(x, alpha):
    return x


PAIR = {"forward": twice, "backward": twice_back}
PLAIN = {"forward": staticmethod(plain), "backward": twice_back}
READS = {"forward": twice, "backward": reads_x}


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("registry", "make", "message"),
    [
        (ACTIVATIONS, lambda: class_of(Activation, PAIR, False), "Wrong is no dataclass: write @dataclass"),
        (ACTIVATIONS, lambda: class_of(object, PAIR), "Wrong is not derived from fastbp.custom.Activation"),
        (
            ACTIVATIONS,
            lambda: class_of(Activation, {"forward": twice}),
            "Wrong.backward is None: put @fastbp",
        ),
        (
            ACTIVATIONS,
            lambda: class_of(Activation, PLAIN),
            "forward is <function plain",
        ),
        (
            ACTIVATIONS,
            lambda: class_of(Activation, READS),
            "reads its argument 'x'.*needs_input",
        ),
        (LOSSES, lambda: class_of(object, {}), "Wrong is not derived from fastbp.custom.Loss"),
        (LOSSES, lambda: class_of(Loss, {}), "Wrong.kernel is None: name the loss's formula `kernel`"),
        (LOSSES, lambda: class_of(Loss, {"kernel": staticmethod(plain)}), "Wrong.kernel is <function plain"),
        (OPTIMIZERS, lambda: class_of(object, {}), "Wrong is not derived from fastbp.custom.Optimizer"),
        (OPTIMIZERS, lambda: rule({}), r"Wrong.kernel is None: write kernel = staticmethod\(update\)"),
        (OPTIMIZERS, lambda: rule({"kernel": staticmethod(plain)}), "Wrong.kernel is <function plain"),
        (OPTIMIZERS, lambda: rule({"kernel": twice}), "Wrong has no dtype: write dtype = optimizer_dtype"),
    ],
)
def test_wrong_classes(registry, make, message):
    with pytest.raises(TypeError, match=message):
        registry.register("wrong")(make())
    assert "wrong" not in registry


@pytest.mark.parametrize(
    ("registry", "kind"), [(LOSSES, "a loss"), (ACTIVATIONS, "an activation"), (OPTIMIZERS, "an optimizer")]
)
def test_a_plain_function_is_told_where_to_look(registry, kind):
    with pytest.raises(TypeError, match=f"^{kind} is a name or an object.*fastbp.custom says how to write {kind} of"):
        registry.resolve(plain)


def test_registered_without_a_name():
    with pytest.raises(TypeError, match=r"write @....register\('name'\) over the loss"):
        LOSSES.register(class_of(Loss, {}))


@pytest.mark.parametrize(
    ("decorate", "formula", "message"),
    [
        (
            forward,
            lambda self, x, alpha: x,
            r"@forward is for a formula of \(x, alpha\), without self, not .*self",
        ),
        (backward, lambda d, out: d, r"@backward is for a formula of \(d, x, out, alpha\)"),
        (custom.mean_over_outputs, lambda out, y: out, r"@mean_over_outputs is for a formula of \(out, y, setting\)"),
        (custom.sum_over_outputs, 3, r"@sum_over_outputs .* not 3"),
    ],
)
def test_wrong_formulas(decorate, formula, message):
    with pytest.raises(TypeError, match=message):
        decorate(formula)


@pytest.mark.usefixtures("own")
def test_a_formula_that_does_not_compile_is_named():
    """Numba's own words are of the loop around it."""

    @LOSSES.register("one_number")
    @dataclass(frozen=True)
    class OneNumber(Loss):
        @custom.mean_over_outputs
        def kernel(out, y, setting):
            return out - y

    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,))
    model.compile("sgd", OneNumber())
    with pytest.raises(numba.TypingError) as raised:
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    (note,) = raised.value.__notes__
    assert "OneNumber.kernel does not compile" in note
    assert note.endswith("returns two numbers, the loss of an entry and the derivative of that by the output.")


@pytest.mark.usefixtures("own")
def test_an_activation_that_says_that_it_reads_its_input():
    cls = ACTIVATIONS.register("square")(class_of(Activation, READS | {"needs_input": True}))
    assert ACTIVATIONS.resolve("square") == cls()


@pytest.mark.usefixtures("own")
def test_names_that_are_taken():
    with pytest.raises(ValueError, match="fastbp.activations has an activation 'relu' already"):
        ACTIVATIONS.register("relu")(class_of(Activation, PAIR))


def test_kernels_of_custom_are_public():
    assert all(hasattr(custom, name) for name in custom.__all__)
    assert kernel is _jit.kernel
