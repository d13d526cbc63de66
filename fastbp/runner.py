"""A runner: one plan with its buffers, and the call of the compiled driver."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import types

from fastbp._jit import address
from fastbp._rows import record_type, row_dtype
from fastbp.blocks import block_address
from fastbp.layers.base import STEP, float_type_of
from fastbp.losses import LOSS_HEADER, LOSS_ROW_SIZE
from fastbp.optimizerbase import OPT_HEADER, OPT_ROW_SIZE
from fastbp.plan import Plan
from fastbp.threads import get_num_threads, give_up, new_counters, run_together
from fastbp.training import ARRAYS, JOB, STEP_PHASES, run_steps

LOSS_ROW = row_dtype(LOSS_ROW_SIZE, LOSS_HEADER)
OPT_ROW = row_dtype(OPT_ROW_SIZE, OPT_HEADER)


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
    """What the update of a run needs: optimizer settings, its state (overwritten), coefficients (steps, C)."""

    optimizer: object
    state: np.ndarray
    coefficients: np.ndarray

    @property
    def settings(self):
        """What the driver must know: coefficients a step, weight decay, limits of value and norm (0: none)."""
        optimizer = self.optimizer
        limits = (optimizer.weight_decay, optimizer.clipvalue, optimizer.global_clipnorm)
        return (self.coefficients.shape[1], *(limit or 0.0 for limit in limits))


def one_step(seed, counter, rows, training):
    """Return the STEP row of a step whose batch is the first `rows` rows."""
    steps = np.empty(1, STEP)
    steps[0] = (seed, counter, training, 0, rows, 1.0, 1.0, rows, 1.0)
    return steps


def make_steps(seed, counter, firsts, rows, training):
    """Return the STEP rows of consecutive steps: batch starts and sizes, counted from `counter`."""
    steps = np.zeros(len(firsts), STEP)
    steps["seed"], steps["training"] = seed, training
    steps["counter"] = counter + np.arange(len(firsts))
    steps["first"], steps["rows"] = firsts, rows
    steps["dropout"] = steps["decay"] = steps["penalty"] = 1.0
    steps["divisor"] = rows
    return steps


class Runner:
    """Runs steps of one plan.

    Parameters
    ----------
    network : Network
    rows : int
        Largest batch.
    dtype : numpy dtype
    purpose : Purpose
    loss : loss object, optional
        None where no loss is wanted.
    n_targets : int
        Entries of a row of targets.
    """

    def __init__(self, network, rows, dtype, purpose, loss=None, n_targets=0):
        plan = self.plan = Plan(network, rows, n_targets, dtype, purpose)
        self.loss_row = np.zeros(1, LOSS_ROW)
        if loss is not None:
            self.loss_row = _loss_row(loss, int(plan.layout["n_out"][0]), n_targets, plan.dtype)
        self.shared = np.zeros(plan.shared_size, plan.dtype)
        self.work = np.empty((1, plan.work_size), plan.dtype)
        self.partials = None
        if purpose.training and plan.sliced and plan.n_slices > 1:
            self.partials = np.empty((plan.n_slices, network.n_params), plan.dtype)
        self.job = self._demands = self._addresses = None

    def run(self, params, grads, steps, data, *, backward=False, mean=True, update=None):
        """Run `steps`; return the loss of each.

        With an `update`, a loss that is not finite ends the run before its step's update; the losses after it are
        zero.

        Parameters
        ----------
        params, grads : (P,) arrays
            `grads` is overwritten if `backward`, `params` if there is an `update`.
        steps : array of STEP rows
        data : Data
        backward : bool
            Compute gradients.
        mean : bool
            Divide each loss and gradient by its step's divisor (the rows of the batch), and add the penalties.
        update : Update, optional
            Also let the optimizer update the parameters.

        Returns
        -------
        losses : (steps,) float64
        """
        plan = self.plan
        rows = int(steps["rows"].max()) if len(steps) > 1 else int(steps["rows"][0])
        self._set_job(data, backward, mean, update)
        optimizer_row, state, coefficients = _optimizer_arguments(update, plan.dtype)
        partials = grads.reshape(1, -1) if self.partials is None else self.partials
        wanted = get_num_threads() if plan.threads_pay(rows) else 1
        if plan.sliced and len(self.work) < wanted:
            self.work = np.empty((wanted, plan.work_size), plan.dtype)
        sums = np.zeros((len(steps), self._set_columns(rows)))
        counters = new_counters(1 + STEP_PHASES * len(steps) if wanted > 1 else 0)

        errors = []

        def work(thread, n_threads):
            try:
                run_steps(
                    self.job, plan.layout, plan.table, plan.items, self.loss_row, optimizer_row, steps, coefficients,
                    params, grads, state, self.shared, self.work, partials, sums, counters, thread, n_threads,
                )  # fmt: skip
            except BaseException as error:  # a user's loss that raises
                errors.append(error)
                give_up(counters)

        run_together(work, wanted)
        if errors:
            raise errors[0]
        squares = int(self.job["squares"][0])
        return (sums[:, :squares] if squares else sums).sum(axis=1)

    def _set_job(self, data, backward, mean, update):
        """Write the JOB row: how far to go and the helpers needed, if they are not as they were; the addresses."""
        has_outputs = data.outputs is not None or data.dx is not None
        settings = update and update.settings
        demands = (data.x is not None, has_outputs, backward, mean, settings)
        if demands != self._demands:
            self.job, self._demands = self._new_job(*demands), demands
            self._addresses = self.job.view(np.int64)[: len(ARRAYS)]
        self._addresses[:] = [0 if array is None else array.__array_interface__["data"][0] for array in data]

    def _new_job(self, has_rows, has_outputs, backward, mean, settings):
        items = self.plan.items
        job = np.zeros(1, JOB)
        job["backward"], job["mean"], job["prepare"] = backward, mean, backward
        needed = {"gather": has_rows, "scatter": has_outputs}
        if backward:
            needed["add_partials"] = self.partials is not None
            needed["add_penalty"] = mean and ((items["l1"] > 0).any() or (items["l2"] > 0).any())
        if settings is not None:
            n_coefficients, weight_decay, clipvalue, global_clipnorm = settings
            job["update"], job["coefficients"] = True, n_coefficients
            job["weight_decay"], job["clipvalue"], job["global_clipnorm"] = settings[1:]
            needed["limit_norms"] = (items["max_norm"] > 0).any()
            needed["clip_values"] = clipvalue
            needed["sum_squares"] = global_clipnorm
            needed["scale_entries"] = global_clipnorm
            needed["decay_entries"] = weight_decay
        for name, wanted in needed.items():
            if wanted:
                job[name] = block_address(name, float_type_of(self.plan.dtype))
        return job

    def _set_columns(self, rows):
        """Tell the job where the columns of `sums` begin that it needs; return how many there are."""
        columns = self.plan.slices(rows)
        for column, helper in (("penalties", "add_penalty"), ("squares", "sum_squares")):
            if self.job[helper][0]:
                self.job[column] = columns
                columns += len(self.plan.items)
        return columns

    @property
    def nbytes(self):
        """Bytes of the buffers, with the workspaces of as many threads as have run."""
        partials = 0 if self.partials is None else self.partials.nbytes
        return self.work.nbytes + self.shared.nbytes + partials


def _loss_row(loss, n_out, n_targets, dtype):
    float_type = float_type_of(dtype)
    return loss.row(n_out, n_targets, _loss_address(type(loss), float_type), float_type).view(LOSS_ROW)


@cache
def _loss_address(loss_class, float_type):
    array = types.Array(float_type, 1, "C")
    arguments = (record_type(loss_class.dtype), array, array, array, array, types.float64)
    return address(loss_class.kernel, *arguments, returns=types.float64)


@cache
def _optimizer_address(optimizer_class, float_type):
    array, coefficients = types.Array(float_type, 1, "C"), types.Array(types.float64, 1, "C")
    row = record_type(optimizer_class.dtype)
    arguments = (row, coefficients, types.float64, array, array, array, types.int64, types.int64)
    return address(optimizer_class.kernel, *arguments)


_NO_OPTIMIZER, _NO_COEFFICIENTS = np.zeros(1, OPT_ROW), np.zeros(0)
_NO_STATE = {np.dtype(name): np.zeros(0, name) for name in ("float32", "float64")}


def _optimizer_arguments(update, dtype):
    """Return the optimizer's row, state and flat coefficients for `run_steps`; empty ones without update."""
    if update is None:
        return _NO_OPTIMIZER, _NO_STATE[dtype], _NO_COEFFICIENTS
    kernel_address = _optimizer_address(type(update.optimizer), float_type_of(dtype))
    row = update.optimizer.row(kernel_address).view(OPT_ROW)
    return row, update.state, np.ascontiguousarray(update.coefficients).ravel()
