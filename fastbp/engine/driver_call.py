"""The arguments of one call of the compiled driver: a `JOB` record tells what to do, and where the arrays are."""

import ctypes
from typing import NamedTuple
from weakref import ref

import numpy as np

from fastbp.compiler.entry import address_of
from fastbp.engine.job_record import JOB, UPDATE_SETTINGS, phases_of
from fastbp.engine.lookup_update import touched_address, visits
from fastbp.engine.penalties_and_clipping import block_address
from fastbp.layers.base import STEP, float_type_of


class Data(NamedTuple):
    """The arrays of a run, C-contiguous and in the model's dtype (`order`: int64).

    Read: x (n, d), y (n, t), weight (n,), order (m,) for all rows that the steps name.  Overwritten: outputs (n, k) and
    dx (n, d).
    """

    x: np.ndarray | None = None
    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    order: np.ndarray | None = None
    outputs: np.ndarray | None = None
    dx: np.ndarray | None = None


class Update(NamedTuple):
    """What the update of a run needs: optimizer settings, its state (overwritten), coefficients (steps, C).

    `made` (1,) int64 is overwritten with the number of the steps made: a step's counter + 1 when it is whole.
    """

    optimizer: object
    state: np.ndarray
    coefficients: np.ndarray
    made: np.ndarray


def make_steps(seed, counter, firsts, rows, training):
    """Return the STEP records of consecutive steps: batch starts and sizes, counted from `counter`."""
    steps = np.zeros(len(firsts), STEP)
    steps["seed"], steps["training"] = seed, training
    steps["counter"] = counter + np.arange(len(firsts))
    steps["first"], steps["rows"], steps["divisor"] = firsts, rows, rows
    steps["dropout"] = steps["decay"] = steps["penalty"] = 1.0
    return steps


class Demands(NamedTuple):
    """How far the steps of a call go, and what they need.  Calls with equal demands share one `Job`."""

    has_rows: bool
    has_outputs: bool
    backward: bool
    mean: bool
    settings: tuple | None  # of the update


