"""Counter-based random numbers: a number depends on (seed, step, layer, element) and nothing else.

There is no state to keep, to share between threads or to save: the backward pass draws the forward
pass's dropout mask again, and a resumed run draws the masks and shuffles it would have drawn.

Keys come from SplitMix64 (Steele, Lea and Flood, 2014), elements from two rounds of the 32-bit mixer
lowbias32 (Wellons, 2018): a dozen integer operations that vectorise, where the ten rounds of Philox
need forty widening products.
"""

import numpy as np

from fastbp.compiler.jit import inline, kernel

# lowbias32 is x ^ (x >> shift) times a factor, for each of these pairs, and then x ^ (x >> MIX_SHIFT).
MIXES, MIX_SHIFT = ((16, 0x21F0AAAD), (15, 0x735A2D97)), 15
# The stream of shuffles; layers use their own index, from 0 up.
SHUFFLE_STREAM = -1


@inline
def mix64(z):
    """One SplitMix64 output: a bijection of 64-bit integers."""
    z = np.uint64(z) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inline
def stream_key(seed, step, stream):
    """Return the key of one stream (a layer's index, or SHUFFLE_STREAM) at one step: two 32-bit halves."""
    key = mix64(mix64(mix64(seed) ^ np.uint64(step)) ^ np.uint64(stream))
    return np.uint32(key & np.uint64(0xFFFFFFFF)), np.uint32(key >> np.uint64(32))


@inline
def mix32(x):
    """The bijection lowbias32 of 32-bit integers."""
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(MIXES[0][0]))) * np.uint32(MIXES[0][1]))
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(MIXES[1][0]))) * np.uint32(MIXES[1][1]))
    return np.uint32(x ^ (x >> np.uint32(MIX_SHIFT)))


@inline
def random_bits(low, high, element):
    """Return 32 random bits for `element` of the stream with the key (low, high)."""
    return mix32(np.uint32(mix32(np.uint32(np.uint32(element) + low)) ^ high))


@kernel
def shuffle(order, seed, epoch):
    """Overwrite order (n,) with the permutation of 0 .. n-1 that belongs to (seed, epoch); n < 2**32.

    Fisher and Yates, from the front, filling the array as it goes.
    """
    low, high = stream_key(seed, epoch, SHUFFLE_STREAM)
    n = np.uint64(order.size)
    # All numbers first, in the places that the second loop fills: the first loop is vectorised.  10,000 rows take
    # 5.5 us, by one loop 16; 10,000,000 rows 43 ms, by one loop 141.
    for i in range(n):
        # j is uniform in 0 .. i: the high half of a 32 x 32 bit product.
        order[i] = (np.uint64(random_bits(low, high, i)) * (i + np.uint64(1))) >> np.uint64(32)
    for i in range(n):
        j = np.uint64(order[i])
        order[i] = order[j]
        order[j] = i
