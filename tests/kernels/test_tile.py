"""The tiled product: every edge, stride and start against NumPy; nothing outside is touched; bits by any split."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from fastbp.compiler.jit import call
from fastbp.compiler.pointers import at, null
from fastbp.kernels.tile import DEPTH, product_address
from fastbp.layers.base import float_type_of

# Longest accumulation 600: errors grow with its square root, bounds with its length.
ROUNDING = {"float32": 1.2e-7, "float64": 2.3e-16}


@numba.njit
def run_product(
    address, out, out_at, out_stride, init, init_at, init_stride, a, a_row, a_col, b, b_at, b_stride, m, n, k
):
    """Call the product on flat arrays; init_at -1: null."""
    start = null(out) if init_at < 0 else at(init, init_at)
    call(
        address,
        (at(out, out_at), out_stride, start, init_stride, at(a, 0), a_row, a_col, at(b, b_at), b_stride, m, n, k),
    )


class Product:
    """out = init + a @ b in padded buffers filled with a sentinel."""

    sentinel = -777.0

    def __init__(self, dtype, a, b, init=None, transposed=False, pad=3):
        self.dtype, self.a, self.b, self.init = dtype, a, b, init
        (self.m, self.k), self.n = a.shape, b.shape[1]
        self.address = product_address(float_type_of(dtype))
        self.a_flat = np.ascontiguousarray(a.T if transposed else a, dtype).ravel()
        self.a_strides = (1, self.m) if transposed else (self.k, 1)
        self.stride = self.n + pad
        self.b_flat = self.padded(b)

    def padded(self, rows):
        """Return rows in a flat buffer with `pad` sentinels after each, before the first and after the last."""
        buffer = np.full((len(rows) + 2, self.stride), self.sentinel, self.dtype)
        buffer[1:-1, : self.n] = rows
        return buffer.ravel()

    def run(self, rows=None, columns=None, out=None):
        """Run for a slice of rows and of columns; return the whole buffer of out."""
        i0, i1 = rows or (0, self.m)
        j0, j1 = columns or (0, self.n)
        out = self.padded(np.full((self.m, self.n), self.sentinel)) if out is None else out
        init, init_at, init_stride = self.start(out, i0, j0)
        first = self.stride + j0
        run_product(
            self.address, out, first + i0 * self.stride, self.stride, init, init_at, init_stride,
            self.a_flat[i0 * self.a_strides[0] :], *self.a_strides,
            self.b_flat, first, self.stride, i1 - i0, j1 - j0, self.k,
        )  # fmt: skip
        return out

    def start(self, out, i0, j0):
        if self.init is None:
            return out, -1, 0
        if np.ndim(self.init) == 1:
            return np.asarray(self.init, self.dtype), j0, 0
        # Accumulate: init is out itself.
        view = out.reshape(-1, self.stride)
        view[1 + i0 : -1, : self.n] = self.init[i0:]
        return out, self.stride + j0 + i0 * self.stride, self.stride

    def values(self, out):
        return out.reshape(-1, self.stride)[1:-1, : self.n]

    def untouched(self, out):
        """Return what must still be sentinels."""
        grid = out.reshape(-1, self.stride)
        return np.concatenate([grid[0], grid[-1], grid[:, self.n :].ravel()])


def operands(m, n, k, seed=0):
    rng = np.random.default_rng([seed, m, n, k])
    return rng.standard_normal((m, k)), rng.standard_normal((k, n)), rng.standard_normal((m, n))


def check(dtype, m, n, k, kind="null", transposed=False):
    a, b, init = (part.astype(dtype) for part in operands(m, n, k))
    init = None if kind == "null" else init[0] if kind == "bias" else init
    product = Product(dtype, a, b, init, transposed)
    out = product.run()
    start = 0 if init is None else init.astype(float)
    expected = start + a.astype(float) @ b.astype(float)
    bound = (k + 1) * ROUNDING[dtype] * (np.abs(start) + np.abs(a.astype(float)) @ np.abs(b.astype(float)))
    assert (np.abs(product.values(out) - expected) <= bound).all(), (m, n, k)
    assert (product.untouched(out) == Product.sentinel).all(), (m, n, k)


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
STARTS = ["null", "bias", "accumulate"]


@both_dtypes
@pytest.mark.parametrize("k", [0, 1, 2, 7, 64, DEPTH - 1, DEPTH, DEPTH + 1, 600])
def test_every_edge(dtype, k):
    for m in range(1, 10):
        for n in range(1, 51):
            check(dtype, m, n, k, STARTS[(m + n) % 3], transposed=bool((m + n) // 3 % 2))


@both_dtypes
@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("transposed", [False, True], ids=["x", "x^T"])
def test_tall_and_wide(dtype, kind, transposed):
    """Many row tiles of every height, with and without a packed copy of b."""
    for m in (*range(10, 42), 129):
        check(dtype, m, 19, 5, kind, transposed)
    for m, n, k in [(16, 200, 300), (40, 97, 520), (33, 1, 600), (1, 300, 257), (25, 48, 256), (17, 24, 600)]:
        check(dtype, m, n, k, kind, transposed)


@both_dtypes
@pytest.mark.parametrize("transposed", [False, True], ids=["x", "x^T"])
@pytest.mark.parametrize("kind", STARTS)
def test_one_contiguous_column(dtype, kind, transposed):
    """A single output: dot products, and a row instead of a column for its gradient."""
    address = product_address(float_type_of(dtype))
    for m in (*range(1, 20), 33, 64):
        for k in (0, 1, 2, 5, 8, 13, 16, 31, 64, 300):
            a, b, init = (part.astype(dtype) for part in operands(m, 1, k))
            a_flat, strides = np.ascontiguousarray(a.T if transposed else a).ravel(), (1, m) if transposed else (k, 1)
            out = np.full(m + 40, Product.sentinel, dtype)
            out[:m] = init[:, 0]
            start, init_at, stride = {
                "null": (np.zeros(1, dtype), -1, 1),
                "bias": (init[:1, 0].copy(), 0, 0),
                "accumulate": (out, 0, 1),
            }[kind]
            # Behind the end of b there is a NaN: no lane may look.
            b_flat = np.append(b[:, 0], np.nan).astype(dtype)
            run_product(address, out, 0, 1, start, init_at, stride, np.append(a_flat, np.nan).astype(dtype),
                        *strides, b_flat, 0, 1, m, 1, k)  # fmt: skip
            first = {"null": 0, "bias": init[0, 0], "accumulate": init}[kind]
            expected = first + a.astype(float) @ b.astype(float)
            bound = (k + 1) * ROUNDING[dtype] * (np.abs(first) + np.abs(a.astype(float)) @ np.abs(b.astype(float)))
            assert (np.abs(out[:m, None] - expected) <= bound).all(), (m, k)
            assert (out[m:] == Product.sentinel).all(), (m, k)


@both_dtypes
def test_one_column_has_the_same_bits_for_each_row(dtype):
    """Whatever its neighbours: slices of a batch, one row at a time."""
    a, b, _ = (part.astype(dtype) for part in operands(37, 1, 45))
    address, start = product_address(float_type_of(dtype)), np.ones(1, dtype)

    def run(rows):
        out = np.zeros(len(rows), dtype)
        run_product(address, out, 0, 1, start, 0, 0, rows.ravel(), 45, 1, b.ravel(), 0, 1, len(rows), 1, 45)
        return out

    whole = run(a)
    np.testing.assert_array_equal(whole, np.concatenate([run(a[i : i + 1]) for i in range(37)]))
    np.testing.assert_array_equal(whole, np.concatenate([run(a[i : i + 5]) for i in range(0, 37, 5)]))


@both_dtypes
def test_no_rows_or_columns_is_nothing(dtype):
    for m, n in [(0, 5), (5, 0)]:
        check(dtype, m, n, 3)


@both_dtypes
@pytest.mark.parametrize(("m", "n", "k"), [(9, 50, 600), (37, 70, 300), (64, 31, 257)])
def test_splits_have_the_same_bits(dtype, m, n, k):
    """Rows or columns at once, one at a time or in odd pieces; packed or not."""
    a, b, init = (part.astype(dtype) for part in operands(m, n, k))
    for start in (None, init[0], init):
        product = Product(dtype, a, b, start)
        whole = product.values(product.run())
        for i in range(m):
            row = product.values(product.run(rows=(i, i + 1)))[i]
            assert np.array_equal(row, whole[i])
        for j in range(n):
            column = product.values(product.run(columns=(j, j + 1)))[:, j]
            assert np.array_equal(column, whole[:, j])
        for i, j in [(1, 1), (5, 17), (8, 24)]:
            pieces = [
                [
                    product.values(product.run(rows, columns))[slice(*rows), slice(*columns)]
                    for columns in ((0, j), (j, n))
                ]
                for rows in ((0, i), (i, m))
            ]
            assert np.array_equal(np.block(pieces), whole)


@both_dtypes
def test_depth_in_pieces_has_the_same_bits(dtype):
    """Adding the products of some inner indices to those before them: what a chunk after another does.

    Where the cut lies between two panels, that is: within one, its products would be added up in two sums.
    """
    a, b, _ = (part.astype(dtype) for part in operands(11, 30, 900))
    product = Product(dtype, a, b)
    whole = product.values(product.run())
    for cut in (DEPTH, 2 * DEPTH, 3 * DEPTH):
        first = Product(dtype, a[:, :cut], b[:cut])
        second = Product(dtype, a[:, cut:], b[cut:], first.values(first.run()).copy())
        assert np.array_equal(second.values(second.run()), whole)


@both_dtypes
@pytest.mark.parametrize("kind", STARTS)
def test_rows_without_a_gap(dtype, kind):
    """Stores of whole vectors that the next row overwrites: every value, and nothing beyond the last row."""
    for m in (*range(1, 14), 25):
        for n in (*range(1, 35), 47, 48, 49):
            a, b, init = (part.astype(dtype) for part in operands(m, n, 5))
            product = Product(dtype, a, b, {"null": None, "bias": init[0], "accumulate": init}[kind], pad=0)
            out = product.run()
            expected = a.astype(float) @ b.astype(float) + {"null": 0, "bias": init[0], "accumulate": init}[kind]
            assert np.allclose(product.values(out), expected, rtol=0, atol=100 * ROUNDING[dtype]), (m, n)
            assert (product.untouched(out) == Product.sentinel).all(), (m, n)


@both_dtypes
@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 1), (1, 3), (5, 70)])
def test_a_million_equal_products(dtype, m, n):
    """Sums of sums: one chain in float32 is off by 1e-2, each of its additions being rounded the same way."""
    k = 1_000_000 if m * n < 10 else 100_000
    a, b = np.full((m, k), 0.1, dtype), np.full((k, n), 0.3, dtype)
    exact = k * float(a[0, 0]) * float(b[0, 0])
    for transposed in (False, True):
        product = Product(dtype, a, b, transposed=transposed, pad=0)
        error = abs(product.values(product.run()).astype(float) / exact - 1)
        assert error.max() < 150 * ROUNDING[dtype]


@both_dtypes
@pytest.mark.parametrize("n", [1, 3, 64, 70])
@pytest.mark.parametrize("kind", STARTS)
def test_sums_of_columns(dtype, n, kind):
    """A bias's gradient: a is one number that stands for all; the same bits whatever columns stand beside."""
    address, rng = product_address(float_type_of(dtype)), np.random.default_rng(0)
    for k in (0, 1, 7, 8, 63, 64, 65, 200, 4096, 5000):
        b, init = rng.standard_normal((k, n)).astype(dtype), rng.standard_normal(n).astype(dtype)
        factor, expected = np.full(1, 0.5, dtype), 0.5 * b.astype(float).sum(0)
        expected += 0 if kind == "null" else init
        out = np.append(init, Product.sentinel).astype(dtype)
        start = out if kind == "accumulate" else init
        init_at = -1 if kind == "null" else 0
        run_product(address, out, 0, n, start, init_at, n, factor, 0, 0, b.ravel(), 0, n, 1, n, k)
        bound = 20 * ROUNDING[dtype] * (abs(init) + abs(b.astype(float)).sum(0))
        assert (abs(out[:n] - expected) <= bound).all(), k
        assert out[n] == Product.sentinel
        one, start = init[-1:].copy(), init[-1:].copy()
        run_product(address, one, 0, n, start, init_at, n, factor, 0, 0, b.ravel()[n - 1 :], 0, n, 1, 1, k)
        if kind != "accumulate":
            assert one[0] == out[n - 1]


