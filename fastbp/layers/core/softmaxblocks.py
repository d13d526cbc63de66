"""SoftmaxBlocks: the end of a network with several targets."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastbp.kernels import arraymath
from fastbp.layers.base import LAYERS, Layer, is_size
from fastbp.layers.build import Build


def slices_of(sizes):
    """Return the slices of blocks of such sizes, one after the other."""
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


@LAYERS.register("SoftmaxBlocks")
@dataclass
class SoftmaxBlocks(Layer):
    """The end of a network with several targets: predictions are a softmax over each block; losses see the logits.

    Parameters
    ----------
    sizes : sequence of int
        How many outputs each block has, one block after the other. A block of one output stays as it is.
    name : str, optional
        Default ``"softmaxblocks"``, ``"softmaxblocks_1"`` and so on.

    Raises
    ------
    ValueError
        Where a size is not a whole number of at least 1; at building, where it is not the last layer, or its inputs
        do not have the shape ``(sum of the sizes,)``.

    Notes
    -----
    Inputs and predictions ``(n, sum of the sizes)``. Train with `JointLoss`. Metrics are computed on the predictions.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.SoftmaxBlocks((2, 1, 2))], input_shape=(5,))
    >>> model.predict(np.array([[0.0, 0.0, 7.0, 1.0, 1.0]])).tolist()
    [[0.5, 0.5, 7.0, 0.5, 0.5]]
    """

    sizes: tuple
    name: str | None = None

    alias = True

    def __post_init__(self):
        sizes = tuple(self.sizes) if isinstance(self.sizes, list | tuple) else ()
        if not sizes or not all(map(is_size, sizes)):
            raise ValueError(f"SoftmaxBlocks(sizes={self.sizes!r}): sizes are whole numbers of at least 1.")
        self.sizes = tuple(map(int, sizes))

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if input_shape != (sum(self.sizes),):
            raise ValueError(
                f"SoftmaxBlocks{self.sizes} takes inputs of shape ({sum(self.sizes)},); it got shape {input_shape}."
            )
        return Build(output_shape=input_shape)

    @property
    def blocks(self) -> list[slice]:
        """The slices of the outputs that are probabilities of classes."""
        return [block for size, block in zip(self.sizes, slices_of(self.sizes), strict=True) if size > 1]

    def finish(self, outputs: np.ndarray) -> np.ndarray:
        """Return the predictions: a softmax over each block of the logits `outputs` (n, ...)."""
        predictions = outputs.copy()
        for block in self.blocks:
            z = outputs[:, block]
            p = arraymath.exp(z - z.max(axis=1, keepdims=True))
            predictions[:, block] = p / p.sum(axis=1, keepdims=True)
        return predictions

    def spread(self, dout: np.ndarray, input_shape: tuple[int, ...], outputs_of: Callable) -> np.ndarray:
        """Return the gradient with respect to the logits, from that of the predictions, dout (n, ...)."""
        spread, predictions = dout.copy(), self.finish(outputs_of())
        for block in self.blocks:
            p, d = predictions[:, block], dout[:, block]
            # dz = p * (dp - sum(p dp))
            spread[:, block] = p * (d - (p * d).sum(axis=1, keepdims=True))
        return spread
