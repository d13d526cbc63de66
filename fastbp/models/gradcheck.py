"""check_gradients: the compiled gradient against finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.layer_ownership import copies
from fastbp.engine.user_arrays import as_float_rows, as_table
from fastbp.models.arguments import checked_counts


@dataclass(frozen=True)
class GradientCheck:
    """The result of `check_gradients`.

    Attributes
    ----------
    max_relative_error : float
        The largest ``|grad - difference| / max(1, |grad|, |difference|)``.
    worst : str
        The entry it belongs to, such as ``"dense/kernel[3, 1]"``.
    grad, difference : float
        Its two values.
    """

    max_relative_error: float
    worst: str
    grad: float
    difference: float

    def __str__(self):
        return (
            f"worst entry {self.worst}: gradient {self.grad:.9g}, finite difference {self.difference:.9g}, "
            f"relative error {self.max_relative_error:.2g}"
        )


def check_gradients(
    model: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    epsilon: float = 1e-6,
    training: bool = False,
    tolerance: float = 1e-5,
    entries: int = 1000,
) -> GradientCheck:
    """Compare a compiled model's gradient with central differences, entry by entry.

    Parameters
    ----------
    model : Sequential
        Compiled. One of float32 is checked through its twin in float64, whose kernels are compiled from the same
        source: differences of float32 losses are too coarse to tell anything.
    x : array-like (n, d)
    y : array-like (n,) or (n, t)
    epsilon : float, default 1e-6
        Half the distance of the two points.
    training : bool, default False
        With dropout masks (the same ones at both points).
    tolerance : float, default 1e-5
        Largest relative error allowed.
    entries : int, default 1000
        Of more trainable parameters so many are checked, spread evenly over all.

    Returns
    -------
    GradientCheck

    Raises
    ------
    AssertionError
        If an entry's error is above `tolerance`; the message names the worst.

    Notes
    -----
    ``(loss(w + epsilon) - loss(w - epsilon)) / (2 * epsilon)``. An activation with a kink (relu) may fail by
    chance where an input lies within epsilon of it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(3, activation="tanh"), fastbp.Dense(1)], seed=0, dtype="float64")
    >>> model.compile(loss="mean_squared_error")
    >>> rng = np.random.default_rng(0)
    >>> fastbp.check_gradients(model, rng.normal(size=(5, 2)), rng.normal(size=5)).max_relative_error < 1e-7
    True
    """
    (entries,) = checked_counts(entries=entries)
    x = as_float_rows(as_table(x, "x"), np.dtype(np.float64))
    if model.engine is None:
        model.build(x.shape[1:])
    if model.dtype != np.float64:
        model = _in_float64(model)
    _, grad = _value_and_grad(model, x, y, training)
    network = model.engine.network
    trainable = [p for p in network.params if network.layers[p.layer].spec.trainable]
    places = [(placed, i) for placed in trainable for i in range(placed.start, placed.stop)]
    worst = GradientCheck(0.0, "none", 0.0, 0.0)
    for placed, i in places[:: -(-len(places) // entries) or 1]:
        difference = _central_difference(model, x, y, i, epsilon, training)
        error = abs(grad[i] - difference) / max(1.0, abs(grad[i]), abs(difference))
        # A NaN is the worst there is: nothing replaces it.
        if not error <= worst.max_relative_error and not np.isnan(worst.max_relative_error):
            entry = np.unravel_index(i - placed.start, placed.param.shape)
            place = f"{placed.name}[{', '.join(str(int(j)) for j in entry)}]"
            worst = GradientCheck(float(error), place, float(grad[i]), float(difference))
    model.grads[:] = grad
    if not worst.max_relative_error <= tolerance:
        raise AssertionError(f"the gradient is wrong: {worst} (tolerance {tolerance:g})")
    return worst


def _in_float64(model):
    """Return a float64 model with the same layers, parameters and dropout masks."""
    engine = model.engine
    shape = engine.network.input_shape
    twin = type(model)(copies(engine.layers), input_shape=shape, seed=model.seed, dtype="float64")
    twin.compile(model.optimizer, engine.loss)
    twin.params[:], twin.engine.buffers[:] = model.params, model.engine.buffers
    twin.engine.step = model.step
    return twin


def _value_and_grad(model, x, y, training):
    """Return the model's `value_and_grad`; what its layers keep from step to step stays as it was."""
    buffers = model.engine.buffers.copy()
    result = model.value_and_grad(x, y, training=training)
    model.engine.buffers[:] = buffers
    return result


def _central_difference(model, x, y, i, epsilon, training):
    params, kept = model.params, model.params[i]
    try:
        params[i] = kept + epsilon
        above, _ = _value_and_grad(model, x, y, training)
        params[i] = kept - epsilon
        below, _ = _value_and_grad(model, x, y, training)
    finally:
        params[i] = kept
    return (above - below) / (2 * epsilon)
