"""Limits by which steps are planned: sizes of pieces of work, and of memory.  Each was measured."""

# Offsets are multiples of 16 entries: a cache line of float32.
ALIGNMENT = 16
# A chunk's activations and gradients should stay in a core's second-level cache.
CHUNK_BYTES = 256 * 1024
# Prediction reads all weights once a chunk, so its chunks are larger: 64 to 128 rows take 5 to 12 % less time than 32,
# in five networks.  (A row of LeNet-5 has 36 KB: its chunks keep 32 rows.)
PREDICTION_BYTES = 1024 * 1024
# Regions have a multiple of so many rows, and slices and chunks begin at one, because recurrent layers pack 16 rows.
REGION_ROWS = 16
# A thread reads all weights of a wide network once for so many rows, or for a slice of half as many (cut.py).
READ_ROWS = 64
# One thread alone takes so many slices of half as many rows together.  Pieces of 128 or 256 rows in place of 64:
# 54-256-256-7 takes 0.99 times as long, 784-512-512-10 0.98, 784-128-10 0.99, 8-256-256-256-1 0.985.
JOINED_ALONE = 8
# Several threads work on several slices; a slice of fewer multiply-adds (about 5 us) costs more than it saves.
SLICE_MULTIPLY_ADDS = 200_000
# A batch has at most FEW_SLICES slices.  A tall batch may have one for every SLICE_ROWS rows, up to MAX_SLICES, if
# their partial gradients fit (PARTIAL_BYTES): adding up the gradients of slices of SLICE_ROWS rows takes a 700th of
# phase 1.
FEW_SLICES, SLICE_ROWS, MAX_SLICES = 16, 256, 64
# A slice has about so many multiply-adds at most, all passes together (0.01 to 0.05 s): Ctrl-C waits for its end.
LONGEST_SLICE = 5e8
# A plan is sliced if its partial gradients have at most this size: the other scheme reads the batch's activations once
# more, which is dearer.  The limit grows in proportion where a batch has more than ACTIVATION_BYTES of activations, as
# images have.  LeNet-5 with batches of 128 rows (2 MB of partial gradients, 10 MB of activations) takes 1.24 times as
# long without that.
PARTIAL_BYTES = 512 * 1024
# A plan is not sliced if its partial gradients have more than this share of the bytes of the batch's activations and
# their gradients: a thread that has to write and add up so much is faster if it reads the activations once more.
# 30-64-64-3 in batches of 64 to 512 rows (share 0.7) takes 1.06 to 1.10 times as long if sliced, 100-32-32-10 at 64
# rows (0.6) 1.06, 4-32-16-4 (0.06) and 20-64-1 (0.15) 0.93 to 0.98 times.
PARTIAL_SHARE = 0.3
ACTIVATION_BYTES = 2 * 1024 * 1024
# A plan that would need a larger workspace is sliced, so that memory stays bounded.  Lazy tables, layers that sum over
# the whole batch, and `keep_batch` need the whole batch all the same.
WORKSPACE_BYTES = 256 * 1024 * 1024
# An item of phase 2 has about so many multiply-adds (75 us): enough row tiles to make packing a panel worthwhile, few
# enough to balance threads.  By asv_benchmarks/span.py two threads make 784-128-10 and 54-256-256-7 1.8 and 1.9 times
# as fast with 4 million, and both 2.0 times with 3 million; one thread becomes 1 % slower.
ITEM_MULTIPLY_ADDS = 3_000_000
# A step of fewer multiply-adds (about 20 us) runs on one thread: a second one costs more than it saves.
THREAD_MULTIPLY_ADDS = 1_000_000
# A step that updates so many entries of tables has work for a second thread.
THREAD_UPDATES = 50_000
# The update of an entry of a large table takes as long as so many multiply-adds (3 ns, for its memory).
ENTRY_MULTIPLY_ADDS = 75
