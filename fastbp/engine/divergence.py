"""What to say when training diverges: the epoch, the step, the layer that first went bad, and what to try."""

import numpy as np

from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Update
from fastbp.engine.runner import Runner
from fastbp.engine.user_arrays import check_rows


class TrainingDiverged(ArithmeticError):
    """The loss or a parameter became NaN or infinite; the model has the weights of the last good epoch again.

    Parameters
    ----------
    message : str
    epoch, step : int
        Where it happened, both counted from 1 (the step within the epoch).
    layer : str or None
        The layer with the output or gradient that first went bad; the last layer if only the loss did.

    Attributes
    ----------
    epoch, step : int
        Where it happened, both counted from 1 (the step within the epoch).
    layer : str
        The layer with the output or gradient that first went bad; the last layer if only the loss did.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> model.compile(fastbp.SGD(1e30), "mse")
    >>> try:
    ...     model.fit(np.ones((8, 2)), np.ones(8), epochs=9, verbose=0)
    ... except fastbp.TrainingDiverged as error:
    ...     print(error.epoch, error.step, error.layer)
    2 1 dense
    """

    def __init__(self, message: str, epoch: int, step: int, layer: str | None) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer = epoch, step, layer

    def __reduce__(self):
        """Pickle whole: a worker process may have to send it."""
        return type(self), (self.args[0], self.epoch, self.step, self.layer)


def divergence_error(engine, before, data, steps, update):
    """Put the snapshot `before` the epoch back, and return the error that tells what went wrong.

    Somewhere in `steps` the loss, a parameter or the optimizer's state stopped being finite.  The epoch is
    replayed step by step up to there (the same bits, so the same thing happens), and that step is looked at
    layer by layer.
    """
    epoch = engine.epoch + 1
    engine.restore(before)
    params, state, grads = engine.params.copy(), engine.state.copy(), np.zeros_like(engine.params)
    buffers = engine.buffers.copy()
    rows, n_targets = int(steps["rows"].max()), data.y.shape[1]
    purpose = engine.training_purpose()
    replay = Runner(engine.network, rows, engine.dtype, purpose, engine.loss, n_targets, buffers)
    # Only what training can change: few rows of a table of a million.
    reach = before[0]
    for step in range(len(steps)):
        one, previous = slice(step, step + 1), reach.take(params)
        step_update = Update(update.optimizer, state, update.coefficients[one], np.zeros(1, np.int64))
        losses = replay.run(params, grads, steps[one], data, backward=True, update=step_update)
        known = np.isfinite(losses).all() and np.isfinite(buffers).all()
        if not (known and reach.is_finite(params) and reach.is_finite(state)):
            break
    updated = params.copy(), state.reshape(-1, params.size), buffers
    reach.put(params, previous)
    where, layer = _first_bad(engine, params, updated, data, steps[one])
    reason = _changed_input(engine, data.x) or (
        f"{where} is not finite. Try a lower learning rate, global_clipnorm=1.0 in the optimizer, or inputs and "
        "targets scaled to unit variance."
    )
    message = (
        f"training diverged in epoch {epoch}, step {step + 1} of {len(steps)}: {reason} The weights of the last good "
        "epoch are kept."
    )
    return TrainingDiverged(message, epoch, step + 1, layer)


def _changed_input(engine, x):
    """Return what is wrong with x (n, ...), which was right when training began: it is read in place; or None."""
    try:
        check_rows(x)
        engine.network.check_input(x)
    except ValueError as error:
        return f"{error} x was changed while the model trained on it."


def _first_bad(engine, params, updated, data, step):
    """Run one step on regions that hold the whole batch; return (what went bad first, its layer's name).

    `updated` are the parameters, the slots of the optimizer's state (S, P) and the buffers after the step.
    """
    purpose = Purpose(training=True, fused_output=engine.fused_output, keep_batch=True)
    runner = Runner(engine.network, int(step["rows"][0]), engine.dtype, purpose, engine.loss, data.y.shape[1])
    grads = np.zeros_like(params)
    # Regions that no layer writes (the gradient before a first Dropout) must not look bad.
    runner.work[:] = 0
    runner.run(params, grads, step, data, backward=True)
    plan, work = runner.plan, runner.work
    for name, record in zip(plan.names, plan.table, strict=True):
        if not np.isfinite(plan.region(work, record["out"], record["n_out"])).all():
            return f"the output of layer {name!r}", name
    for name, record in zip(plan.names[::-1], plan.table[::-1], strict=True):
        if not np.isfinite(plan.region(work, record["dout"], record["n_out"])).all():
            return f"the gradient of the output of layer {name!r}", name
    kinds = ("the gradient", "the update", "the optimizer's state")
    for kind, values in zip(kinds, (grads[None], updated[0][None], updated[1]), strict=True):
        for placed in engine.network.params[::-1]:
            if not np.isfinite(values[:, placed.start : placed.stop]).all():
                return f"{kind} of {placed.name!r}", engine.network.layers[placed.layer].name
    for placed in engine.network.buffers:
        if not np.isfinite(updated[2][placed.start : placed.stop]).all():
            return f"{placed.name!r}", engine.network.layers[placed.layer].name
    name, record = plan.names[-1], plan.table[-1]
    largest = np.abs(plan.region(work, record["out"], record["n_out"])).max()
    return f"the loss of the outputs of layer {name!r} (as large as {largest:.2g})", name
