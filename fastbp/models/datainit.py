"""Initial values that depend on the training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Data
from fastbp.engine.runner import Runner
from fastbp.engine.user_arrays import as_float_rows, check_rows
from fastbp.layers.base import Layer

# Beside the streams of the first initial values, which are numbered from 0.
FIRST_STREAM = 2**32


def initialize_from_data(model: Any, x: ArrayLike) -> None:
    """Let the layers whose initializers ask for it see the training data, one after the other.

    Each layer gets what the layers before it, already adapted, make of `x` (without dropout), and sets its
    parameters: `UnitVariance` kernels and `MinusRandomProducts` biases of `Dense` and `MemberDense`. Call it once,
    before `fit`; other parameters stay as they are.

    Parameters
    ----------
    model : Sequential
        Built for the columns of `x`, or not yet built. Its parameters are overwritten.
    x : array-like (n, d)
        Training rows; some thousands are enough. The outputs of all layers for them are held in memory.

    Raises
    ------
    ValueError
        For rows that do not fit the model.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> layers = [fastbp.Dense(8, kernel_initializer="unit_variance", bias_initializer="minus_random_products")]
    >>> model = fastbp.Sequential(layers, seed=0)
    >>> x = np.random.default_rng(0).normal(3.0, 5.0, (1000, 4))
    >>> fastbp.initialize_from_data(model, x)
    >>> bool(np.allclose(model.predict(x).std(axis=0), 1.0, atol=1e-4))
    True
    """
    x = as_float_rows(x, model.dtype, shape=model.engine and model.engine.network.input_shape)
    check_rows(x)
    model.build(x.shape[1:])
    engine = model.engine
    engine.network.check_input(x)
    purpose = Purpose(training=False, keep_batch=True)
    runner = Runner(engine.network, len(x), engine.dtype, purpose, buffers=engine.buffers)
    plan = runner.plan
    for number, layer in enumerate(engine.network.layers):
        if type(layer.spec).adapt is Layer.adapt:
            continue
        runner.run(engine.params, engine.grads, engine.one_step(runner, len(x), False), Data(x))
        record = plan.table[plan.names.index(layer.name)]
        inputs = plan.region(runner.work, record["x"], record["n_in"]).reshape(len(x), *layer.input_shapes[0])
        views = {p.param.name: engine.views[p.name] for p in engine.network.params if p.layer == number}
        rng = np.random.Generator(np.random.Philox(key=[engine.seed, FIRST_STREAM + number]))
        layer.spec.adapt(views, inputs.astype(np.float64), rng)
