"""Packs: the time steps of a few rows in the order in which recurrent layers go through them, and the states between.

Rows are worked on in *packs* of at most `PACK`.  A pack's time steps are put in an order of their own: step p of the
pack holds the p-th step that is not masked of every row that has so many, the row with most of them first.  So

- a pack's step is a block of whole rows, next to each other in memory: products and activations take it in one call;
- masked steps cost nothing (sequences of 7 to 29 steps, padded to 29, take half the arithmetic), and no formula
  knows of masks: the state of a row just goes on from one of its steps to the next one;
- `go_backwards` is another order.

A *packed row* is a (row, step) pair in that order, numbered from 0; the numbers -PACK to -1 stand for the states
before the first step.  All arrays of a pack stand in the layer's `extra`, at offsets that its record names.
Gates are apart from each other, (gates, packed rows, u): a gate of one step is contiguous.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import array_at, at, copy_entries, part
from fastbp.layers.base import layer_dtype
from fastbp.layers.core.activation import ACTIVATION_FIELDS

# Rows of a pack.  16 rows are four tiles high, and a slice of 16 rows is one pack.
PACK = 16

# Where the first arrays of a pack begin: (1,) its rows; (PACK,) steps of each row; (PACK,) place of each row within
# a step; (t + 1,) first packed row of each step.
ROWS, LENGTHS, RANKS, BEGINS = 0, PACK, 2 * PACK, 3 * PACK

RECURRENT = layer_dtype(
    ("t", "i8"),
    ("units", "i8"),
    ("gates", "i8"),
    ("backwards", "i8"),
    ("batch", "i8"),  # rows of a batch, whose states stay for the next one; 0: they start at zero
    ("zero_masked", "i8"),  # are outputs of masked steps zero, or do they repeat?
    ("recurrent_kernel", "param"),
    ("bias", "param"),
    ("product", "i8"),  # address
    *ACTIVATION_FIELDS,
    ("recurrent_activate", "i8"),  # the gates' activation
    ("recurrent_differentiate", "i8"),
    ("recurrent_alpha", "f8"),
    # Entries of a pack, and where its arrays begin, after those of fixed places; packed rows are PACK * t at most.
    ("pack", "i8"),
    ("places", "i8"),  # (PACK, t): see `lay_out`
    ("packed_x", "i8"),  # (capacity, d)
    ("packed_dx", "i8"),
    ("outs", "i8"),  # (gates, capacity, u) after the activation
    ("z", "i8"),  # (gates, capacity, u) before it; where nobody needs it later, it stands in dz
    ("dz", "i8"),  # (gates or one more, capacity, u)
    ("h", "i8"),  # (PACK + capacity, u), from packed row 0 on; as all that has rows for the states before
    ("dh", "i8"),
    ("before", "i8"),  # (capacity, u): h of each row's step before, as the recurrent kernel reads it
    ("biases", "i8"),  # (gates, u) that x's projections add
    ("weights", "i8"),  # (gates, u, u) and (gates, u, d): kernels as the products read them best
    ("cell", "i8"),  # LSTM: (PACK + capacity, u)
    ("cell_out", "i8"),  # (capacity, u)
    ("reset", "i8"),  # GRU: (capacity, u), what the reset gate lets pass, or is to
    ("dstep", "i8"),  # (PACK, u), gradient of LSTM's cell, or of GRU's reset, at the step at hand
    ("masks", "i8"),  # of dropout (recurrentdropout.py)
    ("reset_after", "i8"),  # GRU: a bias of the state apart, and a gradient of what is reset
    # What the recurrent product of the last gate reads, and which gradient that product has.
    ("last_before", "i8"),
    ("last_dz", "i8"),
    ("draw_masks", "i8"),  # address; 0: nothing is dropped
    ("dropout", "f8"),
    ("recurrent_dropout", "f8"),
)


# float32 holds whole numbers up to 2**24, and with places of masked steps a pack counts to PACK * (t + 1).
MOST_STEPS = 2**24 // PACK - 1


@inline
def whole(work, index):
    """Return a whole number that stands in `work`: exact up to 2**24 in float32, more than a pack has rows."""
    return int(work[index])


@inline
def pack_of(layer, row):
    """Return where the arrays of the pack begin to which a region row belongs."""
    return layer.extra + row // PACK * layer.pack


@inline
def step_of(layer, work, pack, p):
    """Return the first packed row of a step, and how many rows it has."""
    begin = whole(work, pack + BEGINS + p)
    return begin, whole(work, pack + BEGINS + p + 1) - begin


@inline
def lay_out(layer, work, pack, first, rows):
    """mask (n, t) -> the pack's lengths, ranks, begins and places; return the number of steps.

    places[i, k] tells of the k-th step that row i goes through: its packed row r >= 0, or, of a masked step,
    -1 - PACK - r, r being that of the step before it that counts (or of the state before the first step).
    """
    t = layer.t
    lengths, ranks = part(work, pack + LENGTHS, rows), part(work, pack + RANKS, rows)
    begins, places = part(work, pack + BEGINS, t + 1), part(work, pack + layer.places, rows * t)
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
        last = whole(work, pack + RANKS + i) - PACK
        p = 0
        for k in range(t):
            if layer.mask >= 0 and work[layer.mask + (first + i) * t + source_step(layer, k)] == 0:
                places[i * t + k] = -1 - PACK - last
                continue
            last = whole(work, pack + BEGINS + p) + whole(work, pack + RANKS + i)
            places[i * t + k] = last
            p += 1
    return steps


@inline
def source_step(layer, k):
    """Return the number of the k-th step that a row goes through."""
    return layer.t - 1 - k if layer.backwards else k


@inline
def last_place(layer, work, pack, i, k):
    """Return the packed row of row i's k-th step, of a masked one that of the step before it that counts."""
    r = whole(work, pack + layer.places + i * layer.t + k)
    return r if r >= 0 else -1 - PACK - r


@inline
def is_zero(layer, work, pack, i, k):
    """Is row i's k-th output zero whatever the state?"""
    return layer.zero_masked and work[pack + layer.places + i * layer.t + k] < 0


@inline
def load_states(layer, step, work, pack, states, number, row, rows):
    """The states before the first step = those that batch rows from `row` on had after the last batch, or 0.

    `states` is the pack's array of h (number 0) or of the cell (1).
    """
    u = layer.units
    zero(part(work, pack + states - PACK * u, PACK * u))
    if layer.batch and step.buffers:
        kept = array_at(step.buffers, layer.buffers + 2 * layer.batch * u, work)
        for i in range(min(rows, layer.batch - row)):
            rank = whole(work, pack + RANKS + i)
            source = at(kept, layer.buffers + (number * layer.batch + row + i) * u)
            copy_entries(at(work, pack + states + (rank - PACK) * u), source, u)


@inline
def keep_states(layer, step, work, pack, states, number, row, rows):
    """Keep the states after the last step: `load_states` of the next batch reads them."""
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
