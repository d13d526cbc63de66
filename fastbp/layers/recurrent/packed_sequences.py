"""Packed sequences: the time steps of a few batch rows, in the order in which recurrent layers compute them.

Recurrent layers work on *packs* of at most `PACK` batch rows.  Step p of a pack holds the p-th step that is not masked
of each row; rows with fewer steps are left out.  Within a step, the row with the most steps comes first.  So

- a step is one block of memory: a product or an activation computes it in one call;
- masked steps cost nothing: sequences of 7 to 29 steps, padded to 29, take half the arithmetic;
- formulas know nothing of masks: a row's state goes from one of its unmasked steps to the next;
- `go_backwards` is only another order.

A *packed row* is one (batch row, step) pair, numbered from 0 in that order.  The numbers -PACK to -1 stand for the
states before the first step.  The arrays of a pack lie in the layer's `extra`; the layer's record has their offsets.
The arrays of all gates have the shape (gates, packed rows, u), so that one gate of one step is contiguous.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import array_at, at, copy_entries, span
from fastbp.layers.base import layer_dtype
from fastbp.layers.core.activation import ACTIVATION_FIELDS

# Rows of a pack.  16 rows are four tiles high, and a slice of 16 rows is one pack.
PACK = 16

# Offsets of the first arrays of a pack: the number of its rows (1,); each row's number of steps (PACK,); each row's
# place within a step (PACK,); the first packed row of each step (t + 1,).
ROWS, LENGTHS, RANKS, BEGINS = 0, PACK, 2 * PACK, 3 * PACK

RECURRENT = layer_dtype(
    ("t", "i8"),
    ("units", "i8"),
    ("gates", "i8"),
    ("backwards", "i8"),
    ("batch", "i8"),  # stateful: the rows of a batch; 0: all states start at zero
    ("zero_masked", "i8"),  # are outputs of masked steps zero, or do they repeat?
    ("recurrent_kernel", "param"),
    ("bias", "param"),
    ("product", "i8"),  # address
    *ACTIVATION_FIELDS,
    ("recurrent_activate", "i8"),  # the gates' activation
    ("recurrent_differentiate", "i8"),
    ("recurrent_alpha", "f8"),
    # The entries of a pack, then the offsets of its other arrays.  capacity = PACK * t, the most packed rows.
    ("pack", "i8"),
    ("places", "i8"),  # (PACK, t): see `lay_out`
    ("packed_x", "i8"),  # (capacity, d)
    ("packed_dx", "i8"),
    ("outs", "i8"),  # (gates, capacity, u) after the activation
    ("z", "i8"),  # (gates, capacity, u) before it; shares the room of dz if no derivative reads it
    ("dz", "i8"),  # (gates or one more, capacity, u)
    ("h", "i8"),  # (PACK + capacity, u); the offset of packed row 0, in front of which are the states before
    ("dh", "i8"),
    ("before", "i8"),  # (capacity, u): h of the row's previous step, the factor of the recurrent kernel
    ("biases", "i8"),  # (gates, u), added to the projections of x
    ("weights", "i8"),  # (gates, u, u) and (gates, u, d): the kernels, one gate after the other
    ("cell", "i8"),  # LSTM: (PACK + capacity, u)
    ("cell_out", "i8"),  # (capacity, u)
    ("reset", "i8"),  # GRU: (capacity, u), r * state; with reset_after the state's product, before r multiplies it
    ("dstep", "i8"),  # (PACK, u): the gradient of LSTM's cell, or of GRU's reset, at the current step
    ("masks", "i8"),  # of dropout (recurrentdropout.py)
    ("reset_after", "i8"),  # GRU: the state's product has a bias of its own, and a gradient of its own
    ("last_before", "i8"),  # the factor of the recurrent kernel in the last gate: `before` or `reset`
    ("last_dz", "i8"),  # the gradient of that product
    ("draw_masks", "i8"),  # address; 0: nothing is dropped
    ("dropout", "f8"),
    ("recurrent_dropout", "f8"),
)


# float32 holds whole numbers exactly up to 2**24; the places of a pack have numbers up to PACK * (t + 1).
MOST_STEPS = 2**24 // PACK - 1


@inline
def whole(work, index):
    """Return a whole number that stands in `work`: no place of a pack passes 2**24, and float32 is exact up to that."""
    return int(work[index])


@inline
def pack_of(layer, row):
    """Return the offset of the pack that a region row belongs to."""
    return layer.extra + row // PACK * layer.pack


@inline
def step_of(layer, work, pack, p):
    """Return the first packed row of a step, and how many rows it has."""
    begin = whole(work, pack + BEGINS + p)
    return begin, whole(work, pack + BEGINS + p + 1) - begin


@inline
def lay_out(layer, work, pack, first, rows):
    """mask (n, t) -> the pack's lengths, ranks, begins and places; return the number of steps.

    places[i, k] belongs to the k-th step of row i.  For an unmasked step it is the step's packed row r >= 0.  For a
    masked step it is -1 - PACK - r, and r is the packed row of the last unmasked step before it (or of the state before
    the first step).
    """
    t = layer.t
    lengths, ranks = span(work, pack + LENGTHS, rows), span(work, pack + RANKS, rows)
    begins, places = span(work, pack + BEGINS, t + 1), span(work, pack + layer.places, rows * t)
    work[pack + ROWS] = rows
    for i in range(rows):
        lengths[i] = t
        if layer.mask >= 0:
            lengths[i] = 0
            for s in range(t):
                lengths[i] += work[layer.mask + (first + i) * t + s]
    steps = 0
    begins[0] = 0
    for p in range(t):
        begins[p + 1] = begins[p]
        for i in range(rows):
            begins[p + 1] += lengths[i] > p
        steps += begins[p + 1] > begins[p]
    for i in range(rows):
        ranks[i] = 0
        for j in range(rows):
            ranks[i] += lengths[j] > lengths[i] or (lengths[j] == lengths[i] and j < i)
        previous = whole(work, pack + RANKS + i) - PACK
        p = 0
        for k in range(t):
            if layer.mask >= 0 and work[layer.mask + (first + i) * t + source_step(layer, k)] == 0:
                places[i * t + k] = -1 - PACK - previous
                continue
            previous = whole(work, pack + BEGINS + p) + whole(work, pack + RANKS + i)
            places[i * t + k] = previous
            p += 1
    return steps


@inline
def source_step(layer, k):
    """Return the number of the k-th step that a row goes through."""
    return layer.t - 1 - k if layer.backwards else k


@inline
def last_place(layer, work, pack, i, k):
    """Return the packed row of row i's k-th step; a masked step has that of the last unmasked step before it."""
    r = whole(work, pack + layer.places + i * layer.t + k)
    return r if r >= 0 else -1 - PACK - r


