"""The target as the networks learn it: classes as 0, 1, 2 ..., quantities with mean 0 and deviation 1."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from fastbp.engine.user_arrays import tell_unknown_classes
from fastbp.estimators.files import packed_array, unpacked_array
from fastbp.io import filechecks

SMALLEST = np.finfo(np.float64).smallest_subnormal


def refuse_missing(y):
    """Raise ValueError where objects or times have missing values; scikit-learn's checks know those of numbers."""
    import pandas as pd

    values = np.asarray(y)
    if values.ndim and values.dtype.kind in "OmM" and pd.isna(values).any():
        raise ValueError("Input y contains NaN: leave out the rows without a target.")


class Classes(NamedTuple):
    """The classes of a target, sorted.

    Attributes
    ----------
    classes : (k,)
    factors : (k,) or None
        The factors by which `class_weight` weighs each class's rows; probabilities are divided by them.
    """

    classes: np.ndarray
    factors: np.ndarray | None = None

    @classmethod
    def of(cls, y, weight, class_weight):
        """Return the classes of y (n,).  At least two of them have a row with a weight."""
        if y.dtype.kind not in "biufOSU":
            raise ValueError(f"y holds {y.dtype} values: classes are text, numbers or booleans.")
        try:
            check_classification_targets(y)
            classes, codes = np.unique(y, return_inverse=True)
        except TypeError:
            kinds = " and ".join(sorted({type(label).__name__ for label in y}))
            if " and " not in kinds:
                raise ValueError(f"y holds {kinds} labels such as {y[0]!r}: make them text, y.astype(str).") from None
            raise ValueError(f"y holds labels of different types, {kinds}: make them all text or numbers.") from None
        except ValueError as error:
            if "unknown" not in str(error):  # continuous ones: scikit-learn's words will do
                raise
            what = f"{type(y[0]).__name__} labels such as {y[0]!r}"
            raise ValueError(f"y holds {what}: make them text, y.astype(str).") from None
        counted = np.bincount(codes, weight, len(classes)) > 0
        factors = None
        if isinstance(class_weight, dict):
            tell_unknown_classes(class_weight, classes.tolist())
        if class_weight is not None:
            rows = counted[codes] if weight is None else weight > 0
            factors = np.ones(len(classes))
            factors[counted] = _factors(class_weight, classes, np.flatnonzero(counted), codes[rows])
            counted &= factors > 0
        if counted.sum() < 2:
            left = classes[counted].tolist()
            raise ValueError(
                f"there is {'no class' if not left else f'only one class, {left[0]!r},'} whose rows have a weight: a "
                "classifier needs two classes or more."
            )
        return cls(classes, factors)

    def encode(self, y):
        """Return the codes (n,) int64 of y (n,), or raise ValueError for classes that are not known."""
        if y.ndim == 2:
            raise ValueError("y holds probabilities of classes, where training had labels.")
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            known = ", ".join(repr(label) for label in self.classes[:10].tolist())
            more = ", ..." if len(self.classes) > 10 else ""
            raise ValueError(f"y holds {unknown.tolist()[0]!r}, which training did not see; known: {known}{more}.")
        return np.searchsorted(self.classes, y)

    def weigh(self, codes, weight):
        """Return the weights (n,) of rows with these codes, or None where all count the same."""
        if self.factors is None:
            return weight
        return self.factors[codes] if weight is None else weight * self.factors[codes]

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        factors = None if self.factors is None else self.factors.tolist()
        return {"classes": packed_array(self.classes), "factors": factors}

    @classmethod
    def from_state(cls, state):
        """Return the classes that `get_state` described."""
        classes = unpacked_array(state["classes"], "classes")
        if len(classes) < 2:
            raise ValueError(f"a classifier has {len(classes)} classes.")
        factors = state.get("factors")  # files of before had none: their probabilities are those of weighed rows
        if factors is None:
            return cls(classes)
        filechecks.listed(factors, "factors", lambda value, name: filechecks.real(value, name, 0.0), len(classes))
        return cls(classes, np.array(factors, np.float64))


def _factors(class_weight, classes, counted, codes):
    """Return scikit-learn's factors of the counted classes; rows have codes (n,).

    Classes go by their codes: scikit-learn takes the label "001" for the number 1, and 0.5 for 0.
    """
    if isinstance(class_weight, dict):
        place = {label: code for code, label in enumerate(classes.tolist())}
        absent = [label for label in classes[counted].tolist() if label not in class_weight]
        if absent and len(counted) - len(absent) != len(class_weight):
            raise ValueError(f"The classes, {absent}, are not in class_weight")
        class_weight = {place[label]: factor for label, factor in class_weight.items() if label in place}
    return compute_class_weight(class_weight, classes=counted, y=codes)


class Quantity(NamedTuple):
    """A quantity: its mean and deviation, by which it is standardised, and its range in training."""

    mean: float
    scale: float
    low: float
    high: float

    @classmethod
    def of(cls, y, weight):
        """Return the mean, the deviation and the range of y (n,) float64, in the rows that have a weight."""
        if weight is not None:
            y, weight = y[weight > 0], weight[weight > 0]
        largest = np.abs(y).max() or 1.0  # scaled first: the squares of 1e200 overflow
        mean = np.average(y / largest, weights=weight)
        scale = np.sqrt(np.average((y / largest - mean) ** 2, weights=weight))
        # A deviation that is only rounding counts as none: there is one value.
        scale = scale * largest if y.min() < y.max() else 1.0
        return cls(float(mean * largest), float(scale) or 1.0, float(y.min()), float(y.max()))

    def encode(self, y):
        """Return y (n,) standardised, (n, 1) float32."""
        if y.ndim != 1:
            raise ValueError(f"y has shape {y.shape}: training had one target.")
        return ((y - self.mean) / self.scale).astype(np.float32)[:, None]

    def limit(self, outputs):
        """Return outputs (n, k) cut to training's range, float64."""
        low, high = ((end - self.mean) / self.scale for end in (self.low, self.high))
        return np.clip(outputs.astype(np.float64), low, high)

    def decode(self, outputs):
        """Return outputs (n, k) as quantities, cut to training's range."""
        # The result is cut once more, because rounding may take it beyond the ends.
        return np.clip(self.limit(outputs) * self.scale + self.mean, self.low, self.high)

    def weigh(self, targets, weight):
        """Return the weights (n,), or None where all count the same."""
        return weight

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        return self._asdict()

    @classmethod
    def from_state(cls, state):
        """Return the quantity that `get_state` described."""
        for name, value in state.items():
            filechecks.real(value, name)
        filechecks.real(state["scale"], "scale", SMALLEST)
        filechecks.real(state["high"], "high", state["low"])
        return cls(**state)
