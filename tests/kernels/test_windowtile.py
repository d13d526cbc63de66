"""Products of windows: the bits of the tiled product of the gathered matrix, wherever windows begin; NaN, infinity."""

import numba
import numpy as np
import pytest

from fastbp.compiler.jit import call
from fastbp.compiler.pointers import at, null
from fastbp.kernels.tile import product_address
from fastbp.kernels.windowtile import window_address, window_product
from fastbp.layers.base import float_type_of


@numba.njit
def run_windows(address, out, image, rows, columns, b, m, n, k, adds):
    """Call `window_product` on flat arrays: out = image[rows + columns] @ b, or that added to out."""
    start = at(out, 0) if adds else null(out)
    call(address, (at(out, 0), n, start, n, at(image, 0), rows, columns, at(b, 0), n, m, n, k))


@numba.njit
def run_product(address, out, a, b, m, n, k, adds):
    """Call `product` on flat arrays: out = a @ b, or that added to out."""
    start = at(out, 0) if adds else null(out)
    call(address, (at(out, 0), n, start, n, at(a, 0), k, 1, at(b, 0), n, m, n, k))


def pairs(m, rng):
    """Rows beside each other in rows of ten, 6 entries apart: the second of a pair is always as far behind."""
    return np.arange(m) // 10 * 97 + np.arange(m) % 10 * 6


def odd(m, rng):
    """Rows of 5: some pairs lie across their ends."""
    return np.arange(m) // 5 * 83 + np.arange(m) % 5


def one_apart(m, rng):
    """Pairs, but for the last row."""
    places = pairs(m, rng)
    places[-1] += 1
    return places


def anywhere(m, rng):
    return rng.integers(0, 500, m)


def backwards(m, rng):
    """Pairs whose second row lies before the first."""
    return pairs(m, rng)[::-1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("places", [pairs, odd, one_apart, anywhere, backwards])
def test_windows_have_the_bits_of_the_gathered_product(places, dtype):
    rng, float_type = np.random.default_rng(3), float_type_of(dtype)
    addresses = window_address(window_product, float_type), product_address(float_type)
    for m in (1, 15, 16, 17, 32, 36, 53):
        for n, k in ((2, 25), (6, 25), (15, 7), (16, 150), (17, 3), (33, 270)):
            rows, columns = places(m, rng).astype(np.int32), rng.integers(0, 300, k).astype(np.int32)
            image = rng.standard_normal(rows.max() + columns.max() + 1).astype(dtype)
            image[rng.integers(0, image.size, 2)] = np.nan, np.inf
            b = rng.standard_normal((k, n)).astype(dtype)
            a = np.ascontiguousarray(image[rows[:, None] + columns])
            for adds in (False, True):
                out = rng.standard_normal((m, n)).astype(dtype)
                expected = out.copy()
                with np.errstate(invalid="ignore"):
                    true = a.astype(np.float64) @ b + adds * out
                run_windows(
                    addresses[0], out.ravel(), image, rows.ctypes.data, columns.ctypes.data, b.ravel(), m, n, k, adds
                )
                run_product(addresses[1], expected.ravel(), a.ravel(), b.ravel(), m, n, k, adds)
                np.testing.assert_array_equal(out, expected)
                np.testing.assert_allclose(out, true, rtol=1e-4, atol=1e-4)


def beside(m, width):
    """Windows beside each other in rows of `width`, in an image with room for five taps more."""
    return np.arange(m) // width * (width + 4) + np.arange(m) % width


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [8, 12, 16, 28, 33])
def test_few_filters_of_windows_beside_each_other(width, dtype):
    """Forward the bits of the gathered product; the kernel's gradient within rounding.  Nothing beside is touched."""
    rng, float_type = np.random.default_rng(4), float_type_of(dtype)
    addresses = window_address(window_product, float_type), product_address(float_type)
    rounding = 1e-4 if dtype == "float32" else 1e-12
    taps = (np.arange(5)[:, None] * (width + 4) + np.arange(5)).ravel().astype(np.int32)
    for n in range(1, 9):
        for m, k in ((width, 25), (2 * width + 3, 7), (17 * width, 25), (40 * width // n, 1)):
            rows, columns = beside(m, width).astype(np.int32), taps[:k]
            image = rng.standard_normal(rows.max() + columns.max() + 1).astype(dtype)
            image[rng.integers(0, image.size, 2)] = np.nan, np.inf
            for adds, weights, (table, other) in (
                (False, rng.standard_normal((k, n)), (rows, columns)),
                (False, rng.standard_normal((m, n)), (columns, rows)),
                (True, rng.standard_normal((m, n)), (columns, rows)),
            ):
                b, a = weights.astype(dtype), np.ascontiguousarray(image[table[:, None] + other])
                before = rng.standard_normal((len(a) + 1, n)).astype(dtype)
                out, expected = before.copy(), before.copy()
                sizes = len(a), n, len(b)
                run_windows(
                    addresses[0], out.ravel(), image, table.ctypes.data, other.ctypes.data, b.ravel(), *sizes, adds
                )
                assert np.array_equal(out[-1], before[-1])
                if table is rows and n > 1:  # of one column, `product` adds by lanes
                    run_product(addresses[1], expected.ravel(), a.ravel(), b.ravel(), *sizes, adds)
                    np.testing.assert_array_equal(out[:-1], expected[:-1])
                with np.errstate(invalid="ignore"):
                    true = a.astype(np.float64) @ b + adds * before[:-1]
                np.testing.assert_allclose(out[:-1], true, rtol=rounding, atol=rounding)
