"""Single steps of a model, for training loops of one's own: one update, or gradients alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.user_arrays import as_float_rows, check_rows, check_same_length, held, real_array
from fastbp.models.predicting import loss_or_list


def train_on_batch(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float | list[float]:
    """Make one update on one batch.

    Parameters
    ----------
    x : array-like (n, d)
    y : array-like (n,), (n, t), or of the outputs' shape
    sample_weight : array-like (n,), or (n, t) for time steps, optional

    Returns
    -------
    float or list of float
        The loss before the update, or ``[loss, *metrics]``.

    Raises
    ------
    ValueError
        For data that does not fit the model.
    ArithmeticError
        If the loss is not finite; no update is made.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.SGD(0.1), "mean_squared_error")
    >>> losses = [model.train_on_batch(x, x.sum(axis=1)) for _ in range(20)]
    >>> losses[-1] < losses[0] / 100, model.step
    (True, 20)
    """
    self._check_compiled("train_on_batch")
    rows = self._rows(x, y, sample_weight)
    self.engine.check_metrics(rows)
    self.tell_changes()
    return loss_or_list(self.engine.train_on(rows))


def value_and_grad(
    self, x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, training: bool = False
) -> tuple[float, np.ndarray]:
    """Return the mean loss with penalties, and its gradient.

    Parameters
    ----------
    x : array-like (n, d)
    y : array-like (n,), (n, t), or of the outputs' shape
    sample_weight : array-like (n,), or (n, t) for time steps, optional
    training : bool, default False
        True draws the dropout masks of the next step, and moves the moving statistics as a step does.

    Returns
    -------
    loss : float
    grad : array (P,)
        A new array in the layout of `params`; zero for layers that are not trainable. It is also in `grads`.

    Raises
    ------
    ValueError
        Where the model is not compiled, or for data that do not fit it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0, dtype="float64")
    >>> model.compile(loss="mean_squared_error")
    >>> loss, grad = model.value_and_grad(np.eye(2), np.zeros(2))
    >>> grad.shape == model.params.shape
    True
    """
    self._check_compiled("value_and_grad")
    rows = self._rows(x, y, sample_weight)
    self.tell_changes()
    return self.engine.gradient(rows, training), self.grads.copy()


def vjp(self, x: ArrayLike, dout: ArrayLike, *, training: bool = False) -> np.ndarray:
    """Return dx, the gradient of ``sum(model(x) * dout)``; that of the parameters goes to `grads`.

    Parameters
    ----------
    x : array-like (n, d)
    dout : array-like (n, k)
        Gradient of some scalar with respect to the model's outputs.
    training : bool, default False
        True draws the dropout masks of the next step, and moves the moving statistics as a step does.

    Returns
    -------
    dx : array (n, d)

    Raises
    ------
    ValueError
        Where the model is not built, or for rows or a `dout` that do not fit it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> dx = model.vjp(np.ones((3, 2)), np.ones((3, 1)))  # of the sum of the outputs
    >>> bool((dx == model.views["dense/kernel"][:, 0]).all()), float(model.grads[-1])  # the bias is the last one
    (True, 3.0)
    """
    engine = self._built("vjp")
    x = as_float_rows(held(x), self.dtype, shape=engine.network.input_shape)
    check_rows(x)
    engine.network.check_input(x)
    dout = as_float_rows(held(dout), self.dtype, "dout", engine.network.output_shape)
    check_same_length(len(x), dout=dout)
    self.tell_changes()
    return engine.vjp(x, dout, training)


def apply_gradients(self, grad: ArrayLike | None = None) -> None:
    """Make one optimizer step with `grad`, or with `grads`.

    Parameters
    ----------
    grad : array-like (P,), optional
        In the layout of `params`. Clipping, weight decay and constraints apply; penalties are expected
        to be in `grad` already (`value_and_grad` adds them).

    Raises
    ------
    ValueError
        If `grad` has another shape, or an entry that is not finite; no update is made.

    Examples
    --------
    A training loop of one's own, with the gradient's length bounded:

    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.compile(fastbp.SGD(0.1), "mean_squared_error")
    >>> for _ in range(100):
    ...     loss, grad = model.value_and_grad(x, x.sum(axis=1), training=True)
    ...     model.apply_gradients(grad / max(1, np.linalg.norm(grad)))
    >>> loss < 1e-3
    True
    """
    self._check_compiled("apply_gradients")
    engine = self._built("apply_gradients")
    grad = self.grads if grad is None else real_array(grad, "grad").astype(self.dtype, copy=False)
    if grad.shape != self.params.shape:
        raise ValueError(f"grad has shape {grad.shape}; the parameters have {self.params.shape}.")
    if not np.isfinite(grad).all():
        place = int(np.flatnonzero(~np.isfinite(grad))[0])
        raise ValueError(f"grad[{place}] is {grad[place]}: no update was made.")
    self.tell_changes()
    engine.apply_gradients(grad)
