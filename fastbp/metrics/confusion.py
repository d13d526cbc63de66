"""Metrics with settings that count what is chosen: precision, recall, F scores, the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.metrics.base import SCORES, Score, entry_by_entry, entry_weights

# Keras's fuzz factor.
EPSILON = 1e-7


@dataclass(frozen=True)
class Threshold(Score):
    """What `Precision` and `Recall` share: their settings, and the choices that these make."""

    thresholds: Any = None
    top_k: int | None = None
    class_id: int | None = None

    def __post_init__(self):
        thresholds = np.ravel(self.thresholds)
        if self.thresholds is not None and (thresholds.size != 1 or not 0 <= thresholds[0] <= 1):
            self.refuse("thresholds", "it is one number from 0 to 1; give a metric for each of several.")

    def counts(self, y_true, y_pred, sample_weight):
        """Return how many entries, or how much weight, are chosen and true, chosen, and true."""
        y_true, y_pred = entry_by_entry(y_true, y_pred)
        lowest = -np.inf if self.top_k is not None else 0.5
        chosen = y_pred > (lowest if self.thresholds is None else np.ravel(self.thresholds)[0])
        if self.top_k is not None:
            # Of equal outputs the first ones.
            order = np.argsort(-y_pred, axis=-1, kind="stable")
            ranks = np.argsort(order, axis=-1, kind="stable")
            chosen &= ranks < self.top_k
        if self.class_id is not None:
            y_true, chosen = y_true[..., self.class_id], chosen[..., self.class_id]
        true, weight = y_true != 0, entry_weights(y_pred, sample_weight)
        if self.class_id is not None:
            weight = weight[..., 0]
        return (weight * (chosen & true)).sum(), (weight * chosen).sum(), (weight * true).sum()


@SCORES.register("precision")
@dataclass(frozen=True)
class Precision(Threshold):
    """Share of the chosen entries that are true: over all rows and outputs together (micro), as Keras counts.

    Parameters
    ----------
    thresholds : float, optional
        Entries above it are chosen; default 0.5, with `top_k` none.
    top_k : int, optional
        Choose among the so many largest outputs of each row.
    class_id : int, optional
        Count this output only.
    name : str, default "precision"

    Examples
    --------
    >>> Precision(thresholds=0.7)([[1.0], [0.0], [1.0]], [[0.8], [0.6], [0.9]])
    1.0
    """

    name: str = "precision"

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        both, chosen, _ = self.counts(y_true, y_pred, sample_weight)
        return float(both / chosen) if chosen else 0.0


@SCORES.register("recall")
@dataclass(frozen=True)
class Recall(Threshold):
    """Share of the true entries that are chosen: over all rows and outputs together (micro), as Keras counts.

    Parameters
    ----------
    thresholds, top_k, class_id
        As in `Precision`.
    name : str, default "recall"

    Examples
    --------
    >>> Recall(thresholds=0.7)([[1.0], [0.0], [1.0]], [[0.8], [0.6], [0.5]])
    0.5
    """

    name: str = "recall"

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        both, _, true = self.counts(y_true, y_pred, sample_weight)
        return float(both / true) if true else 0.0


@SCORES.register("fbeta_score")
@dataclass(frozen=True)
class FBetaScore(Score):
    """Weighted harmonic mean of precision and recall, ``(1 + beta**2) p r / (beta**2 p + r)``.

    Parameters
    ----------
    average : {"micro", "macro", "weighted"}
        Of all outputs together, or the mean over outputs, even or by how many rows are true.
    beta : float, default 1.0
    threshold : float, optional
        Entries above it are chosen; default is the largest of each row.
    name : str, default "fbeta_score"

    Examples
    --------
    >>> round(FBetaScore("micro", threshold=0.5)([[1.0, 0.0], [1.0, 1.0]], [[0.8, 0.1], [0.6, 0.2]]), 4)
    0.8
    """

    average: str = "macro"
    beta: float = 1.0
    threshold: float | None = None
    name: str = "fbeta_score"

    def __post_init__(self):
        if self.average not in ("micro", "macro", "weighted"):
            self.refuse("average", 'it is "micro", "macro" or "weighted": a metric is one number.')

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_true, y_pred = entry_by_entry(y_true, y_pred)
        if y_pred.ndim != 2:
            raise ValueError(f"{self.name} takes outputs of shape (n, k), not {y_pred.shape}.")
        if self.threshold is None:
            chosen = (y_pred >= y_pred.max(-1, keepdims=True)) & (np.abs(y_pred) > 1e-9)
        else:
            chosen = y_pred > self.threshold
        axis = None if self.average == "micro" else 0
        weight = entry_weights(y_pred, sample_weight)
        both, chosen, true = ((weight * part).sum(axis) for part in (chosen * y_true, chosen, y_true))
        precision, recall = both / (chosen + EPSILON), both / (true + EPSILON)
        scores = (1 + self.beta**2) * precision * recall / (self.beta**2 * precision + recall + EPSILON)
        if self.average == "weighted":
            return float((scores * true).sum() / (true.sum() + EPSILON))
        return float(np.mean(scores))


@SCORES.register("f1_score")
@dataclass(frozen=True)
class F1Score(FBetaScore):
    """Harmonic mean of precision and recall: `FBetaScore` with ``beta=1``.

    Parameters
    ----------
    average, beta, threshold
        As in `FBetaScore`.
    name : str, default "f1_score"

    Examples
    --------
    >>> round(F1Score("macro")([[1.0, 0.0], [0.0, 1.0]], [[0.8, 0.2], [0.6, 0.4]]), 4)
    0.3333
    """

    name: str = "f1_score"


@SCORES.register("auc")
@dataclass(frozen=True)
class AUC(Score):
    """Area under the ROC curve through the points at `num_thresholds` even thresholds, all entries taken together.

    fastbp's metric "auc" is the exact area, and the mean over outputs.

    Parameters
    ----------
    num_thresholds : int, default 200
        At least 2.
    from_logits : bool, default False
        Outputs are taken through a sigmoid first.
    name : str, default "auc"

    Examples
    --------
    >>> AUC()([[0.0], [1.0], [1.0]], [[0.2], [0.7], [0.1]])
    0.5
    """

    num_thresholds: int = 200
    from_logits: bool = False
    name: str = "auc"

    def __post_init__(self):
        if not isinstance(self.num_thresholds, int | np.integer) or self.num_thresholds < 2:
            self.refuse("num_thresholds", "it is a whole number of at least 2.")

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric."""
        y_true, y_pred = entry_by_entry(y_true, y_pred)
        if self.from_logits:
            y_pred = 0.5 * (1 + np.tanh(0.5 * y_pred))
        # The threshold number i lies below entries of the buckets i and higher, the first one below all.
        buckets = np.ceil(np.clip(y_pred, 0, 1) * (self.num_thresholds - 1)).astype(np.int64) - 1
        buckets, true = np.maximum(buckets, 0).ravel(), y_true.ravel() != 0
        weights = np.broadcast_to(entry_weights(y_pred, sample_weight), y_pred.shape).ravel()
        rates = []
        for wanted in (true, ~true):
            above = np.bincount(buckets[wanted], weights[wanted], self.num_thresholds)[::-1].cumsum()[::-1]
            rates.append(above / (above[0] or 1.0))
        tpr, fpr = rates
        return float(((fpr[:-1] - fpr[1:]) * (tpr[:-1] + tpr[1:]) / 2).sum())
