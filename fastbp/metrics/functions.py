"""Metrics: functions of (y_true, y_pred), by Keras's names.

The cheap ones are a line of NumPy; the others ask scikit-learn, which is imported when one is used.
`y_pred` (n, k), or (n, t, k) and so on, are the model's outputs, activated: under ``from_logits=True`` they are raw,
where only "accuracy" knows on which side of what they should be. `y_true` are the user's targets, as numbers, in the
shape of the outputs; of class numbers in that without the last axis. Where a mask reaches the outputs, both hold the
time steps that count: (m, k), and (m, k) or (m,).

`sample_weight`, if given, has a weight for each entry: (n,), or (n, t) for time steps.

Targets whose rows all sum to 1, one-hot rows or shares of classes, are classes; with any other rows they are k labels,
each there or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.losses.targets import beside_outputs
from fastbp.settings.naming import canonical, nearest

METRICS: dict = {}


def metric(*, greater_is_better, compares=None, of_probabilities=False, in_keras=None):
    """Return a decorator that puts a function of (y_true, y_pred) among `METRICS`, under its name.

    Parameters
    ----------
    greater_is_better : bool
    compares : {None, "entries", "classes", "choices"}
        What y and the outputs must be (`check_metric`): of one shape; outputs for each class; targets that name or
        mark what is chosen.
    of_probabilities : bool, default False
        Must the outputs be probabilities?
    in_keras : {None, "masked", "unmasked"}
        Keras's metric of this name means the same beside any loss, and heeds masks or not; None: it does not.
    """

    def add(function):
        function.greater_is_better, function.compares = greater_is_better, compares
        function.of_probabilities, function.in_keras = of_probabilities, in_keras
        METRICS[function.__name__] = function
        return function

    return add


def _entries(y_true, y_pred):
    """Return the outputs of all entries as (m, k), and their targets as (m, k) or, if they are class numbers, (m,).

    An entry is a row, or, of outputs with several axes, a time step or a pixel.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    y_pred = y_pred.reshape(-1, y_pred.shape[-1] if y_pred.ndim > 1 else 1)
    return beside_outputs(y_true.reshape(len(y_pred), -1), y_pred.shape[1:]), y_pred


def _columns(y_true, y_pred):
    """Return both as (m, k)."""
    y_true, y_pred = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    if y_true.size != y_pred.size:
        raise ValueError(
            f"this metric compares y and the outputs entry by entry, but y has shape {y_true.shape} and the "
            f"outputs {y_pred.shape}."
        )
    return _entries(y_true, y_pred)


def _kind(y_true, y_pred):
    """Return what targets of `_entries` are: "classes", "yes or no" of one output, or "labels" of several."""
    if y_pred.shape[1] == 1:
        return "yes or no"
    if y_true.ndim == 1 or np.allclose(y_true.sum(axis=1), 1, atol=1e-3):
        return "classes"
    return "labels"


def _entry_weights(sample_weight):
    """Return the weights (m,) of all entries, or None."""
    return None if sample_weight is None else np.asarray(sample_weight, np.float64).ravel()


def _mean(values, sample_weight):
    """Return the mean of values (m,) or (m, k) of m entries, weighted; 0 where no entry has a weight, as in Keras."""
    if sample_weight is None:
        return float(np.mean(values))
    weight = _entry_weights(sample_weight)
    of_entries = np.mean(np.asarray(values, np.float64).reshape(len(weight), -1), axis=1)
    return float((of_entries * weight).sum() / weight.sum()) if weight.any() else 0.0


def _class_numbers(y_true):
    """Return the true classes (m,), from class numbers or from shares of classes (m, k), whose largest one counts."""
    return y_true.argmax(1) if y_true.ndim == 2 else y_true


@metric(greater_is_better=True, compares="classes")
def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Share of rows whose largest output is that of the true class (class numbers, one-hot rows, or shares)."""
    y_true, y_pred = _entries(y_true, y_pred)
    return _mean(y_pred.argmax(1) == _class_numbers(y_true), sample_weight)


@metric(greater_is_better=True)
def class_accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """`binary_accuracy` of one output, `sparse_categorical_accuracy` of several."""
    several = _entries(y_true, y_pred)[1].shape[1] > 1
    return (sparse_categorical_accuracy if several else binary_accuracy)(y_true, y_pred, sample_weight)


@metric(greater_is_better=True, compares="entries")
def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Share of entries on the right side of 0.5."""
    y_true, y_pred = _columns(y_true, y_pred)
    return _mean((y_pred > 0.5) == (y_true > 0.5), sample_weight)


