"""The plan of a run: layer table, items, and every offset of the workspace, for one network and batch size.

All splits are made here, from the sizes alone and never from the number of threads: that is why
results have the same bits at any number of threads.

A batch is cut into *slices* of rows, and a slice into *chunks*.  There are two schemes:

- `sliced` (small networks, tall batches).  A thread takes a slice through forward, loss, backward and gradient, chunk
  by chunk.  Its workspace holds one chunk, which stays in the cache.  Each slice's gradient has a place of its own in
  `partials`, and phase 2 adds these up in order.
- Not `sliced` (wide networks).  The workspace holds the whole batch, and a slice is one chunk.  Phase 2 computes the
  gradient of each parameter block over all rows, just before it updates the block.

An embedding table that is lazy or large gets its gradient row by row in phase 2 (lookup_update.py).  A plan with such a
table is not sliced.

A layer that sums over the whole batch has two records in the layer table of a training plan.  A *segment* ends between
the two: all slices go through one segment before any slice begins the next.  Such a plan is not sliced.
"""

from typing import NamedTuple

import numpy as np

from fastbp.compiler.records import row_dtype
from fastbp.engine.lookup_plan import item_rows, made_by_rows, place_rooms, updated_entries
from fastbp.engine.network import Source
from fastbp.engine.penalties_and_clipping import ITEM
from fastbp.kernels.panels import PANEL_READERS, PLAIN_ENTRIES, PREDICTION_READERS
from fastbp.layers.base import LAYER_HEADER, LAYER_ROW_SIZE, fill_row, float_type_of, kernel_address

LAYER_ROW = row_dtype(LAYER_ROW_SIZE, LAYER_HEADER)

# Offsets of the regions of a workspace that belong to no layer, and the sizes of slices.
LAYOUT = row_dtype(
    128,
    [
        ("x", "i8"),
        ("n_in", "i8"),
        ("y", "i8"),
        ("n_targets", "i8"),
        ("weight", "i8"),
        ("n_weights", "i8"),  # a row: entries that have a loss, and so a weight, of their own
        ("out", "i8"),
        ("dout", "i8"),
        ("n_out", "i8"),
        ("dx", "i8"),
        ("sliced", "i8"),
        ("slice_rows", "i8"),
        ("chunk_rows", "i8"),
    ],
)

