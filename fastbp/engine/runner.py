"""A runner: one plan with its buffers, and the call of the compiled driver."""

import math
from functools import cache
from time import perf_counter

import numpy as np

from fastbp.compiler.jit import compiled_address
from fastbp.compiler.signatures import signature
from fastbp.engine.cut import PREDICTION
from fastbp.engine.driver import run_steps
from fastbp.engine.driver_call import Data, Demands, Job, address_of, make_steps, prepares_forward
from fastbp.engine.helper_threads import FINISHED, open_counters, paused_counters, run_share
from fastbp.engine.interrupts import heed_interrupt
from fastbp.engine.job_record import JOB, UPDATE_PHASES
from fastbp.engine.optimizer_steps import Rule
from fastbp.engine.plan import Plan
from fastbp.engine.thread_choice import Choices
from fastbp.engine.threads import run_alone, run_together
from fastbp.layers.base import STEP, float_type_of
from fastbp.losses.base import LOSS, loss_address

CACHE_LINE = 64
# Kinds of jobs kept for the next call.
MOST_JOBS = 8
# A call of one step with more multiply-adds (some 5 to 50 ms) may pause.
LONG_MULTIPLY_ADDS = 5e8
# An entry of a region costs as long as so many multiply-adds, beside the products (a logistic function: 0.5 ns).
REGION_MULTIPLY_ADDS = 12
# Seconds before a long call pauses: Ctrl-C waits no longer than that.
CALL_SECONDS = 0.2
# The counters of a call in one thread that does not pause.
NO_COUNTERS = np.zeros(0, np.int64)
_SEED, _COUNTER, _TRAINING, _ROWS, _DIVISOR = map(STEP.names.index, ("seed", "counter", "training", "rows", "divisor"))


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
    buffers : (B,) array, optional
        What layers keep from step to step, overwritten by them; default: initial ones of the runner's own.
    roomy : bool, default False
        Whether there is room for all batches that have the same `Cut`.
    """

    def __init__(self, network, rows, dtype, purpose, loss=None, n_targets=0, buffers=None, roomy=False):
        n_weights = 1 if loss is None else loss.entries(network.loss_shape)
        plan = self.plan = Plan(network, rows, n_targets, dtype, purpose, n_weights, roomy)
        self._network, self._batch_size = network, network.batch_size
        self._row_cost = plan.row_multiply_adds + REGION_MULTIPLY_ADDS * plan.work_size / plan.region_rows
        self.loss_record = np.zeros(1, LOSS)
        if loss is not None:
            n_out = int(plan.layout["n_out"][0])
            self.loss_record = _loss_record(loss, n_out // n_weights, n_targets // n_weights, plan.dtype)
        self.shared = aligned(np.zeros, (plan.shared_size,), plan.dtype)
        self.buffers = network.initial_buffers(0, plan.dtype) if buffers is None else buffers
        self.choices = Choices(plan)
        self.work = aligned(np.empty, (1, plan.work_size), plan.dtype)
        self.partials = None
        if purpose.training and plan.sliced and plan.n_slices > 1:
            self.partials = np.empty((plan.n_slices, network.n_params), plan.dtype)
        self.ids = np.empty(plan.ids_size, np.int64)
        self._jobs, self._rule = {}, None
        # Does it keep what layers prepare (which training changes), and of which version of the parameters?
        self.keeps, self.prepared = not purpose.training and any(map(prepares_forward, plan.table)), None
        # Rows that one thread takes through a network without buffers; and the parameters with which it last did.
        has_own_way = purpose != PREDICTION or loss is not None or self.buffers.size or self._batch_size is not None
        self.few_rows, self._predicting = 0 if has_own_way else plan.few_rows(), (None, None)
        self._step = make_steps(0, 0, np.zeros(1, np.int64), plan.rows, False)
        self._step_numbers = self._step.view(np.int64), self._step.view(np.float64)

    def one_step(self, seed, counter, rows, training, divisor):
        """Return the STEP record of a batch that is the first `rows` rows; the next call overwrites it."""
        # The fields are written by number: by name it takes eight times as long (2.4 us).
        whole, real = self._step_numbers
        whole[_SEED], whole[_COUNTER], whole[_TRAINING], whole[_ROWS] = seed, counter, training, rows
        real[_DIVISOR] = divisor
        return self._step

    def run(self, params, grads, steps, data, *, backward=False, mean=True, update=None, version=None):
        """Run `steps`; return the loss of each.

        With an `update`, a loss that is not finite ends the run before its step's update; the losses after it are
        zero.  Whatever is raised, each step is made whole or not at all, and ``update.made`` counts those made.

        Parameters
        ----------
        params, grads : (P,) arrays
            `grads` is overwritten if `backward`, `params` if there is an `update`.
        steps : array of STEP records
            Of the plan's rows at most, each; a single one that does not go backward may have more.
        data : Data
        backward : bool
            Compute gradients.
        mean : bool
            Divide each loss and gradient by its step's divisor (the rows of the batch), and add the penalties.
        update : Update, optional
            Also let the optimizer update the parameters.
        version : object, optional
            Of `params`, where this runner `keeps` what layers prepare of them: for one version they do so once.

        Returns
        -------
        losses : (steps,) float64, or None
            None where there are neither targets nor an update.
        """
        plan = self.plan
        # `_step` has one record: its number is read in place of the largest of a field, which takes 3 us.
        rows = int(self._step_numbers[0][_ROWS] if steps is self._step else steps["rows"].max())
        if self._batch_size is not None and data.x is not None:
            for n in np.unique(steps["rows"]):
                self._network.check_batch(int(n))
        if self.buffers.size:
            steps["buffers"] = address_of(self.buffers)
        job = self._job(data, backward, mean, update)
        long = len(steps) == 1 and rows * self._row_cost > LONG_MULTIPLY_ADDS
        job.point(data, steps, params, grads, long)
        has_losses = data.y is not None or update is not None
        if has_losses:
            job.clear_sums(len(steps), plan.slices(rows))
        if update is not None:
            # Named, so that it lives as long as the call.
            coefficients = np.ascontiguousarray(update.coefficients)
            job.point_update(self._rule.record, update.state, coefficients, update.made)
        if self.keeps:
            self._skip_prepared(job, version)
        self._run_in_threads(job, self.choices.of(len(steps), rows, backward, update is None), len(steps), rows, long)
        self.prepared = version
        return job.losses() if has_losses else None

    def _run_in_threads(self, job, choice, n_steps, rows, long):
        """Make the call in as many threads as a choice says, and tell it how long that took if it wants to know."""
        wanted = n_threads = choice.wanted()
        started = perf_counter()
        if wanted == 1 and not long:
            run_alone(job.alone)
        else:
            n_threads = self._call(job, n_steps, wanted, long)
        if choice.listens:
            choice.note(n_threads, perf_counter() - started, n_steps * rows)

    def _skip_prepared(self, job, version):
        """Let a call skip what is prepared for this version already."""
        job.prepare_first(version is None or version is not self.prepared)
        self.prepared = None  # until the call is over

    def predict(self, parameters, grads, x, outputs):
        """Write the outputs of x (n, ...), with n up to `few_rows`, by `Parameters`.

        It is `run` of the one step: of that only n and two addresses are not those of the call before (2 us of 5).
        """
        known, job = self._predicting
        if known is not parameters:
            version = parameters.version() if self.keeps else None
            data = Data(x, outputs=outputs)
            self.run(parameters.flat, grads, self.one_step(0, 0, len(x), False, len(x)), data, version=version)
            self._predicting = parameters, self._job(data, False, True, None)
            return
        job.point_rows(x, outputs)
        self._step_numbers[0][_ROWS] = len(x)
        if not self.keeps:
            run_alone(job.alone)
            return
        version = parameters.version()
        self._skip_prepared(job, version)
        run_alone(job.alone)
        self.prepared = version

    def _job(self, data, backward, mean, update):
        has_outputs = data.outputs is not None or data.dx is not None
        settings = None if update is None else self._settings(update)
        demands = Demands(data.x is not None, has_outputs, backward, mean, settings)
        job = self._jobs.get(demands)
        if job is None:
            if len(self._jobs) == MOST_JOBS:  # a callback changes an optimizer's setting every epoch
                self._jobs.clear()
            job = self._jobs[demands] = Job(self.plan, self.loss_record, self.shared, self.partials, self.ids, demands)
            self._bind(job)
        return job

    def _settings(self, update):
        """Return UPDATE_SETTINGS of a job for an update."""
        if self._rule is None or not self._rule.holds(update.optimizer):
            self._rule = Rule(update.optimizer, self.plan.dtype)
        return update.coefficients.shape[1], *self._rule.settings

    def _bind(self, job):
        """Make the call of the driver for a job in this thread alone, with its slots filled."""
        driver = _entry(run_steps, _DRIVER_TAKES, float_type_of(self.plan.dtype))
        job.alone, job.in_crew = driver.bind(job.record, self.work, NO_COUNTERS, 0, 1), None

    def _crew_call(self, job):
        """Return the call of the driver for a job in several threads; its last slots are counters and thread."""
        if job.in_crew is None:
            float_type = float_type_of(self.plan.dtype)
            driver = compiled_address(run_steps, _takes(_DRIVER_TAKES, float_type))
            entry = _entry(run_share, "i8 " + _DRIVER_TAKES, float_type)
            job.in_crew = entry.bind(driver, job.record, self.work, NO_COUNTERS, 0, 2)
        return job.in_crew

    def _call(self, job, n_steps, wanted, long):
        """Call the driver in `wanted` threads, or in fewer if other calls use cores; call again after each pause.

        Return how many there were.
        """
        if self.plan.sliced and len(self.work) < wanted:
            self.work = aligned(np.empty, (wanted, self.plan.work_size), self.plan.dtype)
            for bound in self._jobs.values():
                self._bind(bound)
        step_phases = 2 * self.plan.n_segments - 1 + UPDATE_PHASES
        counters = open_counters(1 + step_phases * n_steps, CALL_SECONDS if long else 0.0)
        while True:
            n_threads = self._call_once(job, counters, wanted)
            if counters[-FINISHED]:
                return n_threads
            heed_interrupt()
            counters = paused_counters(counters)

    def _call_once(self, job, counters, wanted):
        crew = Crew(self._crew_call(job), counters)
        run_together(crew, wanted)
        return crew.n_threads

    @property
    def nbytes(self):
        """Bytes of the buffers, with the workspaces of as many threads as have run."""
        partials = 0 if self.partials is None else self.partials.nbytes
        return self.work.nbytes + self.shared.nbytes + self.ids.nbytes + partials


class Crew:
    """A call of the driver by several threads: the part of each, for `run_together`."""

    def __init__(self, call, counters):
        self._call, self._counters, self.n_threads = call, counters, 1

    def call(self, thread, n_threads):
        """Return the compiled call of a thread's part."""
        # Even one thread alone takes its pieces by the counters, because the call may pause.
        return self._call.ending_in(address_of(self._counters), self._counters.size, thread, max(n_threads, 2))

    def __call__(self, thread, n_threads):
        # This thread's part.  Helpers make what `call` returns.
        self.n_threads = n_threads
        self.call(thread, n_threads)()


def aligned(make, shape, dtype):
    """Return make(shape, dtype) at the beginning of a cache line, so that no vector lies in two lines."""
    size, line = math.prod(shape), CACHE_LINE // dtype.itemsize
    room = make(size + line, dtype)
    start = -room.ctypes.data % CACHE_LINE // dtype.itemsize
    return room[start : start + size].reshape(shape)


# The arguments of the driver; those of `run_share` are its address and then these.
_DRIVER_TAKES = "job[:] f[:,:] i8[:] i8 i8"


@cache
def _takes(words, float_type):
    return signature(words, f=float_type, job=JOB)


@cache
def _entry(kernel, words, float_type):
    return kernel.entry(_takes(words, float_type))


def _loss_record(loss, n_out, n_targets, dtype):
    float_type = float_type_of(dtype)
    kernel_address = loss_address(loss.kernel, loss.dtype, float_type)
    return loss.record(n_out, n_targets, kernel_address, float_type)
