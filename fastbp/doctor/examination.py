"""diagnose: all checks on one model and its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastbp.doctor.checks  # noqa: F401  (which registers them)
from fastbp.callbacks.history import History
from fastbp.doctor.check_registry import CHECKS
from fastbp.doctor.diagnosis import Diagnosis
from fastbp.doctor.patient import Patient, copy_of
from fastbp.engine.user_arrays import validation_parts
from fastbp.models.arguments import checked_counts
from fastbp.models.sequential import Sequential


def diagnose(
    model: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    validation_data: tuple | None = None,
    history: History | Mapping | None = None,
    batch_size: int = 32,
) -> Diagnosis:
    """Look for what keeps a model from learning: in its layers, its data, its loss and its curves.

    The model stays as it is, to the bit: a copy of it is examined.

    Parameters
    ----------
    model : Sequential
        Compiled; trained or not. One that is not built yet stays so.
    x : array-like of shape (n, ...)
        Rows of training. Some hundreds will do; of many, 1,024 go through the layers.
    y : array-like
        Their targets, as `Sequential.fit` takes them.
    sample_weight : array-like (n,), optional
    validation_data : tuple (x, y) or (x, y, sample_weight), optional
        Tells overfitting, and rows that stand in both.
    history : History or dict, optional
        What `fit` returned: tells of the learning rate, and when overfitting began.
    batch_size : int, default 32
        That of training.

    Returns
    -------
    Diagnosis
        Findings, the worst first, each with the layer, the figure, what is normal, and the remedy. Print it, show it in
        a notebook, or go through it; it is empty for a healthy model.

    Raises
    ------
    TypeError
        Where `model` is no `Sequential`, or `history` no history.
    ValueError
        Where it is not compiled, or for data that do not fit it.

    See Also
    --------
    fastbp.Doctor : The same as a callback.
    fastbp.doctor.learning_rate_range : Which learning rates a model can take.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 4))
    >>> x[:, 2] *= 1000
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1, "sigmoid")], input_shape=(4,), seed=0)
    >>> model.compile("adam", "binary_crossentropy")
    >>> for finding in fastbp.diagnose(model, x, x[:, 0] + x[:, 1] > 0)["input_scale"]:
    ...     print(finding)
    serious: input_scale
        Columns of x with large numbers: x[:, 2] (root mean square ...).
        Normal: ...
        Remedy: ...
    """
    if not isinstance(model, Sequential):
        raise TypeError(
            f"diagnose takes a Sequential, not {type(model).__name__}: of an MLPClassifier or MLPRegressor give "
            "estimator.model_."
        )
    (batch_size,) = checked_counts(batch_size=batch_size)
    curves = history_of(history)
    model._check_compiled("diagnose")
    twin = copy_of(model)
    rows = twin._rows(x, y, sample_weight)
    validation = None if validation_data is None else twin._rows(*validation_parts(validation_data))
    names = column_names(x, rows.x)
    patient = Patient(twin, rows, validation=validation, history=curves, batch_size=batch_size, names=names)
    return examine(patient)


def examine(patient):
    """Return the `Diagnosis` of a `Patient`."""
    with np.errstate(all="ignore"):  # of an ill network numbers overflow
        ready = [check for check in CHECKS.values() if patient.has.issuperset(check.needs)]
        findings = [finding for check in ready for finding in check.function(patient)]
        return Diagnosis(findings, looked_at(patient))


def looked_at(patient):
    """Return what an examination looked at, as text."""
    parts = []
    if patient.rows is not None:
        n, all_rows = len(patient.sample.x), len(patient.rows.x)
        parts.append(f"{n:,} rows" if n == all_rows else f"{n:,} of {all_rows:,} rows")
    if epochs := len(patient.history.get("loss", ())):
        parts.append(f"{epochs} epoch{'s' * (epochs != 1)}")
    return ", ".join(parts)


def history_of(history):
    """Return {figure: values} of a History or a dict, or raise TypeError."""
    history = history.history if isinstance(history, History) else history
    if history is None:
        return {}
    if not isinstance(history, Mapping) or not all(np.ndim(values) == 1 for values in history.values()):
        raise TypeError(f"history is what fit returned, or its dict of lists, not {history!r}.")
    return history


def column_names(x, rows):
    """Return the names of a DataFrame's columns, or None."""
    names = getattr(x, "columns", None)
    return list(names) if names is not None and rows.ndim == 2 and len(names) == rows.shape[1] else None
