"""Every registered loss, with several settings: finite differences, the NumPy reference, JAX; a loss of one's own."""

import dataclasses
import gc
import itertools
import json
import platform
import re

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from numba import types

import fastbp
from fastbp.compiler.records import record_type
from fastbp.losses import LOSSES
from fastbp.losses.base import LOSS_HEADER, Loss, loss_address
from fastbp.registry import describe, rebuild
from tests.reference import autodiff
from tests.reference.losses import LOSSES as REFERENCE

jax.config.update("jax_enable_x64", True)

SHAPES = [(1, 1), (37, 1), (6, 2), (5, 3), (3, 41)]


def variants():
    """Every loss as it is, and with each number among its settings set to others; on logits where it has a link."""
    for name, cls in LOSSES.items():
        logits = {"from_logits": True} if cls.link else {}
        yield pytest.param(cls(**logits), id=name)
        for field in dataclasses.fields(cls):
            if field.type is float:
                for value in (0.05, 0.6):
                    yield pytest.param(cls(**logits, **{field.name: value}), id=f"{name}-{field.name}={value}")
    yield pytest.param(fastbp.QuantileLoss((0.02, 0.3, 0.97)), id="quantile-others")


every_name = pytest.mark.parametrize("name", list(LOSSES))


@pytest.fixture(params=variants())
def loss(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def suits(loss, k):
    try:
        loss.check_output("linear" if loss.link else "softplus", k)
    except ValueError:
        return False
    return True


def problem(loss, n, k, dtype="float64", seed=0):
    """Raw outputs (n, k), prepared targets (n, t), weights (n,): some of them 0."""
    rng = np.random.default_rng([seed, n, k])
    out = rng.normal(size=(n, k)) * 3
    if loss.name == "poisson":
        out = np.abs(out) + 0.1
    y = loss.prepare_targets(autodiff.random_targets(loss, rng, n, k), k, np.dtype(dtype))
    weight = rng.uniform(0.5, 3, n) * (rng.uniform(size=n) > 0.2)
    return out.astype(dtype), y, weight.astype(dtype)


def run(loss, out, y, weight=None, scale=1.0):
    """Return the kernel's summed loss and dout (n, k)."""
    n, k = out.shape
    weight = np.ones(n, out.dtype) if weight is None else weight
    dout = np.full(n * k, np.nan, out.dtype)  # what stood there must not matter
    record = loss.record(k, y.shape[1], 0, None)[0]
    value = loss.kernel(record, dout, out.ravel(), y.ravel(), weight, scale)
    assert isinstance(value, float)
    return value, dout.reshape(n, k)


def expected(loss, out, y, weight, scale=1.0):
    losses, dout = REFERENCE[loss.name](out.astype("f8"), y.astype("f8"), **dataclasses.asdict(loss))
    return (weight.astype("f8") * losses).sum(), scale * weight[:, None].astype("f8") * dout


def problems(loss, dtype="float64"):
    return [problem(loss, n, k, dtype) for n, k in SHAPES if suits(loss, k)]


@every_name
def test_has_its_oracles(name):
    assert name in REFERENCE
    assert name in autodiff.LOSSES


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-13)])
def test_reference(loss, dtype, tolerance):
    for out, y, weight in problems(loss, dtype):
        scale = 1 / len(out)
        value, dout = run(loss, out, y, weight, scale)
        value_expected, dout_expected = expected(loss, out, y, weight, scale)
        assert dout.dtype == dtype
        np.testing.assert_allclose(value, value_expected, rtol=tolerance)
        np.testing.assert_allclose(dout, dout_expected, rtol=tolerance, atol=tolerance * scale)


