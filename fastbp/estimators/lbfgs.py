"""L-BFGS: scipy.optimize on the flat parameters, one compiled call for each value and gradient."""

import numpy as np
from scipy.optimize import minimize
from sklearn.utils.optimize import _check_optimize_result
from threadpoolctl import threadpool_limits

from fastbp.engine.driver_call import Data, make_steps
from fastbp.estimators.fit_callbacks import Watchers


def fit_lbfgs(mlp, objective, rows):
    """Minimise the loss on all of `rows`; `loss_` and `n_iter_` are written.

    Parameters
    ----------
    mlp : BaseMLP
    objective : Objective
    rows : WeightedRows
    """
    engine, n = mlp.model_.engine, len(rows.x)
    steps = make_steps(engine.seed, 0, [0], [n], training=True)
    objective.set_divisors(steps, n if rows.weight is None else rows.weight.sum())
    data = Data(rows.x, rows.targets, rows.weight)
    watchers, trial = Watchers(mlp, objective, 1, None), engine.params.copy()
    with engine.runner(n, objective.purpose(training=True), rows.targets.shape[1], objective.loss) as runner:

        def value_and_gradient(params):
            # Not the engine's own: whatever ends the fit, those are the last iteration's.
            trial[:] = params
            loss = runner.run(trial, engine.grads, steps, data, backward=True)[0]
            return loss, engine.grads.astype(np.float64)

        def iteration_ends(intermediate_result):
            mlp.n_iter_ += 1
            engine.params[:] = intermediate_result.x
            if mlp.verbose:
                print(f"Iteration {mlp.n_iter_}, loss = {intermediate_result.fun:.8f}")
            if watchers.iteration_ends(mlp.n_iter_ - 1, float(intermediate_result.fun)):
                raise StopIteration

        def minimized():
            # The solver's products of vectors gain nothing from BLAS's threads, and wait long for them on a busy
            # machine: 100 iterations on diabetes took 0.07 s, with two BLAS threads 1.6 s.
            with threadpool_limits(1, user_api="blas"):
                return minimize(
                    value_and_gradient,
                    engine.params.astype(np.float64),
                    method="L-BFGS-B",
                    jac=True,
                    callback=iteration_ends,
                    options={"maxfun": mlp.max_fun, "maxiter": mlp.max_iter, "gtol": mlp.tol},
                )

        mlp.n_iter_ = 0
        result = watchers.watch(minimized)
        engine.params[:] = result.x
    mlp.n_iter_ = _check_optimize_result("lbfgs", result, mlp.max_iter)
    mlp.loss_ = float(result.fun)
