"""How an output is attributed to the inputs of a network: three methods, each an object that holds its settings."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastbp.explain.attributions import Attributions
from fastbp.explain.category_vectors import Vectors
from fastbp.explain.integrated_gradients import BLOCK, integrate
from fastbp.settings.naming import nearest
from fastbp.settings.user_warnings import warn

# Of the largest output: how far a sum of contributions may be off before the way is cut finer, and before it is said.
TOLERANCE, TOLD = 1e-4, 1e-2


class Outputs:
    """Some outputs of a network behind its vectors, as functions of z (n, ...): values and gradients."""

    def __init__(self, vectors, places):
        self.vectors, self.places = vectors, places
        self.tail = vectors.tail

    def value(self, z):
        """Return the outputs (n, k) float64 for rows z."""
        out = z if self.tail is None else self.tail.predict(np.ascontiguousarray(z))
        return out.reshape(len(z), -1)[:, self.places].astype(np.float64)

    def gradients(self, z):
        """Return the gradient of each output by z, (k, n, ...)."""
        z = np.ascontiguousarray(z)
        shape = z.shape[1:] if self.tail is None else self.tail.network.output_shape
        n_outputs = int(np.prod(shape))
        found = np.empty((len(self.places), *z.shape), z.dtype)
        for own, place in zip(found, self.places, strict=True):
            dout = np.zeros((len(z), n_outputs), z.dtype)
            dout[:, place] = 1
            own[...] = dout.reshape(z.shape) if self.tail is None else self._vjp(z, dout.reshape(len(z), *shape))
        return found

    def _vjp(self, z, dout):
        parts = [
            self.tail.vjp(z[first : first + BLOCK], dout[first : first + BLOCK], False)
            for first in range(0, len(z), BLOCK)
        ]
        return np.concatenate(parts) if parts else np.zeros_like(z)


@dataclass(frozen=True)
class IntegratedGradients:
    """Contributions of the inputs on the straight way from a baseline to the row (Sundararajan et al., 2017).

    They sum to the prediction minus that for the baseline. Of a category the way leads from vector to vector.

    Parameters
    ----------
    baseline : number or array-like (...) or (n, ...), default 0
        Where the way begins: a row that says nothing, such as a black picture or the means of the columns.

    Raises
    ------
    ValueError
        In `Sequential.explain`, where `baseline` has another shape than a row or all rows, or is not finite.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, 2017 (arXiv:1703.01365).

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(4, "tanh"), fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> x = np.array([[1.0, 2.0]])
    >>> found = model.explain(x, fastbp.explain.IntegratedGradients(baseline=[1.0, 0.0]))
    >>> float(found.values[0, 0]), bool(np.allclose(found.values.sum(1) + found.base_values, model.predict(x)[:, 0]))
    (0.0, True)
    """

    baseline: Any = 0.0

    def explain(self, engine: Any, x: np.ndarray, places: np.ndarray) -> tuple:
        """Return the rows' contributions to outputs.

        Parameters
        ----------
        engine : Engine
        x : array (n, ...)
            The rows.
        places : array (k,) of int
            The outputs' numbers.

        Returns
        -------
        tuple
            Values (k, n, ...), base values (n, k) and errors (n, k).
        """
        vectors = Vectors(engine)
        outputs = Outputs(vectors, places)
        start = self._start(engine, x)
        end, start = vectors.embed(x), vectors.embed(start)
        base, predicted = outputs.value(start), outputs.value(end)
        largest = max(float(np.abs(predicted).max(initial=0)), float(np.abs(base).max(initial=0)))
        found = integrate(outputs, start, end, TOLERANCE * largest)
        worst = float(np.abs(found.error).max(initial=0))
        if worst > TOLD * largest:
            warn(
                f"the contributions of a row were off by {worst:.2g} in sum, of outputs up to {largest:.2g}: the model "
                "jumps or bends too often on the way from the baseline. What was missing is spread over them."
            )
        return np.stack([vectors.fold(one) for one in found.values]), base, found.error

    def _start(self, engine, x):
        try:
            start = np.broadcast_to(np.asarray(self.baseline, x.dtype), x.shape)
        except (TypeError, ValueError):
            raise ValueError(
                f"baseline has shape {np.shape(self.baseline)}: it is a number, a row of shape {x.shape[1:]}, or as "
                f"many rows as x, {x.shape}."
            ) from None
        if not np.isfinite(start).all():
            raise ValueError("baseline holds a number that is not finite.")
        start = np.ascontiguousarray(start)
        engine.network.check_input(start)
        return start


@dataclass(frozen=True)
class InputGradients:
    """The gradient of each output by the inputs: how an output changes where an input does, a little.

    Of categories, which do not change a little, there is none: such models are refused.

    Raises
    ------
    ValueError
        In `Sequential.explain`, for models that take categories.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> found = model.explain(np.zeros((1, 2)), "gradients")
    >>> bool((found.values == model.views["dense/kernel"].T).all())
    True
    """

    def explain(self, engine: Any, x: np.ndarray, places: np.ndarray) -> tuple:
        """Return the outputs' gradients by the rows.

        Parameters
        ----------
        engine : Engine
        x : array (n, ...)
            The rows.
        places : array (k,) of int
            The outputs' numbers.

        Returns
        -------
        tuple
            Values (k, n, ...), and None twice: there is no base value and no error.
        """
        return Outputs(_numbers_only(engine), places).gradients(x), None, None


@dataclass(frozen=True)
class SmoothGrad:
    """The mean gradient over noisy copies of a row (Smilkov et al., 2017): less ragged than that of the row alone.

    Parameters
    ----------
    noise : float, default 0.1
        Deviation of the normal noise, as a share of the range (largest minus smallest number) of `x`.
    samples : int, default 32
    seed : int, default 0

    Raises
    ------
    ValueError
        Where `noise` or `samples` is out of range; in `Sequential.explain`, for models that take categories.

    References
    ----------
    Smilkov et al., SmoothGrad: removing noise by adding noise, 2017 (arXiv:1706.03825).

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> model.explain(np.eye(2), fastbp.explain.SmoothGrad(samples=8)).values.shape
    (2, 2)
    """

    noise: float = 0.1
    samples: int = 32
    seed: int = 0

    def __post_init__(self):
        if not isinstance(self.noise, Real) or not 0 <= self.noise < np.inf:
            raise ValueError(f"SmoothGrad(noise={self.noise!r}): it is a finite number of at least 0.")
        if not isinstance(self.samples, Integral) or self.samples < 1:
            raise ValueError(f"SmoothGrad(samples={self.samples!r}): it is a whole number of at least 1.")

    def explain(self, engine: Any, x: np.ndarray, places: np.ndarray) -> tuple:
        """Return the outputs' mean gradients by noisy copies of the rows.

        Parameters
        ----------
        engine : Engine
        x : array (n, ...)
            The rows.
        places : array (k,) of int
            The outputs' numbers.

        Returns
        -------
        tuple
            Values (k, n, ...), and None twice: there is no base value and no error.
        """
        outputs = Outputs(_numbers_only(engine), places)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 0]))
        deviation = self.noise * float(np.ptp(x)) if x.size else 0.0
        total = np.zeros((len(places), *x.shape))
        for _ in range(self.samples):
            total += outputs.gradients(x + (deviation * rng.standard_normal(x.shape)).astype(x.dtype))
        return (total / self.samples).astype(x.dtype), None, None


def _numbers_only(engine):
    vectors = Vectors(engine)
    if vectors.pieces:
        raise ValueError('this model takes categories, by which there is no gradient: method="integrated_gradients".')
    return vectors


METHODS = {"integrated_gradients": IntegratedGradients, "gradients": InputGradients, "smoothgrad": SmoothGrad}


def resolve(method):
    """Return the method that a name or an object means, or raise ValueError."""
    if isinstance(method, str):
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise ValueError(f"there is no method {method!r}.{nearest(method, METHODS)} There are {known}.")
        return METHODS[method]()
    if not isinstance(method, tuple(METHODS.values())):
        raise ValueError(f"method={method!r}: it is one of {', '.join(METHODS)}, or an object of fastbp.explain.")
    return method


def attributions(engine, x, method, output):
    """Return the `Attributions` of a model's outputs (or of one, a number or index) to checked rows x."""
    shape = engine.network.output_shape
    places, shown = chosen_outputs(shape, output)
    values, base, error = resolve(method).explain(engine, x, places)

    def arranged(array):
        """(..., k) -> (..., outputs), or without that axis where one output is meant."""
        return array.reshape(*array.shape[:-1], *shown).astype(engine.dtype, copy=False)

    values = arranged(np.moveaxis(values, 0, -1))
    if base is None:
        return Attributions(values, None, x)
    return Attributions(values, arranged(base), x, arranged(error))


def chosen_outputs(shape, output):
    """Return the places (k,) of the outputs in a flat row, and the shape that they are shown in."""
    size = int(np.prod(shape))
    if output is None:
        return np.arange(size), () if size == 1 else shape
    index = output if isinstance(output, tuple) else (output,)
    whole = all(isinstance(i, Integral) and not isinstance(i, bool) for i in index)
    if not whole or len(index) != len(shape) or any(not -n <= i < n for i, n in zip(index, shape, strict=True)):
        raise ValueError(f"output={output!r}: it is the index of one of the outputs, which have the shape {shape}.")
    return np.array([np.ravel_multi_index([i % n for i, n in zip(index, shape, strict=True)], shape)]), ()
