"""The gradient of a convolution with respect to its input, dx: each window's gradient is added to the image.

    dwindows = dz @ kernel^T                  (windows, k) @ (k, kh kw c)

Windows overlap, so an entry of dx is the sum of several entries of dwindows (windowadd.py).  One block of dwindows is
made after the other, so that it is added up while it is in the first-level cache.
"""

import numpy as np

from fastbp.compiler.jit import call, inline
from fastbp.compiler.pointers import at, null, shift
from fastbp.kernels.windowadd import SCRATCH, add_rows, offset_at, stack_scratch
from fastbp.layers.convolution.windows import dimage_start

# The part of a convolution's record that `add_dwindows` reads; `dwindows_blocks` has the values.
DWINDOWS_FIELDS = [
    ("transposed_row", "i8"),  # entries of a row of kernel^T
    ("segments", "i8"),  # segments of a window: runs of contiguous entries
    ("segment_length", "i8"),  # entries of each of them
    ("segment_offsets", "i8"),  # address of an int32 table: where each begins
    ("beside", "i8"),  # windows that stand beside each other in a row of windows
    ("window_step", "i8"),  # entries from a window to the one beside it
    ("block_rows", "i8"),  # rows of windows in a block of dwindows
    ("block_windows", "i8"),  # windows of each of these rows
    ("block_segments", "i8"),  # segments of each of these windows
]
# kernel^T is read once for each block of dwindows, so that a block has about so many windows; where SCRATCH has no room
# for them, it has fewer.
BLOCK_WINDOWS = 32
# Runs of contiguous entries are cut to this length, so that SCRATCH holds several.
MOST_SEGMENT = 2048
# Lanes of the widest vectors, of float32 with AVX-512.
LANES = 16


@inline
def add_dwindows(layer, shared, work, first, images, group):
    """Add dwindows (windows, taps) = dz (windows, k) @ kernel^T (k, taps) of one group to the images' gradients."""
    filters, scratch = layer.k // layer.groups, stack_scratch(null(work))
    dimage = at(work, dimage_start(layer, first) + group * layer.group_channels)
    dz = at(work, layer.dout + first * layer.n_out + group * filters)
    transposed = at(shared, layer.shared + group * filters * layer.transposed_row)
    rows = images * (layer.positions // layer.beside)
    for s in range(0, layer.segments, layer.block_segments):
        segments = min(layer.block_segments, layer.segments - s)
        # Whole vectors, so that no store needs a mask.  The columns beyond the last one are never read.
        columns = (segments * layer.segment_length + LANES - 1) // LANES * LANES
        weights = shift(transposed, s * layer.segment_length)
        for i in range(0, rows, layer.block_rows):
            for j in range(0, layer.beside, layer.block_windows):
                m, n = min(layer.block_rows, rows - i), min(layer.block_windows, layer.beside - j)
                window = i * layer.beside + j
                arguments = (
                    scratch, columns, null(work), 0, shift(dz, window * layer.k), layer.k, 1, weights,
                    layer.transposed_row, m * n, columns, filters,
                )  # fmt: skip
                call(layer.product, arguments)
                for t in range(segments):
                    to = shift(dimage, offset_at(layer.segment_offsets, s + t))
                    add_rows(
                        to, shift(scratch, t * layer.segment_length), columns, layer.position_offsets + 4 * window,
                        m, n, layer.window_step, layer.segment_length,
                    )  # fmt: skip


def dwindows_blocks(windows, run):
    """Return {name: value} of DWINDOWS_FIELDS, and where the segments of a window begin (int32).

    Parameters
    ----------
    windows : Windows
    run : int
        Entries of a window that stand side by side in the image.
    """
    length = max(size for size in range(1, min(run, MOST_SEGMENT) + 1) if run % size == 0)
    segments = windows.taps[::length].astype(np.int32)
    most = max(min(SCRATCH // BLOCK_WINDOWS // length, segments.size), 1)
    block_segments = min(range(1, most + 1), key=lambda block: _block_vectors(segments.size, length, block))
    beside, columns = windows.columns.count, LANES * _vectors(block_segments * length)
    fields = {
        "transposed_row": transposed_row(windows.taps.size),
        "segments": segments.size,
        "segment_length": length,
        "beside": beside,
        "window_step": windows.window_step,
        "block_rows": max(SCRATCH // columns // beside, 1),
        "block_windows": min(SCRATCH // columns, beside),
        "block_segments": block_segments,
    }
    return fields, segments


def transposed_row(taps):
    """Return the entries of a row of kernel^T: blocks of whole vectors may begin at any segment."""
    return LANES * _vectors(taps + LANES - 1)


def _vectors(entries):
    return -(-entries // LANES)


def _block_vectors(segments, length, block):
    """Return how many vectors a window's segments take, in blocks of so many."""
    whole, left = divmod(segments, block)
    return whole * _vectors(block * length) + _vectors(left * length)
