"""The record of a job: through it Python tells the compiled driver what one call is to do (driver_call.py fills it)."""

import numpy as np

from fastbp.compiler.records import record_dtype

# Addresses of a run's arrays, in the model's dtype but for `order`; 0: none.
ARRAYS = [
    ("x", "i8"),
    ("y", "i8"),  # without it there is no loss
    ("weight", "i8"),  # without it every row weighs 1
    ("order", "i8"),  # int64 row numbers; without it rows come in order
    ("outputs", "i8"),  # raw outputs are written here, each to its row
    ("dx", "i8"),  # the gradient with respect to x is written here, each row to its row
]
# The settings of an update.  0 means: no decay, no limit of the gradient's entries, no limit of its norm.
UPDATE_SETTINGS = {
    "n_coefficients": "i8",
    "weight_decay": "f8",
    "clipvalue": "f8",
    "clipnorm": "f8",
    "global_clipnorm": "f8",
    "accumulates": "i8",  # 1: the state has a slot for the gradient of a round (accumulation_and_average.py)
    "averages": "i8",  # 1: the state has a slot for the parameters' average
}
JOB = record_dtype(
    [
        *ARRAYS,
        # Addresses of what else a run reads and writes.
        ("steps", "i8"),  # STEP records
        ("params", "i8"),
        ("grads", "i8"),
        ("state", "i8"),
        ("partials", "i8"),  # a gradient for each slice
        ("shared", "i8"),
        ("sums", "i8"),  # float64, n_sums a step
        ("coefficients", "i8"),  # float64, n_coefficients a step
        ("optimizer", "i8"),  # its record
        ("loss", "i8"),  # its record
        ("layout", "i8"),
        ("table", "i8"),  # int64: addresses of the layers' records
        ("segments", "i8"),  # int64: their first places in the table, and the table's end
        ("items", "i8"),
        ("ids", "i8"),  # int64, room in which lookup_update.py sorts
        ("made", "i8"),  # int64: how many steps the model has made
        ("phases", "i8"),  # int64: the phases of a call's first step; later steps skip PREPARE
        # Their sizes.
        ("n_steps", "i8"),
        ("n_params", "i8"),
        ("n_state", "i8"),
        ("shared_size", "i8"),
        ("n_sums", "i8"),
        ("n_layers", "i8"),
        ("n_segments", "i8"),
        ("n_items", "i8"),
        ("n_phases", "i8"),
        # How far a step goes.
        ("backward", "i8"),
        ("update", "i8"),
        ("mean", "i8"),  # divide the loss by the step's divisor
        ("prepare", "i8"),  # prepare every layer first: its parameters may have changed
        ("apart", "i8"),  # update in a phase of its own, after all gradients: the phases before may pause
        *UPDATE_SETTINGS.items(),
        # Addresses of helpers; 0: this run does not need it.
        ("gather", "i8"),
        ("scatter", "i8"),
        ("add_partials", "i8"),
        ("add_penalty", "i8"),
        ("clip_values", "i8"),
        ("sum_squares", "i8"),
        ("scale_entries", "i8"),
        ("decay_entries", "i8"),
        ("limit_norms", "i8"),
        ("visit", "i8"),  # for tables (lookup_update.py)
        ("revisit", "i8"),  # the second pass over tables, if the gradient's norm is clipped
        ("add_gradient", "i8"),  # of accumulation_and_average.py
        ("move_average", "i8"),
        # First columns of `sums`, after the slices' losses.
        ("penalties", "i8"),
        ("squares", "i8"),
    ],
)

# A phase is the number of a turn of slices, or one of these.
PREPARE, ITEMS, UPDATE, NORMS = -1, -2, -3, -4
# The most phases that a step can have after its turns of slices: the counters of a call are sized by it.
UPDATE_PHASES = 3


def phases_of(job, has_rows, apart):
    """Return the phases of a step (int64) for a job's record; the first step of a call begins with PREPARE."""
    turns = (2 * job["n_segments"] - 1 if job["backward"] else job["n_segments"]) if has_rows else 0
    others = {
        ITEMS: job["backward"] or job["update"],
        UPDATE: job["update"] and (job["sum_squares"] or apart),
        NORMS: job["limit_norms"],
    }
    phases = [kind for kind, wanted in others.items() if wanted]
    return np.array([*[PREPARE] * bool(job["prepare"]), *range(turns), *phases], np.int64)
