"""Every registered activation, with several settings: finite differences, the NumPy reference, JAX."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from fastbp.activations import ACTIVATIONS
from fastbp.registry import describe, rebuild
from tests.reference import autodiff
from tests.reference.activations import BACKWARD, FORWARD

jax.config.update("jax_enable_x64", True)


def variants():
    """Every activation that computes something, as it is and with each number it has set to others."""
    for name, cls in ACTIVATIONS.items():
        if cls.forward is None:
            continue
        yield pytest.param(cls(), id=name)
        for field in dataclasses.fields(cls):
            for value in (0.0, 0.3, 1.7):
                yield pytest.param(cls(**{field.name: value}), id=f"{name}-{field.name}={value}")


@pytest.fixture(params=variants(), scope="module")
def activation(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def forward(activation, x):
    """Outputs of x (n, k)."""
    out = np.full(x.size, 99.0, x.dtype)
    activation.forward(out, np.ravel(x), x.shape[1], activation.alpha)
    return out.reshape(x.shape)


def backward(activation, dout, x, out):
    """Gradients with respect to x (n, k); x is hidden where the activation promises not to read it."""
    d = np.ravel(dout).copy()
    seen = x if activation.needs_input else np.full_like(x, np.nan)
    activation.backward(d, np.ravel(seen), np.ravel(out), x.shape[1], activation.alpha)
    return d.reshape(x.shape)


def sample(dtype, shape=(41, 7), scale=4.0, seed=0):
    """x and dout; no x is so near 0 or the corners at +-3 that a small step passes them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-scale, scale, shape)
    for corner in (-3.0, 0.0, 3.0):
        x = np.where(abs(x - corner) < 1e-3, corner + 0.01, x)
    return x.astype(dtype), rng.standard_normal(shape).astype(dtype)


def test_gradient_by_finite_differences(activation):
    x, dout = sample("f8")
    gradient = backward(activation, dout, x, forward(activation, x))
    step = 1e-5
    for j in range(x.shape[1]):
        move = step * np.eye(x.shape[1])[j]
        numeric = ((forward(activation, x + move) - forward(activation, x - move)) * dout).sum(axis=1) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], numeric, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 5), (41, 7), (5, 33)])
def test_agrees_with_the_reference(activation, dtype, shape):
    x, dout = sample(dtype, shape)
    out = forward(activation, x)
    tolerance = {"float32": 2e-6, "float64": 4e-15}[dtype]
    wide = x.astype("f8")
    expected = FORWARD[activation.name](wide, activation.alpha)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    expected = BACKWARD[activation.name](dout.astype("f8"), wide, activation.alpha)
    np.testing.assert_allclose(backward(activation, dout, x, out), expected, rtol=tolerance, atol=tolerance)


def in_jax(activation):
    """JAX's function, by its name there and with its settings."""
    settings = dataclasses.asdict(activation)
    if activation.name in ("gelu", "gelu_tanh"):
        return lambda x: jax.nn.gelu(x, approximate=activation.name == "gelu_tanh")
    theirs = getattr(jax.nn, activation.name, None)
    if theirs is None:
        return lambda x: autodiff.ACTIVATIONS[activation.name](x, activation.alpha)
    return lambda x: theirs(x, **settings)


def test_agrees_with_jax(activation):
    x, dout = sample("f8")
    expected, pull = jax.vjp(in_jax(activation), x)
    out = forward(activation, x)
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(backward(activation, dout, x, out), pull(dout)[0], rtol=1e-10, atol=1e-13)


def test_nan_survives_and_stays_where_it_is(activation, dtype):
    x, dout = sample(dtype)
    clean = forward(activation, x)
    bad = np.zeros(x.shape, bool)
    bad[3, 2] = bad[17, 0] = bad[40, 6] = True
    touched = bad | bad.any(axis=1, keepdims=True) if activation.name == "softmax" else bad
    out = forward(activation, np.where(bad, np.nan, x).astype(dtype))
    np.testing.assert_array_equal(np.isnan(out), touched)
    gradient = backward(activation, np.where(bad, np.nan, dout).astype(dtype), x, clean)
    np.testing.assert_array_equal(np.isnan(gradient), touched)


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "silu", "mish", "softplus", "exponential", "elu", "selu"])
def test_small_outputs_are_exact_to_a_few_digits_of_their_own(name, dtype):
    # gelu(-5) is -1.4e-6: 1 - erf would leave it one digit of a float32.
    x = np.linspace(-5, -0.05, 100).reshape(10, 10).astype(dtype)
    wide = x.astype(float)
    exact = FORWARD[name](wide, 1.0)
    if name == "gelu":
        exact = wide * np.vectorize(math.erfc)(-wide / math.sqrt(2)) / 2
    out = forward(ACTIVATIONS.resolve(name), x)
    assert (abs(out - exact) <= abs(exact) * np.finfo(dtype).eps * (4 + wide**2)).all()


def test_large_inputs_give_finite_gradients(activation, dtype):
    x = np.array([[-1e30, -1e4, -100, -30, 0, 30, 100, 1e4, 1e30]], dtype)
    if activation.name == "exponential":  # which has no finite value above
        x = x[:, :6]
    out = forward(activation, x)
    assert np.isfinite(out).all()
    assert np.isfinite(backward(activation, np.ones_like(x), x, out)).all()


def test_same_bits_wherever_an_entry_stands(activation, dtype):
    x, dout = sample(dtype)
    out = forward(activation, x)
    gradient = backward(activation, dout, x, out)
    for i in range(0, x.shape[0], 5):
        row = slice(i, i + 1)
        assert forward(activation, x[row]).tobytes() == out[row].tobytes()
        assert backward(activation, dout[row], x[row], out[row]).tobytes() == gradient[row].tobytes()


def test_softmax_rows_sum_to_one_and_ignore_a_shift(dtype):
    x, _ = sample(dtype)
    softmax = ACTIVATIONS.resolve("softmax")
    out = forward(softmax, x)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=tolerance)
    whole = np.round(x * 16) / 16
    np.testing.assert_array_equal(forward(softmax, whole + 512), forward(softmax, whole))
    one_hot = forward(softmax, np.array([[1e4, 0, -1e4]], dtype))
    np.testing.assert_array_equal(one_hot, [[1, 0, 0]])


def test_linear_has_no_kernels():
    linear = ACTIVATIONS.resolve("linear")
    assert linear.forward is None
    assert linear.backward is None


def test_description_goes_through_json(activation):
    assert rebuild(json.loads(json.dumps(describe(activation)))) == activation


@pytest.mark.parametrize(("name", "setting"), [("leaky_relu", "negative_slope"), ("elu", "alpha")])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_bad_settings(name, setting, value):
    with pytest.raises(ValueError, match=rf"{name}: {setting} must be .* not {value}"):
        ACTIVATIONS[name](**{setting: value})


def test_unknown_name_suggests_a_known_one():
    with pytest.raises(ValueError, match=r"unknown activation 'geluu'\. Did you mean 'gelu'\?"):
        ACTIVATIONS.resolve("geluu")
