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
# An item of phase 2: many row tiles to use a packed panel, small enough to balance threads (about 75 us).  With 4
# millions, two threads gain 1.8 and 1.9 of 784-128-10 and 54-256-256-7 by counting, with 3 both 2.0; one loses 1 %.
ITEM_MULTIPLY_ADDS = 3_000_000
# A step of fewer multiply-adds (about 20 us) runs on one thread: a second one costs more than it saves.
THREAD_MULTIPLY_ADDS = 1_000_000
# Updating so many entries of tables takes as long as THREAD_MULTIPLY_ADDS do.
THREAD_UPDATES = 50_000
# An update of a table's entry takes as long as so many multiply-adds (3 ns, for its memory).
ENTRY_MULTIPLY_ADDS = 75
