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
    tables: tuple[str, ...]  # those that get their gradient row by row
    room_rows: int  # rows that the workspace has room for


class Cutter:
    """Decides how a network's batches are cut.

    Parameters
    ----------
    network : Network
    dtype : numpy dtype
    purpose : Purpose

    Attributes
    ----------
    placed : dict
        The layers that have a record in the table, by their numbers.
    joins : bool
        Whether a thread may take several slices together: nothing is kept for each slice.
    row_multiply_adds : int
        Multiply-adds for one batch row, in all passes (3 in training). An entry of a layer's output counts as one more.
    """

    def __init__(self, network, dtype, purpose):
        self._network, self._itemsize, self._purpose = network, np.dtype(dtype).itemsize, purpose
        placed = self.placed = {number: p for number, p in enumerate(network.layers) if has_record(p.spec, purpose)}
        self.n_segments = 1 + purpose.training * sum(bool(p.build.whole_batch) for p in placed.values())
        self.joins = self.n_segments == 1 and not any(p.build.slice_work for p in placed.values())
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
        training, few = self._purpose.training, self._few_slices(rows)
        slice_rows, partials_pay = self._slices_with_partials(rows, few)
        whole = self._purpose.keep_batch or self.n_segments > 1 or has_tables
        if (not training or is_tall or partials_pay) and not whole:
            chunk_bytes = limits.CHUNK_BYTES if training else limits.PREDICTION_BYTES
            chunk_rows = min(max(chunk_bytes // (self._itemsize * self._row_entries) // 32 * 32, 32), slice_rows)
            # Without gradients to add up, a slice is one chunk.
            return True, slice_rows if training else chunk_rows, chunk_rows
        chunk_rows = slice_rows = self._rows_read_together(rows)
        if self.n_segments > 1:
            # Every slice reads the sums of all slices, so there are at most `few` of them.
            slice_rows *= -(-rows // (few * slice_rows))
        return False, slice_rows, chunk_rows

    def _few_slices(self, rows):
        """Return the number of slices that large gradients allow."""
        longest = int(rows * self.row_multiply_adds / limits.LONGEST_SLICE)
        return max(min(limits.FEW_SLICES, limits.MAX_SLICES), longest)

    def _slices_with_partials(self, rows, few):
        """Return the rows of slices that make a partial gradient each; do they pay, or are the gradients too large?"""
        row_bytes, params_bytes = self._row_entries * self._itemsize, self._network.n_params * self._itemsize
        limit = limits.PARTIAL_BYTES * max(rows * row_bytes / limits.ACTIVATION_BYTES, 1)
        # Many slices keep many threads busy.  If their partial gradients are too large, few slices are tried.
        for most in (max(few, min(rows // limits.SLICE_ROWS, limits.MAX_SLICES)), few):
            slice_rows = self._slice_rows(rows, most)
            partial_bytes = params_bytes * -(-rows // slice_rows)
            if partial_bytes <= limit:
                # The partial gradient of a single slice is the gradient itself: there is nothing to add up.
                return slice_rows, slice_rows >= rows or partial_bytes <= limits.PARTIAL_SHARE * rows * row_bytes
        return slice_rows, False

    def _rows_read_together(self, rows):
        """Return the rows of a slice where a thread reads all weights once for each piece that it takes.

        64 rows read them half as often as 32, and 8-256-256-256-1 takes 4 % longer on one core in pieces of 32.  But
        slices of 32 are work for twice as many threads.  So slices have 32 rows, and are joined where threads are few
        (driver.py), if layers allow it.  Else batches of less than 128 rows have slices of 32, because they would be
        one slice of 64, or two unequal ones.
        """
        multiply_adds = rows * self.row_multiply_adds
        if self.joins:
            return limits.READ_ROWS // 2 if multiply_adds >= limits.THREAD_MULTIPLY_ADDS else limits.READ_ROWS
        two_slices = rows < 2 * limits.READ_ROWS and threads_share(multiply_adds)
        return limits.READ_ROWS // 2 if two_slices else limits.READ_ROWS

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
