"""Packed matrices: their layout by NumPy's slices, and products that read them: the bits of products that do not."""

import numba
import numpy as np
import pytest

from fastbp.compiler.jit import call
from fastbp.compiler.pointers import at, null
from fastbp.compiler.tileshape import tile_columns
from fastbp.kernels.panels import pack, pack_transpose, panels
from fastbp.kernels.tile import product_address
from fastbp.layers.base import float_type_of

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@numba.njit
def columns_of(b):
    return tile_columns(at(b, 0))


@numba.njit
def packed(b, rows, columns, firsts):
    """Pack b (rows, columns), flat, from each of `firsts` to the next."""
    out = np.full(b.size + 8, np.nan, b.dtype)
    for i in range(firsts.size - 1):
        first, m = firsts[i], firsts[i + 1] - firsts[i]
        pack(at(out, 0), rows, first, at(b, first * columns), columns, m, columns)
    return out


@numba.njit
def packed_transpose(b, rows, columns, firsts):
    """Pack the transpose of b (rows, columns), flat, from each of `firsts` to the next."""
    out = np.full(b.size + 8, np.nan, b.dtype)
    for i in range(firsts.size - 1):
        first, m = firsts[i], firsts[i + 1] - firsts[i]
        pack_transpose(at(out, 0), rows, first, at(b, first * columns), columns, m, columns)
    return out


@numba.njit
def both_products(address, a, b, b_panels, m, n, k):
    """Return a (m, k) @ b (k, n), flat, from b and from its panels."""
    plain, from_panels = np.full(m * n, np.nan, a.dtype), np.full(m * n, np.nan, a.dtype)
    call(address, (at(plain, 0), n, null(a), 0, at(a, 0), k, 1, at(b, 0), n, m, n, k))
    call(address, (at(from_panels, 0), n, null(a), 0, at(a, 0), k, 1, at(b_panels, 0), panels(k), m, n, k))
    return plain, from_panels


def panels_by_slices(b):
    """Return the panels of b (k, n) as the module's docstring says."""
    columns = columns_of(b.ravel())
    return np.concatenate([b[:, j : j + columns].ravel() for j in range(0, b.shape[1], columns)])


@both_dtypes
def test_layout(dtype):
    """All at once or some rows at a time; nothing behind the end is written."""
    rng = np.random.default_rng(0)
    for rows in (1, 7, 8, 16, 33, 40, 70):
        for columns in (*range(1, 41), 64, 97):
            b = rng.standard_normal((rows, columns)).astype(dtype)
            for firsts in ([0, rows], [0, *range(1, rows, 8), rows]):
                cuts = np.array(firsts)
                out = packed(b.ravel(), rows, columns, cuts)
                np.testing.assert_array_equal(out[: b.size], panels_by_slices(b))
                assert np.isnan(out[b.size :]).all()
                out = packed_transpose(b.ravel(), rows, columns, cuts)
                np.testing.assert_array_equal(out[: b.size], panels_by_slices(b.T))
                assert np.isnan(out[b.size :]).all()


@both_dtypes
def test_products_of_small_sizes(dtype):
    address, rng = product_address(float_type_of(dtype)), np.random.default_rng(1)
    a, b = rng.standard_normal((2, 1600)).astype(dtype)
    for n in range(1, 41):
        for k in range(1, 41):
            b_panels = packed(b, k, n, np.array([0, k]))
            for m in range(1, 41, 1 if (n + k) % 8 == 0 else 13):
                plain, from_panels = both_products(address, a, b, b_panels, m, n, k)
                assert np.array_equal(plain, from_panels), (m, n, k)


@both_dtypes
def test_products_of_large_sizes(dtype):
    """Several depths, and so many inner indices that their sums are added up apart; NaN and infinity stay there."""
    address, rng = product_address(float_type_of(dtype)), np.random.default_rng(2)
    sizes = [*rng.integers(1, 300, (12, 3)).tolist(), [5, 70, 17_000], [40, 33, 33_000], [300, 100, 600]]
    for m, n, k in sizes:
        a, b = rng.standard_normal(m * k).astype(dtype), rng.standard_normal(k * n).astype(dtype)
        b[rng.integers(b.size, size=2)] = np.nan, np.inf
        plain, from_panels = both_products(address, a, b, packed(b, k, n, np.array([0, k])), m, n, k)
        np.testing.assert_array_equal(plain, from_panels, err_msg=f"{m} {n} {k}")
