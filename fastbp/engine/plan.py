"""The plan of a run: layer table, items, and every offset of the workspace, for one network and batch size.

All splits are made here, from the sizes alone and never from the number of threads: that is why
results have the same bits at any number of threads.

A batch is cut into *slices* of rows, and a slice into *chunks*; the parameters are cut into *items*, blocks of rows of
one parameter.  A step has two phases: slices, then items (driver.py).  There are two schemes:

- `sliced` (small networks, tall batches).  A thread takes a slice through forward, loss, backward and gradient, chunk
  by chunk.  Its workspace holds one chunk, which stays in the cache.  Each slice's gradient has a place of its own in
  `partials`, and phase 2 adds these up in order.
- Not `sliced` (wide networks).  The workspace holds the whole batch.  A slice is one chunk, or several chunks if there
  are segments (see below).  Phase 2 computes the gradient of each parameter block over all rows, just before it updates
  the block.

An embedding table that is lazy or large gets its gradient row by row in phase 2 (lookup_update.py).  A plan with such a
table is not sliced.

A layer that sums over the whole batch has two records in the layer table of a training plan.  A *segment* ends between
the two: all slices go through one segment before any slice begins the next.  Such a plan is not sliced.
"""

import numpy as np

from fastbp.compiler.entry import address_of
from fastbp.compiler.records import record_dtype
from fastbp.engine import limits
from fastbp.engine.cut import Cutter, entries_of, round_up, threads_share
from fastbp.engine.lookup_plan import item_rows, place_rooms, updated_entries
from fastbp.engine.network import Source
from fastbp.engine.penalties_and_clipping import ITEM
from fastbp.kernels.ahead import fetched_rows, queue_size, state_may_be_fetched
from fastbp.kernels.epilogue import DROPPED, RECTIFIED
from fastbp.kernels.panels import PANEL_READERS, PLAIN_ENTRIES, PREDICTION_READERS
from fastbp.layers.base import fill_record, float_type_of, kernel_address