@inline
def is_zero(layer, work, pack, i, k):
    """Is row i's k-th output zero, because the step is masked?"""
    return layer.zero_masked and work[pack + layer.places + i * layer.t + k] < 0


@inline
def load_states(layer, step, work, pack, states, number, row, rows):
    """Set the states before the first step: to 0, or in a stateful layer to the states that the last batch left.

    `states` is the pack's array of h (number 0) or of the cell (1); its batch rows begin at `row`.
    """
    u = layer.units
    zero(span(work, pack + states - PACK * u, PACK * u))
    if layer.batch and step.buffers:
        kept = array_at(step.buffers, layer.buffers + 2 * layer.batch * u, work)
        for i in range(min(rows, layer.batch - row)):
            rank = whole(work, pack + RANKS + i)
            source = at(kept, layer.buffers + (number * layer.batch + row + i) * u)
            copy_entries(at(work, pack + states + (rank - PACK) * u), source, u)


@inline
def keep_states(layer, step, work, pack, states, number, row, rows):
    """Store the states after the last step, for `load_states` of the next batch."""
    u = layer.units
    if layer.batch and step.buffers:
        kept = array_at(step.buffers, layer.buffers + 2 * layer.batch * u, work)
        for i in range(min(rows, layer.batch - row)):
            r = last_place(layer, work, pack, i, layer.t - 1)
            to = at(kept, layer.buffers + (number * layer.batch + row + i) * u)
            copy_entries(to, at(work, pack + states + r * u), u)


@inline
def zero(values):
    """values = 0."""
    for i in range(values.size):
        values[i] = 0
