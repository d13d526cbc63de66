"""Rows drawn over all partitions.  The seed and the partitions' sizes alone decide which rows are drawn.

A partition's rows are shuffled once.  The first ones are rows to validate by, and no network trains on them.  From the
others each network draws rows without replacement: as many in each partition as a draw from all rows would have there.
Every worker that has the partition draws the same rows, so another worker can take the place of a lost one.
"""

from typing import NamedTuple

import numpy as np

# Random streams of the seed.  A network's stream has the network's number.
SHUFFLE, ENCODING = 2**31, 2**31 + 1


class Draw(NamedTuple):
    """How many rows each partition gives: (p,) to validate by, (p,) to learn the encoding from, (k, p) to networks."""

    seed: int
    valid: np.ndarray
    encoding: np.ndarray
    networks: np.ndarray

    def rows(self, n, partition, networks):
        """Return the rows of a partition of n: to validate by, for the encoding, and for each of some networks."""
        shuffled = _stream(self.seed, partition, SHUFFLE).permutation(n)
        n_valid = self.valid[partition]
        valid, others = np.sort(shuffled[:n_valid]), shuffled[n_valid:]

        def some(count, stream):
            rng = _stream(self.seed, partition, stream)
            return np.sort(rng.choice(others, count, replace=False, shuffle=False))

        drawn = [some(self.networks[number, partition], number) for number in networks]
        return valid, some(self.encoding[partition], ENCODING), drawn


def _stream(seed, partition, stream):
    return np.random.default_rng([seed, partition, stream])


def draw(sizes, n_valid, n_encoding, n_rows, n_networks, seed):
    """Return the `Draw` for partitions of these sizes; at most as many rows as there are.

    Examples
    --------
    >>> some = draw([0, 30, 70], n_valid=10, n_encoding=20, n_rows=1000, n_networks=2, seed=0)
    >>> int(some.valid.sum()), int(some.encoding.sum()), some.networks.sum(axis=1).tolist()
    (10, 20, [90, 90])
    """
    sizes, rng = np.asarray(sizes, np.int64), np.random.default_rng(seed)
    valid = _shares(rng, sizes, n_valid)
    encoding = _shares(rng, sizes - valid, n_encoding)
    networks = [_shares(rng, sizes - valid, n_rows) for _ in range(n_networks)]
    return Draw(seed, valid, encoding, np.array(networks, np.int64).reshape(n_networks, len(sizes)))


def _shares(rng, sizes, n):
    """Return how many of n rows, drawn from all without replacement, lie in each partition."""
    return rng.multivariate_hypergeometric(sizes, min(n, int(sizes.sum())), method="marginals")
