"""Rows of windows that are added up in an image, against NumPy's sums; NaN and infinity; nothing beside is touched."""

import numba
import numpy as np
import pytest

from fastbp.compiler.pointers import at
from fastbp.kernels.windowadd import add_rows


@numba.njit
def run_rows(image, windows, stride, positions, rows, m, step, length):
    add_rows(at(image, 0), at(windows, 0), stride, positions, rows, m, step, length)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_windows(dtype):
    """Windows that overlap, touch or lie apart, in rows that follow each other without a gap, or with one."""
    rng = np.random.default_rng(0)
    for m, step, length in ((1, 1, 1), (10, 6, 30), (37, 1, 3), (5, 40, 33), (9, 16, 16), (3, 2, 70), (21, 4, 4)):
        for rows, gap in ((1, 0), (4, 0), (7, 5)):
            row = (m - 1) * step + length
            positions = np.repeat(np.arange(rows) * (row + gap), m).astype(np.int32)
            windows = rng.standard_normal((rows * m, length + 3)).astype(dtype)
            windows[rng.integers(rows * m, size=2), rng.integers(length, size=2)] = np.nan, np.inf
            image = rng.standard_normal(rows * (row + gap) + 20).astype(dtype)
            expected = image.astype(np.float64)
            for number, window in enumerate(windows):
                start = positions[number] + number % m * step
                expected[start : start + length] += window[:length]
            untouched = np.setdiff1d(np.arange(image.size), (positions[:, None] + np.arange(row)).ravel())
            before = image[untouched].copy()
            run_rows(image, windows.ravel(), windows.shape[1], positions.ctypes.data, rows, m, step, length)
            np.testing.assert_allclose(image, expected, rtol=1e-4, atol=2e-5 if dtype == "float32" else 1e-12)
            np.testing.assert_array_equal(image[untouched], before)
