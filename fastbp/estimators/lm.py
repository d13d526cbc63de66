"""Levenberg-Marquardt behind `MLPRegressor(solver="lm")`."""

from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp.estimators.fit_callbacks import Watchers, data_loss
from fastbp.settings.user_warnings import warn
from fastbp.solvers.levenberg import levenberg_marquardt


def fit_lm(mlp, objective, rows):
    """Minimise the squared error on all of `rows`; `loss_`, `loss_curve_` and `n_iter_` are written.

    Parameters
    ----------
    mlp : MLPRegressor
    objective : Objective
    rows : WeightedRows
    """
    engine = mlp.model_.engine
    total = len(rows.x) if rows.weight is None else rows.weight.sum()

    def iteration_ends(iteration, _):
        mlp.n_iter_ = iteration
        penalty = 0.5 * mlp.alpha * sum(np.square(coef).sum() for coef in [*mlp.model_.views.values()][::2]) / total
        mlp.loss_ = data_loss(engine, objective, rows) + float(penalty)
        mlp.loss_curve_.append(mlp.loss_)
        if mlp.verbose:
            print(f"Iteration {iteration}, loss = {mlp.loss_:.8f}")
        return watchers.iteration_ends(iteration - 1, mlp.loss_)

    mlp.loss_curve_, mlp.n_iter_ = [], 0
    settings = {"alpha": mlp.alpha, "max_iter": mlp.max_iter, "tol": mlp.tol, "on_iteration": iteration_ends}
    watchers = Watchers(mlp, objective, 1, None)
    arguments = (engine, rows.x, rows.targets, rows.weight)
    try:
        result = watchers.watch(partial(levenberg_marquardt, *arguments, **settings))
    except ArithmeticError as error:
        raise ValueError(f"{error} The input data may contain large values and need to be preprocessed.") from None
    if result.reason == "max_iter":
        warn(
            f"lm failed to converge after {result.n_iter} iteration(s). Increase the number of iterations to improve "
            f"the convergence (max_iter={mlp.max_iter}).",
            ConvergenceWarning,
        )
