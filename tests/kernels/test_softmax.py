"""Softmax of narrow and wide rows, by columns and not: every width against NumPy's float64, and bits of rows alone."""

import numpy as np
import pytest

from fastbp.activations import ACTIVATIONS

ROUNDING = {"float32": 1.2e-7, "float64": 2.3e-16}
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = [(rows, k) for k in (*range(1, 41), 63, 64, 65, 100, 1000) for rows in (1, 1 + k * 7 % 17, 70)]


def forward(x):
    out = np.full(x.size + 1, -777.0, x.dtype)
    ACTIVATIONS.resolve("softmax").forward(out[:-1], x.ravel(), x.shape[1], 0.0)
    assert out[-1] == -777.0
    return out[:-1].reshape(x.shape)


def backward(dout, out):
    d = np.append(dout.ravel(), -777.0).astype(dout.dtype)
    ACTIVATIONS.resolve("softmax").backward(d[:-1], out.ravel(), out.ravel(), out.shape[1], 0.0)
    assert d[-1] == -777.0
    return d[:-1].reshape(out.shape)


def expected(x):
    e = np.exp(x.astype(float) - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@both_dtypes
def test_every_width(dtype):
    rng = np.random.default_rng(0)
    for rows, k in SIZES:
        x, dout = (5 * rng.standard_normal((2, rows, k))).astype(dtype)
        out = forward(x)
        np.testing.assert_allclose(out, expected(x), rtol=30 * ROUNDING[dtype], err_msg=f"{rows} {k}")
        exact = out.astype(float) * (dout - (out.astype(float) * dout).sum(axis=1, keepdims=True))
        bound = 4 * ROUNDING[dtype] * (np.abs(dout) + np.abs(out * dout).sum(axis=1, keepdims=True) + 1)
        assert (np.abs(backward(dout, out) - exact) <= bound).all(), (rows, k)


@both_dtypes
def test_rows_have_the_same_bits_alone(dtype):
    rng = np.random.default_rng(1)
    for k in (1, 2, 3, 4, 7, 16, 31, 32, 33, 50, 64, 65):
        x, dout = rng.standard_normal((2, 67, k)).astype(dtype)
        out = forward(x)
        d = backward(dout, out)
        for i in (0, 15, 16, 63, 64, 66):
            np.testing.assert_array_equal(forward(x[i : i + 1])[0], out[i])
            np.testing.assert_array_equal(backward(dout[i : i + 1], out[i : i + 1])[0], d[i])


@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(dtype, bad):
    for k in (1, 2, 3, 4, 17, 32, 40, 64, 65):
        for column in (0, k // 2, k - 1):
            x = np.random.default_rng(2).standard_normal((20, k)).astype(dtype)
            clean = forward(x)
            x[5, column] = bad
            out = forward(x)
            assert np.isnan(out[5, column])
            np.testing.assert_array_equal(np.delete(out, 5, 0), np.delete(clean, 5, 0))


@both_dtypes
def test_minus_infinity_has_no_share(dtype):
    for k in (2, 3, 4, 5, 32, 40, 64, 65):
        x = np.zeros((3, k), dtype)
        x[1, 1:] = -np.inf
        np.testing.assert_array_equal(forward(x)[1], [1.0] + [0.0] * (k - 1))
