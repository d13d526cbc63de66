"""The engine of a model: parameters, optimizer state and counters, and what can be done with checked arrays.

`Sequential` stands in front of it: it checks what users give and documents it.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp.engine.cut import PREDICTION, Purpose
from fastbp.engine.driver_call import Data, Update, make_steps
from fastbp.engine.exclusive import changes, reads
from fastbp.engine.layer_ownership import changes as changed_settings
from fastbp.engine.loss_checks import check_loss, check_metrics
from fastbp.engine.metric_values import metric_values
from fastbp.engine.network import Network, check_kept, warn_of_initializers
from fastbp.engine.optimizer_steps import Coefficients
from fastbp.engine.parameters import Parameters
from fastbp.engine.runner_pool import Runners
from fastbp.engine.snapshot import Reach
from fastbp.engine.user_arrays import all_finite
from fastbp.kernels.repeatable import dot
from fastbp.losses.pointwise import VectorJacobian

# Rows of the plan for predicting: its chunks fit the cache, and any number of rows may be given.
PREDICT_ROWS = 4096
# Calls of up to so many rows have a plan that packs no weights (PREDICTION_READERS): one row of 784-512-512-10 takes
# 69 us in place of 107, 16 rows 154 in place of 165.  Where the weights are packed already, they take 33 and 97.
FEW_PREDICT_ROWS = 16
# So many rows of outputs are finished at a time (the mean of an ensemble's members).
FINISH_ROWS = 65536


class Snapshot(NamedTuple):
    """All that training changes within a `Reach`, copied."""

    reach: Reach
    params: list
    state: list
    buffers: np.ndarray
    step: int
    epoch: int


class Engine:
    """Parameters (P,) of a network, their gradient, buffers (B,), the optimizer's state, and the counters.

    `layers` are the engine's own: nobody changes them.
    """

    def __init__(self, layers, input_shape, seed, dtype):
        self.layers, self.seed, self.dtype = layers, seed, np.dtype(dtype)
        self.network = Network(layers, input_shape)
        params, self.buffers = self._drawn(self.network)
        self._parameters = Parameters(params, self.network.views(params, self.buffers))
        # Costs no memory until it is written (zeros_like writes it): training writes nothing for large tables.
        self.grads = np.zeros(params.size, self.dtype)
        self.n_outputs = int(np.prod(self.network.raw_shape))
        self.made, self.epoch = np.zeros(1, np.int64), 0
        self.loss = self.optimizer = self.state = None
        self.metrics = []
        self.fused_output = False
        self._drop_runners()

    @changes
    def compile(self, optimizer, loss, metrics, layers=None):
        """Set what training minimises and how; check that the loss suits the last layer.

        With `layers`, the same ones with settings that may have changed, the network is folded anew; weights stay.
        """
        changed = changed_settings(layers, self.layers) if layers is not None else []
        network = Network(layers, self.network.input_shape) if changed else self.network
        check_loss(loss, network)
        if changed:
            self._go_on_with(network, layers, changed)
        self.optimizer, self.loss, self.metrics = optimizer, loss, metrics
        from_logits = getattr(loss, "from_logits", False)
        self.fused_output = loss.link is not None and not from_logits
        self.state = self._initial_state(optimizer)
        self._coefficients = Coefficients(optimizer)
        self._state_kind = self._coefficients.state_kind()
        self.step = 0
        self._drop_runners()

    def _go_on_with(self, network, layers, changed):
        """Take a network of the same layers with other settings; parameters and buffers keep their values."""
        kept = check_kept(self.network, network, changed)
        warn_of_initializers(self.network, network)
        params = self.params
        if not self.network.has_layout_of(network):
            params, buffers = self._drawn(network)
            views, known = network.views(params, buffers), self.views
            for old, new in kept.items():
                views[new][...] = known[old]
            self.buffers, self.grads = buffers, np.zeros(params.size, self.dtype)
        self.network, self.layers = network, layers
        self._parameters = Parameters(params, network.views(params, self.buffers))
        self.n_outputs = int(np.prod(network.raw_shape))

    @property
    def params(self):
        """The parameters (P,), to be read or written.

        Ask for them each time: as long as the array is held somewhere, predictions keep nothing (parameters.py).
        """
        return self._parameters.hand_out()

    @property
    def views(self):
        """A new dict {name: view} of parameters and buffers in their shapes, to be read or written like `params`."""
        return self._parameters.hand_out_views()

    def is_as_drawn(self):
        """Do parameters and buffers still have the values that the seed gave them?"""
        return all(map(np.array_equal, self._drawn(self.network), (self.params, self.buffers)))

    def _drawn(self, network):
        """Draw the initial parameters and buffers of a network."""
        return network.initial_params(self.seed, self.dtype), network.initial_buffers(self.seed, self.dtype)

    @changes
    def alone(self, function, *arguments):
        """Call function(*arguments), which changes this engine; what other threads ask of it meanwhile is refused."""
        return function(*arguments)

    @property
    def step(self):
        """The number of updates since `compile`: compiled code counts each as it is made (`made`)."""
        return int(self.made[0])

    @step.setter
    def step(self, number):
        self.made[0] = number

    def __getstate__(self):
        """Leave out what belongs to this process: versions, views, and runners, which hold addresses."""
        here = ("_parameters", "_free_runners", "_packing")
        return {name: value for name, value in self.__dict__.items() if name not in here} | {"params": self.params}

    def __setstate__(self, state):
        params = state["params"]
        if type(params) is np.ndarray and params.flags.writeable:
            params = np.require(params, requirements="O")  # pickle may have made a view of bytes
        self.__dict__ |= {name: value for name, value in state.items() if name != "params"}
        self._parameters = Parameters(params, self.network.views(params, self.buffers))
        self._drop_runners()

    def _drop_runners(self):
        # `_packing`: the free ones of a kind that packs weights, once there are some.
        self._free_runners, self._packing = Runners(), []

    def runner(self, rows, purpose, n_targets=0, loss=None):
        """Lend a runner, as a context; two threads that ask at once get two, with buffers of their own."""
        return self._free_runners.lend(self, rows, purpose, n_targets, loss or self.loss)

    def training_purpose(self):
        """Return the purpose of a plan that trains."""
        return Purpose(training=True, fused_output=self.fused_output)

    def one_step(self, runner, n, training, rows=None):
        """Return the one step of a batch that is all of `n` rows; `rows` are the `WeightedRows` of a loss."""
        divisor = n
        if rows is not None:  # apart from weighted rows, because NumPy takes 3 us
            divisor = n * rows.entries if rows.weight is None else rows.divisors([0], [n])[0]
        return runner.one_step(self.seed, self.step, n, training, divisor)

    def check_state(self):
        """Raise ValueError where the optimizer's settings are others than its state was made for."""
        if self._state_kind != self._coefficients.state_kind():
            raise ValueError(f"{self.optimizer!r} keeps other numbers than when it was compiled: call compile again.")

    def next_update(self, n_steps):
        """Return the `Update` of the next `n_steps` steps."""
        self.check_state()
        if self.step == 0 and self.optimizer.use_ema:
            self._average()[:] = self.params
        return Update(self.optimizer, self.state, self._coefficients.of_steps(self.step, n_steps), self.made)

    def run(self, runner, steps, data, *, update=None, **demands):
        """Run steps; where none is made, because something is raised, the buffers stay as they were."""
        if update is not None:
            # Held while it is written: a signal's handler that predicts in a pause finds no version.
            params, demands["update"] = self.params, update
        else:
            params = self._parameters.flat
            demands["version"] = self._parameters.version() if runner.keeps else None
        if not self.buffers.size:
            return runner.run(params, self.grads, steps, data, **demands)
        before, step = self.buffers.copy(), self.step
        try:
            return runner.run(params, self.grads, steps, data, **demands)
        except BaseException:
            if self.step == step:
                self.buffers[:] = before
            raise

    @reads
    def predict(self, x):
        """x (n, d) -> predictions (n, k); both may have more axes."""
        if x.shape[1:] != self.network.input_shape:  # kernels would read memory beyond x
            raise ValueError(f"x has rows of shape {x.shape[1:]}; the model takes {self.network.input_shape}.")
        if self.network.raw_shape == self.network.output_shape or len(x) <= FINISH_ROWS:
            return self.network.finish(self._outputs(x))
        # An ensemble's outputs are many times its predictions.
        parts = (x[first : first + FINISH_ROWS] for first in range(0, len(x), FINISH_ROWS))
        return np.concatenate([self.network.finish(self._outputs(part)) for part in parts])

    def _outputs(self, x):
        n = len(x)
        outputs = np.empty((n, *self.network.raw_shape), self.dtype)
        if n:
            are_few = n <= FEW_PREDICT_ROWS and not (self._packing and self._are_packed())
            loan = self.runner(self.network.batch_size or (FEW_PREDICT_ROWS if are_few else PREDICT_ROWS), PREDICTION)
            with loan as runner:
                if n <= runner.few_rows:
                    runner.predict(self._parameters, self.grads, x, outputs)
                else:
                    self.run(runner, self._passes(runner, n), Data(x, outputs=outputs))
            if n > FEW_PREDICT_ROWS and runner.keeps:
                self._packing = loan.free
        return outputs

    def _are_packed(self):
        """Does a free runner hold panels of the parameters as they are?  Few rows read them, but pack none."""
        version, free = self._parameters.version(), self._packing[-1:]
        return version is not None and bool(free) and free[0].prepared is version

    def _passes(self, runner, n, rows=None):
        """Return the steps that `n` rows without an update take: one, or batches in order for stateful layers."""
        size = self.network.batch_size
        if size is None or n <= size:
            return self.one_step(runner, n, False, rows)
        firsts = np.arange(0, n, size)
        steps = make_steps(self.seed, self.step, firsts, np.minimum(size, n - firsts), training=False)
        if rows is not None:
            steps["divisor"] = rows.divisors(firsts, steps["rows"])
        return steps

    @reads
    def evaluate(self, rows):
        """Return {"loss": mean loss with penalties, metric: ...}."""
        outputs = self._outputs_for_metrics(len(rows.x))
        loss, _ = self.mean_loss(rows, outputs)
        return {"loss": float(loss + self.penalty())} | self.metric_values(rows, outputs)

    @reads
    def mean_loss(self, rows, outputs):
        """Return the mean loss without penalties, and what it is divided by; outputs (n, k) or None is overwritten."""
        purpose = Purpose(training=False, fused_output=self.fused_output)
        with self.runner(self.network.batch_size or PREDICT_ROWS, purpose, rows.targets.shape[1]) as runner:
            data = Data(rows.x, rows.targets, rows.weight, outputs=outputs)
            steps = self._passes(runner, len(rows.x), rows)
            losses = self.run(runner, steps, data)
            # Of several batches the mean over what counts in them.
            divisor = steps["divisor"].sum()
            return losses[0] if len(steps) == 1 else dot(losses, steps["divisor"]) / max(divisor, 1), divisor

    @changes
    def gradient(self, rows, training):
        """Return the mean loss with penalties; its gradient goes to `grads`."""
        self.grads[:] = 0
        with self.runner(len(rows.x), self.training_purpose(), rows.targets.shape[1]) as runner:
            data = Data(rows.x, rows.targets, rows.weight)
            steps = self.one_step(runner, len(rows.x), training, rows)
            return float(self.run(runner, steps, data, backward=True)[0])

    @changes
    def vjp(self, x, dout, training):
        """x (n, d), dout (n, k) by the predictions -> dx (n, d); the parameters' gradient goes to `grads`."""
        self.grads[:] = 0
        dout = np.ascontiguousarray(self.network.spread(dout, lambda: self._outputs(x)))
        dx = np.empty_like(x, subok=False)
        purpose = Purpose(training=True, input_gradient=True)
        with self.runner(len(x), purpose, self.n_outputs, VectorJacobian()) as runner:
            data, steps = Data(x, dout, dx=dx), self.one_step(runner, len(x), training)
            self.run(runner, steps, data, backward=True, mean=False)
        return dx

    @changes
    def train_on(self, rows):
        """Make one update with all of `rows`; return {"loss": before the update, metric: ...}."""
        outputs = self._outputs_for_metrics(len(rows.x))
        buffers = self.buffers.copy() if self.buffers.size else self.buffers
        with self.runner(len(rows.x), self.training_purpose(), rows.targets.shape[1]) as runner:
            data = Data(rows.x, rows.targets, rows.weight, outputs=outputs)
            steps = self.one_step(runner, len(rows.x), True, rows)
            loss = self.run(runner, steps, data, backward=True, update=self.next_update(1))[0]
        if not math.isfinite(loss):
            self.buffers[:] = buffers
            raise ArithmeticError(f"the loss of this batch is {loss}: no update was made. Check x, y and the weights.")
        return {"loss": float(loss)} | self.metric_values(rows, outputs)

    @changes
    def apply_gradients(self, grad):
        """Make one update with `grad` (P,), which is copied to `grads`."""
        if grad is not self.grads:
            self.grads[:] = grad
        with self.runner(1, self.training_purpose(), 1) as runner:
            self.run(runner, self.one_step(runner, 1, True), Data(), update=self.next_update(1))

    def penalty(self):
        """Return the sum of the penalties on the trainable parameters."""
        total, params = 0.0, self._parameters.flat  # a reader: predictions keep what they have
        for placed in self.network.params:
            l1, l2 = placed.param.l1, placed.param.l2
            if (l1 or l2) and self.network.layers[placed.layer].spec.trainable:
                w = params[placed.start : placed.stop].astype(np.float64)
                total += l1 * np.abs(w).sum() + l2 * (w * w).sum()
        return total

    def _outputs_for_metrics(self, n):
        return np.empty((n, self.n_outputs), self.dtype) if self.metrics else None

    def metric_values(self, rows, outputs):
        """Return {metric: value} for `WeightedRows` and raw outputs (n, k); a fused link is applied first."""
        return metric_values(self, rows, outputs) if self.metrics else {}

    def figures(self, with_validation):
        """Return the names of what an epoch reports."""
        names = ["loss", *(name for name, _ in self.metrics)]
        return [*names, "learning_rate", *(f"val_{name}" for name in names if with_validation)]

    def _initial_state(self, optimizer):
        """Return the optimizer's state before the first step: slots of its rule and of accumulation_and_average.py."""
        state, kept = optimizer.init_state(self.params.size, self.dtype), len(optimizer.kept_slots())
        return state if kept == 0 else np.concatenate([state, np.zeros(kept * self.params.size, self.dtype)])

    def _average(self):
        """Return the slot (P,) of the parameters' moving average."""
        return self.state[self.state.size - self.params.size :]

    def finish_training(self):
        """Where a moving average is kept, have it take the place of the parameters that are trained, as Keras does."""
        if self.optimizer.use_ema and self.step > 0:
            for placed in self.network.params:
                if self.network.layers[placed.layer].spec.trainable:
                    part = slice(placed.start, placed.stop)
                    self.params[part] = self._average()[part]

    def check_metrics(self, rows):
        """Raise ValueError where a metric of fastbp does not suit the targets or outputs of `WeightedRows`."""
        check_metrics(self.metrics, self.network, rows)

    @changes
    def reset_states(self):
        """Set the states of stateful layers to zero."""
        for placed in self.network.buffers:
            if self.network.layers[placed.layer].spec.stateful:
                self.buffers[placed.start : placed.stop] = 0

    def snapshot(self, reach):
        """Return copies of all that training changes within its `Reach`."""
        flat = reach.take(self.params), reach.take(self.state)
        return Snapshot(reach, *flat, self.buffers.copy(), self.step, self.epoch)

    def restore(self, snapshot):
        """Put a snapshot back, in place."""
        try:
            self._put(*snapshot)
        except BaseException:  # a signal's handler has raised
            self._put(*snapshot)
            raise

    def _put(self, reach, params, state, buffers, step, epoch):
        self.buffers[:], self.step, self.epoch = buffers, step, epoch
        reach.put(self.params, params)
        reach.put(self.state, state)

    def is_finite(self, reach):
        """Are the parameters and the optimizer's state within a `Reach`, and the buffers, free of NaN and infinity?"""
        return reach.is_finite(self.params) and reach.is_finite(self.state) and all_finite(self.buffers)

    def chosen_threads(self):
        """Return the number of threads that measurement chose last for training, or None: there was no choice."""
        training = [runner for runner in self._runners() if runner.plan.purpose.training]
        return next((n for runner in training[::-1] for n in runner.choices.chosen()), None)

    def _runners(self):
        return [runner for free in list(self._free_runners.values()) for runner in free]

    @property
    def nbytes(self):
        """Bytes of parameters, buffers, gradients, optimizer state and the workspaces made so far."""
        runners = sum(runner.nbytes for runner in self._runners())
        state = 0 if self.state is None else self.state.nbytes
        return self._parameters.flat.nbytes + self.buffers.nbytes + self.grads.nbytes + state + runners
