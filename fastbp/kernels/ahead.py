"""Rows that the next step reads, fetched into the cache while the tiles of this step compute.

A shuffled batch lies all over memory.  128 rows of 784 float32 take 28 us to gather, a tenth of a step of 784-128-10,
and 12 us if they are fetched before.  Software prefetches that come too fast are dropped, so each tile of a product
fetches one *piece*, a few lines of one row.  What it fetches stands in a queue: (next piece, end, lines of a piece) and
then the address of each piece.  `next` counts on in the queue itself, so there is one queue for one thread.
"""

from fastbp.compiler.jit import inline
from fastbp.compiler.lazy import cgutils, ir
from fastbp.compiler.pointers import int64_at
from fastbp.compiler.prefetch import LINE_BYTES, emit_prefetch

HEADER = 3
# A tile of 784-128-10 takes 0.25 us.  More lines in that time are dropped.
MOST_LINES = 20
# A batch of fewer bytes is gathered in some 5 us and less, from a cache.
FEW_BYTES = 128 * 1024


def queue_size(rows, row_bytes):
    """Return the entries of the queue (int64) for so many rows, or 0 where fetching them does not pay."""
    return HEADER + rows * _pieces(row_bytes)[0] if rows * row_bytes > FEW_BYTES else 0


def _pieces(row_bytes):
    """Return the pieces of a row and the lines of a piece; a row may begin within a line."""
    lines = (row_bytes + LINE_BYTES - 2) // LINE_BYTES + 1
    pieces = (lines + MOST_LINES - 1) // MOST_LINES
    return pieces, (lines + pieces - 1) // pieces


_compiled_pieces = inline(_pieces)


@inline
def queue_rows(queue, source, order, first, rows, row_bytes):
    """Let the queue be rows order[first : first + rows] of the array behind `source`; addresses."""
    pieces, lines = _compiled_pieces(row_bytes)
    n = HEADER
    for i in range(rows):
        row = source + int64_at(order, first + i) * row_bytes
        for piece in range(pieces):
            queue[n] = row + piece * lines * LINE_BYTES
            n += 1
    queue[0], queue[1], queue[2] = HEADER, n, lines


def fetch_piece(builder, ahead):
    """Emit the fetching of the next piece of the queue at an address ([address], or []), which is 0 for none."""
    if not ahead:
        return
    with builder.if_then(builder.icmp_unsigned("!=", ahead[0], ir.I64(0))):
        queue = builder.inttoptr(ahead[0], ir.I64.as_pointer())

        def entry(number):
            return builder.gep(queue, [number])

        piece, end = builder.load(queue), builder.load(entry(ir.I64(1)))
        with builder.if_then(builder.icmp_signed("<", piece, end)):
            builder.store(builder.add(piece, ir.I64(1)), queue)
            start = builder.inttoptr(builder.load(entry(piece)), ir.IntType(8).as_pointer())
            with cgutils.for_range(builder, builder.load(entry(ir.I64(2)))) as loop:
                emit_prefetch(builder, builder.gep(start, [builder.mul(loop.index, ir.I64(LINE_BYTES))]))
