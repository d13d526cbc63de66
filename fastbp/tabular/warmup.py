"""warmup: load or compile machine code before there are data."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from fastbp.engine.layer_ownership import copies
from fastbp.models.arguments import checked_layers
from fastbp.models.sequential import Sequential
from fastbp.tabular.recipe import PRESETS

# These input shapes are tried for a list of layers if none is given: rows, sequences, images.
SHAPES = ((8,), (8, 4), (32, 32, 3))
N_ROWS = 4
# Rows and numeric columns of made-up tables: small networks add up gradients over slices of rows.
TABLES = ((40, 8), (3000, 8), (600, 128))
# Seconds that are enough to need each kernel; the time of compiling does not count.
TABLE_SECONDS = 0.3


def warmup(
    what: Any = "default",
    *,
    input_shape: tuple[int, ...] | None = None,
    optimizer: Any = None,
    loss: Any = None,
    dtype: Any = None,
) -> None:
    """Load or compile all machine code that something will need.

    Built-in kernels come from the kernel library in milliseconds, where one is installed. What has to be compiled (a
    loss or an activation of one's own) is compiled now, once per machine, and kept.

    Parameters
    ----------
    what : str, Sequential, or list of layers, default "default"
        A preset of the tabular estimators, a model (which is not changed), or layers.
    input_shape : tuple of int, optional
        Of a row, for layers and for a model that is not built; by default a shape that they take is looked for.
    optimizer, loss : str or object, default "adam" and "mean_squared_error"
        For layers, and for a model that is not compiled.
    dtype : "float32" or "float64", default "float32"
        For layers.

    Raises
    ------
    ValueError
        For an unknown preset, layers that take none of the shapes that were tried, or a setting that `what` has
        already.
    TypeError
        For anything else.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warmup([fastbp.Dense(16, activation="relu"), fastbp.Dense(1)])
    """
    given = {"input_shape": input_shape, "optimizer": optimizer, "loss": loss, "dtype": dtype}
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(what, str):
        if what not in PRESETS:
            raise ValueError(f"warmup({what!r}): a preset is one of {', '.join(PRESETS)}.")
        _refuse(given, f"the preset {what!r} has its own")
        _warm_tables(what)
    elif isinstance(what, Sequential):
        _warm_model(what, given)
    elif isinstance(what, list | tuple):
        _warm_layers(list(what), **given)
    else:
        raise TypeError(f"warmup takes a preset, a model or a list of layers, not {type(what).__name__}.")


def _refuse(given, reason):
    """Raise ValueError for the first of the settings that were given."""
    for name in given:
        raise ValueError(f"warmup({name}=): {reason}. Leave it out.")


def _warm_tables(preset):
    """Train and apply the tabular estimators on a few made-up rows."""
    import pandas as pd

    from fastbp.tabular.model import ESTIMATORS

    for kind in ESTIMATORS.values():
        for n_rows, n_columns in TABLES:
            x = np.random.default_rng(0).normal(size=(n_rows, n_columns))
            frame = pd.DataFrame(x).rename(columns=str)
            if n_columns > 8:
                frame["category"] = [f"category {i % 12}" for i in range(n_rows)]  # more than 8 are embedded
            y = np.sign(x[:, 0]) if hasattr(kind, "predict_proba") else x[:, 0]
            if hasattr(kind, "tasks_"):
                y = pd.DataFrame({"number": x[:, 0], "class": np.where(x[:, 1] > 0, "a", "b")})
            kind(preset, random_state=0, time_limit=TABLE_SECONDS).fit(frame, y).predict(frame)


def _warm_model(model, given):
    own: dict[str, Any] = {"dtype": model.dtype.name}
    if model.engine is not None:
        own["input_shape"] = model.engine.network.input_shape
    if model._compiled is not None:
        own |= {"optimizer": model.optimizer, "loss": model.loss}
    _refuse([name for name in given if name in own], "the model has its own")
    _warm_layers(model.layers, **given, **own)


def _warm_layers(layers, input_shape=None, optimizer="adam", loss="mean_squared_error", dtype="float32"):
    layers = checked_layers(layers)
    shapes, errors = SHAPES if input_shape is None else (input_shape,), []
    for shape in shapes:
        model = Sequential(copies(layers), seed=0, dtype=dtype)
        try:
            model.build(shape)
        except (ValueError, TypeError) as error:
            errors.append(error)
            continue
        model.compile(optimizer, loss)
        return _train(model, shape)
    raise ValueError(f"warmup: give input_shape=. These were tried: {shapes}; {errors[-1]}") from errors[-1]


def _train(model, shape):
    """Train, evaluate and apply a model on rows of zeros, with targets that its loss takes."""
    x = np.zeros((N_ROWS, *shape))
    one_hot = np.zeros((N_ROWS, *model.output_shape))
    one_hot[..., 0] = 1
    for y in (one_hot, one_hot[..., 0] * 0, np.zeros(N_ROWS), np.zeros((N_ROWS, 1))):
        with suppress(ValueError):
            model.fit(x, y, epochs=1, verbose=0)
            model.evaluate(x, y)
            break
    model.predict(x)
