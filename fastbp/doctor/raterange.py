"""The learning-rate range test (Smith, 2017): a short training in which the rate rises from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.doctor.patient import copy_of
from fastbp.models.arguments import checked_counts
from fastbp.settings.validation import is_number

# The test ends where the loss is so many times its first, as in fastai.
DIVERGED = 4.0
# Rows whose loss is measured.  That of each step's batch, as Smith plots it, is too uneven in a short test: smoothed,
# it gave 1e-6 for iris, breast cancer and diabetes, whose first batches happened to have ever less to lose.
MEASURED = 256
# Steps that a slope is taken over.
WINDOW = 5


@dataclass(frozen=True)
class LearningRateRange:
    """What `learning_rate_range` measured.

    Parameters
    ----------
    rates : array (s,)
        The learning rate of each step.
    losses : array (s,)
        The loss before it, of the same rows each time (256, evenly spread), as training computes it.
    suggestion : float or None
        Where the loss falls fastest by the logarithm of the rate, but at most a third of `largest`; None where it never
        falls.
    largest : float or None
        Where the loss is least before it first rises again: beyond it training gets worse.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> from fastbp.doctor import learning_rate_range
    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> found = learning_rate_range(model, x, x[:, 0])
    >>> bool(found.rates[0] < found.suggestion < found.rates[-1])
    True
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float | None
    largest: float | None

    def __repr__(self):
        tried = f"{len(self.rates)} steps from {self.rates[0]:.1g} to {self.rates[-1]:.1g}"
        if self.suggestion is None:
            return f"<LearningRateRange of {tried}: the loss never falls>"
        return f"<LearningRateRange of {tried}: suggestion {self.suggestion:.2g}, worse from {self.largest:.2g} on>"

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss by the learning rate, and the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            By default a new figure's.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> x = np.random.default_rng(0).standard_normal((200, 4))
        >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
        >>> model.compile("sgd", "mse")
        >>> ax = fastbp.doctor.learning_rate_range(model, x, x[:, 0]).plot()
        >>> ax.get_xlabel()
        'learning rate'
        """
        if ax is None:
            ax = _new_axes()
        ax.plot(self.rates, self.losses, label="loss")
        if self.suggestion is not None:
            ax.axvline(self.suggestion, linestyle="--", color="#d1495b", label=f"suggestion {self.suggestion:.2g}")
        # The last steps of a test go through the roof.
        start, least = self.losses[0], self.losses.min()
        ax.set_ylim(least - 0.1 * abs(start - least), start + 0.5 * abs(start - least) + 1e-12)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        ax.legend()
        return ax


def _new_axes():
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plot() needs matplotlib: pip install "fastbp[plot]"') from None
    import matplotlib

    if matplotlib.get_backend().lower() == "agg":  # pyplot would hold the figure until it is closed
        return Figure(layout="constrained").subplots()
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def learning_rate_range(
    model: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
) -> LearningRateRange:
    """Try learning rates: train a copy of the model for some steps, the rate rising from one to the next.

    Parameters
    ----------
    model : Sequential
        Compiled, and new or trained; it stays as it was, to the bit.
    x : array-like (n, *input_shape)
    y : array-like
        As `Sequential.fit` takes them.
    sample_weight : array-like (n,), optional
    lowest, highest : float, default 1e-6 and 10
        The first and the last rate; those between grow by the same factor. Where the loss gets four times as
        large as at the start the test ends.
    steps : int, default 100
    batch_size : int, default 32

    Returns
    -------
    LearningRateRange
        With `suggestion`, and `plot`.

    Raises
    ------
    ValueError
        Where the model is not compiled, for data that do not fit it, and for rates that are not 0 < lowest < highest.

    References
    ----------
    L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits(return_X_y=True)
    >>> model = fastbp.Sequential([fastbp.Dense(32, "relu"), fastbp.Dense(10, "softmax")], input_shape=(64,), seed=0)
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> found = fastbp.doctor.learning_rate_range(model, x / 16, y)
    >>> 1e-3 < found.suggestion < 0.1
    True
    """
    steps, batch_size = checked_counts(steps=steps, batch_size=batch_size)
    if not (is_number(lowest) and is_number(highest) and 0 < lowest < highest < np.inf):
        raise ValueError(f"lowest={lowest!r}, highest={highest!r}: rates are 0 < lowest < highest.")
    if steps < 10:
        raise ValueError(f"steps={steps}: a test takes 10 at least.")
    model._check_compiled("learning_rate_range")
    twin = copy_of(model)
    rows = twin._rows(x, y, sample_weight)
    rates, losses = _trained(twin.engine, rows, np.geomspace(lowest, highest, steps), batch_size)
    return LearningRateRange(rates, losses, *_suggested(rates, losses))


def _trained(engine, rows, rates, batch_size):
    """Return the rates that were tried, and the loss before each one's update."""
    engine.metrics, engine.optimizer.gradient_accumulation_steps = [], None
    engine.compile(engine.optimizer, engine.loss, [])  # of another state, where gradients were to add up
    size = engine.network.batch_size or batch_size
    batches, losses = _batches(len(rows.x), size), []
    places = np.arange(engine.network.batch_size) if engine.network.batch_size else _spread(len(rows.x))
    measured = rows.subset(places)
    for rate in rates:
        losses.append(_loss_of(engine, measured))
        if not losses[-1] <= DIVERGED * abs(losses[0]):
            break
        engine.optimizer.learning_rate = float(rate)
        try:
            engine.train_on(rows.subset(next(batches)))
        except ArithmeticError:  # not finite
            break
    kept = np.isfinite(losses)
    return rates[: len(losses)][kept], np.array(losses)[kept]


def _spread(n):
    """Return the numbers of the rows whose loss is measured."""
    return np.linspace(0, n - 1, min(n, MEASURED)).astype(np.int64)


def _loss_of(engine, rows):
    """Return the loss of rows as training computes it; what layers keep stays as it was."""
    buffers = engine.buffers.copy()
    loss = engine.gradient(rows, training=True)
    engine.buffers[:] = buffers
    return loss


def _batches(n, size):
    """Yield the row numbers of batches for ever, in ever new orders."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(n)
        yield from (order[first : first + size] for first in range(0, max(n - size, 0) + 1, size))


def _suggested(rates, losses):
    """Return the rate at which the loss falls fastest, and that where it is least; None if it never falls."""
    if len(rates) <= WINDOW:
        return None, None
    least = int(losses[: _first_rise(losses)].argmin())
    if least < WINDOW or losses[least] > 0.99 * losses[0]:
        return None, None
    falls = losses[:-WINDOW] - losses[WINDOW:]
    steepest = rates[int(falls[: max(least - WINDOW, 0) + 1].argmax()) + WINDOW // 2]
    return float(min(steepest, rates[least] / 3)), float(rates[least])


def _first_rise(losses):
    """Return the number of steps until the loss has lost a quarter of what it had gained: later luck does not count."""
    best = np.minimum.accumulate(losses)
    gained = losses[0] - best
    lost = (gained > 0.05 * abs(losses[0])) & (losses - best > 0.25 * gained)
    return int(lost.argmax()) if lost.any() else len(losses)
