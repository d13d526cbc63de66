"""`drop_entries` against the plain generator: which entries are kept, at thresholds that are some entry's bits."""

import numba
import numpy as np
import pytest

from fastbp.compiler.pointers import at
from fastbp.kernels.dropping import VECTORS, drop_entries
from tests.reference import rng as reference

SENTINEL = -777.0
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@numba.njit
def run(out, x, count, first, high, threshold, scale, dropped):
    drop_entries(at(out, 0), at(x, 0), count, first, high, threshold, scale, dropped)


class Case:
    """Entries with numbers from `first` on, NaN, infinities and zeros of both signs among them."""

    def __init__(self, dtype, count, first=0, key=(3_000_000_000, 77)):
        draws = np.random.default_rng(count)
        self.x, self.count, self.key, self.first = draws.standard_normal(count).astype(dtype), count, key, first
        odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
        self.x[draws.integers(0, count, (count + 3) // 4)] = draws.choice(odd, (count + 3) // 4)
        elements = (np.arange(count, dtype=np.uint64) + np.uint64(first)) & np.uint64(reference.MASK32)
        self.bits = reference.random_bits(key, elements)

    def check(self, threshold, scale=1.4, dropped=0.0):
        """Compare with NumPy's formula, signs of zeros included; nothing behind the last entry is written."""
        out = np.full(self.count + 1, SENTINEL, self.x.dtype)
        real = self.x.dtype.type
        start = np.uint32((self.first + self.key[0]) & reference.MASK32)
        numbers = (np.uint32(self.key[1]), np.uint32(threshold), real(scale), real(dropped))
        run(out, self.x, self.count, start, *numbers)
        kept = self.x * real(scale) + real(-dropped)
        expected = np.where(self.bits >= np.uint64(threshold), kept, real(dropped))
        assert out[-1] == SENTINEL
        np.testing.assert_array_equal(out[:-1], expected)
        numbers = ~np.isnan(expected)
        assert np.array_equal(np.signbit(out[:-1])[numbers], np.signbit(expected)[numbers])


@both_dtypes
@pytest.mark.parametrize("dropped", [0.0, -0.0])
def test_every_size_up_to_40(dtype, dropped):
    for count in range(1, 41):
        Case(dtype, count, first=count * 1000).check(2**31 + count, dropped=dropped)


@both_dtypes
def test_sizes_about_whole_groups_of_vectors(dtype):
    for lanes in (2, 4, 8, 16):
        for count in (VECTORS * lanes - 1, VECTORS * lanes, VECTORS * lanes + 1, 3 * VECTORS * lanes + lanes + 1):
            Case(dtype, count).check(int(0.3 * 2**32))


@both_dtypes
def test_numbers_of_entries_go_round(dtype):
    Case(dtype, 1000, first=2**32 - 500).check(2**31)


def test_thresholds_that_are_some_entry_s_bits():
    """An entry is kept if its bits are the threshold, and dropped if they are one less: to the last of 32 bits."""
    case = Case("float32", 300)
    for bits in case.bits[:150].tolist():
        for threshold in {max(bits - 1, 0), bits, min(bits + 1, reference.MASK32)}:
            case.check(threshold)


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 2**15, 2**16 - 1, 2**17, 2**31, 2**32 - 2, 2**32 - 1])
def test_extreme_thresholds(threshold):
    Case("float32", 5000).check(threshold)
