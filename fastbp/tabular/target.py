"""The target as the network learns it: classes as 0, 1, 2 ..., quantities with mean 0 and deviation 1."""

import numpy as np

from fastbp.tabular.columns import column_kind, to_numbers
from fastbp.tabular.factorize import to_texts
from fastbp.tabular.reading import TableError


class ClassTarget:
    """The classes of a target column, in order, and their codes.

    Parameters
    ----------
    name : str
        The target's column.
    classes : list
        The different values, sorted: all str, all bool, all int, or all float.

    Examples
    --------
    >>> import narwhals as nw, pandas as pd
    >>> column = nw.from_native(pd.Series(["no", "yes", "no"], name="answer"), series_only=True)
    >>> target = ClassTarget.fit(column)
    >>> target.classes, target.encode(column), target.decode([1, 0]).tolist()
    (['no', 'yes'], array([0, 1, 0]), ['yes', 'no'])
    """

    task = "classification"

    def __init__(self, name, classes):
        self.name = name
        self.classes = classes

    @classmethod
    def fit(cls, column):
        """Learn the classes of a narwhals Series without missing values."""
        classes = sorted(set(_class_values(column, column_kind(column) == "text")))
        if len(classes) < 2:
            raise TableError(f"the target column {column.name!r} has one value only: there is nothing to learn.")
        if len(classes) > max(2, len(column) // 2):
            raise TableError(
                f"the target column {column.name!r} has {len(classes)} different values in {len(column)} rows: "
                "too many to be classes."
            )
        return cls(column.name, classes)

    @property
    def is_text(self):
        """Whether the column is to be read as text."""
        return isinstance(self.classes[0], str)

    @property
    def labels(self):
        """The classes as text, for reports and column names."""
        return [str(label) for label in self.classes]

    def encode(self, column):
        """Return the codes (n,) int64 of a narwhals Series without missing values."""
        codes = {label: code for code, label in enumerate(self.classes)}
        try:
            values = _class_values(column, self.is_text)
            return np.fromiter((codes[value] for value in values), np.int64, len(values))
        except KeyError as error:
            known = ", ".join(self.labels[:10]) + (" ..." if len(self.classes) > 10 else "")
            raise TableError(
                f"the target column {self.name!r} holds {error.args[0]!r}, which training did not see; "
                f"its classes are {known}."
            ) from None

    def decode(self, codes):
        """Return the class of each code, as an array of the classes' own type."""
        dtype = object if self.is_text else None
        return np.array(self.classes, dtype=dtype)[np.asarray(codes)]

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        return {"task": self.task, "name": self.name, "classes": self.classes}


class NumberTarget:
    """A quantity, standardised.

    Parameters
    ----------
    name : str
        The target's column.
    mean, scale : float
        The mean and the standard deviation of the training rows, in the target's unit.
    """

    task = "regression"
    is_text = False

    def __init__(self, name, mean, scale):
        self.name = name
        self.mean = mean
        self.scale = scale

    @classmethod
    def fit(cls, column):
        """Learn the mean and the deviation of a narwhals Series without missing values."""
        values = _finite(column)
        largest = np.abs(values).max() or 1.0  # scaled first: the squares of 1e200 overflow
        mean, scale = float((values / largest).mean() * largest), float((values / largest).std() * largest)
        if scale == 0.0 or np.all(values == values[0]):
            raise TableError(f"the target column {column.name!r} has one value only: there is nothing to learn.")
        return cls(column.name, mean, scale)

    def encode(self, column):
        """Return the standardised values (n,) float64 of a narwhals Series without missing values."""
        return (_finite(column) - self.mean) / self.scale

    def decode(self, outputs):
        """Return the network's outputs (n,) in the target's unit, float64."""
        return np.asarray(outputs, np.float64) * self.scale + self.mean

    def get_state(self):
        """Return what `from_state` needs, ready for JSON."""
        return {"task": self.task, "name": self.name, "mean": self.mean, "scale": self.scale}


def fit_target(task, column):
    """Return the target of a task ("classification" or "regression"), fitted to a narwhals Series."""
    return (ClassTarget if task == "classification" else NumberTarget).fit(column)


def target_from_state(state):
    """Return the target of a description made by its `get_state`."""
    fields = dict(state)
    return {"classification": ClassTarget, "regression": NumberTarget}[fields.pop("task")](**fields)


def _class_values(column, as_text):
    """Return the values of a column as a list of str, bool, int (whole numbers) or float."""
    if as_text:
        return to_texts(column)
    kind = column_kind(column)
    if kind == "text":  # numbers in training, words now: let them be reported as unknown classes
        return to_texts(column)
    numbers = to_numbers(column)
    if kind == "boolean":
        return numbers.astype(bool).tolist()
    whole = np.all(np.isfinite(numbers)) and np.all(np.abs(numbers) < 2**53) and np.all(numbers == np.round(numbers))
    return numbers.astype(np.int64).tolist() if whole else numbers.tolist()


def _finite(column):
    if column_kind(column) not in ("number", "boolean", "date"):
        first = column.to_list()[0]
        raise TableError(f"the target column {column.name!r} holds {first!r}: regression needs numbers.")
    numbers = to_numbers(column)
    if not np.isfinite(numbers).all():
        raise TableError(f"the target column {column.name!r} holds an infinite value.")
    return numbers