@both_dtypes
def test_strides_of_a_do_not_change_bits(dtype):
    a, b, _ = (part.astype(dtype) for part in operands(21, 33, 300))
    plain, transposed = Product(dtype, a, b), Product(dtype, a, b, transposed=True)
    assert np.array_equal(plain.values(plain.run()), transposed.values(transposed.run()))


@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_propagate(dtype, bad):
    """To the same entries as in NumPy: 0 * inf is NaN too."""
    for place in range(12):
        a, b, init = (part.astype(dtype) for part in operands(10, 27, 40, seed=place))
        a[:, ::3] = 0
        target = (a, b, init)[place % 3]
        target.ravel()[(place * 97) % target.size] = bad
        with np.errstate(invalid="ignore"):
            expected = init + a @ b
        product = Product(dtype, a, b, init)
        out = product.values(product.run())
        assert np.array_equal(np.isnan(out), np.isnan(expected))
        assert np.array_equal(out[np.isinf(out)], expected[np.isinf(expected)])
        assert np.array_equal(np.isinf(out), np.isinf(expected))


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from tests.kernels.test_tile import run_product
from fastbp.layers.base import float_type_of
from fastbp.kernels.tile import product_address

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
kept = []

def guarded(size, dtype):
    # An array that ends where memory that may not be read begins.
    bytes_ = size * np.dtype(dtype).itemsize
    pages = -(-bytes_ // mmap.PAGESIZE)
    buffer = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    kept.append(buffer)
    whole = np.frombuffer(buffer, np.uint8)
    end = whole.ctypes.data + pages * mmap.PAGESIZE
    assert libc.mprotect(end, mmap.PAGESIZE, 0) == 0
    return whole[pages * mmap.PAGESIZE - bytes_ : pages * mmap.PAGESIZE].view(dtype)

for dtype in ("float32", "float64"):
    address = product_address(float_type_of(dtype))
    a, b, bias, out = (guarded(size, dtype) for size in (40 * 300, 300 * 60, 60, 40 * 60))
    for m in (1, 3, 8, 40):
        for n in (1, 7, 8, 9, 17, 24, 25, 60):
            for k in (1, 5, 300):
                last = [array[array.size - size :] for array, size in ((a, m * k), (b, k * n), (bias, n), (out, m * n))]
                for a_row, a_col in ((k, 1), (1, m)):
                    run_product(address, last[3], 0, n, last[2], 0, 0, last[0], a_row, a_col, last[1], 0, n, m, n, k)
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages of memory with mprotect")
def test_nothing_outside_is_read():
    """Operands that end at a protected page: one entry too many would end the process."""
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-c", GUARDED]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.strip() == "whole"


@both_dtypes
@pytest.mark.parametrize("transposed", [False, True], ids=["x", "x^T"])
def test_narrow_products(dtype, transposed):
    """Every size up to 40, and some beyond: the bits of each row alone; infinity, NaN; nothing behind b is read."""
    address, rng = product_address(float_type_of(dtype)), np.random.default_rng(1)
    sizes = [(40 - n % 7, n, k) for n in range(2, 17) for k in range(1, 41)]
    for m, n, k in [*sizes, (97, 3, 700), (64, 12, 257), (33, 4, 512)]:
        a, b, init = (part.astype(dtype) for part in operands(m, n, k))
        a[rng.integers(m), rng.integers(k)] = np.inf
        b[rng.integers(k), rng.integers(n)] = np.nan
        a_flat = np.append(a.T if transposed else a, np.nan).astype(dtype)
        b_flat = np.append(b, np.nan).astype(dtype)

        def run(first, rows, init=init, a_flat=a_flat, b_flat=b_flat, m=m, n=n, k=k):
            strides, start = ((1, m), first) if transposed else ((k, 1), first * k)
            out = np.full(rows * n + 20, Product.sentinel, dtype)
            run_product(address, out, 0, n, init[0], 0, 0, a_flat[start:], *strides, b_flat, 0, n, rows, n, k)
            assert (out[rows * n :] == Product.sentinel).all()
            return out[: rows * n].reshape(rows, n)

        out, (x, y) = run(0, m), (a.astype(float), b.astype(float))
        assert np.array_equal(out, np.concatenate([run(i, 1) for i in range(m)]), equal_nan=True), (m, n, k)
        with np.errstate(invalid="ignore"):
            expected, size = init[0] + x @ y, (np.abs(x) @ np.abs(y) + np.abs(init[0])).astype(float)
        assert np.array_equal(np.isnan(out), np.isnan(expected)), (m, n, k)
        finite = np.isfinite(expected)
        assert np.array_equal(out[~finite], expected[~finite].astype(dtype), equal_nan=True)
        assert (np.abs(out[finite] - expected[finite]) <= (k + 2) * ROUNDING[dtype] * size[finite]).all(), (m, n, k)
