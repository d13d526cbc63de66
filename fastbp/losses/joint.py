"""JointLoss: the weighted sum of the losses of several targets, each of which has outputs of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.entry import address_of
from fastbp.compiler.jit import call_float, kernel
from fastbp.compiler.pointers import record_at, records_at, span
from fastbp.compiler.records import make_record, record_dtype
from fastbp.losses.base import LOSS, LOSSES, Loss, loss_address, loss_dtype
from fastbp.losses.crossentropy import Crossentropy, SparseCategoricalCrossentropy
from fastbp.losses.member import MEMBER_LOSSES, MemberLoss
from fastbp.losses.targets import as_numbers
from fastbp.settings.validation import is_number

# The record of a part: its loss, and where its outputs and targets are.
PART = record_dtype(
    [
        ("loss", "i8"),  # address of its record
        ("output", "i8"),  # its first output
        ("target", "i8"),  # its first column of targets
        ("known", "i8"),  # the column of targets that is 0 where the part's targets are missing
        ("factor", "f8"),
    ],
)
parts_at, loss_at = records_at(PART), record_at(LOSS)


@kernel
def joint_loss(record, dout, out, y, weight, scale):
    """loss = sum over parts of factor * known * loss(out of the part, y of the part); out (n, k), y (n, t)."""
    k, t, parts = record.n_out, record.n_targets, parts_at(record.parts, record.n_parts)
    total = 0.0
    for i in range(weight.size):
        for p in range(record.n_parts):
            part, loss = parts[p], loss_at(parts[p].loss)
            d = span(dout, i * k + part.output, loss.n_out)
            factor = part.factor * y[i * t + part.known]
            if factor == 0.0:
                for j in range(d.size):
                    d[j] = 0
                continue
            z, target = span(out, i * k + part.output, loss.n_out), span(y, i * t + part.target, loss.n_targets)
            total += factor * call_float(loss.kernel, (loss, d, z, target, span(weight, i, 1), scale * factor))
    return total


@LOSSES.accept
@MEMBER_LOSSES.register("joint_loss")
@dataclass(frozen=True)
class JointLoss(Loss):
    """The loss of a network with several targets: ``sum(weight * loss)`` over parts, each a block of the outputs.

    As Keras's `loss_weights` for models of several outputs, in one output layer (Caruana, Multitask learning, 1997).

    Parameters
    ----------
    parts : sequence of (loss, int)
        For each part a loss (by name or as an object) and the number of its outputs. The outputs of a model are those
        of the first part, then those of the second one and so on. Crossentropies take logits here: end the model in
        a linear layer, followed by `SoftmaxBlocks`. A name means the loss of logits; an object needs
        ``from_logits=True``.
    weights : sequence of float, optional
        One for each part, at least 0; default: 1 each.

    Raises
    ------
    ValueError
        Where there is no part, a size is no whole number of at least 1, a weight is negative or not finite or all are
        0; when the model is compiled, where its outputs are not those of the parts.

    Notes
    -----
    Targets ``(n, t)``: the columns of the first part, then those of the second one and so on; sparse crossentropies and
    quantiles have one column, other losses one for each output. Where a row's target is NaN, that part says nothing
    about this row: it adds nothing to the loss and has no gradient.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> layers = [fastbp.Dense(16, "relu"), fastbp.Dense(4), fastbp.SoftmaxBlocks((3, 1))]
    >>> model = fastbp.Sequential(layers, seed=0)
    >>> parts = [("sparse_categorical_crossentropy", 3), ("mean_squared_error", 1)]
    >>> model.compile("adam", fastbp.JointLoss(parts, weights=[1.0, 0.5]))
    >>> x = np.linspace(-1, 1, 60)[:, None]
    >>> y = np.hstack([np.floor(1.5 * x + 1.5).clip(0, 2), x**2])
    >>> history = model.fit(x, y, epochs=2, verbose=0)
    >>> model.predict(x)[:, :3].sum(axis=1).round(3).tolist() == [1.0] * 60
    True
    """

    parts: Any
    weights: Any = None

    kernel = staticmethod(joint_loss)
    whole_rows = True
    dtype = loss_dtype(parts="i8", n_parts="i8")
    name = "joint_loss"

    def __post_init__(self):
        parts = tuple(_checked_part(part) for part in self.parts)
        if not parts:
            raise ValueError("JointLoss(parts=[]): there is nothing to lower.")
        object.__setattr__(self, "parts", parts)
        weights = (1.0,) * len(parts) if self.weights is None else tuple(self.weights)
        if len(weights) != len(parts):
            raise ValueError(f"JointLoss has {len(parts)} parts and {len(weights)} weights.")
        if not all(is_number(weight) and 0 <= weight < np.inf for weight in weights) or not any(weights):
            raise ValueError(f"JointLoss(weights={list(weights)!r}): they are at least 0, and not all of them are 0.")
        object.__setattr__(self, "weights", tuple(map(float, weights)))

    @property
    def n_outputs(self) -> int:
        """The number of outputs of all parts."""
        return sum(size for _, size in self.parts)

    @property
    def columns(self) -> Any:
        """The first column of each part's targets, and at the end the number of all columns."""
        return np.cumsum([0, *(_n_targets(*part) for part in self.parts)]).tolist()

    def record(self, n_out: int, n_targets: int, kernel_address: int, float_type: np.dtype) -> Any:
        table, *losses = self._parts(float_type)
        numbers = {"kernel": kernel_address, "n_out": n_out, "n_targets": n_targets}
        return make_record(self.dtype, table, *losses, parts=address_of(table), n_parts=len(table), **numbers)

    def _parts(self, float_type):
        """Return the table of PART records, and the records of the parts' losses, whose addresses are in it."""
        table, losses, output, columns = np.zeros(len(self.parts), PART), [], 0, self.columns
        for number, (loss, size) in enumerate(self.parts):
            where = loss_address(type(loss).kernel, loss.dtype, float_type)
            losses.append(loss.record(size, _n_targets(loss, size), where, float_type))
            known, factor = columns[-1] + number, self.weights[number]
            table[number] = address_of(losses[-1]), output, columns[number], known, factor
            output += size
        return table, *losses

    def check_output(self, activation: Any, n_out: int) -> None:
        if n_out != self.n_outputs:
            raise ValueError(f"JointLoss: its parts have {self.n_outputs} outputs, the model has {n_out}.")
        for loss, size in self.parts:
            loss.check_output(activation, size)

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        """Return the targets (n, t + parts): 0 where they are missing, and for each part whether they are known."""
        y = as_numbers(y)
        y = y.reshape(len(y), -1).astype(np.float64)
        columns = self.columns
        if y.shape[1] != columns[-1]:
            raise ValueError(f"y has {y.shape[1]} columns; the parts of JointLoss take {columns[-1]}.")
        targets = np.zeros((len(y), columns[-1] + len(self.parts)), dtype)
        for number, ((loss, size), ends) in enumerate(zip(self.parts, pairwise(columns), strict=True)):
            block = y[:, slice(*ends)]
            known = ~np.isnan(block).any(axis=1)
            targets[:, columns[-1] + number] = known
            if known.any():
                targets[known, slice(*ends)] = loss.prepare_targets(block[known], size, dtype)
        return targets


def _checked_part(part):
    """Return (loss object, number of outputs), or raise ValueError."""
    if not isinstance(part, list | tuple) or len(part) != 2:
        raise ValueError(f"JointLoss takes pairs (loss, number of outputs) as its parts, not {part!r}.")
    loss, size = LOSSES.resolve(part[0]), part[1]
    if isinstance(part[0], str) and isinstance(loss, Crossentropy):
        loss = replace(loss, from_logits=True)
    if isinstance(loss, JointLoss | MemberLoss):
        raise ValueError(f"JointLoss takes the losses of single targets as its parts, not {type(loss).__name__}.")
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"JointLoss: the number of outputs of {loss.name} is {size!r}, no whole number of at least 1.")
    return loss, int(size)


def _n_targets(loss, size):
    """Return the columns of a part's targets."""
    from fastbp.losses.quantile import QuantileLoss

    return 1 if isinstance(loss, SparseCategoricalCrossentropy | QuantileLoss) else size
