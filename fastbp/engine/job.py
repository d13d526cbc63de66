"""A job: what one call of the compiled driver is to do, and where its arrays are."""

import ctypes
from typing import NamedTuple

import numpy as np

from fastbp.compiler.entry import address_of
from fastbp.engine.items import block_address
from fastbp.engine.jobrecord import JOB, UPDATE_SETTINGS, phases_of
from fastbp.engine.lookup_update import touched_address, visits
from fastbp.layers.base import STEP, float_type_of


class Data(NamedTuple):
    """The arrays of a run, C-contiguous and in the model's dtype (`order`: int64).

    x (n, d), y (n, t), weight (n,), order (at least the rows the steps name,), and, overwritten,
    outputs (n, k) and dx (n, d).
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

    @property
    def settings(self):
        """UPDATE_SETTINGS of the job."""
        optimizer = self.optimizer
        limits = (optimizer.weight_decay, optimizer.clipvalue, optimizer.clipnorm, optimizer.global_clipnorm)
        kept = optimizer.gradient_accumulation_steps is not None, optimizer.use_ema
        return (self.coefficients.shape[1], *(limit or 0.0 for limit in limits), *kept)


def make_steps(seed, counter, firsts, rows, training):
    """Return the STEP records of consecutive steps: batch starts and sizes, counted from `counter`."""
    steps = np.zeros(len(firsts), STEP)
    steps["seed"], steps["training"] = seed, training
    steps["counter"] = counter + np.arange(len(firsts))
    steps["first"], steps["rows"], steps["divisor"] = firsts, rows, rows
    steps["dropout"] = steps["decay"] = steps["penalty"] = 1.0
    return steps


class Demands(NamedTuple):
    """What tells one kind of job of a plan from another: how far a step goes and what it needs for that."""

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
    loss_row : record
    shared : array
    partials : array (slices, P) or None
        None: the gradient is made in `grads`.
    ids : int64 array
        Room of lookup_update.py.
    demands : Demands
    """

    def __init__(self, plan, loss_row, shared, partials, ids, demands):
        self._plan, self._partials, self._items = plan, partials, _items_for(plan, demands)
        self.row = np.zeros(1, JOB)
        # By ctypes: to set an entry of an array of NumPy's takes twice as long, and a call sets ten.
        self._numbers = (ctypes.c_int64 * (JOB.itemsize // 8)).from_buffer(self.row)
        self._places = None, None, None
        arrays = {"layout": plan.layout, "table": plan.addresses, "segments": plan.segments, "items": self._items}
        arrays |= {"loss": loss_row, "shared": shared, "ids": ids}
        for name, array in arrays.items():
            self.row[name] = address_of(array)
        self.row["n_layers"], self.row["n_items"] = len(plan.table), len(plan.items)
        self.row["n_segments"] = plan.n_segments
        self.row["n_params"], self.row["shared_size"] = plan.n_params, shared.size
        self._set_demands(demands)
        self._has_rows = demands.has_rows
        self._set_phases(apart=False)
        self._has_penalties, self._has_squares = (bool(self.row[name][0]) for name in ("add_penalty", "sum_squares"))

    def _set_demands(self, demands):
        row, items = self.row, self._items
        row["backward"], row["mean"] = demands.backward, demands.mean
        # What backward reads, or a forward pass.
        row["prepare"] = demands.backward or any(_prepares_forward(layer) for layer in self._plan.table)
        needed = {"gather": demands.has_rows, "scatter": demands.has_outputs}
        if demands.backward:
            needed["add_partials"] = self._partials is not None
            needed["add_penalty"] = demands.mean and ((items["l1"] > 0).any() or (items["l2"] > 0).any())
        if demands.settings is not None:
            row["update"] = True
            for name, value in zip(UPDATE_SETTINGS, demands.settings, strict=True):
                row[name] = value
            needed["limit_norms"] = (items["max_norm"] > 0).any()
            needed["clip_values"] = row["clipvalue"][0]
            needed["sum_squares"] = needed["scale_entries"] = row["global_clipnorm"][0] or row["clipnorm"][0]
            needed["decay_entries"] = row["weight_decay"][0]
            needed["add_gradient"], needed["move_average"] = row["accumulates"][0], row["averages"][0]
        float_type = float_type_of(self._plan.dtype)
        for name, wanted in needed.items():
            if wanted:
                row[name] = block_address(name, float_type)
        if (items["reads"] > 0).any():
            by_batch = demands.backward and not row["accumulates"][0]
            for name, kernel in visits(by_batch, bool(needed.get("sum_squares"))).items():
                row[name] = touched_address(kernel, float_type)

    def _set_phases(self, apart):
        self._apart, self.row["apart"] = apart, apart
        self._phases = phases_of(self.row[0], self._has_rows, apart)
        self.row["phases"], self.row["n_phases"] = address_of(self._phases), len(self._phases)

    def point(self, data, steps, params, grads, apart=False):
        """Say where the rows, the steps and the parameters of a call are; `apart`: updates have a phase alone."""
        numbers = self._numbers
        for i, array in enumerate(data):
            numbers[i] = 0 if array is None else address_of(array)
        numbers[_N_STEPS] = len(steps)
        if apart != self._apart:
            self._set_phases(apart)
        known_steps, known_params, known_grads = self._places
        if steps is known_steps and params is known_params and grads is known_grads:
            return
        self._places = steps, params, grads
        numbers[_STEPS], numbers[_PARAMS] = address_of(steps), address_of(params)
        numbers[_GRADS] = address = address_of(grads)
        numbers[_PARTIALS] = address if self._partials is None else address_of(self._partials)

    def point_update(self, row, state, coefficients, made):
        """Say where the optimizer's row, state, flat coefficients and the count of the steps of a call are."""
        self.row["optimizer"], self.row["coefficients"] = address_of(row), address_of(coefficients)
        self.row["state"], self.row["n_state"] = address_of(state), state.size
        self._numbers[_MADE] = address_of(made)

    def new_sums(self, n_steps, n_slices):
        """Return room for what each step adds up: its slices' losses, its items' penalties, their squares."""
        penalties, squares = n_slices, n_slices + self._has_penalties * len(self._plan.items)
        self._loss_columns = squares
        sums = np.zeros((n_steps, squares + self._has_squares * len(self._plan.items)))
        self.row["penalties"], self.row["squares"] = penalties, squares
        self.row["sums"], self.row["n_sums"] = address_of(sums), sums.shape[1]
        return sums

    def losses(self, sums):
        """Return each step's loss, penalties included."""
        return sums[:, : self._loss_columns].sum(axis=1)


def _prepares_forward(layer):
    """Does a layer, a record, prepare what its forward pass reads?"""
    return layer["prepare"] and (layer["backward"] == 0 or layer["packed"] >= 0)


def _items_for(plan, demands):
    """Return the plan's items; those of tables are as any other's where the job needs, or has, their dense gradient.

    A lazy table's rows have to be told apart in any update.
    """
    items = plan.items.copy()
    if demands.settings is None:
        items["reads"] = 0
    elif not demands.backward or demands.settings[_ACCUMULATES]:
        items["reads"][items["lazy"] == 0] = 0
    return items


_ACCUMULATES = list(UPDATE_SETTINGS).index("accumulates")
_STEPS, _N_STEPS, _PARAMS, _GRADS, _PARTIALS, _MADE = map(
    JOB.names.index, ("steps", "n_steps", "params", "grads", "partials", "made")
)
