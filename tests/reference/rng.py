"""The counter-based generator in plain Python integers and NumPy, and the masks and the noise that layers draw."""

import numpy as np

MASK32, MASK64 = 2**32 - 1, 2**64 - 1


def mix64(z):
    """Return one SplitMix64 output."""
    z = (z + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def stream_key(seed, step, stream):
    """Return the two 32-bit halves of a stream's key."""
    key = mix64(mix64(mix64(seed) ^ step) ^ (stream & MASK64))
    return key & MASK32, key >> 32


def mix32(x):
    """Return lowbias32 of an array of 32-bit integers, held in uint64."""
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x21F0AAAD)) & np.uint64(MASK32)
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x735A2D97)) & np.uint64(MASK32)
    return x ^ (x >> np.uint64(15))


def random_bits(key, elements):
    """Return 32 random bits (in uint64) for each of `elements`."""
    low, high = (np.uint64(half) for half in key)
    elements = np.asarray(elements).astype(np.uint64)
    return mix32(mix32((elements + low) & np.uint64(MASK32)) ^ high)


def shuffled(n, seed, epoch):
    """Return the permutation of 0 .. n-1 that belongs to (seed, epoch)."""
    order = np.arange(n)
    bits = random_bits(stream_key(seed, epoch, -1), order)
    for i in range(n):
        j = (int(bits[i]) * (i + 1)) >> 32
        order[i] = order[j]
        order[j] = i
    return order


def dropout_mask(seed, step, layer, shape, rate):
    """Return the factors (n, ...) of inverted dropout: 0 or 1 / (1 - rate)."""
    bits = random_bits(stream_key(seed, step, layer), np.arange(np.prod(shape))).reshape(shape)
    return np.where(bits >= int(rate * 2**32), 1 / (1 - rate), 0.0)


def spatial_mask(seed, step, layer, shape, rate):
    """Return the factors (n, 1, ..., c) of dropout of whole channels."""
    return dropout_mask(seed, step, layer, (shape[0], *(1 for _ in shape[1:-1]), shape[-1]), rate)


def alpha_mask(seed, step, layer, shape, rate):
    """Return what AlphaDropout keeps (n, ...): 0 or 1."""
    return (dropout_mask(seed, step, layer, shape, rate) > 0).astype(float)


def normal_noise(seed, step, layer, shape, stddev):
    """Return the noise (n, ...) of GaussianNoise, by the formula of Box and Muller."""
    elements = 2 * np.arange(np.prod(shape)).reshape(shape)
    key = stream_key(seed, step, layer)
    u, v = (random_bits(key, elements) + 0.5) / 2**32, random_bits(key, elements + 1) / 2**32
    return stddev * np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)


def recurrent_masks(seed, step, layer, shape, rates):
    """Return the factors of a recurrent layer's inputs (n, d) and of its states (n, u); shape is (n, d, u)."""
    n, d, u = shape
    bits = random_bits(stream_key(seed, step, layer), np.arange(n * (d + u))).reshape(n, d + u)
    parts = zip((bits[:, :d], bits[:, d:]), rates, strict=True)
    return tuple(np.where(part >= int(rate * 2**32), 1 / (1 - rate), 0.0) for part, rate in parts)


DRAWN = {
    "Dropout": dropout_mask,
    "SpatialDropout1D": spatial_mask,
    "SpatialDropout2D": spatial_mask,
    "AlphaDropout": alpha_mask,
    "GaussianNoise": normal_noise,
}


def dropout_masks(model, n, step):
    """Return {layer's index: mask, masks or noise} of a step of a model, for a batch of `n` rows."""
    drawn = {}
    for index, placed in enumerate(model.engine.network.layers):
        if type(placed.spec).__name__ in DRAWN:
            setting = getattr(placed.spec, "stddev", None) or getattr(placed.spec, "rate", 0.0)
            draw = DRAWN[type(placed.spec).__name__]
            drawn[index] = draw(model.seed, step, index, (n, *placed.output_shape), setting)
        elif getattr(placed.spec, "dropout", 0) or getattr(placed.spec, "recurrent_dropout", 0):
            shape = n, placed.input_shapes[0][-1], placed.spec.units
            drawn[index] = recurrent_masks(
                model.seed, step, index, shape, (placed.spec.dropout, placed.spec.recurrent_dropout)
            )
    return drawn
