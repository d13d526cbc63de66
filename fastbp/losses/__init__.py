"""Losses, by Keras's names.

`base` has the registry and the base class.  `pointwise` has the losses of single outputs, and `CustomLoss`.
`crossentropy`, `quantile`, `member` and `joint` have the losses of these names.  `targets` turns the user's y into what
a loss takes.
"""

# From here on written by tools/public_names.py.
from fastbp.losses.base import LOSSES, Loss
from fastbp.losses.crossentropy import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from fastbp.losses.joint import JointLoss
from fastbp.losses.member import MemberLoss
from fastbp.losses.pointwise import CustomLoss, Hinge, Huber, MeanAbsoluteError, MeanSquaredError, Poisson
from fastbp.losses.quantile import QuantileLoss

__all__ = [
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CustomLoss",
    "Hinge",
    "Huber",
    "JointLoss",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MemberLoss",
    "Poisson",
    "QuantileLoss",
    "SparseCategoricalCrossentropy",
]

# To here.


def __dir__():
    return __all__