# Offsets are multiples of 16 entries: a cache line of float32.
ALIGNMENT = 16
# A chunk's activations and gradients should stay in a core's second-level cache.
CHUNK_BYTES = 256 * 1024
# Prediction reads all weights once a chunk, so its chunks are larger: 64 to 128 rows take 5 to 12 % less time than 32,
# in five networks.  (A row of LeNet-5 has 36 KB: its chunks keep 32 rows.)
PREDICTION_BYTES = 1024 * 1024
# Regions have a multiple of so many rows, and slices and chunks begin at one, because recurrent layers pack 16 rows.
REGION_ROWS = 16
# Several threads work on several slices; a slice of fewer multiply-adds (about 5 us) costs more than it saves.
SLICE_MULTIPLY_ADDS = 200_000
# A batch has at most FEW_SLICES slices, or one for SLICE_ROWS rows and at most MAX_SLICES.  With so many rows in each,
# adding up the gradients of the slices takes a 700th of phase 1.
FEW_SLICES, SLICE_ROWS, MAX_SLICES = 16, 256, 64
# A slice has at most so many multiply-adds forward (0.05 s with backward): Ctrl-C waits for the end of a slice.
LONGEST_SLICE = 5e8
# A plan is sliced if its partial gradients have at most this size: the other scheme reads the batch's activations once
# more, which is dearer.  The limit grows in proportion where a batch has more than ACTIVATION_BYTES of activations, as
# images have.  LeNet-5 with batches of 128 rows (2 MB of partial gradients, 10 MB of activations) takes 1.24 times as
# long without that.
PARTIAL_BYTES = 512 * 1024
ACTIVATION_BYTES = 2 * 1024 * 1024
# A plan that would need a larger workspace is sliced, whatever the network, so that memory stays bounded.
WORKSPACE_BYTES = 256 * 1024 * 1024
# A layer has so many random numbers in a step: rng.py counts them in 32 bits.
MOST_DRAWS = 2**32
# An item of phase 2: many row tiles to use a packed panel, small enough to balance threads (about 75 us).  With 4
# millions, two threads gain 1.8 and 1.9 of 784-128-10 and 54-256-256-7 by counting, with 3 both 2.0; one loses 1 %.
ITEM_MULTIPLY_ADDS = 3_000_000
# A step of fewer multiply-adds (about 20 us) runs on one thread: a second one costs more than it saves.
THREAD_MULTIPLY_ADDS = 1_000_000
# Updating so many entries of tables takes as long as THREAD_MULTIPLY_ADDS do.
THREAD_UPDATES = 50_000
# An update of a table's entry takes as long as so many multiply-adds (3 ns, for its memory).
ENTRY_MULTIPLY_ADDS = 75


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
    room_rows: int  # there may be so many rows


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
        The layers that have rows in the table, by their numbers.
    row_multiply_adds : int
        Of products, and one for each output.
    """

    def __init__(self, network, dtype, purpose):
        self._network, self._itemsize, self._purpose = network, np.dtype(dtype).itemsize, purpose
        placed = self.placed = {number: p for number, p in enumerate(network.layers) if _has_row(p.spec, purpose)}
        self.n_segments = 1 + purpose.training * sum(bool(p.build.whole_batch) for p in placed.values())
        passes = 3 if purpose.training else 1
        self.row_multiply_adds = passes * sum(p.build.multiply_adds + _size(p.output_shape) for p in placed.values())
        row_entries = _size(network.input_shape)
        for p in placed.values():
            gradients = p.build.branches if purpose.training else 0
            row_entries += (1 + gradients) * _size(p.output_shape) + p.build.extra
        self._row_entries = row_entries
        trained = [p for p in network.params if purpose.training and network.layers[p.layer].spec.trainable]
        self._tables = [p for p in trained if made_by_rows(p.param, self._itemsize)]

    def cut(self, rows):
        """Return the `Cut` of batches of `rows` rows; raise ValueError where these are too many."""
        _check_draws(self._network, rows, self._purpose)
        # The second scheme's workspace may be too large for the batch: only lazy tables must have it.
        is_tall = rows * self._row_entries * self._itemsize > WORKSPACE_BYTES
        tables = tuple(p.name for p in self._tables if p.param.lazy or not is_tall)
        return Cut(*self._slices(rows, is_tall, bool(tables)), tables, room_rows(rows))

    def _slices(self, rows, is_tall, has_tables):
        """Return whether threads take slices through all of a step, and the rows of slices and chunks."""
        training, size, n_params = self._purpose.training, self._itemsize, self._network.n_params
        few = max(min(FEW_SLICES, MAX_SLICES), int(rows * self.row_multiply_adds / LONGEST_SLICE))
        limit = PARTIAL_BYTES * max(rows * self._row_entries * size / ACTIVATION_BYTES, 1)
        for most in (max(few, min(rows // SLICE_ROWS, MAX_SLICES)), few):
            slice_rows = self._slice_rows(rows, most)
            if small := n_params * -(-rows // slice_rows) * size <= limit:
                break
        whole = self._purpose.keep_batch or self.n_segments > 1 or has_tables
        if (not training or is_tall or small) and not whole:
            chunk_bytes = CHUNK_BYTES if training else PREDICTION_BYTES
            chunk_rows = min(max(chunk_bytes // (size * self._row_entries) // 32 * 32, 32), slice_rows)
            # Without gradients to add up, a slice is one chunk.
            return True, slice_rows if training else chunk_rows, chunk_rows
        # A slice reads all weights of a wide layer once.  64 rows a slice need half the readings of 32 rows, but
        # batches of fewer than 128 rows would then have one slice, and work for one thread.
        chunk_rows = slice_rows = 64 if rows >= 128 else 32
        if self.n_segments > 1:
            # Every slice reads the sums of all slices, so there are at most `few` of them.
            slice_rows *= -(-rows // (few * slice_rows))
        return False, slice_rows, chunk_rows

    def _slice_rows(self, rows, most):
        """Return the rows of each of at most so many slices."""
        slices = min(max(rows * self.row_multiply_adds // SLICE_MULTIPLY_ADDS, 1), most)
        # Slices of 32 rows fill all tiles.  Slices of 16 rows will do where they are work enough for a thread, as in
        # recurrent layers.
        grain = REGION_ROWS if REGION_ROWS * self.row_multiply_adds >= THREAD_MULTIPLY_ADDS else 32
        return round_up(-(-rows // slices), grain)


def room_rows(rows):
    """Return for how many rows there is room where batches of `rows` rows come, and others: a power of two."""
    return max(REGION_ROWS, 1 << (rows - 1).bit_length())


class Plan:
    """Layer table, items and layout for one network, batch size, dtype and purpose.

    Parameters
    ----------
    network : Network
    rows : int
        Largest batch.
    n_targets : int
        Entries of a row of targets.
    dtype : numpy dtype
    purpose : Purpose
    n_weights : int, default 1
        Entries of a row of weights.
    roomy : bool, default False
        Whether there is room for all batches that have the same `Cut`, not for `rows` rows alone.
    """

    def __init__(self, network, rows, n_targets, dtype, purpose, n_weights=1, roomy=False):
        self.dtype, self.purpose, self.n_params = np.dtype(dtype), purpose, network.n_params
        cutter = Cutter(network, dtype, purpose)
        cut = cutter.cut(rows)
        self.sliced, self.slice_rows, self.chunk_rows = cut.sliced, cut.slice_rows, cut.chunk_rows
        self.rows, self._like_rows = cut.room_rows if roomy else rows, cut.room_rows
        self.n_slices = self.slices(self.rows)
        placed, self.row_multiply_adds = cutter.placed, cutter.row_multiply_adds
        self._number_rows(placed)
        self.tables = {p.name: p.param for p in network.params if p.name in cut.tables}
        self.region_rows = self.chunk_rows if self.sliced else round_up(self.rows, REGION_ROWS)
        self._place_regions(network, placed, n_targets, n_weights)
        self.ids_size = 0
        self.items = self._make_items(network) if purpose.training else np.zeros(0, ITEM)

    def _number_rows(self, placed):
        """Number the records of the layer table (`row_of` names the second, if a layer has two); find the segments."""
        self.names, self.row_of, segments = [], {}, [0]
        for number, layer in placed.items():
            if self.purpose.training and layer.build.whole_batch:
                self.names.append(layer.name)
                segments.append(len(self.names))
            self.row_of[number] = len(self.names)
            self.names.append(layer.name)
        self.segments = np.array([*segments, len(self.names)], np.int64)
        self.n_segments = len(segments)

    def region(self, work, offset, row_entries):
        """Return a region of the first workspace as an array (rows of a batch or chunk, row_entries)."""
        rows = min(self.rows, self.region_rows)
        return work[0, offset : offset + row_entries * rows].reshape(rows, row_entries)

    def slices(self, rows):
        """Return the number of slices of a batch of `rows` rows."""
        return -(-rows // self.slice_rows)

    def threads_pay(self, rows):
        """Is there work for a second thread in a batch of `rows` rows?"""
        if self.tables and self.table_updates(rows) >= THREAD_UPDATES:
            return True
        return self.slices(rows) > 1 and rows * self.row_multiply_adds >= THREAD_MULTIPLY_ADDS

    def step_multiply_adds(self, rows):
        """Return how many multiply-adds a step of `rows` rows takes, or could make in its time."""
        return rows * self.row_multiply_adds + ENTRY_MULTIPLY_ADDS * self.table_updates(rows)

    def few_rows(self):
        """Return up to how many rows there is none."""
        # Dropout alone predicts without a multiply-add.
        return max(min(self.slice_rows, (THREAD_MULTIPLY_ADDS - 1) // max(self.row_multiply_adds, 1)), 0)

    def table_updates(self, rows):
        """Return how many entries of tables with row-by-row gradients a step of `rows` rows updates, at most."""
        return sum(updated_entries(param, rows) for param in self.tables.values())

    def _place_regions(self, network, placed, n_targets, n_weights):
        """Give every layer its offsets; fill the table and the layout."""
        self.work_size = self.shared_size = 0
        n_in, n_out = _size(network.input_shape), _size(network.raw_shape)
        x = self._region(n_in)
        # Without layers (dropout alone, at prediction) the input's gradient is the loss's.
        dx = self._region(n_in) if self.purpose.input_gradient or not placed else -1
        wanted = _wanted_gradients(network, self.purpose)
        self.table, self._kept = np.zeros(len(self.names), LAYER_ROW), []  # and what its rows have addresses of
        # The offsets of every value and of its gradient; a fork's output has a gradient for each branch.
        places, masks = {Source(): (x, dx)}, {None: -1}
        for number, layer in enumerate(network.layers):
            out, dout = places[layer.sources[0]]
            douts = [dout] * layer.build.branches
            if number in placed:
                size = _size(layer.output_shape)
                out = out if layer.spec.alias else self._region(size)
                douts = [self._region(size) for _ in douts]
                inputs = [(places[s][0], places[s][1] if wanted[s.layer] else -1, n) for s, n in layer.inputs]
                place = self.row_of[number]
                row = self.table[place : place + 1].view(layer.spec.dtype)
                masks[number] = self._region(layer.build.mask)
                row["mask"], row["own_mask"] = masks[network.masking_layer(number)], masks[number]
                self._fill_row(row, layer, number, inputs, out, douts)
                if not wanted[number]:
                    self._end_backward(row, layer)
                if place in self.segments[1:-1]:
                    self._fill_first_row(place, layer)
                if self.purpose.fused_output and number == network.output_layer and "activate" in row.dtype.names:
                    row["activate"] = row["differentiate"] = 0
            places |= {Source(number, branch): (out, dout) for branch, dout in enumerate(douts)}
        out, dout = places[network.output]
        layout = {"x": x, "n_in": n_in, "dx": dx, "n_out": n_out, "n_targets": n_targets, "out": out, "dout": dout}
        layout |= {"y": self._region(n_targets), "weight": self._region(n_weights), "n_weights": n_weights}
        layout |= {"sliced": self.sliced, "slice_rows": self.slice_rows, "chunk_rows": self.chunk_rows}
        self.layout = np.zeros(1, LAYOUT)
        for name, value in layout.items():
            self.layout[name] = value

    def _fill_row(self, row, layer, number, inputs, out, douts):
        """Write a layer's row; `inputs` are (x, dx or -1, entries) of each."""
        spec, build, float_type = layer.spec_as_built(), layer.build, float_type_of(self.dtype)
        kinds = ("forward", "backward", "gradient") if self.purpose.training else ("forward",)
        for kind in kinds:
            row[kind] = kernel_address(type(spec), kind, float_type)
        row["index"] = number
        row["n_in"], row["n_out"] = sum(entries for _, _, entries in inputs), _size(layer.output_shape)
        row["x"], row["dx"] = inputs[0][:2]
        row["out"], row["dout"] = out, douts[0]
        row["n_branches"], row["branch_stride"] = len(douts), douts[1] - douts[0] if len(douts) > 1 else 0
        if spec.branches:
            self._kept.append(np.array(inputs, np.int64))
            row["n_inputs"], row["inputs"] = len(inputs), self._kept[-1].ctypes.data
        row["extra"], row["params"], row["buffers"] = self._region(build.extra), layer.offset, layer.buffer_offset
        row["slice_stride"], row["slice_rows"] = round_up(build.slice_work, ALIGNMENT), self.slice_rows
        row["slice_work"] = self._room(row["slice_stride"][0] * (1 if self.sliced else self.n_slices))
        fill_row(row, spec, build)
        self._kept.append(spec.fill(row, float_type))
        is_wanted = any(dx >= 0 for _, dx, _ in inputs)
        if not is_wanted and spec.only_dx:
            row["backward"] = 0
        row["region_rows"], row["panels"] = self.region_rows, self._panel_room(layer)
        self._place_shared(row, layer, is_wanted)

    def _panel_room(self, layer):
        """Return the offset of the panels that a layer packs for its gradient, or -1 where it packs none."""
        reads = self.purpose.training and layer.spec.trainable and layer.build.panels * self.region_rows > PLAIN_ENTRIES
        return self._region(layer.build.panels) if reads else -1

    def _place_shared(self, row, layer, has_dx):
        """Place the arrays that `prepare` makes of a layer's parameters for backward, and for forward of many rows."""
        spec, build, training = layer.spec_as_built(), layer.build, self.purpose.training
        has_dx = has_dx or (spec.always_prepare and training)
        packed = build.packed > PLAIN_ENTRIES and self._like_rows >= (PANEL_READERS if training else PREDICTION_READERS)
        if has_dx or packed:
            row["prepare"] = kernel_address(type(spec), "prepare", float_type_of(self.dtype))
        row["prepare_rows"] = build.params[0].shape[0] if build.params else 0
        row["shared"] = self._shared_room(build.shared * has_dx)
        row["packed"] = self._shared_room(build.packed) if packed else -1

    def _end_backward(self, row, layer):
        """Take the backward kernel from a layer; `tabulate` then prepares, before every call, what forward reads."""
        row["backward"] = 0
        if layer.spec.tabulate is not None:
            row["prepare"] = kernel_address(type(layer.spec), "tabulate", float_type_of(self.dtype))
            row["shared"] = self._shared_room(layer.build.shared)

    def _fill_first_row(self, place, layer):
        """Write the first record of a layer that sums over the whole batch; its second one stands at `place`."""
        whole = self.table.view(f"V{LAYER_ROW_SIZE}")  # copies the fields of the layer's kind, too
        whole[place - 1] = whole[place]
        first, float_type = self.table[place - 1 : place], float_type_of(self.dtype)
        first["gradient"] = first["prepare"] = 0
        first["forward"] = kernel_address(type(layer.spec), "sum_forward", float_type)
        if first["backward"]:
            first["backward"] = kernel_address(type(layer.spec), "finish_backward", float_type)

    def _region(self, row_entries):
        return self._room(row_entries * self.region_rows)

    def _shared_room(self, entries):
        offset, self.shared_size = self.shared_size, self.shared_size + round_up(entries, ALIGNMENT)
        return offset

    def _room(self, entries):
        offset, self.work_size = self.work_size, self.work_size + round_up(int(entries), ALIGNMENT)
        return offset

    def _make_items(self, network):
        """Cut the trainable parameters into items; the largest come first, for balance."""
        parts = [self._items_of(p, network.layers[p.layer]) for p in network.params]
        joined = np.concatenate([np.zeros(0, ITEM), *parts])
        # np.concatenate drops the padding of the dtype, so the items are copied into an array that has it.
        items = np.zeros(len(joined), ITEM)
        items[:] = joined[np.argsort(joined["start"] - joined["stop"], kind="stable")]
        _chain(items)
        return items

    def _items_of(self, p, layer):
        """Return the items of one parameter."""
        if not layer.spec.trainable:
            return np.zeros(0, ITEM)
        rows, columns = p.param.shape[0], _size(p.param.shape[1:])
        firsts = np.arange(0, rows, self._item_rows(p, layer))
        lasts = np.append(firsts[1:], rows)
        items = np.zeros(len(firsts), ITEM)
        items["layer"], items["block"] = self.row_of[p.layer], p.block
        items["first"], items["last"] = firsts, lasts
        # max_norm limits the norm of each column: of a filter, in a convolution.
        items["columns"] = (
            _size(p.param.shape[len(p.param.shape) - p.param.norm_axes :]) if p.param.max_norm else columns
        )
        items["start"], items["stop"] = p.start + firsts * columns, p.start + lasts * columns
        items["learning_rate"], items["decay"] = p.param.learning_rate_factor, p.param.decay_factor
        items["l1"], items["l2"], items["max_norm"] = p.param.l1, p.param.l2, p.param.max_norm
        if p.name in self.tables:
            row = self.table[self.row_of[p.layer]]
            self.ids_size = place_rooms(items, p.param, row, self.rows, self._room, self.ids_size)
        return items

    def _item_rows(self, p, layer):
        """Return the rows of a parameter's items."""
        rows, columns = p.param.shape[0], _size(p.param.shape[1:])
        if p.name in self.tables:
            return item_rows(p.param, self._like_rows)
        if p.param.max_norm:
            return rows  # the norm of a column needs the whole column
        # Products make 8 rows of a matrix at a time.  With more axes, a row is one index of the first axis.
        tile = 8 if len(p.param.shape) < 3 else 1
        # An entry's gradient sums as many products for each row as the layer has windows (1 in a dense layer).  In a
        # sliced plan phase 1 makes these products, and phase 2 only adds up the slices.
        windows = 1 if self.sliced else max(layer.build.multiply_adds // layer.n_params, 1)
        return max(round_up(ITEM_MULTIPLY_ADDS // (columns * self._like_rows * windows), tile), tile)


def _chain(items):
    """Link the items of each parameter from first to last, so that the norm of its gradient can be added up."""
    first, last = {}, {}
    for piece, item in enumerate(zip(items["layer"].tolist(), items["block"].tolist(), strict=True)):
        items["head"][piece], items["tail"][piece] = first.setdefault(item, piece), -1
        if item in last:
            items["tail"][last[item]] = piece
        last[item] = piece


def round_up(value, multiple):
    """Return the least multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def _size(shape):
    return int(np.prod(shape, dtype=np.int64))


def _has_row(spec, purpose):
    """Is there anything to compute, for this purpose?"""
    if purpose.training:
        return not spec.alias or spec.backward is not None
    return not spec.alias and not spec.training_only


def _check_draws(network, rows, purpose):
    """Raise ValueError where a batch has more entries than a layer has random numbers for a step."""
    for layer in network.layers if purpose.training else ():
        # A recurrent layer's masks are shorter than its inputs and outputs together.
        entries = sum(map(_size, (layer.output_shape, *(() if layer.spec.training_only else layer.input_shapes))))
        if layer.spec.draws and rows * entries > MOST_DRAWS:
            raise ValueError(
                f"{layer.name} draws {entries} random numbers for each row, and has {MOST_DRAWS} of them for a step: "
                f"too few for a batch of {rows} rows. At most {MOST_DRAWS // entries} rows will do: set batch_size."
            )


def _wanted_gradients(network, purpose):
    """Return {layer's number: does anyone need the gradient with respect to its output?}; -1 is the model's input."""
    wanted = {-1: purpose.input_gradient}
    for number, layer in enumerate(network.layers):
        trained = layer.spec.trainable and layer.n_params > 0
        wanted[number] = purpose.training and (trained or any(wanted[source.layer] for source in layer.sources))
    return wanted
