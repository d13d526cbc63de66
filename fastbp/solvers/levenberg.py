"""Levenberg-Marquardt: small networks fitted by least squares, in few and large steps.

Minimises, over the trainable parameters p (P,) of a network without dropout,

    F(p) = 1 / (2 W) * (sum over rows i of weight_i * |out_i - y_i|^2 + alpha * |kernels|^2)

with W the sum of the weights (the number of rows if there are none).  An iteration makes the matrix of the normal
equations, A = J^T J with J = d residual / d p, block by block of J, and solves (A + damping * I) step = -gradient
until a step lowers F.  The damping follows the gain ratio, as in Madsen, Nielsen and Tingleff, Methods for non-linear
least squares problems, 2004, section 3.2.
"""

from typing import NamedTuple

import numpy as np

from fastbp.kernels.repeatable import dot, norm
from fastbp.solvers.leastsquares import LeastSquares

# More parameters make a matrix of more than 32 MB and an iteration of seconds.
MAX_PARAMETERS = 2000

# The damping, as a share of the largest diagonal entry of A.  It starts at the first.  Below the second the rounding
# errors of A would hide it, and it could not rise in time.  Above the third a step is too short to change anything.
FIRST_DAMPING, MIN_DAMPING, MAX_DAMPING = 1e-3, 2e-16, 1e15


class Result(NamedTuple):
    """What `levenberg_marquardt` did.

    Attributes
    ----------
    loss_curve : list of float
        F after each iteration.
    n_iter : int
        Iterations: matrices of normal equations made.
    converged : bool
        Whether it ended for one of the first three of these reasons.
    reason : str
        ``"gradient"``, ``"step"``, ``"decrease"``, ``"max_iter"``, ``"damping"`` (no damping gave a step that lowers
        F) or ``"stopped"`` (by `on_iteration`).
    damping : float
        The last damping.
    """

    loss_curve: list
    n_iter: int
    converged: bool
    reason: str
    damping: float


def levenberg_marquardt(engine, x, targets, weight=None, *, alpha=0.0, max_iter=200, tol=1e-4, on_iteration=None):
    """Minimise F of the module's docstring, from the engine's parameters.

    Parameters
    ----------
    engine : Engine
        Its trainable `params` are overwritten, always all at once, with the best so far.
    x, targets : (n, d) and (n, k) arrays
        C-contiguous and in the engine's dtype, checked.
    weight : (n,) array, optional
        Likewise; not negative, and not all zero.
    alpha : float, default 0.0
        Penalty on the kernels.  The layers' own regularizers do not count.
    max_iter : int, default 200
    tol : float, default 1e-4
        The share of the residual (penalty included) that the model could still explain near the optimum.  It ends
        with "gradient" if the cosine between the residual and every column of J is at most `tol`, with "decrease"
        after a step that lowered F, and was expected to, by a share of at most ``tol**2``, and with "step" if a step
        is shorter than the parameters by a factor of ``tol**2`` (or of their dtype's precision).
    on_iteration : callable, optional
        Called as ``on_iteration(iteration, F)`` after each, counted from 1; True ends the fit.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        Where there are no trainable parameters, or more than 2,000, or a dropout layer.
    ArithmeticError
        Where F is not finite at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense
    >>> from fastbp.engine.engine import Engine
    >>> engine = Engine([Dense(5, activation="tanh"), Dense(1)], (1,), seed=0, dtype="float64")
    >>> x = np.linspace(-2, 2, 50)[:, None]
    >>> result = levenberg_marquardt(engine, x, np.sin(x))
    >>> result.loss_curve[-1] < 1e-6
    True
    """
    _check(engine)
    problem = LeastSquares(engine, x, targets, weight, alpha)
    objective = problem.objective(engine.params)
    if not np.isfinite(objective):
        raise ArithmeticError(f"the loss at the start is {objective}: check x, y, the weights and the parameters.")
    damping, loss_curve, reason = None, [], None
    while reason is None and len(loss_curve) < max_iter:
        problem.linearize(engine.params)
        if problem.is_stationary(objective, tol):
            reason = "gradient"
        else:
            damping = damping or Damping(FIRST_DAMPING * problem.scale)
            objective, reason = _descend(problem, engine.params, objective, damping, tol)
        loss_curve.append(objective)
        if on_iteration is not None and on_iteration(len(loss_curve), objective) and reason is None:
            reason = "stopped"
    converged = reason in ("gradient", "step", "decrease")
    last_damping = float(damping.value) if damping else 0.0
    return Result(loss_curve, len(loss_curve), converged, reason or "max_iter", last_damping)


def _check(engine):
    """Raise ValueError for a network that the solver cannot train."""
    for placed in engine.network.layers:
        if placed.spec.draws:
            raise ValueError(
                f'solver "lm" cannot train with a {type(placed.spec).__name__} layer ({placed.name!r}) that drops '
                'entries or adds noise: a random loss has no least squares. Leave that out, or take solver "adam".'
            )
        if placed.build.buffers:
            raise ValueError(
                f'solver "lm" cannot train with a {type(placed.spec).__name__} layer ({placed.name!r}): it keeps '
                'numbers from batch to batch, where the solver has no batches. Leave it out, or take solver "adam".'
            )
    n_params = sum(placed.n_params for placed in engine.network.layers if placed.spec.trainable)
    if n_params == 0:
        raise ValueError('solver "lm" finds nothing to train: no layer has parameters and trainable=True.')
    if n_params > MAX_PARAMETERS:
        raise ValueError(
            f'solver "lm" trains at most {MAX_PARAMETERS:,} parameters, this network has {n_params:,}: '
            'take solver "lbfgs" or "adam", or fewer hidden units.'
        )


@np.errstate(over="ignore", invalid="ignore")
def _descend(problem, params, objective, damping, tol):
    """Raise the damping until a step lowers F; return F there, and the reason to end or None."""
    place = params[problem.trained].astype(np.float64)
    # Shorter steps are lost in rounding.
    shortest = max(tol**2, np.finfo(params.dtype).eps) * norm(place)
    damping.value = max(damping.value, MIN_DAMPING * problem.scale)
    # False where A overflowed
    while damping.value < MAX_DAMPING * problem.scale:
        step = problem.solve(damping.value)
        if step is not None:
            if norm(step) <= shortest:
                return objective, "step"
            trial = params.copy()
            trial[problem.trained] = place + step
            # F(p) - F(p + step) of the linear model
            expected = 0.5 * dot(step, damping.value * step - problem.gradient)
            found = problem.objective(trial)
            # False for NaN
            if found < objective and expected > 0:
                params[:] = trial
                damping.lower((objective - found) / expected)
                settled = max(objective - found, expected) <= tol**2 * objective
                return found, "decrease" if settled else None
        damping.rise()
    return objective, "damping"


class Damping:
    """Nielsen's rule: a good gain ratio lowers the damping smoothly, failures in a row raise it ever faster."""

    def __init__(self, value):
        self.value, self.growth = value, 2.0

    def lower(self, gain):
        """After a step whose decrease of F is `gain` times the expected one."""
        self.value *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
        self.growth = 2.0

    def rise(self):
        """After a step that did not lower F."""
        self.value *= self.growth
        self.growth *= 2
