"""Functions of arrays whose bits depend on the arguments alone, for all that enters training outside kernels.

The last bits of NumPy's `power`, `cos`, `exp` and `log` depend on the array's length, the entry's place and the CPU.
So, on AVX-512, the learning rate of a step depended on how many steps one call computed, and a resumed run had other
bits.  The bits of NumPy's matrix products depend on the number of BLAS's threads, and the workers of a pool have fewer.
NumPy's sums, products of entries, quotients and square roots depend on neither.  tests/kernels/test_repeatable.py looks
through the package for the others; `arraymath` has compiled versions for large arrays.
"""

import math
from functools import lru_cache
from itertools import pairwise, repeat

import numpy as np

# The powers below this one are kept for each base.
_BLOCK = 1024


def by_element(function, *arguments):
    """Return function(*entries) of every entry of broadcast arrays, as float64.

    An entry takes 80 ns.

    Examples
    --------
    >>> import math, numpy as np
    >>> by_element(math.cos, np.array([0.0, math.pi])).tolist()
    [1.0, -1.0]
    """
    arrays = np.broadcast_arrays(*(np.asarray(argument, np.float64) for argument in arguments))
    values = np.fromiter(map(function, *(array.ravel().tolist() for array in arrays)), np.float64, arrays[0].size)
    return values.reshape(arrays[0].shape)


def power(base, exponents):
    """Return base ** exponents for a base of at least 0 and exponents (...); infinity where that is too large.

    Examples
    --------
    >>> power(4.0, np.array([0.5, 1000.0])).tolist()
    [2.0, inf]
    """
    return by_element(_power, base, exponents)


def _power(base, exponent):
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def whole_power(base, exponents):
    """Return base ** exponents for a base from 0 to 1 and whole exponents (n,) of at least 0.

    One product of two powers that `math.pow` has computed: exact to two units in the last place, 10 ns an entry, where
    `power` takes 120.

    Examples
    --------
    >>> whole_power(0.5, np.array([0, 1, 2])).tolist()
    [1.0, 0.5, 0.25]
    """
    if len(exponents) == 1:  # 1 us in place of 8, for each call of `train_on_batch`
        return np.array([_whole_power(base, int(exponents[0]))])
    exponents = exponents.astype(np.int64)
    blocks = exponents // _BLOCK
    starts = [0, *(np.flatnonzero(blocks[1:] != blocks[:-1]) + 1).tolist(), len(blocks)]
    powers = _first_powers(base)[exponents - blocks * _BLOCK]
    for start, stop in pairwise(starts):
        powers[start:stop] *= math.pow(base, int(blocks[start]) * _BLOCK)
    return powers


def _whole_power(base, exponent):
    place = exponent % _BLOCK
    return _first_powers(base)[place] * math.pow(base, exponent - place)


@lru_cache(maxsize=32)
def _first_powers(base):
    return np.fromiter(map(math.pow, repeat(base, _BLOCK), range(_BLOCK)), np.float64)


def dot(a, b):
    """Return the sum of a * b for vectors (n,), added as `ndarray.sum` adds.

    Examples
    --------
    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    return (a * b).sum()


def norm(a):
    """Return the Euclidean norm of a vector (n,)."""
    return math.sqrt(dot(a, a))


def orthonormal_columns(a):
    """Return an orthonormal basis (n, k) of the columns of a (n, k), k <= n: its first j span the first j of `a`.

    Gram and Schmidt's process, each column projected twice (Giraud et al., 2005: twice is enough).  It is the Q of the
    QR decomposition whose R has a positive diagonal; LAPACK's depends on BLAS's threads.

    Examples
    --------
    >>> orthonormal_columns(np.array([[2.0, 1.0], [0.0, 3.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows = np.ascontiguousarray(a.T, np.float64)
    for i, row in enumerate(rows):
        for _ in range(2):
            shares = (rows[:i] * row).sum(axis=1)
            row -= (rows[:i] * shares[:, None]).sum(axis=0)
        row /= norm(row)
    return rows.T
