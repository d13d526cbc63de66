"""What the checks look at: a copy of the model, rows, the gradients of some batches, and the curves."""

import copy
from functools import cached_property

import numpy as np

from fastbp.doctor.baseline import constant_loss
from fastbp.explain.subnetwork import layer_names, part_to

# Rows that go through the layers, and what their outputs may take.
MOST_ROWS, MOST_BYTES = 1024, 2**26
# Batches whose gradients are looked at, and their rows.
BATCHES, BATCH_ROWS = 8, 32


class Patient:
    """A model's copy with its data; nothing that is done to it reaches the model.

    Parameters
    ----------
    model : Sequential
        Compiled; the checks may do with it what they like.
    rows : WeightedRows, optional
        Of training.
    validation : WeightedRows, optional
    history : dict, optional
        {figure: values by epoch}.
    batch_size : int
    names : list of str, optional
        Of the input's columns.
    """

    def __init__(self, model, rows=None, *, validation=None, history=None, batch_size=32, names=None):
        self.model, self.engine, self.network = model, model.engine, model.engine.network
        self.rows, self.validation, self.batch_size, self.names = rows, validation, batch_size, names
        self.history = {name: np.asarray(values, np.float64) for name, values in (history or {}).items()}
        self.engine.metrics = []  # the loss will do

    @property
    def has(self):
        """The kinds of things that checks may need, and that are there."""
        there = {"rows": self.rows is not None, "history": len(self.history.get("loss", ())) > 0}
        return {need for need, is_there in there.items() if is_there}

    @cached_property
    def sample(self):
        """Some of the rows, evenly spread: `WeightedRows`."""
        biggest = max(int(np.prod(placed.output_shape)) for placed in self.network.layers)
        most = min(MOST_ROWS, max(64, MOST_BYTES // (biggest * self.engine.dtype.itemsize)))
        return self.rows.subset(self._places(most))

    def _places(self, most):
        """Return the numbers of at most so many rows; of stateful layers whole batches, the first ones."""
        n, size = len(self.rows.x), self.network.batch_size
        if size is not None:
            return np.arange(min(n, max(most, size)) // size * size)
        return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)

    @cached_property
    def layers(self):
        """{name: its place in the network}, in the order of a forward pass, forks left out."""
        numbers = {placed.name: number for number, placed in enumerate(self.network.layers)}
        return {name: numbers[name] for name in layer_names(self.engine)}

    def spec(self, name):
        """Return a layer's settings."""
        return self.network.layers[self.layers[name]].spec

    def outputs(self, name):
        """Return what a layer makes of the sample: (n, ...)."""
        return part_to(self.engine, name).predict(self.sample.x)

    @property
    def last_layer(self):
        """The name of the layer that computes the outputs."""
        return self.network.layers[self.network.output_layer].name

    @cached_property
    def predictions(self):
        """The outputs for the sample: (n, ...)."""
        return self.engine.predict(self.sample.x)

    @cached_property
    def gradients(self):
        """The gradients (B, P) of some batches, as training computes them."""
        size = self.network.batch_size or BATCH_ROWS
        n = len(self.sample.x)
        order = np.arange(n) if self.network.batch_size else np.random.default_rng(0).permutation(n)
        firsts = range(0, max(n - size, 0) + 1, size)[:BATCHES]
        buffers, made = self.engine.buffers.copy(), []
        for first in firsts:
            self.engine.gradient(self.sample.subset(order[first : first + size]), training=True)
            made.append(self.engine.grads.copy())
        self.engine.buffers[:] = buffers
        return np.array(made)

    def params_of(self, name):
        """Return the placed parameters of a layer."""
        return [placed for placed in self.network.params if placed.layer == self.layers[name]]

    @cached_property
    def kernels(self):
        """{name of a layer: its parameters that are matrices and no tables}, of layers that are trained."""
        found = {}
        for name in self.layers:
            if self.spec(name).trainable:
                wide = [p for p in self.params_of(name) if len(p.param.shape) > 1 and p.param.lookup is None]
                found |= {name: [p for p in wide if "bias" not in p.param.name]} if wide else {}
        return found

    def size_of(self, flat, placed):
        """Return the root mean square of some parameters' entries in flat (P,) or (B, P)."""
        parts = [flat[..., p.start : p.stop].astype(np.float64).ravel() for p in placed]
        return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))

    @cached_property
    def relative_gradients(self):
        """{layer: size of its kernel's gradient by that of the kernel}, where the kernel is not all zeros."""
        sizes = {name: self.size_of(self.engine.params, placed) for name, placed in self.kernels.items()}
        return {
            name: self.size_of(self.gradients, placed) / sizes[name]
            for name, placed in self.kernels.items()
            if sizes[name] > 0
        }

    @cached_property
    def update_ratios(self):
        """{layer: size of the next update of its kernel by that of the kernel}; none where a gradient is not finite."""
        engine = self.engine
        if not np.isfinite(self.gradients[0]).all():
            return {}
        params, state, step = engine.params.copy(), engine.state.copy(), engine.step
        engine.apply_gradients(self.gradients[0])
        change = engine.params - params
        engine.params[:], engine.state[:], engine.step = params, state, step
        sizes = {name: self.size_of(params, placed) for name, placed in self.kernels.items()}
        return {n: self.size_of(change, placed) / sizes[n] for n, placed in self.kernels.items() if sizes[n] > 0}

    @cached_property
    def learning_rate(self):
        """That of the next update."""
        return float(self.engine.optimizer.learning_rates(np.array([self.engine.step + 1]))[0])

    @cached_property
    def loss(self):
        """The mean loss of the sample, without penalties."""
        return self._loss_of(self.sample)

    @cached_property
    def validation_loss(self):
        """That of the validation rows, or None."""
        return None if self.validation is None else self._loss_of(self.validation)

    def _loss_of(self, rows):
        buffers = self.engine.buffers.copy()
        loss = self.engine.evaluate(rows)["loss"] - self.engine.penalty()
        self.engine.buffers[:] = buffers
        return loss

    @cached_property
    def baseline(self):
        """The loss of the best prediction that is the same for all rows, or None where it is not known."""
        return None if self.rows is None else constant_loss(self.engine.loss, self.sample)

    @property
    def share(self):
        """The loss by the baseline: 1 has learned nothing, 0 all; or None."""
        return None if self.baseline is None or not self.baseline > 0 else self.loss / self.baseline

    @property
    def has_learned(self):
        """Is most of what is to be explained explained?"""
        return self.share is not None and self.share < 0.1

    @property
    def is_trained(self):
        """Were there updates?"""
        return self.engine.step > 0 or self.engine.epoch > 0

    def column(self, number):
        """Return what a column of the input is called."""
        return repr(self.names[number]) if self.names is not None else f"x[:, {number}]"

    def columns(self, numbers, most=5):
        """Return what some columns are called, in one text."""
        told = ", ".join(self.column(number) for number in list(numbers)[:most])
        return told if len(numbers) <= most else f"{told} and {len(numbers) - most} more"


def copy_of(model):
    """Return a copy of a model to which anything may be done."""
    return copy.deepcopy(model)
