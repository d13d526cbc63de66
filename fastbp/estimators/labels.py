"""Classes as targets, and outputs as classes: what scikit-learn's LabelBinarizer does, quick for a single row."""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils.multiclass import unique_labels


def plain_labels(y):
    """Return labels of a nullable dtype (pandas' boolean, Int64, ...), or objects that are booleans or whole numbers,
    as the NumPy array of what they are; anything else, and what has missing values, as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> plain_labels(pd.Series([True, None, False]).dropna())
    array([ True, False])
    >>> plain_labels(pd.Series([2, 1], dtype="Int8"))
    array([2, 1], dtype=int8)
    """
    if getattr(y, "ndim", 0) == 2 and hasattr(y, "iloc") and y.shape[1] == 1:
        return np.asarray(plain_labels(y.iloc[:, 0])).reshape(-1, 1)
    nullable = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if nullable is not None and np.dtype(nullable).kind in "biuf":
        return y if y.isna().any() else y.to_numpy(nullable)
    values = y if isinstance(y, np.ndarray) or issparse(y) else np.asarray(y) if hasattr(y, "dtype") else None
    if values is None or values.dtype != object or values.size == 0:
        return y
    kinds = {type(label) for label in values.ravel().tolist()}
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        with suppress(OverflowError):
            return values.astype(np.int64)
    return y


class Labels(NamedTuple):
    """The classes of a classifier.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel-indicator"}
        scikit-learn's type of target.
    classes : array (c,)
    sparse : bool
        Indicator matrices came, and are returned, sparse.
    """

    kind: str
    classes: np.ndarray
    sparse: bool = False

    @classmethod
    def of(cls, y):
        """Return the labels in `y`, class labels (n,) or an indicator matrix (n, c)."""
        from sklearn.preprocessing import LabelBinarizer  # 0.2 s, which a table's classifier does not need

        binarizer = LabelBinarizer().fit(y)
        return cls(binarizer.y_type_, binarizer.classes_, binarizer.sparse_input_)

    @property
    def n_outputs(self):
        """Outputs of the network: one for two classes (or a single one)."""
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y):
        """Return y as the network's targets: class numbers (n, 1), booleans (n, 1) of two classes, or (n, c) of labels.

        Raises
        ------
        ValueError
            For classes that are not among the known ones.
        """
        if self.kind == "multilabel-indicator":
            return self._encode_indicators(y)
        if y.ndim == 2:
            raise ValueError("The object was not fitted with multilabel input.")
        numbers = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        if not np.array_equal(self.classes[numbers], y):
            self._refuse(y)
        return numbers[:, None] if self.kind == "multiclass" else numbers[:, None].astype(bool)

    def _encode_indicators(self, y):
        """Return which labels a row has: booleans (n, c)."""
        if y.ndim != 2 or y.shape[1] != len(self.classes):
            self._refuse(y)
        return (y.toarray() if issparse(y) else y).astype(bool)

    def _refuse(self, y):
        """Raise ValueError: y has other classes."""
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {unique_labels(y)}."
        )

    def decode(self, outputs):
        """Return the classes (n,) that outputs (n, n_outputs) choose, or the indicator matrix (n, c)."""
        if self.kind == "multiclass":
            return self.classes.take(outputs.argmax(axis=1))
        chosen = (outputs > 0.5).astype(np.intp)
        if self.kind == "multilabel-indicator":
            return csr_array(chosen) if self.sparse else chosen
        # Of a single class, whatever was chosen is that one.
        return self.classes.take(chosen[:, 0], mode="clip")

    def hits(self, outputs, targets):
        """Return which rows of outputs (n, n_outputs) chose rightly; the labels of a row are one choice."""
        if self.kind == "multiclass":
            return outputs.argmax(axis=1) == targets[:, 0]
        return ((outputs > 0.5) == targets).all(axis=1)