def test_finite_differences(loss):
    out, y, weight = problem(loss, 5, 3)
    _, dout = run(loss, out, y, weight, 0.25)
    for place in np.ndindex(out.shape):
        above, below = out.copy(), out.copy()
        above[place] += 1e-6
        below[place] -= 1e-6
        difference = 0.25 * (run(loss, above, y, weight)[0] - run(loss, below, y, weight)[0]) / 2e-6
        assert dout[place] == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_jax(loss):
    for out, y, weight in problems(loss)[::3]:
        given = y[:, 0].astype(int) if loss.name.startswith("sparse") else jnp.asarray(y)

        def mean_loss(x, given=given, weight=weight):
            return (weight * autodiff.LOSSES[loss.name](loss, x, given)).mean()

        scale = 1 / len(out)
        value, dout = run(loss, out, y, weight, scale)
        jax_value, jax_dout = jax.value_and_grad(mean_loss)(jnp.asarray(out))
        np.testing.assert_allclose(value * scale, jax_value, rtol=1e-10)
        np.testing.assert_allclose(dout, jax_dout, rtol=1e-10, atol=1e-10 * np.abs(jax_dout).max())


def test_large_outputs(loss, dtype):
    ends = (-1e4, 0.0, 1e4) if loss.name != "poisson" else (1e-6, 1.0, 1e4)
    out = np.array(list(itertools.product(ends, repeat=3)), dtype)
    _, y, weight = problem(loss, len(out), 3, dtype)
    value, dout = run(loss, out, y, weight)
    value_expected, dout_expected = expected(loss, out, y, weight)
    assert np.isfinite(value)
    np.testing.assert_allclose(value, value_expected, rtol=1e-6 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(dout, dout_expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, cls in LOSSES.items() if cls.link])
def test_sure_and_right_is_a_small_loss_to_the_last_bits(name, dtype):
    # exp(-14) is lost when 1 is added to it first, in float32: half the bits of it would be gone.
    loss = LOSSES[name](from_logits=True)
    out = np.array([[14.0, -14.0]], dtype)
    y = loss.prepare_targets([0] if name.startswith("sparse") else [[1, 0]], 2, np.dtype(dtype))
    value, _ = run(loss, out, y, np.ones(1, dtype))
    exact = np.log1p(np.exp(-14.0)) if name.startswith("binary") else np.log1p(np.exp(-28.0))
    np.testing.assert_allclose(value, exact, rtol=1e-6 if name.startswith("binary") else 1e-3)


