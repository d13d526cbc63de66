"""What a classifier knows of its labels: which there are, how they become targets, and what a row of each weighs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import unique_labels

from fastbp.engine.user_arrays import tell_unknown_classes
from fastbp.estimators.base import BaseMLP
from fastbp.estimators.labels import Labels, plain_labels
from fastbp.io import filechecks


class LabelledMLP(BaseMLP):
    """Base of the classifier: labels of any type, several of a row too."""

    classes_: np.ndarray
    class_weight: Any

    @property
    def _labels(self):
        return Labels(self._label_kind, self.classes_, self._sparse_labels)

    @_labels.setter
    def _labels(self, labels):
        self._label_kind, self.classes_, self._sparse_labels = labels.kind, labels.classes, labels.sparse

    def _checked(self, X, y, reset):
        return super()._checked(X, plain_labels(y), reset)

    def _learn_targets(self, y, incremental):
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._labels = Labels.of(y)
        elif self.warm_start and set(classes := unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if isinstance(self.class_weight, dict):
            tell_unknown_classes(self.class_weight, self.classes_.tolist())

    def _targets(self, y):
        return self._labels.encode(y)

    def _n_outputs(self, targets):
        return self._labels.n_outputs

    def _network_targets(self, objective, targets, dtype):
        return np.ascontiguousarray(targets, dtype)

    def _weights(self, X, y, sample_weight):
        weight = super()._weights(X, y, sample_weight)
        if self.class_weight is None:
            return weight
        factors = compute_sample_weight(self.class_weight, y)
        weight = factors if weight is None else weight * factors
        if not weight.any():
            raise ValueError(f"class_weight={self.class_weight!r} leaves no row a weight.")
        return weight

    def _check_outputs(self):
        filechecks.agree("the classes", self._labels.n_outputs, self.n_outputs_)
        if self._label_kind == "binary" and not 1 <= len(self.classes_) <= 2:
            raise ValueError(f"a binary classifier has {len(self.classes_)} classes.")

    def _validation_score(self, rows):
        hits = self._labels.hits(self.model_.engine.predict(rows.x), rows.y)
        return float(np.average(hits, weights=rows.weight))
