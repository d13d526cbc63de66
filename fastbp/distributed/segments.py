"""How a network is cut into segments, one for each rank."""

from typing import NamedTuple

import numpy as np

from fastbp.engine.network import Network


class Segment(NamedTuple):
    """A rank's part of a network, and its place in the whole.

    layers (list of specs), input_shape, first_layer and n_layers (numbers in the whole network), first_param and
    first_buffer (whose streams initial values are drawn from).
    """

    layers: list
    input_shape: tuple
    first_layer: int
    first_param: int
    first_buffer: int


def segment(layers, input_shape, starts, number):
    """Return one segment of a network, whose segments begin at the layers `starts`, or raise ValueError."""
    whole = Network(layers, input_shape)
    start, stop = starts[number], [*starts, len(layers)][number + 1]
    before = Network(layers[:start], input_shape) if start else None
    here = len(before.layers) if before else 0
    _check_masks(whole, [len(Network(layers[:start], input_shape).layers) for start in starts if start])
    return Segment(
        layers[start:stop],
        before.output_shape if before else whole.input_shape,
        here,
        sum(p.layer < here for p in whole.params),
        len(whole.params) + sum(p.layer < here for p in whole.buffers),
    )


def balanced_starts(layers, input_shape, n_segments):
    """Return where segments begin that take as nearly as can be the same time: by multiply-adds and parameters."""
    costs = [0.0]
    for i in range(1, len(layers) + 1):
        placed = Network(layers[:i], input_shape).layers
        # A parameter is updated once a step; that costs some ten multiply-adds.
        costs.append(float(sum(100 * layer.build.multiply_adds + layer.n_params for layer in placed)))
    starts = [0]
    for number in range(1, n_segments):
        wanted = costs[-1] * number / n_segments
        lowest, highest = starts[-1] + 1, len(layers) - (n_segments - number)
        starts.append(lowest + int(np.argmin([abs(costs[i] - wanted) for i in range(lowest, highest + 1)])))
    return starts


def checked_starts(starts, layers, n_segments):
    """Return the given starts as a list, or raise ValueError."""
    starts = [int(start) for start in starts]
    if len(starts) != n_segments or starts[0] != 0 or (np.diff([*starts, len(layers)]) < 1).any():
        raise ValueError(
            f"starts={starts}: it holds the number of the first layer of each of {n_segments} segments, from 0 on, in "
            f"rising order; there are {len(layers)} layers."
        )
    return starts


def _check_masks(whole, ends):
    """Raise ValueError where a mask would go from one segment to another, or to the loss."""
    for number in range(len(whole.layers)):
        masking = whole.masking_layer(number)
        if masking is not None and any(masking < end <= number for end in ends):
            raise ValueError(
                f"the mask of {whole.layers[masking].name!r} reaches {whole.layers[number].name!r}, which another rank "
                "has: masks are not sent. Begin no segment between the two (starts=...)."
            )
    if whole.output_masking is not None:
        raise ValueError(f"the mask of {whole.layers[whole.output_masking].name!r} reaches the loss: use fit.")
