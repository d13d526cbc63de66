"""`Sequential.evaluate` and `predict`: what a model gives for rows, without an update."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.user_arrays import as_float_rows, held
from fastbp.models.arguments import checked_verbose
from fastbp.models.predict_progress import predict_with_bar


def evaluate(
    self,
    x: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    verbose: int | str = 0,
    return_dict: bool = False,
) -> float | list[float] | dict[str, float]:
    """Return the mean loss (penalties included) and the metrics on `x` and `y`.

    Stateful layers see the rows batch after batch, as in training.

    Parameters
    ----------
    x : array-like (n, d)
    y : array-like (n,), (n, t), or of the outputs' shape
    sample_weight : array-like (n,), or (n, t) for time steps, optional
    verbose : {0, "auto", 1, 2}, default 0
        All but 0 print the figures.
    return_dict : bool, default False

    Returns
    -------
    float, list of float or dict
        The loss alone without metrics, else ``[loss, *metrics]``; a dict if asked for.

    Raises
    ------
    ValueError
        Where the model is not compiled, or for data that do not fit it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1, kernel_initializer="zeros")], input_shape=(2,))
    >>> model.compile("adam", "mean_squared_error", metrics=["mae"])
    >>> model.evaluate(np.eye(2), [1.0, 3.0])
    [5.0, 2.0]
    >>> model.evaluate(np.eye(2), [1.0, 3.0], return_dict=True)
    {'loss': 5.0, 'mae': 2.0}
    """
    self._check_compiled("evaluate")
    verbose = checked_verbose(verbose)
    rows = self._rows(x, y, sample_weight)
    self.engine.check_metrics(rows)
    self.tell_changes()
    figures = self.engine.evaluate(rows)
    if verbose:
        print(" - ".join(f"{name}: {value:.4g}" for name, value in figures.items()))
    if return_dict:
        return figures
    return loss_or_list(figures)


def predict(self, x: ArrayLike, *, verbose: int | str = 0) -> np.ndarray:
    """Return the outputs for `x`; stateful layers see it batch after batch, as in training.

    Parameters
    ----------
    x : array-like (n, d)
    verbose : {0, "auto", 1, 2}, default 0
        1 (and "auto") shows a bar while it takes long, 2 lines.

    Returns
    -------
    array (n, k), in the model's dtype
        Probabilities after a softmax or sigmoid.

    Raises
    ------
    ValueError
        Where the model is not built, or for rows that do not fit it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(3, "softmax")], input_shape=(4,), seed=0)
    >>> probabilities = model.predict(np.ones((5, 4)))
    >>> probabilities.shape
    (5, 3)
    >>> classes = probabilities.argmax(axis=1)
    """
    engine = self._built("predict")
    x = as_float_rows(held(x), self.dtype, shape=engine.network.input_shape)
    engine.network.check_input(x)
    self.tell_changes()
    if verbose != 0:
        return predict_with_bar(engine, x, checked_verbose(verbose))
    return engine.predict(x)


def loss_or_list(figures):
    """Return the loss alone, or the list of loss and metrics, as Keras does."""
    values = list(figures.values())
    return values if len(values) > 1 else values[0]