class Job:
    """The JOB record of all calls that make the same demands of a plan.

    Parameters
    ----------
    plan : Plan
    loss_record : record
    shared : array
    partials : array (slices, P) or None
        None: the gradient is made in `grads`.
    ids : int64 array
        Room in which lookup_update.py sorts.
    demands : Demands
    """

    def __init__(self, plan, loss_record, shared, partials, ids, demands):
        self._plan, self._partials, self._items = plan, partials, _items_for(plan, demands)
        self.record = np.zeros(1, JOB)
        # A call sets ten entries.  Through ctypes each takes half the time of an entry of a NumPy array.
        self._numbers = (ctypes.c_int64 * (JOB.itemsize // 8)).from_buffer(self.record)
        self._places = None, None, None
        self._optimizer_record = self._state = self._n_sums = None
        arrays = {"layout": plan.layout, "table": plan.addresses, "segments": plan.segments, "items": self._items}
        arrays |= {"loss": loss_record, "shared": shared, "ids": ids}
        for name, array in arrays.items():
            self.record[name] = address_of(array)
        self.record["n_layers"], self.record["n_items"] = len(plan.table), len(plan.items)
        self.record["n_segments"] = plan.n_segments
        self.record["n_params"], self.record["shared_size"] = plan.n_params, shared.size
        self._set_demands(demands)
        self._has_rows = demands.has_rows
        self._set_phases(apart=False)
        self._has_penalties, self._has_squares = (bool(self.record[name][0]) for name in ("add_penalty", "sum_squares"))

    def _set_demands(self, demands):
        record, items = self.record, self._items
        record["backward"], record["mean"] = demands.backward, demands.mean
        # `prepare` makes what a layer's backward kernel reads.  The forward kernel reads it as well in layers without a
        # backward kernel, and in layers that pack their parameters.
        self._prepares = demands.backward or any(map(prepares_forward, self._plan.table))
        needed = {"gather": demands.has_rows, "scatter": demands.has_outputs}
        if demands.backward:
            needed["add_partials"] = self._partials is not None
            needed["add_penalty"] = demands.mean and ((items["l1"] > 0).any() or (items["l2"] > 0).any())
        if demands.settings is not None:
            record["update"] = True
            for name, value in zip(UPDATE_SETTINGS, demands.settings, strict=True):
                record[name] = value
            needed["limit_norms"] = (items["max_norm"] > 0).any()
            needed["clip_values"] = record["clipvalue"][0]
            needed["sum_squares"] = needed["scale_entries"] = record["global_clipnorm"][0] or record["clipnorm"][0]
            needed["decay_entries"] = record["weight_decay"][0]
            needed["add_gradient"], needed["move_average"] = record["accumulates"][0], record["averages"][0]
        float_type = float_type_of(self._plan.dtype)
        for name, wanted in needed.items():
            if wanted:
                record[name] = block_address(name, float_type)
        if (items["reads"] > 0).any():
            by_batch = demands.backward and not record["accumulates"][0]
            for name, kernel in visits(by_batch, bool(needed.get("sum_squares"))).items():
                record[name] = touched_address(kernel, float_type)

    def _set_phases(self, apart):
        self._apart, self.record["apart"] = apart, apart
        self.record["prepare"] = self._prepares
        self._phases = phases_of(self.record[0], self._has_rows, apart)
        self.record["phases"], self.record["n_phases"] = address_of(self._phases), len(self._phases)
        self._prepares_first = self._prepares

    def prepare_first(self, wanted):
        """Say whether a call begins with PREPARE, if its job has that phase."""
        if wanted != self._prepares_first:
            self._prepares_first, skipped = wanted, not wanted
            numbers, phases = self._numbers, self._phases
            numbers[_PREPARE] = wanted
            numbers[_PHASES], numbers[_N_PHASES] = address_of(phases[skipped:]), len(phases) - skipped

    def point(self, data, steps, params, grads, apart=False):
        """Say where the rows, the steps and the parameters of a call are; `apart`: updates have a phase alone."""
        numbers = self._numbers
        for i, array in enumerate(data):
            numbers[i] = 0 if array is None else address_of(array)
        numbers[_N_STEPS] = len(steps)
        if apart != self._apart:
            self._set_phases(apart)
        known_steps, known_params, known_grads = self._places
        if steps is known_steps and grads is known_grads and params is known_params():
            return
        self._places = steps, ref(params), grads  # nobody may seem to hold the parameters (parameters.py)
        numbers[_STEPS], numbers[_PARAMS] = address_of(steps), address_of(params)
        numbers[_GRADS] = gradient = address_of(grads)
        numbers[_PARTIALS] = gradient if self._partials is None else address_of(self._partials)

    def point_rows(self, x, outputs):
        """Set the addresses of x and outputs; everything else stays as in the call before."""
        self._numbers[_X], self._numbers[_OUTPUTS] = address_of(x), address_of(outputs)

    def point_update(self, record, state, coefficients, made):
        """Say where the optimizer's record, state, coefficients and the count of the steps of a call are."""
        numbers = self._numbers
        numbers[_COEFFICIENTS], numbers[_MADE] = address_of(coefficients), address_of(made)
        if record is not self._optimizer_record or state is not self._state:
            self._optimizer_record, self._state = record, state
            numbers[_OPTIMIZER], numbers[_STATE], numbers[_N_STATE] = address_of(record), address_of(state), state.size

    def clear_sums(self, n_steps, n_slices):
        """Make room for what each step adds up: its slices' losses, its items' penalties, their squares."""
        if (n_steps, n_slices) == self._n_sums:
            self._sums.fill(0.0)
            return
        numbers, n_items = self._numbers, len(self._plan.items)
        penalties, squares = n_slices, n_slices + self._has_penalties * n_items
        # Calls of one step use the room again.  After a longer call `losses` drops it.
        self._n_sums = (n_steps, n_slices) if n_steps == 1 else None
        self._sums = np.zeros((n_steps, squares + self._has_squares * n_items))
        self._summed = self._sums[:, :squares]
        numbers[_PENALTIES], numbers[_SQUARES] = penalties, squares
        numbers[_SUMS], numbers[_N_SUMS] = address_of(self._sums), self._sums.shape[1]

    def losses(self):
        """Return each step's loss, penalties included."""
        losses = np.add.reduce(self._summed, axis=1)
        if self._n_sums is None:
            self._sums = self._summed = None
        return losses


def prepares_forward(layer):
    """Does a layer, a record, prepare what its forward pass reads?"""
    return layer["prepare"] and (layer["backward"] == 0 or layer["packed"] >= 0)


def _items_for(plan, demands):
    """Return the plan's items; `reads` becomes 0 in those that this job treats with a dense gradient.

    A job without an update makes every gradient dense.  A job with a given gradient (no backward), or with accumulated
    ones, has dense gradients; it still updates lazy tables row by row.
    """
    items = plan.items.copy()
    if demands.settings is None:
        items["reads"] = 0
    elif not demands.backward or demands.settings[_ACCUMULATES]:
        items["reads"][items["lazy"] == 0] = 0
    return items


_ACCUMULATES = list(UPDATE_SETTINGS).index("accumulates")
_STEPS, _N_STEPS, _PARAMS, _GRADS, _PARTIALS, _PREPARE, _PHASES, _N_PHASES = (
    JOB.names.index(name)
    for name in ("steps", "n_steps", "params", "grads", "partials", "prepare", "phases", "n_phases")
)
_OPTIMIZER, _STATE, _N_STATE, _COEFFICIENTS, _MADE = (
    JOB.names.index(name) for name in ("optimizer", "state", "n_state", "coefficients", "made")
)
_X, _OUTPUTS = map(JOB.names.index, ("x", "outputs"))
_SUMS, _N_SUMS, _PENALTIES, _SQUARES = (JOB.names.index(name) for name in ("sums", "n_sums", "penalties", "squares"))
