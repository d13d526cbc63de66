"""The plan of a run: layer table, items, and every offset of the workspace, for one network and batch size.

All splits are made here, from the sizes alone and never from the number of threads: that is why
results have the same bits at any number of threads.

A batch is cut into *slices* of rows, a slice into *chunks*.  Two schemes, by what is larger:

- `sliced` (small networks, tall batches): a thread takes a slice through forward, loss, backward and
  gradient, chunk by chunk, with a workspace of one chunk that stays in its cache; each slice's gradient
  has its own place in `partials`, and phase 2 adds them in order.
- otherwise (wide networks): the workspace holds the whole batch, a slice is one chunk, and phase 2
  computes each parameter block's gradient over all rows just before it updates the block.

A table of which a batch reads a few rows (an embedding) gets its gradient row by row in phase 2, sorted by the rows
(lookup_update.py), where it is lazy or large.  Such plans are of the second scheme, too.

A layer that sums over the whole batch has two rows of the table in training.  A *segment* ends between them: all
slices go through one segment before any of them begins the next.  Such plans are of the second scheme.
"""

from typing import NamedTuple

import numpy as np

from fastbp.compiler.entry import address_of
from fastbp.compiler.records import record_dtype
from fastbp.engine.draws import check_draws
from fastbp.engine.items import ITEM
from fastbp.engine.lookup_plan import item_rows, made_by_rows, place_rooms, updated_entries
from fastbp.engine.network import Source
from fastbp.kernels.panels import PANEL_READERS, PLAIN_ENTRIES, PREDICTION_READERS
from fastbp.layers.base import fill_row, float_type_of, kernel_address

