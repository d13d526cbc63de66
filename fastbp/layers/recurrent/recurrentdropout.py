"""Dropout in recurrent layers (Gal and Ghahramani, 2016): a sequence has one mask for its inputs, one for its states.

A mask holds 0 or 1 / (1 - rate) for each input and each unit, the same at all steps of the sequence.  The states are
dropped where the recurrent kernel reads them, nowhere else.  All gates read the same masked rows.  The gates of Keras's
LSTM and GRU do so with `dropout` alone; with `recurrent_dropout` each has masks of its own.

The masks of a pack stand in its array `masks`: (PACK, d) of the inputs, (PACK, u) of the states, and then room for
gradients (PACK, u).  Their rows are in the order of ranks, so that a step with m rows has the first m masks.
"""

from functools import cache

import numpy as np

from fastbp.compiler.jit import compiled_address, inline, kernel
from fastbp.compiler.pointers import at, copy_entries, span
from fastbp.compiler.signatures import signature
from fastbp.kernels.dropping import drop_threshold, keep_scale, rate_of
from fastbp.kernels.rng import random_bits, stream_key
from fastbp.layers.base import STEP
from fastbp.layers.recurrent.packed_sequences import PACK, RANKS, RECURRENT, whole, zero


@kernel
def draw_masks(layer, step, work, pack, row, rows):
    """Write the masks of a pack, for `rows` batch rows from `row` on.

    It is a kernel of its own, so that layers without dropout do not compile it.
    """
    d, u = layer.n_in // layer.t, layer.units
    for i in range(rows):
        rank, first = whole(work, pack + RANKS + i), (row + i) * (d + u)
        inputs, states = pack + layer.masks + rank * d, pack + layer.masks + PACK * d + rank * u
        draw_mask(layer, step, span(work, inputs, d), first, layer.dropout)
        draw_mask(layer, step, span(work, states, u), first + d, layer.recurrent_dropout)


@inline
def draw_mask(layer, step, mask, first, rate):
    """mask (k,) = 0 or 1 / (1 - rate), by the layer's random numbers from number `first` on."""
    rate = rate_of(rate, step)
    low, high = stream_key(step.seed, step.counter, layer.index)
    threshold, scale, dropped = drop_threshold(rate), keep_scale(rate, mask), mask.dtype.type(0)
    for j in range(mask.size):
        bits = random_bits(low, high, np.uint32(first + j))
        mask[j] = scale if bits >= threshold else dropped


@cache
def draw_masks_address(float_type):
    """Return the address of `draw_masks` for a float type."""
    return compiled_address(draw_masks, signature("layer step f[:] i8 i8 i8", f=float_type, layer=RECURRENT, step=STEP))


@inline
def drops(layer, step):
    """Does the layer drop anything in this step?"""
    return layer.draw_masks != 0 and step.training != 0


@inline
def drop_inputs(layer, step, work, pack, i, x):
    """x (d,), an offset in work, *= the mask of the pack's row i."""
    if drops(layer, step):
        d = layer.n_in // layer.t
        multiply_by(span(work, x, d), span(work, pack + layer.masks + whole(work, pack + RANKS + i) * d, d))


@inline
def drop_states(layer, step, work, pack, h, size):
    """h (m, u), an offset in work, *= the masks of a step's rows."""
    if drops(layer, step):
        masks = pack + layer.masks + PACK * (layer.n_in // layer.t)
        multiply_by(span(work, h, size), span(work, masks, size))


@inline
def set_aside(layer, step, work, pack, dh, size):
    """Copy dh (m, u), an offset in work, to another place, and set it to zero; `add_aside` adds the copy again."""
    if drops(layer, step):
        aside = pack + layer.masks + PACK * (layer.n_in // layer.t + layer.units)
        copy_entries(at(work, aside), at(work, dh), size)
        zero(span(work, dh, size))


@inline
def add_aside(layer, step, work, pack, dh, size):
    """dh (m, u), an offset in work, = masks * dh + the values that were set aside."""
    if drops(layer, step):
        drop_states(layer, step, work, pack, dh, size)
        aside = pack + layer.masks + PACK * (layer.n_in // layer.t + layer.units)
        values, kept = span(work, dh, size), span(work, aside, size)
        for j in range(size):
            values[j] += kept[j]


@inline
def multiply_by(values, masks):
    """values (k,) *= masks (k,)."""
    for j in range(values.size):
        values[j] *= masks[j]
