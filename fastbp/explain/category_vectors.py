"""Networks that read categories, cut where these have become vectors: a path leads from vector to vector.

There is no number between two categories, but there are points between their vectors. `Vectors` parts a network into
what turns a row into numbers and vectors, and the rest, which can be differentiated.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp.engine.engine import Engine
from fastbp.engine.network import is_picky
from fastbp.explain.subnetwork import names_of, part_of
from fastbp.layers import Columns, Concatenate, Reshape

UNSUITED = (
    "explain takes categories where a model begins: its first layer is Embedding, CategoryEmbedding or OneHot (behind "
    "Columns, perhaps), or Concatenate with branches that begin like that. For other models, explain the part behind "
    "the categories: a model of the layers that follow, given model.outputs_of(name, x)."
)


class Piece(NamedTuple):
    """Vectors of categories: what makes them, which entries of a flat row they are of, and the length of each."""

    head: Engine
    inputs: np.ndarray  # (t,)
    widths: np.ndarray  # (t,)

    def vectors(self, x):
        """Return the vectors (n, ...) of the categories in x (n, ...)."""
        shape = self.head.network.input_shape
        rows = np.ascontiguousarray(x.reshape(len(x), -1)[:, self.inputs]).reshape(len(x), *shape)
        return self.head.predict(rows)


class Vectors:
    """A network, cut behind the vectors of its categories (a network without categories is left whole).

    Parameters
    ----------
    engine : Engine

    Attributes
    ----------
    tail : Engine or None
        From rows z (n, ...) to outputs; None: z is the output.
    reads_numbers : bool
        Does z begin with the row itself?
    pieces : list of Piece
        What makes the vectors, in z's order.

    Raises
    ------
    ValueError
        For categories that are read elsewhere than at the network's start, or that make a mask.
    """

    def __init__(self, engine):
        self.engine, self.pieces = engine, []
        if engine.network.batch_size is not None:
            raise ValueError("explain takes rows one by one, and a stateful layer hands states from batch to batch.")
        self.input_shape = engine.network.input_shape
        self._n_inputs = math.prod(self.input_shape)
        self.reads_numbers = True
        layers = engine.layers
        if not any(is_picky(placed.spec) for placed in engine.network.layers):
            self.tail = part_of(engine, layers, self.input_shape, trainable=False)
        elif isinstance(layers[0], Concatenate):
            self.tail = self._behind_branches(layers[0], layers[1:])
        else:
            self.reads_numbers = False
            self.tail = self._behind_first(layers)

    def _behind_first(self, layers):
        """Return the engine behind a first layer of categories, or None where nothing is behind it."""
        n_heads = 1 + isinstance(layers[0], Columns)
        if len(layers) < n_heads or not is_picky(layers[n_heads - 1]):
            raise ValueError(UNSUITED)
        inputs = np.array(layers[0].columns) if n_heads == 2 else np.arange(self._n_inputs)
        shape = (len(inputs),) if n_heads == 2 else self.input_shape
        piece = self._piece(layers[n_heads - 1], inputs, shape)
        self.pieces.append(piece)
        rest, width = layers[n_heads:], piece.head.network.output_shape
        if any(_holds_picky(layer) for layer in rest):
            raise ValueError(UNSUITED)
        return part_of(self.engine, rest, width, trainable=False) if rest else None

    def _behind_branches(self, first, rest):
        """Return the engine whose branches of categories read vectors, which stand behind a row's numbers."""
        if len(self.input_shape) > 1 or any(map(_holds_picky, rest)):
            raise ValueError(UNSUITED)
        names, branches, width = names_of(self.engine), [], self._n_inputs
        made_names = {}
        for branch in first.branches:
            if not any(map(_holds_picky, branch)):
                branches.append(branch)
                continue
            starts = len(branch) > 1 and isinstance(branch[0], Columns) and is_picky(branch[1])
            if not starts or any(map(_holds_picky, branch[2:])):
                raise ValueError(UNSUITED)
            inputs = np.array(branch[0].columns)
            piece = self._piece(branch[1], inputs, (len(inputs),))
            self.pieces.append(piece)
            size = int(piece.widths.sum())
            reader = Columns(range(width, width + size))
            shaper = Reshape(piece.head.network.output_shape)
            made_names |= {id(reader): names[id(branch[0])], id(shaper): names[id(branch[1])]}
            branches.append([reader, shaper, *branch[2:]])
            width += size
        joined = Concatenate(branches, first.axis)
        made_names[id(joined)] = names[id(first)]
        return part_of(self.engine, [joined, *rest], (width,), trainable=False, names=made_names)

    def _piece(self, spec, inputs, input_shape):
        if getattr(spec, "mask_zero", False):
            raise ValueError(
                "explain has no path for mask_zero=True: a category is masked or not, and nothing is between. Train "
                "with mask_zero=False, or explain the part behind the embedding."
            )
        head = part_of(self.engine, [spec], input_shape)
        widths = getattr(spec, "output_dims", None) or getattr(spec, "cardinalities", None)
        each = math.prod(head.network.output_shape) // len(inputs)
        return Piece(head, inputs, np.full(len(inputs), each) if widths is None else np.array(widths))

    def embed(self, x):
        """Return x (n, ...) as rows z (n, ...): its numbers, and behind them the vectors of its categories."""
        if not self.pieces:
            return x
        made = [piece.vectors(x) for piece in self.pieces]
        if not self.reads_numbers:
            return made[0]
        # (np.concatenate goes by its inputs' layout, kernels by rows.)
        return np.ascontiguousarray(np.concatenate([x, *(vectors.reshape(len(x), -1) for vectors in made)], axis=1))

    def fold(self, values):
        """Return what the numbers of z are given, values (n, ...), as what the row's own (n, ...) are."""
        flat = values.reshape(len(values), -1)
        total = np.zeros((len(values), self._n_inputs), values.dtype)
        first = self._n_inputs if self.reads_numbers else 0
        total[:, :first] += flat[:, :first]
        for piece in self.pieces:
            for place, width in zip(piece.inputs, piece.widths, strict=True):
                total[:, place] += flat[:, first : first + width].sum(axis=1)
                first += width
        return total.reshape(len(values), *self.input_shape)


def _holds_picky(layer):
    """Does a layer, or one within it, take categories?"""
    return is_picky(layer) or any(map(_holds_picky, layer.held))