# Offsets in a workspace of what is not a layer's, and the sizes of slices.
LAYOUT = record_dtype(
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
# At prediction a chunk is read once, layer by layer, and weights once a chunk: 64 to 128 rows take 5 to 12 % less time
# than 32 in five networks (LeNet-5, with 36 KB a row, has its 32).
PREDICTION_BYTES = 1024 * 1024
# Regions, and the rows at which slices and chunks begin, are multiples of so many rows: recurrent layers pack 16.
REGION_ROWS = 16
# Slices make work for threads; one of fewer multiply-adds (about 5 us) costs more than it brings.
SLICE_MULTIPLY_ADDS = 200_000
# So many slices at most, or one for so many rows: adding up their gradients then takes a 700th of phase 1.
FEW_SLICES, SLICE_ROWS, MAX_SLICES = 16, 256, 64
# A slice of more (forward; 0.05 s with backward) would keep Ctrl-C waiting: there are more slices instead.
LONGEST_SLICE = 5e8
# Partial gradients up to this size are cheaper than reading the batch's activations again; of more activations than
# ACTIVATION_BYTES (images), in proportion.  LeNet-5, batch 128 (2 MB and 10 MB), takes 1.24 times as long without.
PARTIAL_BYTES = 512 * 1024
ACTIVATION_BYTES = 2 * 1024 * 1024
# Above this workspace, slices are used whatever the network, so that memory stays bounded.
WORKSPACE_BYTES = 256 * 1024 * 1024
# An item of phase 2: many row tiles to use a packed panel, small enough to balance threads (about 100 us).
ITEM_MULTIPLY_ADDS = 4_000_000
# Below this many multiply-adds a step (about 20 us) starting a second thread's phases does not pay.
THREAD_MULTIPLY_ADDS = 1_000_000
# Updating so many entries of tables takes as long.
THREAD_UPDATES = 50_000


class Purpose(NamedTuple):
    """What a plan is for."""

    training: bool  # keep what the backward pass needs
    fused_output: bool = False  # the loss applies the last activation
    input_gradient: bool = False  # compute dx of the first layer
    keep_batch: bool = False  # keep the whole batch's regions, to look at them afterwards


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
    """

    def __init__(self, network, rows, n_targets, dtype, purpose, n_weights=1):
        self.rows, self.dtype, self.purpose = rows, np.dtype(dtype), purpose
        self.n_params = network.n_params
        check_draws(network, rows, purpose)
        placed = {number: p for number, p in enumerate(network.layers) if _has_row(p.spec, purpose)}
        self._number_rows(placed)
        passes = 3 if purpose.training else 1
        self.row_multiply_adds = passes * sum(p.build.multiply_adds + _size(p.output_shape) for p in placed.values())
        row_entries = _size(network.input_shape)
        for p in placed.values():
            gradients = p.build.branches if purpose.training else 0
            row_entries += (1 + gradients) * _size(p.output_shape) + p.build.extra
        self.tables = self._choose_tables(network, row_entries) if purpose.training else {}
        self._choose_slices(network.n_params, row_entries)
        self.region_rows = self.chunk_rows if self.sliced else round_up(rows, REGION_ROWS)
        self._place_regions(network, placed, n_targets, n_weights)
        self.ids_size = 0
        self.items = self._make_items(network) if purpose.training else np.zeros(0, ITEM)

    def _number_rows(self, placed):
        """Give every layer its row of the table (the second, if it has two), and find where segments begin."""
        self.names, self.row_of, segments = [], {}, [0]
        for number, layer in placed.items():
            if self.purpose.training and layer.build.whole_batch:
                self.names.append(layer.name)
                segments.append(len(self.names))
            self.row_of[number] = len(self.names)
            self.names.append(layer.name)
        self.segments = np.array([*segments, len(self.names)], np.int64)
        self.n_segments = len(segments)

    def _choose_tables(self, network, row_entries):
        """Return {name: parameter} of the tables whose gradients are made row by row."""
        trained = {p.name: p.param for p in network.params if network.layers[p.layer].spec.trainable}
        chosen = {name: p for name, p in trained.items() if made_by_rows(p, self.dtype.itemsize)}
        # The second scheme's workspace may be too large for the batch: only lazy tables must have it.
        return {name: p for name, p in chosen.items() if p.lazy or not self._is_tall(row_entries)}

    def _is_tall(self, row_entries):
        """Are the activations of a batch too large for one workspace?"""
        return self.rows * row_entries * self.dtype.itemsize > WORKSPACE_BYTES

    def _choose_slices(self, n_params, row_entries):
        few, size = (
            max(min(FEW_SLICES, MAX_SLICES), int(self.rows * self.row_multiply_adds / LONGEST_SLICE)),
            self.dtype.itemsize,
        )
        limit = PARTIAL_BYTES * max(self.rows * row_entries * size / ACTIVATION_BYTES, 1)
        for most in (max(few, min(self.rows // SLICE_ROWS, MAX_SLICES)), few):
            slice_rows = self._slice_rows(most)
            if small := n_params * -(-self.rows // slice_rows) * size <= limit:
                break
        whole = self.purpose.keep_batch or self.n_segments > 1 or self.tables
        self.sliced = (not self.purpose.training or self._is_tall(row_entries) or small) and not whole
        if self.sliced:
            chunk_bytes = CHUNK_BYTES if self.purpose.training else PREDICTION_BYTES
            cached_rows = max(chunk_bytes // (size * row_entries) // 32 * 32, 32)
            self.chunk_rows = min(cached_rows, slice_rows)
            # Without gradients to add up, a slice is one chunk.
            self.slice_rows = slice_rows if self.purpose.training else self.chunk_rows
        else:
            # A wide layer's weights are read once a slice: 64 rows for each reading, if that leaves two slices.
            self.chunk_rows = self.slice_rows = 64 if self.rows >= 128 else 32
            if self.n_segments > 1:
                # Every slice reads the sums of all slices: few enough that it costs nothing.
                self.slice_rows *= -(-self.rows // (few * self.slice_rows))
        self.n_slices = self.slices(self.rows)

    def _slice_rows(self, most):
        """Return the rows of each of at most so many slices."""
        slices = min(max(self.rows * self.row_multiply_adds // SLICE_MULTIPLY_ADDS, 1), most)
        # Slices of 32 rows fill all tiles; of 16 where these are work enough for a thread (recurrent layers).
        grain = REGION_ROWS if REGION_ROWS * self.row_multiply_adds >= THREAD_MULTIPLY_ADDS else 32
        return round_up(-(-self.rows // slices), grain)

    def region(self, work, offset, row_entries):
        """Return a region of the first workspace as an array (rows of a batch or chunk, row_entries)."""
        rows = min(self.rows, self.region_rows)
        return work[0, offset : offset + row_entries * rows].reshape(rows, row_entries)

    def slices(self, rows):
        """Return the number of slices of a batch of `rows` rows."""
        return -(-rows // self.slice_rows)

    def threads_pay(self, rows):
        """Is there work for a second thread in a batch of `rows` rows?"""
        if self.table_updates(rows) >= THREAD_UPDATES:
            return True
        return self.slices(rows) > 1 and rows * self.row_multiply_adds >= THREAD_MULTIPLY_ADDS

    def table_updates(self, rows):
        """Return how many entries of tables made row by row a step of `rows` rows updates, at most."""
        return sum(updated_entries(param, rows) for param in self.tables.values())

    def _place_regions(self, network, placed, n_targets, n_weights):
        """Give every layer its offsets; fill the table and the layout."""
        self.work_size = self.shared_size = 0
        n_in, n_out = _size(network.input_shape), _size(network.raw_shape)
        x = self._region(n_in)
        # Without layers (dropout alone, at prediction) the input's gradient is the loss's.
        dx = self._region(n_in) if self.purpose.input_gradient or not placed else -1
        wanted = _wanted_gradients(network, self.purpose)
        self.table, self._kept = [None] * len(self.names), []  # records, and what they have addresses of
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
                layer = layer.as_set()
                row = np.zeros(1, layer.spec.dtype)
                masks[number] = self._region(layer.build.mask)
                row["mask"], row["own_mask"] = masks[network.masking_layer(number)], masks[number]
                self._fill_row(row, layer, number, inputs, out, douts)
                if not wanted[number]:
                    self._end_backward(row, layer)
                if place in self.segments[1:-1]:
                    self.table[place - 1] = self._first_row(row, layer)[0]
                if self.purpose.fused_output and number == network.output_layer and "activate" in row.dtype.names:
                    row["activate"] = row["differentiate"] = 0
                self.table[place] = row[0]
            places |= {Source(number, branch): (out, dout) for branch, dout in enumerate(douts)}
        self.addresses = np.array([address_of(row.base) for row in self.table], np.int64)
        out, dout = places[network.output]
        layout = {"x": x, "n_in": n_in, "dx": dx, "n_out": n_out, "n_targets": n_targets, "out": out, "dout": dout}
        layout |= {"y": self._region(n_targets), "weight": self._region(n_weights), "n_weights": n_weights}
        layout |= {"sliced": self.sliced, "slice_rows": self.slice_rows, "chunk_rows": self.chunk_rows}
        self.layout = np.zeros(1, LAYOUT)
        for name, value in layout.items():
            self.layout[name] = value

    def _fill_row(self, row, layer, number, inputs, out, douts):
        """Write a layer's row; `inputs` are (x, dx or -1, entries) of each."""
        spec, build, float_type = layer.spec, layer.build, float_type_of(self.dtype)
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
        self._kept += [fill_row(row, spec, build, float_type), spec.fill(row, float_type)]
        is_wanted = any(dx >= 0 for _, dx, _ in inputs)
        if not is_wanted and spec.only_dx:
            row["backward"] = 0
        row["region_rows"], row["panels"] = self.region_rows, self._panel_room(layer)
        self._place_shared(row, layer, is_wanted)

    def _panel_room(self, layer):
        """Return the offset of what a layer packs for its gradient, or -1: reading it in place is as fast."""
        reads = self.purpose.training and layer.spec.trainable and layer.build.panels * self.region_rows > PLAIN_ENTRIES
        return self._region(layer.build.panels) if reads else -1

    def _place_shared(self, row, layer, has_dx):
        """Place what a layer's `prepare` makes of its parameters: for backward, and for a forward pass of many rows."""
        spec, build, training = layer.spec, layer.build, self.purpose.training
        has_dx = has_dx or (spec.always_prepare and training)
        packed = build.packed > PLAIN_ENTRIES and self.rows >= (PANEL_READERS if training else PREDICTION_READERS)
        if has_dx or packed:
            row["prepare"] = kernel_address(type(spec), "prepare", float_type_of(self.dtype))
        row["prepare_rows"] = build.params[0].shape[0] if build.params else 0
        row["shared"] = self._shared_room(build.shared * has_dx)
        row["packed"] = self._shared_room(build.packed) if packed else -1

    def _end_backward(self, row, layer):
        """Have nothing go back through a layer; what its forward pass may read then is made before every call."""
        row["backward"] = 0
        if layer.spec.tabulate is not None:
            row["prepare"] = kernel_address(type(layer.spec), "tabulate", float_type_of(self.dtype))
            row["shared"] = self._shared_room(layer.build.shared)

    def _first_row(self, second, layer):
        """Return the first record of a layer that sums over the whole batch, made of its second one."""
        first, float_type = second.copy(), float_type_of(self.dtype)
        first["gradient"] = first["prepare"] = 0
        first["forward"] = kernel_address(type(layer.spec), "sum_forward", float_type)
        if first["backward"]:
            first["backward"] = kernel_address(type(layer.spec), "finish_backward", float_type)
        return first

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
        items = joined[np.argsort(joined["start"] - joined["stop"], kind="stable")]
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
        # A column that has a norm runs over the leading axes: a filter of a convolution.
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
            return item_rows(p.param, self.rows)
        if p.param.max_norm:
            return rows  # the norms of columns need whole columns
        # Rows of a matrix come by tiles of 8; of more axes the first one's indices stand for themselves.
        tile = 8 if len(p.param.shape) < 3 else 1
        # Every entry meets as many inputs as a row has windows (1 in a dense layer of inputs (n, d)); of gradients
        # made in phase 1, phase 2 has only sums to make.
        windows = 1 if self.sliced else max(layer.build.multiply_adds // layer.n_params, 1)
        return max(round_up(ITEM_MULTIPLY_ADDS // (columns * self.rows * windows), tile), tile)


def _chain(items):
    """Have each item name the first one of its parameter, and the next: so the norm of its gradient is added up."""
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


def _wanted_gradients(network, purpose):
    """Return {layer's number: does anyone need the gradient with respect to its output?}; -1 is the model's input."""
    wanted = {-1: purpose.input_gradient}
    for number, layer in enumerate(network.layers):
        trained = layer.spec.trainable and layer.n_params > 0
        wanted[number] = purpose.training and (trained or any(wanted[source.layer] for source in layer.sources))
    return wanted
