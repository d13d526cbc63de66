"""A network: layer specs folded over shapes, which fixes the layout of the flat parameter vector."""

from dataclasses import dataclass

import numpy as np

from fastbp.layers.base import Build, Layer, Param


@dataclass(frozen=True)
class PlacedLayer:
    """A layer spec with its name, its shapes and the place of its parameters."""

    spec: Layer
    name: str
    input_shape: tuple[int, ...]
    build: Build
    offset: int  # of its first parameter in params

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of outputs."""
        return self.build.output_shape

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return sum(param.size for param in self.build.params)


@dataclass(frozen=True)
class PlacedParam:
    """A named parameter and its place in the flat vector."""

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
    """The specs of a model folded over an input shape: names, shapes, layout of `params`."""

    def __init__(self, specs, input_shape):
        self.input_shape = tuple(int(size) for size in input_shape)
        self.layers = []
        shape, offset, names = self.input_shape, 0, set()
        for spec in specs:
            built = spec.build(shape)
            placed = PlacedLayer(spec, unique_name(spec, names), shape, built, offset)
            self.layers.append(placed)
            shape, offset = built.output_shape, offset + placed.n_params
        self.output_shape = shape
        self.n_params = offset
        self.params = list(self._place_params())

    def _place_params(self):
        for index, layer in enumerate(self.layers):
            start = layer.offset
            for block, param in enumerate(layer.build.params):
                yield PlacedParam(index, block, f"{layer.name}/{param.name}", param, start)
                start += param.size

    def views(self, flat):
        """Return {name: view into the flat vector, in the parameter's shape}."""
        return {p.name: flat[p.start : p.stop].reshape(p.param.shape) for p in self.params}

    def initial_params(self, seed, dtype):
        """Draw the initial parameters: each from a stream of its own, keyed by (seed, its number)."""
        flat = np.empty(self.n_params, dtype)
        for number, placed in enumerate(self.params):
            rng = np.random.Generator(np.random.Philox(key=[seed, number]))
            view = flat[placed.start : placed.stop].reshape(placed.param.shape)
            view[...] = placed.param.initializer(placed.param.shape, rng, dtype)
        return flat


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