@metric(greater_is_better=True, compares="entries")
def sign_accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Share of entries with the right sign: of raw outputs, for a hinge loss or logits of two classes."""
    y_true, y_pred = _columns(y_true, y_pred)
    return _mean((y_pred > 0) == (y_true > 0), sample_weight)


@metric(greater_is_better=False, compares="entries", in_keras="masked")
def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean of ``(y_pred - y_true)**2``."""
    y_true, y_pred = _columns(y_true, y_pred)
    return _mean((y_pred - y_true) ** 2, sample_weight)


@metric(greater_is_better=False, compares="entries", in_keras="unmasked")
def root_mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Square root of the mean squared error."""
    return float(np.sqrt(mean_squared_error(y_true, y_pred, sample_weight)))


@metric(greater_is_better=False, compares="entries", in_keras="masked")
def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean of ``|y_pred - y_true|``."""
    y_true, y_pred = _columns(y_true, y_pred)
    return _mean(np.abs(y_pred - y_true), sample_weight)


@metric(greater_is_better=True, compares="entries")
def r2_score(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Coefficient of determination (scikit-learn's)."""
    from sklearn.metrics import r2_score as score

    return float(score(*_columns(y_true, y_pred), sample_weight=_entry_weights(sample_weight)))


@metric(greater_is_better=True, compares="choices")
def auc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve (scikit-learn's); of more than two classes, or of labels, the mean over them."""
    from sklearn.metrics import roc_auc_score

    y_true, y_pred = _entries(y_true, y_pred)
    kind, given = _kind(y_true, y_pred), {"sample_weight": _entry_weights(sample_weight)}
    if kind == "classes":
        classes, k = _class_numbers(y_true), y_pred.shape[1]
        if k == 2:
            return float(roc_auc_score(classes, y_pred[:, 1], **given))
        return float(roc_auc_score(classes, _shares(y_pred), multi_class="ovr", labels=range(k), **given))
    return float(roc_auc_score(y_true > 0.5, y_pred, **given))


def _of_choices(score, y_true, y_pred, sample_weight):
    """Return a scikit-learn score of choices: of class 1, or the mean over more than two classes or over labels."""
    y_true, y_pred = _entries(y_true, y_pred)
    kind = _kind(y_true, y_pred)
    given = {"zero_division": 0, "sample_weight": _entry_weights(sample_weight)}
    if kind == "classes":
        average = "binary" if y_pred.shape[1] == 2 else "macro"
        return float(score(_class_numbers(y_true), y_pred.argmax(1), average=average, **given))
    average = "binary" if kind == "yes or no" else "macro"
    return float(score(y_true > 0.5, y_pred > 0.5, average=average, **given))


@metric(greater_is_better=True, compares="choices")
def precision(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Precision (scikit-learn's) of class 1; of more than two classes, or of labels, the mean over them."""
    from sklearn.metrics import precision_score

    return _of_choices(precision_score, y_true, y_pred, sample_weight)


@metric(greater_is_better=True, compares="choices")
def recall(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Recall (scikit-learn's) of class 1; of more than two classes, or of labels, the mean over them."""
    from sklearn.metrics import recall_score

    return _of_choices(recall_score, y_true, y_pred, sample_weight)


@metric(greater_is_better=True, compares="choices")
def f1_score(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """F1 (scikit-learn's) of class 1; of more than two classes, or of labels, the mean over them."""
    from sklearn.metrics import f1_score as score

    return _of_choices(score, y_true, y_pred, sample_weight)


def _shares(y_pred):
    """Return float64 probabilities whose rows sum to 1 in float64 too, as scikit-learn checks."""
    y_pred = y_pred.astype(np.float64)
    total = y_pred.sum(1, keepdims=True)
    # Only the rounding is taken out: what is far from 1 is no probability, and stays as it is.
    return np.where(np.abs(total - 1) < 1e-3, y_pred / total, y_pred)


@metric(greater_is_better=False, compares="choices", of_probabilities=True)
def log_loss(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean negative log probability of the true class, as scikit-learn's, or ``-sum(t * log(p))`` of shares t of
    classes; of labels, the mean over them.
    """
    y_true, y_pred = _entries(y_true, y_pred)
    if y_pred.min() < 0 or y_pred.max() > 1:
        raise ValueError(f"log_loss takes probabilities; the outputs reach from {y_pred.min():g} to {y_pred.max():g}.")
    smallest = np.finfo(np.float64).eps
    if _kind(y_true, y_pred) == "classes":
        p = np.clip(_shares(y_pred), smallest, 1 - smallest)
        t = np.eye(p.shape[1])[y_true.astype(int)] if y_true.ndim == 1 else y_true
        return _mean(-(t * np.log(p)).sum(axis=1), sample_weight)
    p, t = np.clip(y_pred.astype(np.float64), smallest, 1 - smallest), y_true.astype(np.float64)
    return _mean(-(t * np.log(p) + (1 - t) * np.log1p(-p)), sample_weight)


METRIC_NAMES = ["accuracy", *METRICS]


def check_metric(name: str, function: Callable, y: np.ndarray, shape: tuple[int, ...], activation: Any) -> None:
    """Raise ValueError where a metric does not suit the targets and the model's outputs.

    A user's function is not asked.

    Parameters
    ----------
    name : str
        What the user called it.
    function : callable
    y : array (n, ...)
        The targets.
    shape : tuple of int
        That of a row of outputs.
    activation : str or None
        What ends the last layer.

    Raises
    ------
    ValueError
        It says which metric suits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.metrics import METRICS, check_metric
    >>> check_metric("auc", METRICS["auc"], np.array([0, 1]), (2,), "softmax")
    """
    if METRICS.get(getattr(function, "__name__", None)) is not function:
        return
    one_each = y.shape[1:] == shape
    if function.compares == "entries" and not one_each:
        raise ValueError(
            f"the metric {name!r} compares y and the outputs entry by entry, but y has shape {y.shape} and the outputs "
            f'{(len(y), *shape)}: for class numbers there are "accuracy", "auc", "f1_score" and "log_loss".'
        )
    if function.compares == "classes" and shape[-1] == 1:
        raise ValueError(f'the metric {name!r} needs an output for each class, the model has 1: use "accuracy".')
    if function.of_probabilities and activation not in ("sigmoid", "softmax"):
        raise ValueError(
            f"the metric {name!r} takes probabilities, but the last layer ends in {activation!r}: end it in "
            '"sigmoid" or "softmax", without from_logits.'
        )
    if function.compares == "choices":
        _check_choices(name, function, y, shape, one_each)


def _check_choices(name, function, y, shape, one_each):
    """Raise ValueError where targets are neither class numbers of the outputs nor from 0 to 1 (or -1 and 1)."""
    if one_each:
        known = (y >= 0) & (y <= 1) | (y == -1) & (not function.of_probabilities)
        meaning = "targets from 0 to 1"
    elif y.shape[1:] == shape[:-1]:
        known, meaning = (y >= 0) & (y < shape[-1]) & (y == np.floor(y)), f"class numbers from 0 to {shape[-1] - 1}"
    else:
        raise ValueError(f"the metric {name!r}: y has shape {y.shape}, the outputs {(len(y), *shape)}.")
    if not known.all():
        raise ValueError(f"the metric {name!r} takes {meaning}, but y holds {y[~known][0]:g}.")


def resolve(metric: str | Callable, loss: Any) -> tuple[str, Callable]:
    """Return a metric's name and function.

    Parameters
    ----------
    metric : str or callable
        ``"accuracy"`` (the one that the loss names), a name of `METRICS`, Keras's for one of these ("mae",
        "AUC"), or a function of ``(y_true, y_pred)``.
    loss : loss object

    Returns
    -------
    name : str
        As the user gave it.
    function : callable

    Raises
    ------
    ValueError
        For a name that is none; the message names the nearest one.
    TypeError
        Where it is neither a name nor a function.

    Examples
    --------
    >>> import fastbp
    >>> name, function = fastbp.metrics.resolve("accuracy", fastbp.BinaryCrossentropy())
    >>> name, function.__name__
    ('accuracy', 'binary_accuracy')
    """
    if isinstance(metric, str):
        name = canonical(metric, METRIC_NAMES, "metric")
        if name is None:
            known = ", ".join(METRIC_NAMES)
            raise ValueError(f"unknown metric {metric!r}.{nearest(metric, METRIC_NAMES, 'metric')} Known: {known}.")
        # The figure bears the name that the user gave it, as in Keras.
        return metric, METRICS[loss.accuracy] if name == "accuracy" else METRICS[name]
    if not callable(metric):
        raise TypeError(f"a metric is a name or a function of (y_true, y_pred), not {metric!r}.")
    return getattr(metric, "__name__", type(metric).__name__), metric
