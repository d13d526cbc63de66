"""Initializers made of another one: one draw for several members or columns, or a draw for each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.initializers.base import INITIALIZERS


@INITIALIZERS.register("same_for_members")
@dataclass(frozen=True)
class SameForMembers:
    """One draw for all indices of the first axis: the members of an ensemble start alike.

    Parameters
    ----------
    initializer : str or initializer object, default "random_uniform"
        Draws one member's values.

    Raises
    ------
    ValueError
        Where there is no initializer of that name.
    TypeError
        Where `initializer` is neither a name nor an initializer object.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> values = fastbp.SameForMembers("random_normal")((3, 2), np.random.default_rng(0))
    >>> bool((values == values[0]).all())
    True
    """

    initializer: Any = "random_uniform"

    def __post_init__(self):
        object.__setattr__(self, "initializer", INITIALIZERS.resolve(self.initializer))

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return np.repeat(self.initializer(shape[1:], rng, dtype)[None], shape[0], axis=0)


@INITIALIZERS.register("repeated_columns")
@dataclass(frozen=True)
class RepeatedColumns:
    """One draw for each feature, repeated over the columns that the feature has in the last axis.

    Parameters
    ----------
    initializer : str or initializer object, default "random_signs"
        Draws ``(..., features)`` values.
    columns : tuple of int, default (1,)
        Columns of each feature: their sum is the size of the last axis.

    Raises
    ------
    ValueError
        Where a feature has no column, or (at building) the columns do not make up the last axis.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> draw = fastbp.RepeatedColumns("random_normal", (2, 1))
    >>> values = draw((4, 3), np.random.default_rng(0))
    >>> values.shape, bool((values[:, 0] == values[:, 1]).all())
    ((4, 3), True)
    """

    initializer: Any = "random_signs"
    columns: tuple[int, ...] = (1,)

    def __post_init__(self):
        object.__setattr__(self, "initializer", INITIALIZERS.resolve(self.initializer))
        object.__setattr__(self, "columns", tuple(int(count) for count in self.columns))
        if not self.columns or min(self.columns) < 1:
            raise ValueError(f"RepeatedColumns(columns={self.columns}): each feature has at least one column.")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype="float32") -> np.ndarray:
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        if sum(self.columns) != shape[-1]:
            raise ValueError(
                f"RepeatedColumns: the columns of all features are {sum(self.columns)}, but the last axis of the "
                f"parameter's shape {tuple(shape)} has {shape[-1]}."
            )
        values = self.initializer((*shape[:-1], len(self.columns)), rng, dtype)
        return np.repeat(values, self.columns, axis=-1)


@dataclass(frozen=True)
class EachOnItsOwn:
    """Draws every index of the first axis as a parameter of its own: fans are those of one."""

    initializer: Any

    def __call__(self, shape, rng, dtype="float32"):
        """Return a new array of `shape` and `dtype` with numbers drawn from `rng`."""
        return np.stack([self.initializer(shape[1:], rng, dtype) for _ in range(shape[0])])
