"""How a batch is cut into slices and chunks: all of a plan that the bits of its results depend on."""

from typing import NamedTuple

import numpy as np

from fastbp.engine import limits
from fastbp.engine.lookup_plan import made_by_rows
from fastbp.engine.random_draws_limit import check_draws


class Purpose(NamedTuple):
    """What a plan is for."""

    training: bool  # keep what the backward pass needs
    fused_output: bool = False  # the loss applies the last activation
    input_gradient: bool = False  # compute dx of the first layer
    keep_batch: bool = False  # keep the whole batch's regions, to look at them afterwards


PREDICTION = Purpose(training=False)


class Cut(NamedTuple):
    """How batches of some sizes are cut: all of a plan that the bits of its results depend on."""

    sliced: bool
    slice_rows: int
    chunk_rows: int
    tables: tuple[str, ...]  # whose gradients are made row by row
    room_rows: int  # rows that the workspace has room for


class Cutter:
    """What decides how a network's batches are cut.

    Parameters
    ----------
    network : Network
    dtype : numpy dtype
    purpose : Purpose

    Attributes
    ----------
    placed : dict
        The layers that have a record in the table, by their numbers.
    row_multiply_adds : int
        Multiply-adds for one batch row, in all passes (3 in training): those of the products, and one for each entry of
        each layer's output.
    """

    def __init__(self, network, dtype, purpose):
        self._network, self._itemsize, self._purpose = network, np.dtype(dtype).itemsize, purpose
        placed = self.placed = {number: p for number, p in enumerate(network.layers) if has_record(p.spec, purpose)}
        self.n_segments = 1 + purpose.training * sum(bool(p.build.whole_batch) for p in placed.values())
        passes = 3 if purpose.training else 1
        self.row_multiply_adds = passes * sum(
            p.build.multiply_adds + entries_of(p.output_shape) for p in placed.values()
        )
        row_entries = entries_of(network.input_shape)
        for p in placed.values():
            gradients = p.build.branches if purpose.training else 0
            row_entries += (1 + gradients) * entries_of(p.output_shape) + p.build.extra
        self._row_entries = row_entries
        trained = [p for p in network.params if purpose.training and network.layers[p.layer].spec.trainable]
        self._tables = [p for p in trained if made_by_rows(p.param, self._itemsize)]

    def cut(self, rows):
        """Return the `Cut` of batches of `rows` rows; raise ValueError where these are too many."""
        check_draws(self._network, rows, self._purpose)
        # A plan that is not sliced holds the whole batch, which may need too large a workspace.  A large table then
        # gets its gradient as other parameters do, in a sliced plan.  A lazy table never does: its plan is not sliced.
        is_tall = rows * self._row_entries * self._itemsize > limits.WORKSPACE_BYTES
        tables = tuple(p.name for p in self._tables if p.param.lazy or not is_tall)
        return Cut(*self._slices(rows, is_tall, bool(tables)), tables, room_rows(rows))

    def _slices(self, rows, is_tall, has_tables):
        """Return whether threads take slices through all of a step, and the rows of slices and chunks."""
        training, size, n_params = self._purpose.training, self._itemsize, self._network.n_params
        few = max(min(limits.FEW_SLICES, limits.MAX_SLICES), int(rows * self.row_multiply_adds / limits.LONGEST_SLICE))
        limit = limits.PARTIAL_BYTES * max(rows * self._row_entries * size / limits.ACTIVATION_BYTES, 1)
        # Many slices keep many threads busy.  If their partial gradients are too large, few slices are tried.
        for most in (max(few, min(rows // limits.SLICE_ROWS, limits.MAX_SLICES)), few):
            slice_rows = self._slice_rows(rows, most)
            partial_bytes = n_params * -(-rows // slice_rows) * size
            if small := partial_bytes <= limit:
                break
        # What one slice makes is the gradient itself: there is nothing to add up.
        small &= slice_rows >= rows or partial_bytes <= limits.PARTIAL_SHARE * rows * self._row_entries * size
        whole = self._purpose.keep_batch or self.n_segments > 1 or has_tables
        if (not training or is_tall or small) and not whole:
            chunk_bytes = limits.CHUNK_BYTES if training else limits.PREDICTION_BYTES
            chunk_rows = min(max(chunk_bytes // (size * self._row_entries) // 32 * 32, 32), slice_rows)
            # Without gradients to add up, a slice is one chunk.
            return True, slice_rows if training else chunk_rows, chunk_rows
        # A slice reads all weights of a wide layer once, so slices of 64 rows need half the readings of slices of 32.
        # Fewer than 128 rows have slices of 32 if a second thread pays: of 64 there would be one, or two unequal ones.
        two_slices = rows < 128 and threads_share(rows * self.row_multiply_adds)
        chunk_rows = slice_rows = 32 if two_slices else 64
        if self.n_segments > 1:
            # Every slice reads the sums of all slices, so there are at most `few` of them.
            slice_rows *= -(-rows // (few * slice_rows))
        return False, slice_rows, chunk_rows

    def _slice_rows(self, rows, most):
        """Return the rows of each of at most so many slices."""
        slices = min(max(rows * self.row_multiply_adds // limits.SLICE_MULTIPLY_ADDS, 1), most)
        # Slices of 32 rows fill all tiles.  Slices of 16 rows will do where they are work enough for a thread, as in
        # recurrent layers.
        grain = limits.REGION_ROWS if limits.REGION_ROWS * self.row_multiply_adds >= limits.THREAD_MULTIPLY_ADDS else 32
        return round_up(-(-rows // slices), grain)


def threads_share(multiply_adds):
    """Is a step of so many multiply-adds cut so that threads can share each of its phases?"""
    return multiply_adds >= 2 * limits.THREAD_MULTIPLY_ADDS


def room_rows(rows):
    """Return how many rows a workspace for batches of `rows` rows has room for.

    It is a power of two, so that batches of similar sizes share a workspace.
    """
    return max(limits.REGION_ROWS, 1 << (rows - 1).bit_length())


def round_up(value, multiple):
    """Return the least multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def entries_of(shape):
    return int(np.prod(shape, dtype=np.int64))


def has_record(spec, purpose):
    """Is there anything to compute, for this purpose?"""
    if purpose.training:
        return not spec.alias or spec.backward is not None
    return not spec.alias and not spec.training_only