# Offsets of the regions of a workspace that belong to no layer, and the sizes of slices.
LAYOUT = record_dtype(
    [
        ("x", "i8"),
        ("n_in", "i8"),
        ("y", "i8"),
        ("n_targets", "i8"),
        ("weight", "i8"),
        ("n_weights", "i8"),  # weights of a row: 1, or one for each entry (a time step) with a loss of its own
        ("out", "i8"),
        ("dout", "i8"),
        ("n_out", "i8"),
        ("dx", "i8"),
        ("sliced", "i8"),
        ("slice_rows", "i8"),
        ("chunk_rows", "i8"),
        ("joins", "i8"),  # 1: a thread may take several slices together
    ],
)


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
        placed, self.row_multiply_adds, self._joins = cutter.placed, cutter.row_multiply_adds, cutter.joins
        self._number_records(placed)
        self.tables = {p.name: p.param for p in network.params if p.name in cut.tables}
        self.region_rows = self.chunk_rows if self.sliced else round_up(self.rows, limits.REGION_ROWS)
        self._place_regions(network, placed, n_targets, n_weights)
        self.ids_size = 0
        self.items = self._make_items(network) if purpose.training else np.zeros(0, ITEM)

    def _number_records(self, placed):
        """Number the records of the layer table; of a layer with two records, `record_number` has the second one."""
        self.names, self.record_number, segments = [], {}, [0]
        for number, layer in placed.items():
            if self.purpose.training and layer.build.whole_batch:
                self.names.append(layer.name)
                segments.append(len(self.names))
            self.record_number[number] = len(self.names)
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
        if self.tables and self.table_updates(rows) >= limits.THREAD_UPDATES:
            return True
        return self.slices(rows) > 1 and rows * self.row_multiply_adds >= limits.THREAD_MULTIPLY_ADDS

    def step_multiply_adds(self, rows):
        """Return the cost of a step of `rows` rows in multiply-adds; an updated table entry counts as several."""
        return rows * self.row_multiply_adds + limits.ENTRY_MULTIPLY_ADDS * self.table_updates(rows)

    def few_rows(self):
        """Return a number of rows up to which a batch surely has no work for a second thread (see `threads_pay`)."""
        # In a network of dropout alone, `row_multiply_adds` is 0 at prediction.
        return max(min(self.slice_rows, (limits.THREAD_MULTIPLY_ADDS - 1) // max(self.row_multiply_adds, 1)), 0)

    def table_updates(self, rows):
        """Return how many entries of tables with row-by-row gradients a step of `rows` rows updates, at most."""
        return sum(updated_entries(param, rows) for param in self.tables.values())

    def _place_regions(self, network, placed, n_targets, n_weights):
        """Give every layer its offsets; fill the table and the layout."""
        self.work_size = self.shared_size = 0
        n_in, n_out = entries_of(network.input_shape), entries_of(network.raw_shape)
        x = self._region(n_in)
        # If no layer has a record (dropout alone, at prediction), the outputs are x itself.  The gradient of the loss
        # is then written to dx, so that dx needs room.
        dx = self._region(n_in) if self.purpose.input_gradient or not placed else -1
        wanted = _wanted_gradients(network, self.purpose)
        self.table, self._kept = [None] * len(self.names), []  # the records, and the arrays to which they point
        # The offsets of every value and of its gradient; a fork's output has a gradient for each branch.
        places, masks = {Source(): (x, dx)}, {None: -1}
        for number, layer in enumerate(network.layers):
            out, dout = places[layer.sources[0]]
            douts = [dout] * layer.build.branches
            if number in placed:
                size = entries_of(layer.output_shape)
                out = out if layer.spec.alias else self._region(size)
                douts = [self._region(size) for _ in douts]
                inputs = [(places[s][0], places[s][1] if wanted[s.layer] else -1, n) for s, n in layer.inputs]
                place = self.record_number[number]
                layer = layer.as_set()
                record = np.zeros(1, layer.spec.dtype)
                masks[number] = self._region(layer.build.mask)
                record["mask"], record["own_mask"] = masks[network.masking_layer(number)], masks[number]
                self._fill_record(record, layer, number, inputs, out, douts)
                if not wanted[number]:
                    self._end_backward(record, layer)
                if place in self.segments[1:-1]:
                    self.table[place - 1] = self._first_record(record, layer)[0]
                self._join_epilogue(record, network, layer.sources[0])
                if self.purpose.fused_output and number == network.output_layer and "activate" in record.dtype.names:
                    record["activate"] = record["differentiate"] = 0
                self.table[place] = record[0]
            places |= {Source(number, branch): (out, dout) for branch, dout in enumerate(douts)}
        self.addresses = np.array([address_of(record.base) for record in self.table], np.int64)
        out, dout = places[network.output]
        layout = {"x": x, "n_in": n_in, "dx": dx, "n_out": n_out, "n_targets": n_targets, "out": out, "dout": dout}
        layout |= {"y": self._region(n_targets), "weight": self._region(n_weights), "n_weights": n_weights}
        layout |= {"sliced": self.sliced, "slice_rows": self.slice_rows, "chunk_rows": self.chunk_rows}
        layout |= {"joins": self._joins and not self.sliced and self.slice_rows < limits.READ_ROWS}
        self.layout = np.zeros(1, LAYOUT)
        for name, value in layout.items():
            self.layout[name] = value

    def _fill_record(self, record, layer, number, inputs, out, douts):
        """Write a layer's record; `inputs` are (x, dx or -1, entries) of each."""
        spec, build, float_type = layer.spec, layer.build, float_type_of(self.dtype)
        kinds = ("forward", "backward", "gradient") if self.purpose.training else ("forward",)
        for kind in kinds:
            record[kind] = kernel_address(type(spec), kind, float_type)
        record["index"] = number
        record["n_in"], record["n_out"] = sum(entries for _, _, entries in inputs), entries_of(layer.output_shape)
        record["x"], record["dx"] = inputs[0][:2]
        record["out"], record["dout"] = out, douts[0]
        record["n_branches"], record["branch_stride"] = len(douts), douts[1] - douts[0] if len(douts) > 1 else 0
        if spec.branches:
            self._kept.append(np.array(inputs, np.int64))
            record["n_inputs"], record["inputs"] = len(inputs), self._kept[-1].ctypes.data
        record["extra"] = self._region(build.extra)
        record["params"], record["buffers"] = layer.offset, layer.buffer_offset
        record["slice_stride"], record["slice_rows"] = round_up(build.slice_work, limits.ALIGNMENT), self.slice_rows
        record["slice_work"] = self._room(record["slice_stride"][0] * (1 if self.sliced else self.n_slices))
        self._kept += [fill_record(record, spec, build, float_type), spec.fill(record, float_type)]
        is_wanted = any(dx >= 0 for _, dx, _ in inputs)
        if not is_wanted and spec.only_dx:
            record["backward"] = 0
        record["region_rows"], record["panels"] = self.region_rows, self._panel_room(layer)
        self._place_shared(record, layer, is_wanted)

    def _join_epilogue(self, record, network, source):
        """Let a layer's product that makes dx also do what dropout and a rectifier before it would do backward."""
        if not _has(record, "may_gate_dx") or record["dx"][0] < 0:
            return
        before = self._record_of(source)
        if _has(before, "joins_product"):
            # The product writes dropout's dx.  Who looks for what is not finite reads it as dropout's dout, too.
            before["marks_dropped"], before["backward"], before["dout"] = 1, 0, before["dx"]
            record["gates_dx"], record["drop_rate"], record["dx"] = DROPPED, before["rate"], before["dx"]
            before = self._record_of(network.layers[source.layer].sources[0])
        if _has(before, "rectifies"):
            record["gates_dx"] |= RECTIFIED
            before["differentiate"] = 0

    def _record_of(self, source):
        """Return the record of the layer that makes a value, or None."""
        return self.table[self.record_number[source.layer]] if source.layer in self.record_number else None

    def _panel_room(self, layer):
        """Return the offset of the panels that a layer packs for its gradient; -1: it packs none."""
        reads = self.purpose.training and layer.spec.trainable and layer.build.panels * self.region_rows > PLAIN_ENTRIES
        return self._region(layer.build.panels) if reads else -1

    def _place_shared(self, record, layer, has_dx):
        """Place the arrays that `prepare` makes of a layer's parameters for backward, and for forward of many rows."""
        spec, build, training = layer.spec, layer.build, self.purpose.training
        has_dx = has_dx or (spec.always_prepare and training)
        packed = build.packed > PLAIN_ENTRIES and self._like_rows >= (PANEL_READERS if training else PREDICTION_READERS)
        if has_dx or packed:
            record["prepare"] = kernel_address(type(spec), "prepare", float_type_of(self.dtype))
        record["prepare_rows"] = build.params[0].shape[0] if build.params else 0
        record["shared"] = self._shared_room(build.shared * has_dx)
        record["packed"] = self._shared_room(build.packed) if packed else -1

    def _end_backward(self, record, layer):
        """Remove a layer's backward kernel: nobody needs its gradient.

        If the layer has a kernel `tabulate` (layers/base.py), it becomes `prepare`, and makes what forward reads.
        """
        record["backward"] = 0
        if layer.spec.tabulate is not None:
            record["prepare"] = kernel_address(type(layer.spec), "tabulate", float_type_of(self.dtype))
            record["shared"] = self._shared_room(layer.build.shared)

    def _first_record(self, second, layer):
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
        offset, self.shared_size = self.shared_size, self.shared_size + round_up(entries, limits.ALIGNMENT)
        return offset

    def _room(self, entries):
        offset, self.work_size = self.work_size, self.work_size + round_up(int(entries), limits.ALIGNMENT)
        return offset

    def _make_items(self, network):
        """Cut the trainable parameters into items; the largest come first, for balance."""
        parts = [self._items_of(p, network.layers[p.layer]) for p in network.params]
        joined = np.concatenate([np.zeros(0, ITEM), *parts])
        items = joined[np.argsort(joined["start"] - joined["stop"], kind="stable")]
        _chain(items)
        self._place_queues(items, entries_of(network.input_shape) * self.dtype.itemsize)
        return items

    def _place_queues(self, items, row_bytes):
        """Give queues to the items whose gradients fetch memory, if that pays, and shares of the next batch's rows."""
        rows = fetched_rows(self.rows, row_bytes)
        if self.sliced or not (rows or state_may_be_fetched(self.n_params * self.dtype.itemsize)):
            return
        fetches = np.array(["ahead" in record.dtype.names for record in self.table])
        fetching = fetches[items["layer"]] & (items["block"] == 0)
        sizes = (items["stop"] - items["start"]) * fetching
        items["ahead_stop"] = rows * np.cumsum(sizes) // max(sizes.sum(), 1)
        items["ahead_first"][1:] = items["ahead_stop"][:-1]
        for number in np.unique(items["layer"][fetching]):
            places = np.flatnonzero(fetching & (items["layer"] == number))
            mine, record = items[places], self.table[number]
            most_rows = (mine["ahead_stop"] - mine["ahead_first"]).max()
            # Tiles make a turn for each row of the batch, which has more than half of the rows that there is room for.
            # A batch of fewer rows has shorter pieces; those that find no room in the queue are not fetched.
            size = queue_size(most_rows, row_bytes, sizes[places].max() * self.dtype.itemsize, self.rows // 2 + 1)
            queues = np.zeros((len(mine), size), np.int64)
            self._kept.append(queues)
            record["ahead"], record["ahead_bytes"] = address_of(queues), queues[0].nbytes
            record["ahead_rows"] = mine["end"][0] - mine["first"][0]
            items["ahead"][places] = record["ahead"] + mine["first"] // record["ahead_rows"] * record["ahead_bytes"]
            items["ahead_size"][places] = size

    def _items_of(self, p, layer):
        """Return the items of one parameter."""
        if not layer.spec.trainable:
            return np.zeros(0, ITEM)
        rows, columns = p.param.shape[0], entries_of(p.param.shape[1:])
        firsts = np.arange(0, rows, self._item_rows(p, layer))
        ends = np.append(firsts[1:], rows)
        items = np.zeros(len(firsts), ITEM)
        items["layer"], items["block"] = self.record_number[p.layer], p.block
        items["first"], items["end"] = firsts, ends
        # max_norm limits the norm of each column: of a filter, in a convolution.
        items["columns"] = (
            entries_of(p.param.shape[len(p.param.shape) - p.param.norm_axes :]) if p.param.max_norm else columns
        )
        items["start"], items["stop"] = p.start + firsts * columns, p.start + ends * columns
        items["learning_rate"], items["decay"] = p.param.learning_rate_factor, p.param.decay_factor
        items["l1"], items["l2"], items["max_norm"] = p.param.l1, p.param.l2, p.param.max_norm
        if p.name in self.tables:
            record = self.table[self.record_number[p.layer]]
            self.ids_size = place_rooms(items, p.param, record, self.rows, self._room, self.ids_size)
        return items

    def _item_rows(self, p, layer):
        """Return the rows of a parameter's items."""
        rows, columns = p.param.shape[0], entries_of(p.param.shape[1:])
        if p.name in self.tables:
            return item_rows(p.param, self._like_rows)
        if p.param.max_norm:
            return rows  # the norm of a column needs the whole column
        # Items of whole tiles: their heights, 8 or 16 rows, are multiples of 8.  With more axes, a row is one index of
        # the first axis.
        tile = 8 if len(p.param.shape) < 3 else 1
        # An entry's gradient sums as many products for each row as the layer has windows (1 in a dense layer).  In a
        # sliced plan phase 1 makes these products, and phase 2 only adds up the slices.
        windows = 1 if self.sliced else max(layer.build.multiply_adds // layer.n_params, 1)
        return max(round_up(self._item_multiply_adds() // (columns * self._like_rows * windows), tile), tile)

    def _item_multiply_adds(self):
        """Return about how many multiply-adds an item has at most."""
        step = self._like_rows * self.row_multiply_adds
        # The products of gradients are a third of a step.  If threads pay, each item has a quarter of that at most, so
        # that two threads end at about the same time.
        return min(limits.ITEM_MULTIPLY_ADDS, step // 12) if threads_share(step) else limits.ITEM_MULTIPLY_ADDS


def _has(record, field):
    """Is there a record, with such a field that is not 0?"""
    return record is not None and field in record.dtype.names and record[field]


def _chain(items):
    """Link the items of each parameter from first to last, so that the norm of its gradient can be added up."""
    first, last = {}, {}
    for piece, item in enumerate(zip(items["layer"].tolist(), items["block"].tolist(), strict=True)):
        items["head"][piece], items["tail"][piece] = first.setdefault(item, piece), -1
        if item in last:
            items["tail"][last[item]] = piece
        last[item] = piece


def _wanted_gradients(network, purpose):
    """Return {layer's number: does anyone need the gradient with respect to its output?}; -1 is the model's input."""
    wanted = {-1: purpose.input_gradient}
    for number, layer in enumerate(network.layers):
        trained = layer.spec.trainable and layer.n_params > 0
        wanted[number] = purpose.training and (trained or any(wanted[source.layer] for source in layer.sources))
    return wanted
