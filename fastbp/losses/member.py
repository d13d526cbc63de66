"""MemberLoss: the mean of the members' losses, each against the same target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.compiler.entry import address_of
from fastbp.compiler.jit import call_float, kernel
from fastbp.compiler.pointers import record_at, span
from fastbp.compiler.records import make_record
from fastbp.losses.base import LOSS, LOSSES, Loss, loss_address, loss_dtype
from fastbp.registry import Registry

MEMBER_LOSSES = Registry("loss of members")

loss_at = record_at(LOSS)


@kernel
def member_loss(record, dout, out, y, weight, scale):
    """loss = the mean over members of loss(out[i], y), out (n, m, k), y (n, t)."""
    m, of_member = record.members, loss_at(record.of_member)
    k, t = of_member.n_out, of_member.n_targets
    total = 0.0
    for i in range(weight.size):
        target, one_weight = span(y, i * t, t), span(weight, i, 1)
        for first in range(i * m * k, (i + 1) * m * k, k):
            member = (of_member, span(dout, first, k), span(out, first, k), target, one_weight, scale / m)
            total += call_float(of_member.kernel, member)
    return total / m


@LOSSES.accept
@MEMBER_LOSSES.register("member_loss")
@dataclass(frozen=True)
class MemberLoss(Loss):
    """The loss of an ensemble in one network: the mean of its members' losses, never the loss of their mean.

    Each member is trained as if it were alone (TabM, Gorishniy et al., 2025). The model's outputs are
    ``(n, members, k)``; end it in `MemberMean` to predict the mean of the members.

    Parameters
    ----------
    loss : str or loss object
        The loss of each member, against the same targets.
    members : int

    Raises
    ------
    ValueError
        Where `members` is not a whole number of at least 1; when the model is compiled, where its outputs are not
        those of so many members.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> layers = [fastbp.RepeatMembers(4), fastbp.MemberDense(8, "relu"), fastbp.MemberDense(1), fastbp.MemberMean()]
    >>> model = fastbp.Sequential(layers, seed=0)
    >>> model.compile("adam", fastbp.MemberLoss("mean_squared_error", members=4))
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> history = model.fit(x, x**2, epochs=2, verbose=0)
    >>> model.predict(x).shape
    (64, 1)
    """

    loss: Any
    members: int

    kernel = staticmethod(member_loss)
    whole_rows = True
    dtype = loss_dtype(members="i8", of_member="i8")  # the address of the record of the members' loss

    def __post_init__(self):
        object.__setattr__(self, "loss", LOSSES.resolve(self.loss))
        if not isinstance(self.members, int | np.integer) or isinstance(self.members, bool) or self.members < 1:
            raise ValueError(f"MemberLoss(members={self.members!r}): members is a whole number of at least 1.")
        object.__setattr__(self, "members", int(self.members))
        if isinstance(self.loss, MemberLoss):
            raise ValueError("MemberLoss takes the loss of one member, not another MemberLoss.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the members' loss."""
        return self.loss.name

    @property
    def accuracy(self) -> str:
        """The accuracy that suits the members' loss."""
        return self.loss.accuracy

    @property
    def link(self) -> str | None:  # type: ignore[override]
        """The link of the members' loss."""
        return self.loss.link

    @property
    def from_logits(self) -> bool:
        """Whether the members' loss takes logits."""
        return getattr(self.loss, "from_logits", False)

    def record(self, n_out: int, n_targets: int, kernel_address: int, float_type: np.dtype) -> Any:
        loss = self.loss
        where = loss_address(type(loss).kernel, loss.dtype, float_type)
        of_member = loss.record(n_out // self.members, n_targets, where, float_type)
        numbers = {"kernel": kernel_address, "n_out": n_out, "n_targets": n_targets}
        return make_record(self.dtype, of_member, members=self.members, of_member=address_of(of_member), **numbers)

    def check_output(self, activation: Any, n_out: int) -> None:
        if n_out % self.members:
            raise ValueError(
                f"MemberLoss(members={self.members}): the model has {n_out} outputs, which is no multiple of that. End "
                "it in a layer whose outputs have the shape (members, outputs of each)."
            )
        self.loss.check_output(activation, n_out // self.members)

    def prepare_targets(self, y: ArrayLike, n_out: int, dtype: np.dtype) -> np.ndarray:
        return self.loss.prepare_targets(y, n_out // self.members, dtype)
