"""Memory that is read soon, fetched into the cache while the tiles of a gradient compute.

An item of the update, a block of a parameter's rows, has a *queue* of pieces.  Each tile of the item's gradient takes
the next piece, and fetches one line of it in each turn of its loop, some 3 ns.  Lines that are asked for faster are
dropped.  The queue counts on in itself.  One thread makes an item, so no two threads take from one queue.  Two kinds of
memory are fetched:

- The rows of the next batch.  A shuffled batch lies all over memory: 128 rows of 784 float32 take 28 us to gather, a
  tenth of a step of 784-128-10, and 12 us if they were fetched before.
- The parameters and moments that the item's update reads, where all of them fill more than second-level caches.
  784-512-512-10 with Adam takes 0.95 times as long with one thread, and as long with two.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, ir
from fastbp.compiler.pointers import int64_at
from fastbp.compiler.prefetch import LINE_BYTES, emit_prefetch

# Entries of a queue (int64): the place of the next piece, the end, then the address and the last byte of each piece.
NEXT, END, HEADER, PIECE = 0, 1, 2, 2
# A piece has a line for each turn of a tile's loop, which are the rows of the batch, but so many at most.
MOST_LINES = 128
# A batch of fewer bytes is gathered in some 5 us and less, from a cache.
FEW_BYTES = 128 * 1024
# Parameters and moments of fewer bytes stay in second-level caches (784-256-10 has 2.4 MB and takes as long).
STATE_BYTES = 4 * 1024 * 1024
# There is room for the parameters and three moments.
ARRAYS = 4


def queue_size(rows, row_bytes, item_bytes, turns):
    """Return the entries of the queue of an item of so many bytes that fetches so many rows of the next batch."""
    piece_bytes = LINE_BYTES * min(turns, MOST_LINES)
    return HEADER + PIECE * (rows * -(-row_bytes // piece_bytes) + ARRAYS * -(-item_bytes // piece_bytes))


def fetched_rows(rows, row_bytes):
    """Return how many rows of the next batch are fetched: all, or none where fetching them does not pay."""
    return rows if rows * row_bytes > FEW_BYTES else 0


def state_may_be_fetched(params_bytes):
    """Can parameters of so many bytes have an optimizer's state that is fetched?"""
    return ARRAYS * params_bytes > STATE_BYTES


@inline
def clear(queue):
    """Let the queue be empty."""
    queue[NEXT] = queue[END] = HEADER


@inline
def add(queue, start, n_bytes, turns):
    """Let so much memory from an address on be fetched by tiles of so many turns, as far as the queue has room."""
    piece_bytes, last, n = LINE_BYTES * min(turns, MOST_LINES), start + n_bytes - 1, queue[END]
    while start <= last and n < queue.size:
        queue[n], queue[n + 1] = start, min(last - start, piece_bytes - 1)
        start += piece_bytes
        n += PIECE
    queue[END] = n


@inline
def add_rows(queue, source, order, first, stop, row_bytes, turns):
    """Let rows order[first : stop] of the array behind `source` be fetched; addresses."""
    for i in range(first, stop):
        add(queue, source + int64_at(order, i) * row_bytes, row_bytes, turns)


def take_piece(builder, ahead):
    """Emit the taking of a piece from the queue at an address (0: none); return (start or null, last byte)."""
    byte = ir.IntType(8).as_pointer()
    start, last = cgutils.alloca_once(builder, byte), cgutils.alloca_once(builder, ir.I64)
    builder.store(byte(None), start)
    with builder.if_then(builder.icmp_unsigned("!=", ahead, ir.I64(0))):
        queue = builder.inttoptr(ahead, ir.I64.as_pointer())

        def entry(place):
            return builder.gep(queue, [place])

        place = builder.load(entry(ir.I64(NEXT)))
        with builder.if_then(builder.icmp_signed("<", place, builder.load(entry(ir.I64(END))))):
            builder.store(builder.add(place, ir.I64(PIECE)), entry(ir.I64(NEXT)))
            builder.store(builder.inttoptr(builder.load(entry(place)), byte), start)
            builder.store(builder.load(entry(builder.add(place, ir.I64(1)))), last)
    return builder.load(start), builder.load(last)


def is_piece(builder, piece):
    """Emit the question whether there was a piece to take."""
    start, _ = piece
    return builder.icmp_unsigned("!=", start, start.type(None))


def fetch_line(builder, piece, turn):
    """Emit the fetching of the line of a piece that is due in turn number `turn` of a tile's loop."""
    start, last = piece
    offset = builder.mul(turn, ir.I64(LINE_BYTES))
    # After the last line it is asked for again, which costs nothing.
    offset = builder.select(builder.icmp_signed("<", offset, last), offset, last)
    emit_prefetch(builder, builder.gep(start, [offset]))
