"""The learning-rate range test (Smith, 2017): a short training in which the rate rises from step to step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastbp.doctor.patient import copy_of
from fastbp.models.arguments import checked_counts
from fastbp.settings.checked import is_number

# The test ends where the smoothed loss is so many times its best, as in fastai.
DIVERGED = 4.0
# Weight of the last losses in the smoothed one.
SMOOTHING = 0.9


@dataclass(frozen=True)
class LearningRateRange:
    """What `learning_rate_range` measured.

    Attributes
    ----------
    rates : array (s,)
        The learning rate of each step.
    losses : array (s,)
        The loss of its batch, before the update.
    smoothed : array (s,)
        An exponential mean of the losses, without bias at the start.
    suggestion : float or None
        Where the smoothed loss falls fastest by the logarithm of the rate; None where it never falls.
    largest : float or None
        Where the smoothed loss is least: beyond it training gets worse.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    largest: float | None

    def __repr__(self):
        tried = f"{len(self.rates)} steps from {self.rates[0]:.1g} to {self.rates[-1]:.1g}"
        if self.suggestion is None:
            return f"<LearningRateRange of {tried}: the loss never falls>"
        return f"<LearningRateRange of {tried}: suggestion {self.suggestion:.2g}, worse from {self.largest:.2g} on>"

    def plot(self, ax=None):
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
        """
        if ax is None:
            ax = _new_axes()
        ax.plot(self.rates, self.losses, color="lightgray", label="of each batch")
        ax.plot(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            ax.axvline(self.suggestion, linestyle="--", color="#d1495b", label=f"suggestion {self.suggestion:.2g}")
        # The last steps of a test go through the roof.
        start, least = self.smoothed[0], self.smoothed.min()
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
    model,
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
        The first and the last rate; those between grow by the same factor. Where the smoothed loss gets four times as
        large as its best the test ends.
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
    smoothed = _smoothed(losses)
    suggestion, largest = _suggested(rates, smoothed)
    return LearningRateRange(rates, losses, smoothed, suggestion, largest)


def _trained(engine, rows, rates, batch_size):
    """Return the rates that were tried, and the loss of each one's batch."""
    engine.metrics, engine.optimizer.gradient_accumulation_steps = [], None
    batches, losses, best = _batches(len(rows.x), engine.network.batch_size or batch_size), [], np.inf
    for rate in rates:
        engine.optimizer.learning_rate = float(rate)
        try:
            losses.append(engine.train_on(rows.part(next(batches)))["loss"])
        except ArithmeticError:  # not finite
            break
        smoothed = _smoothed(np.array(losses))[-1]
        best = min(best, smoothed)
        if not smoothed <= DIVERGED * best and len(losses) > 1:
            break
    return rates[: len(losses)], np.array(losses)


def _batches(n, size):
    """Yield the row numbers of batches for ever, in ever new orders."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(n)
        yield from (order[first : first + size] for first in range(0, max(n - size, 0) + 1, size))


def _smoothed(losses):
    """Return the exponential mean of losses (s,), divided by the sum of its weights."""
    means, mean = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means[step] = mean / (1 - SMOOTHING ** (step + 1))
    return means


def _suggested(rates, smoothed):
    """Return the rate at which the smoothed loss falls fastest, and that where it is least; None if it never falls."""
    if len(rates) < 5:
        return None, None
    least = int(smoothed.argmin())
    if least == 0 or smoothed[least] > 0.99 * smoothed[0]:
        return None, None
    slopes = np.gradient(smoothed, np.log(rates))[: least + 1]
    return float(rates[int(slopes.argmin())]), float(rates[least])
