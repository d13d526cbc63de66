"""A network: layer specs folded over shapes, which fixes the layout of the flat parameter vector."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastbp.engine.layer_ownership import same
from fastbp.layers.base import Layer
from fastbp.layers.build import Build, Param
from fastbp.layers.core.branches import Fork
from fastbp.settings.sizes import check_sizes, layout_of
from fastbp.settings.user_warnings import warn


class Source(NamedTuple):
    """Where an input comes from: the number of a layer (-1: the network's input), and which of its branches."""

    layer: int = -1
    branch: int = 0


@dataclass(frozen=True)
class PlacedLayer:
    """A layer spec with its name, its shapes and the place of its parameters."""

    spec: Layer
    name: str
    sources: tuple[Source, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    build: Build
    offset: int  # of its first parameter in params
    buffer_offset: int  # of its first buffer in buffers
    depth: int  # branches around it

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of outputs."""
        return self.build.output_shape

    @property
    def inputs(self):
        """(source, entries a row) of each input."""
        return [(source, math.prod(shape)) for source, shape in zip(self.sources, self.input_shapes, strict=True)]

    def as_set(self) -> "PlacedLayer":
        """Return the layer with a copy of the spec, and a build by the settings that it has now.

        Raise ValueError where these have other sizes: a record of other sizes than params would read and write
        elsewhere.
        """
        spec = replace(self.spec)  # type: ignore[type-var]  # which checks the settings once more
        build = spec.build(*self.input_shapes)
        if layout_of(build) != layout_of(self.build):
            raise ValueError(
                f"layer {self.name!r} was changed after the model was built, in settings that decide on its shapes: "
                "make a new model."
            )
        return replace(self, spec=spec, build=build)

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return sum(param.size for param in self.build.params)

    @property
    def n_buffers(self) -> int:
        """Number of entries of its buffers."""
        return sum(buffer.size for buffer in self.build.buffers)


@dataclass(frozen=True)
class PlacedParam:
    """A named parameter (or buffer) and its place in the flat vector."""

    layer: int
    block: int  # its number within the layer
    name: str
    param: Param
    start: int

    @property
    def stop(self) -> int:
        """One past its last entry."""
        return self.start + self.param.size


class Network:
    """The specs of a model folded over an input shape: names, shapes, layout of `params` and `buffers`.

    `layers` are in the order in which a forward pass runs them: a fork, the layers of each branch, the layer
    where they meet.  A layer's number is its place in this list.
    """

    def __init__(self, specs, input_shape):
        self.input_shape = tuple(int(size) for size in input_shape)
        self.layers, self.n_params, self.n_buffers, self._names = [], 0, 0, set()
        self.output, self.output_shape = self._chain(specs, Source(), self.input_shape, 0)
        self.params = list(self._place("params"))
        self.buffers = list(self._place("buffers"))
        self._picky = any(is_picky(layer.spec) for layer in self.layers)
        self._check_picky_layers()

    @cached_property
    def raw_shape(self):
        """Shape of a row of outputs as losses see them: before a last layer that finishes predictions."""
        return self.layers[-1].input_shapes[0] if self.layers[-1].spec.finish else self.output_shape

    @cached_property
    def loss_shape(self):
        """Shape of a row of outputs as losses take it: entry by entry of its first axes, or whole before a `finish`."""
        return (math.prod(self.raw_shape),) if self.layers[-1].spec.finish else self.raw_shape

    def finish(self, outputs):
        """Return the predictions (n, *output_shape) of outputs with as many entries a row as `raw_shape`."""
        finish = self.layers[-1].spec.finish
        return finish(outputs.reshape(len(outputs), *self.raw_shape)) if finish else outputs

    def spread(self, dout, outputs_of):
        """Return the gradient by the outputs (n, *raw_shape), made of that by the predictions (n, *output_shape).

        outputs_of() returns the outputs, for a layer that asks for them.
        """
        spread = self.layers[-1].spec.spread
        return spread(dout, self.raw_shape, outputs_of) if spread else dout

    def _chain(self, specs, source, shape, depth):
        """Place one layer after the other; return where the last one's output is, and its shape."""
        for spec in specs:
            name = unique_name(spec, self._names)
            sources, shapes = (source,), (shape,)
            if spec.branches:
                fork, _ = self._add(Fork(len(spec.branches)), f"{name}/fork", sources, shapes, depth)
                ends = [
                    self._chain(branch, Source(fork.layer, number), shape, depth + 1)
                    for number, branch in enumerate(spec.branches)
                ]
                sources, shapes = zip(*ends, strict=True)
            if self.layers and self.layers[-1].spec.finish:
                last = self.layers[-1].name
                raise ValueError(f"{last!r} must be the last layer of the model; {name!r} comes after it.")
            source, shape = self._add(spec, name, sources, shapes, depth)
        return source, shape

    def _add(self, spec, name, sources, shapes, depth):
        built = spec.build(*shapes)
        check_sizes(name, built)
        placed = PlacedLayer(spec, name, sources, shapes, built, self.n_params, self.n_buffers, depth)
        self.layers.append(placed)
        self.n_params += placed.n_params
        self.n_buffers += placed.n_buffers
        return Source(len(self.layers) - 1), placed.output_shape

    def _place(self, kind):
        """Yield every layer's "params" or "buffers" with their places, one after the other."""
        start = 0
        for index, layer in enumerate(self.layers):
            for block, param in enumerate(getattr(layer.build, kind)):
                yield PlacedParam(index, block, f"{layer.name}/{param.name}", param, start)
                start += param.size

    @property
    def output_layer(self) -> int:
        """The number of the layer that computes the outputs: the last one that is more than another shape; or -1."""
        return max((number for number, layer in enumerate(self.layers) if not layer.spec.alias), default=-1)

    @property
    def output_activation(self):
        """The activation that ends the network, or None."""
        return self.layers[self.output_layer].spec.output_activation

    def check_input(self, x):
        """Raise ValueError where a layer refuses an entry of the model's input x (n, ...)."""
        if not self._picky:
            return
        # What reaches each layer unchanged, and where in a row of the input it stood.
        numbers = np.arange(math.prod(self.input_shape)).reshape(1, *self.input_shape)
        values, origins = self._pass_on(x), self._pass_on(numbers)
        for layer, value, origin in zip(self.layers, values, origins, strict=True):
            if value is not None and (refused := layer.spec.refuses(value)):
                (row, *place), rule = refused
                entry = (row, *np.unravel_index(origin[0, *place], self.input_shape))
                where = ", ".join(str(int(i)) for i in entry)
                raise ValueError(f"x[{where}] is {value[row, *place]:g}: {rule} (layer {layer.name!r}).")

    def rows_read(self, x):
        """Return (parameter, the table rows that inputs x (n, ...) read) for each lazy table whose inputs are known."""
        lazy = [p for p in self.params if p.param.lazy]
        got = self._pass_on(x) if lazy else []
        return [(p, _rows_named(p.param, got[p.layer])) for p in lazy if got[p.layer] is not None]

    def readers(self):
        """Return (layer, the places of an input row that it reads unchanged) for each layer that computes something."""
        got = self._pass_on(np.arange(math.prod(self.input_shape)).reshape(1, *self.input_shape))
        pairs = [(placed.spec, places) for placed, places in zip(self.layers, got, strict=True) if places is not None]
        return [(spec, places) for spec, places in pairs if spec.passes_on(places) is None]

    def _pass_on(self, x):
        """Return the entries of x (n, ...) that each layer gets, or None where an earlier layer computes new ones."""
        got, given = [], {-1: x}
        for number, layer in enumerate(self.layers):
            got.append(given[layer.sources[0].layer] if len(layer.sources) == 1 else None)
            given[number] = None if got[-1] is None else layer.spec.passes_on(got[-1])
        return got

    def _check_picky_layers(self):
        """Raise ValueError where a layer that checks its inputs does not get entries of the model's input."""
        got = self._pass_on(np.zeros((1, *self.input_shape)))
        for layer, value in zip(self.layers, got, strict=True):
            if value is None and is_picky(layer.spec):
                raise ValueError(
                    f"{layer.name!r} takes categories, which come from the model's input (Columns, Flatten and Reshape "
                    "may stand before it), not from other layers."
                )

    def has_layout_of(self, other):
        """Do the parameters and buffers of another network of the same layers have the same shapes, and so places?"""
        pairs = (self.params, other.params), (self.buffers, other.buffers)
        return all([p.param.shape for p in ours] == [p.param.shape for p in theirs] for ours, theirs in pairs)

    def views(self, params, buffers=None):
        """Return {name: view into a flat vector, in the parameter's shape}; a layer's buffers follow its parameters."""
        placed = [(p, params) for p in self.params]
        if buffers is not None:
            placed = sorted([*placed, *((p, buffers) for p in self.buffers)], key=lambda pair: pair[0].layer)
        return {p.name: flat[p.start : p.stop].reshape(p.param.shape) for p, flat in placed}

    @cached_property
    def batch_size(self):
        """The number of rows that every batch must have, because a stateful layer keeps a state of each; or None."""
        sizes = {layer.name: layer.spec.batch_size for layer in self.layers if layer.spec.batch_size is not None}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"stateful layers must agree on batch_size; they have {sizes}.")
        return next(iter(sizes.values()), None)

    def check_batch(self, rows):
        """Raise ValueError where a batch of so many rows does not suit stateful layers."""
        if self.batch_size is not None and rows != self.batch_size:
            raise ValueError(
                f"a stateful layer keeps the states of batch_size={self.batch_size} rows: every batch must have as "
                f"many, this one has {rows}."
            )

    def masking_layer(self, number):
        """Return the number of the layer that writes the mask of a layer's input; None: every time step counts."""
        return self._masking(self.layers[number].sources[0].layer)

    def check_batches(self, n, size):
        """Raise ValueError where `n` rows in batches of `size` do not suit stateful layers."""
        if self.batch_size is not None:
            for rows in {min(n, size), n % size} - {0}:
                self.check_batch(rows)

    @property
    def output_masking(self):
        """The number of the layer that writes the mask of the outputs, which losses and metrics read; or None."""
        return self._masking(self.output.layer)

    def output_mask(self, x):
        """Return which time steps of the outputs count for inputs x (n, ...): booleans (n, t)."""
        number = self.output_masking
        # 4,096 rows at a time: a memory map is not copied.
        parts = [self._pass_on(x[first : first + 4096])[number] for first in range(0, len(x), 4096)]
        return np.concatenate([self.layers[number].spec.mask_of(part) for part in parts])

    def check_output_mask(self):
        """Raise ValueError where the outputs' mask is not told by the model's input alone."""
        number = self.output_masking
        if number is not None and self._pass_on(np.zeros((1, *self.input_shape)))[number] is None:
            raise ValueError(
                f"the mask of {self.layers[number].name!r} reaches the loss, which must know it before anything runs: "
                "let the layer read the model's input (Columns, Flatten and Reshape may stand before it)."
            )

    def _masking(self, source):
        """Return the number of the layer that writes the mask of an output, by its layer's number; or None.

        A mask of t steps goes on through layers whose outputs have several axes, the first of size t.
        """
        while source >= 0:
            layer = self.layers[source]
            if layer.build.mask:
                return source
            if len(layer.output_shape) < 2 or layer.output_shape[0] != layer.input_shapes[0][0]:
                return None
            source = layer.sources[0].layer
        return None

    def initial_params(self, seed, dtype, first=0):
        """Draw the initial parameters: each from a stream of its own, keyed by (seed, its number, from `first` on)."""
        return _draw(self.params, self.n_params, first, seed, dtype)

    def initial_buffers(self, seed, dtype, first=None):
        """Draw the initial buffers, from the streams from `first` on: after those of the parameters."""
        return _draw(self.buffers, self.n_buffers, len(self.params) if first is None else first, seed, dtype)


def check_kept(old, new, changes):
    """Return {name: new name} of the parameters and buffers that both networks have, or raise ValueError.

    The networks are of the same layers with other settings: none may lose a parameter.  States of rows begin anew
    where their shapes differ.
    """
    names = {(p.layer, p.param.name): p for p in (*new.params, *new.buffers)}
    states = {p.name for p in old.buffers if old.layers[p.layer].spec.stateful}
    kept = {}
    for p in (*old.params, *old.buffers):
        now = names.get((p.layer, p.param.name))
        if now is not None and now.param.shape == p.param.shape:
            kept[p.name] = now.name
        elif p.name not in states:
            has = "none" if now is None else f"one of shape {now.param.shape}"
            raise ValueError(
                f"{said(old, changes)}: {p.name!r} has shape {p.param.shape}, and the layers would now have {has}. "
                "Weights that are there are not thrown away: set it back, or make a new model of "
                "copy.deepcopy(model.layers)."
            )
    return kept


def warn_of_initializers(old, new):
    """Warn where an initializer was changed after its parameter was drawn."""
    initializers = {(p.layer, p.param.name): p.param.initializer for p in (*old.params, *old.buffers)}
    late = [
        p.name
        for p in (*new.params, *new.buffers)
        if not same(initializers.get((p.layer, p.param.name), p.param.initializer), p.param.initializer)
    ]
    if late:
        warn(
            f"the initial values of {', '.join(late)} are drawn already: they stay, and the initializer that was set "
            "draws nothing. Other values take a new model, of copy.deepcopy(model.layers).",
        )


def said(network, changes):
    """Return what was changed, in words: "'dense': units is 5 (it was 4)"."""
    return "; ".join(
        f"{name_of(network, change.taken)}: {change.setting} is {change.now!r} (it was {change.before!r})"
        for change in changes
    )


def name_of(network, spec):
    """Return a layer's name for messages; twins have the name of their owner."""
    for layer in network.layers if network is not None else ():
        if spec is layer.spec or any(spec is held for held in layer.spec.held):
            return repr(layer.name)
    return repr(spec.name) if spec.name else f"a layer {type(spec).__name__}"


def _draw(placed, size, first_stream, seed, dtype):
    flat = np.empty(size, dtype)
    for stream, p in enumerate(placed, start=first_stream):
        rng = np.random.Generator(np.random.Philox(key=[seed, stream]))
        flat[p.start : p.stop].reshape(p.param.shape)[...] = p.param.initializer(p.param.shape, rng, dtype)
    return flat


def _rows_named(param, x):
    """Return, in order, the rows of a table that x (n, ...), the inputs of the table's layer, name."""
    _, first, _ = param.lookup
    named = np.zeros(param.shape[0], bool)
    named[x.reshape(len(x), -1)[:, first : first + param.lookup.count].astype(np.int64)] = True
    return np.flatnonzero(named)


def unique_name(spec, taken):
    """Return the spec's own name, or "dense", "dense_1" and so on; add it to `taken`."""
    if spec.name is not None:
        if spec.name in taken:
            raise ValueError(f"two layers are named {spec.name!r}: names must differ.")
        name = spec.name
    else:
        words = spec.registered[1].lower()
        name, number = words, 0
        while name in taken:
            number += 1
            name = f"{words}_{number}"
    taken.add(name)
    return name


def is_picky(spec):
    """Does the layer look at its inputs before anything runs?"""
    return type(spec).refuses is not Layer.refuses
