"""What a plan decides about tables (embeddings): whose gradient is made row by row (lookup_update.py)."""

import numpy as np

# Sorting takes so many bits a pass.
DIGIT_BITS = 8
DIGITS = 1 << DIGIT_BITS
# Room of an item for the digits' counts, the number of its keys and their place.
ROOM = DIGITS + 2
# Rows that the batch does not read are updated by so many entries a call.
ZEROS = 1024
# A table's gradient is made row by row where it has more bytes than partial gradients may have.  8,192 x 32, batches of
# 256, 1,024, 8,192 rows: 140, 431, 1,382 us a step; 196, 834 and 16,325 with a dense gradient, for which each item
# looks through the batch.  9,000 x 16 (576 kB), 512 rows: 171 and 143.
BYTES = 512 * 1024
# An item updates so many entries at least (20 to 50 us), and a table has so many items at most: each looks through
# all that the batch reads.
ITEM_ENTRIES = 65536
MAX_ITEMS = 16


def made_by_rows(param, itemsize):
    """Is the gradient of `param` made row by row?"""
    if param.lookup is None or param.l1 or param.l2 or param.max_norm:
        return False
    return param.lazy or param.size * itemsize > BYTES


def updated_entries(param, rows):
    """Return how many entries of a table a step updates, at most."""
    return rows * param.lookup.count * param.shape[1] if param.lazy else param.size


def item_rows(param, rows):
    """Return the rows of the table's items."""
    n_items = min(max(updated_entries(param, rows) // ITEM_ENTRIES, 1), MAX_ITEMS)
    return -(-param.shape[0] // n_items)


def place_rooms(items, param, layer_row, rows, room, first_id):
    """Write to a table's items what the batch reads of it, and their rooms; return the end of those in `ids`.

    `room(entries)` gives room in the workspace.
    """
    count, x, out = param.lookup
    items["reads"], items["lazy"] = count, param.lazy
    items["x"], items["x_stride"] = layer_row["x"] + x, layer_row["n_in"]
    items["dout"], items["dout_stride"] = layer_row["dout"] + out, layer_row["n_out"]
    items["row"] = [room(2 * param.shape[1]) for _ in items]
    items["zeros"] = [room(ZEROS) for _ in items]
    items["keys"], items["swap"] = first_id, first_id + rows * count
    items["digits"] = first_id + 2 * rows * count + ROOM * np.arange(len(items))
    return first_id + 2 * rows * count + ROOM * len(items)