def test_nan_survives_where_it_is(loss, dtype):
    for n, k in ((37, 1), (12, 3), (5, 21)):
        if not suits(loss, k):
            continue
        out, y, _ = problem(loss, n, k, dtype)
        _, clean = run(loss, out, y)
        for entry in (0, 3, n * k // 2, n * k - 1):  # vector lanes and the scalar rest
            bad = out.copy()
            bad.ravel()[entry] = np.nan
            value, dout = run(loss, bad, y)
            assert np.isnan(value)
            if loss.name != "vector_jacobian":
                assert np.isnan(dout.ravel()[entry])
            others = np.arange(n) != entry // k
            assert np.array_equal(dout[others], clean[others])


def test_rows_have_the_same_bits_alone(loss, dtype):
    for out, y, weight in problems(loss, dtype):
        _, dout = run(loss, out, y, weight, 0.1)
        for i in range(len(out)):
            _, alone = run(loss, out[i : i + 1], y[i : i + 1], weight[i : i + 1], 0.1)
            assert np.array_equal(alone[0], dout[i])


def test_weight_0_leaves_a_row_out(loss, dtype):
    out, y, weight = problem(loss, 8, 3, dtype)
    weight[::2] = 0
    value, dout = run(loss, out, y, weight)
    assert not dout[::2].any()
    np.testing.assert_allclose(value, run(loss, out[1::2], y[1::2], weight[1::2])[0], rtol=1e-12)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@every_name
def test_float32_loops_are_packed(name):
    cls, real = LOSSES[name], types.float32[::1]
    fresh = numba.njit(error_model="numpy", nogil=True)(cls.kernel.py_func)  # one from the cache has no assembly
    fresh.compile(types.float64(record_type(cls.dtype), real, real, real, real, types.float64))
    assembly = fresh.inspect_asm(fresh.signatures[0])
    assert re.search(r"\bv?mulps\b", assembly)
    if cls.link or name == "poisson":
        assert re.search(r"\bvfn?m\w+ps\b", assembly), "the exponentials or logarithms are scalar"


@every_name
def test_row_and_address(name):
    loss, real = LOSSES[name](), np.dtype("float32")
    where = loss_address(loss.kernel, loss.dtype, real)
    record = loss.record(4, 1, where, real)
    assert record.shape == (1,)
    assert record.dtype.names[: len(LOSS_HEADER)] == tuple(name for name, _ in LOSS_HEADER)
    assert record.dtype.itemsize == 8 * len(record.dtype.names)  # no padding
    assert [int(record[field][0]) for field in ("kernel", "n_out", "n_targets")] == [where, 4, 1]


def test_describe_and_rebuild_through_json(loss):
    assert rebuild(json.loads(json.dumps(describe(loss)))) == loss


@pytest.mark.parametrize("count", [1, 2, 41])
def test_any_number_of_quantiles(count):
    loss = fastbp.QuantileLoss(np.linspace(0.1, 0.99, count) ** 2)
    assert problems(loss)
    test_reference(loss, "float32", 2e-6)
    test_reference(loss, "float64", 1e-13)
    test_jax(loss)
    test_rows_have_the_same_bits_alone(loss, "float32")


def test_sorted_quantiles_never_have_a_larger_loss():
    loss = fastbp.QuantileLoss((0.1, 0.3, 0.5, 0.9))
    out, y, _ = problem(loss, 200, 4)
    for i in range(len(out)):
        alone, in_order = (run(loss, rows, y[i : i + 1])[0] for rows in (out[i : i + 1], np.sort(out[i : i + 1])))
        assert in_order <= alone + 1e-12


# Targets and outputs that do not fit.

MSE, BCE, CCE = fastbp.MeanSquaredError(), fastbp.BinaryCrossentropy(), fastbp.CategoricalCrossentropy()
SPARSE, HINGE, POISSON = fastbp.SparseCategoricalCrossentropy(), fastbp.Hinge(), fastbp.Poisson()
QUANTILE = fastbp.QuantileLoss()
OWN = fastbp.CustomLoss(numba.njit(lambda y_true, y_pred, dout: 0.0))

BAD_TARGETS = [
    (MSE, [1.0, np.nan], 1, r"y\[1\] is nan: targets must be finite; drop or fill such rows"),
    (MSE, [[0.0, 1.0], [2.0, np.inf]], 2, r"y\[1, 1\] is inf: targets must be finite"),
    (MSE, [1e300], 1, r"y\[0\] is 1e\+300 \(too large for float32\)"),
    (MSE, [], 1, r"y is empty: its shape is \(0,\)"),
    (MSE, np.zeros((0, 3)), 3, r"y is empty: its shape is \(0, 3\)"),
    (MSE, np.zeros((4, 2)), 3, r"y has shape \(4, 2\); a model with 3 outputs takes \(n, 3\). Give the last layer as"),
    (MSE, np.zeros((4, 2)), 1, r"y has shape \(4, 2\); a model with 1 output takes \(n, 1\) or \(n,\)"),
    (MSE, np.zeros(4), 2, r"y has shape \(4,\); a model with 2 outputs"),
    (MSE, np.zeros((2, 3, 4)), 3, r"y has shape \(2, 3, 4\): targets have shape \(n,\) or \(n, columns\)"),
    (MSE, 3.0, 1, r"y has shape \(\): targets have shape"),
    (MSE, ["1", "cat"], 1, r"y must hold numbers, but has 'cat': turn labels into 0, 1, 2 .*return_inverse"),
    (MSE, np.array([1, None]), 1, r"y\[1\] is nan: targets must be finite"),
    (MSE, [1 + 2j], 1, "y must hold real numbers, not complex128"),
    (MSE, np.array(["2020-01-01"], "M8[D]"), 1, "y must hold real numbers, not datetime64"),
    (BCE, [0, 1, 2], 1, "y holds 2, but binary_crossentropy takes targets from 0 to 1"),
    (BCE, [-1, 1], 1, "y holds -1, but binary_crossentropy takes targets from 0 to 1"),
    (CCE, [0, 2, 1], 3, r'y has shape \(3,\): for class numbers use loss="sparse_categorical_crossentropy"'),
    (CCE, [[0], [2]], 3, r"y has shape \(2, 1\): for class numbers .* takes one-hot rows \(n, 3\)"),
    (CCE, [[0, 1.5, 0]], 3, "y holds 1.5, but categorical_crossentropy takes probabilities from 0 to 1"),
    (SPARSE, [[0, 1, 0]], 3, r'y has shape \(1, 3\), which looks one-hot: use loss="categorical_crossentropy"'),
    (SPARSE, [[0, 1]], 3, r"y has shape \(1, 2\); class numbers have shape \(n,\)"),
    (SPARSE, [0, 0.5], 3, "y holds 0.5: class numbers are whole numbers from 0 to 2"),
    (SPARSE, [0, 3], 3, "y holds class 3, but the model has 3 outputs, for classes 0 to 2: give the last layer one"),
    (SPARSE, [0, -1], 3, "y holds class -1, but .*number classes from 0"),
    (SPARSE, ["a", "b"], 3, "y must hold numbers, but has 'a'"),
    (HINGE, [0, 1, 2], 1, "y holds 2 and 0, but hinge takes -1 and 1, or 0 and 1"),
    (HINGE, [-1, 0, 1], 1, "y holds -1 and 0, but hinge takes"),
    (HINGE, [-1, 0.5], 1, "y holds 0.5, but hinge takes"),
    (POISSON, [1, -2], 1, "y holds -2, but the poisson loss takes counts of at least 0"),
    (QUANTILE, np.zeros((4, 3)), 3, r"y has shape \(4, 3\): the quantiles are of one target"),
    (OWN, np.zeros((2, 3, 4)), 1, r"y has shape \(2, 3, 4\): targets have shape"),
]


@pytest.mark.parametrize(("loss", "y", "k", "message"), BAD_TARGETS)
def test_targets_that_do_not_fit(loss, y, k, message):
    with pytest.raises(ValueError, match=message):
        loss.prepare_targets(y, k, np.dtype("float32"))


GOOD_TARGETS = [
    (MSE, [1, 2], 1, [[1], [2]]),
    (MSE, np.array(["1", "2.5"]), 1, [[1], [2.5]]),
    (MSE, np.array([1, 2.5], object), 1, [[1], [2.5]]),
    (MSE, np.asfortranarray([[1.0, 2], [3, 4]]), 2, [[1, 2], [3, 4]]),
    (BCE, [True, False], 1, [[1], [0]]),
    (BCE, [[0.25, 1]], 2, [[0.25, 1]]),
    (CCE, [[0.25, 0.75]], 2, [[0.25, 0.75]]),
    (SPARSE, np.array([[2], [0]], "u1"), 3, [[2], [0]]),
    (SPARSE, [2.0, 0.0], 3, [[2], [0]]),
    (HINGE, [0, 1], 1, [[-1], [1]]),
    (HINGE, [-1, 1], 1, [[-1], [1]]),
    (HINGE, [False, False], 1, [[-1], [-1]]),
    (POISSON, [0, 7], 1, [[0], [7]]),
    (QUANTILE, [1, 2], 3, [[1], [2]]),
    (OWN, [[1, 2, 3]], 1, [[1, 2, 3]]),
]


@pytest.mark.parametrize(("loss", "y", "k", "rows"), GOOD_TARGETS)
def test_targets_become_rows(loss, y, k, rows, dtype):
    prepared = loss.prepare_targets(y, k, np.dtype(dtype))
    assert prepared.dtype == dtype
    assert prepared.flags.c_contiguous
    np.testing.assert_array_equal(prepared, rows)


BAD_OUTPUTS = [
    (BCE, "linear", 1, r'write Dense\(1, activation="sigmoid"\), or loss=fastbp.BinaryCrossentropy\(from_logits'),
    (BCE, "softmax", 2, r'takes the probabilities of a sigmoid, but the last layer ends in "softmax"'),
    (CCE, "linear", 3, r'write Dense\(3, activation="softmax"\), or loss=fastbp.CategoricalCrossentropy'),
    (SPARSE, "relu", 3, r'the last layer ends in "relu": write Dense\(3, activation="softmax"\)'),
    (SPARSE, "sigmoid", 1, "an output for each class, the model has 1. For two classes write Dense.2, .*binary_cross"),
    (fastbp.BinaryCrossentropy(from_logits=True), "sigmoid", 1, 'takes raw outputs, but the last layer ends in "sigm'),
    (fastbp.CategoricalCrossentropy(from_logits=True), "softmax", 3, "drop that activation, or from_logits=True"),
    (QUANTILE, "linear", 1, "QuantileLoss has 3 quantiles, but the model has 1 output: give the last layer a unit for"),
]


@pytest.mark.parametrize(("loss", "activation", "k", "message"), BAD_OUTPUTS)
def test_outputs_that_do_not_fit(loss, activation, k, message):
    with pytest.raises(ValueError, match=message):
        loss.check_output(activation, k)
    model = fastbp.Sequential([fastbp.Dense(k, activation=activation)], input_shape=(2,))
    with pytest.raises(ValueError, match=message):
        model.compile(loss=loss)


@pytest.mark.parametrize("name", [name for name, cls in LOSSES.items() if cls.link])
def test_outputs_that_fit(name):
    cls = LOSSES[name]
    cls().check_output(cls.link, 3)
    cls(from_logits=True).check_output("linear", 3)


BAD_SETTINGS = [
    (lambda: fastbp.Huber(delta=0), ValueError, r"Huber\(delta=0\): delta is a number above 0"),
    (lambda: fastbp.Huber(delta=np.inf), ValueError, r"delta=inf"),
    (lambda: fastbp.Huber(delta=np.nan), ValueError, r"delta=nan"),
    (lambda: fastbp.BinaryCrossentropy(label_smoothing=1.0), ValueError, r"BinaryCrossentropy\(label_smoothing=1.0\)"),
    (lambda: fastbp.CategoricalCrossentropy(label_smoothing=-0.1), ValueError, "at least 0 and below 1"),
    (lambda: fastbp.CustomLoss(lambda y_true, y_pred, dout: 0.0), TypeError, "compiled with numba.njit, not <function"),
    (lambda: fastbp.QuantileLoss([0.5, 0.1]), ValueError, r"quantiles=\[0.5, 0.1\]: they are above 0, below 1"),
    (lambda: fastbp.QuantileLoss([0.5, 1.0]), ValueError, "above 0, below 1"),
    (lambda: fastbp.QuantileLoss([np.nan]), ValueError, "above 0, below 1"),
    (lambda: fastbp.QuantileLoss([]), ValueError, "above 0, below 1"),
    (lambda: fastbp.QuantileLoss(0.5), ValueError, "quantiles=0.5: they are a list of numbers"),
    (lambda: LOSSES.resolve("mean_square_error"), ValueError, "Did you mean 'mean_squared_error'"),
    (lambda: LOSSES.resolve(fastbp.Huber), TypeError, r"write Huber\(\)"),
    (lambda: LOSSES.resolve(fastbp.CustomLoss), TypeError, r"write CustomLoss\(\)"),
    (lambda: LOSSES.resolve(len), TypeError, "a loss is a name or an object"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_SETTINGS)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


# A loss of one's own.


@numba.njit
def squared_error(y_true, y_pred, dout):
    total = 0.0
    for j in range(y_pred.size):
        dout[j] = 2 * (y_pred[j] - y_true[j]) / y_pred.size
        total += (y_pred[j] - y_true[j]) ** 2 / y_pred.size
    return total


@numba.njit
def squared_error_in_float32(y_true, y_pred, dout):
    total = np.float32(0)
    for j in range(y_pred.size):
        error = np.float32(y_pred[j] - y_true[j])
        dout[j] = np.float32(2) * error / np.float32(y_pred.size)
        total += error * error / np.float32(y_pred.size)
    return total


@numba.njit
def normal_likelihood(y_true, y_pred, dout):
    # One target, two outputs: a mean and the logarithm of a variance.
    error, precision = y_pred[0] - y_true[0], np.exp(-y_pred[1])
    dout[0] = precision * error
    dout[1] = (1 - precision * error * error) / 2
    return (y_pred[1] + precision * error * error) / 2


def data(columns=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    return x, np.tanh(x[:, :columns]), rng.uniform(0.1, 2, 40)


def trained(loss, dtype, x, y, weight):
    layers = [fastbp.Dense(5, activation="tanh"), fastbp.Dense(y.shape[1], activation="sigmoid")]
    model = fastbp.Sequential(layers, seed=0, dtype=dtype)
    model.compile(optimizer=fastbp.SGD(0.1), loss=loss)
    history = model.fit(x, y, epochs=4, batch_size=8, sample_weight=weight, verbose=0)
    return model, history.history["loss"]


@pytest.mark.parametrize("function", [squared_error, squared_error_in_float32])
def test_own_loss_trains_as_the_same_built_in_one(function, dtype):
    x, y, weight = data()
    model, history = trained(fastbp.CustomLoss(function), dtype, x, y, weight)
    built_in, built_in_history = trained("mean_squared_error", dtype, x, y, weight)
    tolerance = 1e-12 if dtype == "float64" and function is squared_error else 1e-5
    np.testing.assert_allclose(history, built_in_history, rtol=tolerance)
    np.testing.assert_allclose(model.params, built_in.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        model.evaluate(x, y, sample_weight=weight), built_in.evaluate(x, y, sample_weight=weight), rtol=tolerance
    )


def test_own_loss_with_fewer_targets_than_outputs():
    x, y, _ = data(columns=1)
    model = fastbp.Sequential([fastbp.Dense(4, activation="tanh"), fastbp.Dense(2)], seed=0, dtype="float64")
    model.compile(optimizer=fastbp.SGD(0.1), loss=fastbp.CustomLoss(normal_likelihood))
    assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-7
    before = model.evaluate(x, y)
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y) < before


def test_own_loss_object_shared_by_models_of_both_types():
    # Rows hold addresses of the compiled function: it must outlive the runs of other models.
    x, y, weight = data()
    loss = fastbp.CustomLoss(squared_error)
    single, _ = trained(loss, "float32", x, y, weight)
    first = single.evaluate(x, y)
    double, _ = trained(loss, "float64", x, y, weight)
    gc.collect()
    assert single.evaluate(x, y) == first
    assert double.evaluate(x, y) == pytest.approx(first, rel=1e-4)


def test_own_loss_that_diverges_is_noticed():
    nan_loss = fastbp.CustomLoss(numba.njit(lambda y_true, y_pred, dout: np.nan))
    with pytest.raises(fastbp.TrainingDiverged):
        trained(nan_loss, "float64", *data())


def test_own_loss_that_does_not_compile():
    two_arguments = fastbp.CustomLoss(numba.njit(lambda y_true, y_pred: 0.0), name="mine")
    with pytest.raises(TypeError, match=r"'mine' does not compile as f\(y_true, y_pred, dout\) -> float"):
        trained(two_arguments, "float32", *data())
    returns_nothing = fastbp.CustomLoss(numba.njit(lambda y_true, y_pred, dout: None), name="none")
    with pytest.raises(TypeError, match="'none' does not compile"):
        trained(returns_nothing, "float32", *data())


def test_own_loss_is_asked_for_by_load_model(tmp_path):
    x, y, weight = data()
    loss = fastbp.CustomLoss(squared_error, name="mine")
    model, _ = trained(loss, "float32", x, y, weight)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp", custom_objects={"mine": loss})
    assert again.evaluate(x, y) == model.evaluate(x, y)
    with pytest.warns(UserWarning, match="'mine', which a file cannot hold"):
        fastbp.load_model(tmp_path / "m.fastbp")


def test_a_subclass_of_loss_is_a_loss():
    class Doubled(fastbp.MeanSquaredError):
        def prepare_targets(self, y, n_out, dtype):
            return 2 * super().prepare_targets(y, n_out, dtype)

    assert isinstance(LOSSES.resolve(Doubled()), Loss)


def test_unknown_losses_are_told_what_users_can_write():
    """`Sequential.vjp` goes back from a loss of its own, which is no name for users."""
    with pytest.raises(ValueError, match=r"unknown loss 'vector'\. Known: binary_crossentropy, ") as error:
        LOSSES.resolve("vector")
    assert "vector_jacobian" not in str(error.value)
