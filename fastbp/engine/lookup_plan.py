"""The plan's part about tables (embeddings): which of them get their gradient row by row (lookup_update.py)."""

import numpy as np

# Sorting takes so many bits a pass.
DIGIT_BITS = 8
DIGITS = 1 << DIGIT_BITS
# An item has room for a count of each digit, for the number of its keys, and for their place.
ROOM = DIGITS + 2
# Table rows that the batch does not read are updated so many entries at a time.
UNREAD_ENTRIES = 1024
# A table of more bytes gets its gradient row by row.  (PARTIAL_BYTES has the same value.)  A table of 8,192 x 32
# takes 140, 431 and 1,382 us a step row by row, in batches of 256, 1,024 and 8,192 rows.  With a dense gradient it
# takes 196, 834 and 16,325 us, because each item looks through the whole batch.  A table of 9,000 x 16 (576 kB) takes
# 171 us row by row, in batches of 512 rows, and 143 with a dense gradient.
BYTES = 512 * 1024
# An item updates at least so many entries (20 to 50 us), and a table has at most so many items, because each item looks
# through all reads of the batch.
ITEM_ENTRIES = 65536
MAX_ITEMS = 16


def made_by_rows(param, itemsize):
    """Is the gradient of `param` made row by row?"""
    if param.lookup is None or param.l1 or param.l2 or param.max_norm:
        return False
    return param.lazy or param.size * itemsize > BYTES


def updated_entries(param, rows):
    """Return the number of a table's entries that a step updates, at most."""
    return rows * param.lookup.count * param.shape[1] if param.lazy else param.size


def item_rows(param, rows):
    """Return the rows of the table's items."""
    n_items = min(max(updated_entries(param, rows) // ITEM_ENTRIES, 1), MAX_ITEMS)
    return -(-param.shape[0] // n_items)


def place_rooms(items, param, record, rows, room, first_id):
    """Write to a table's items where the batch's reads stand, and the offsets of their rooms; `record` is the layer's.

    `room(entries)` returns the offset of new room in the workspace.  Rooms for whole numbers stand in `ids`, from
    `first_id` on; return where they end.
    """
    count, x, out = param.lookup
    items["reads"], items["lazy"] = count, param.lazy
    items["x"], items["x_stride"] = record["x"] + x, record["n_in"]
    items["dout"], items["dout_stride"] = record["dout"] + out, record["n_out"]
    items["row"] = [room(2 * param.shape[1]) for _ in items]
    items["unread"] = [room(UNREAD_ENTRIES) for _ in items]
    items["keys"], items["swap"] = first_id, first_id + rows * count
    items["digits"] = first_id + 2 * rows * count + ROOM * np.arange(len(items))
    return first_id + 2 * rows * count + ROOM * len(items)
