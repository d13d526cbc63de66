"""Initial values of parameters: `init(shape, rng, dtype)` returns a new array.

Formulas, names and defaults are those of ``keras.initializers``.  Numbers are drawn in float64 and
then rounded, so that a seed means the same network in float32 and in float64.
"""

# From here on written by tools/public_names.py.
from fastbp.initializers.base import INITIALIZERS
from fastbp.initializers.constant import Constant, Ones, Zeros
from fastbp.initializers.distributions import Orthogonal, RandomNormal, RandomSigns, RandomUniform
from fastbp.initializers.fromdata import MinusRandomProducts, UnitVariance
from fastbp.initializers.repeated import RepeatedColumns, SameForMembers
from fastbp.initializers.variance import (
    FanInNormal,
    FanInUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
)

__all__ = [
    "INITIALIZERS",
    "Constant",
    "FanInNormal",
    "FanInUniform",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "MinusRandomProducts",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomSigns",
    "RandomUniform",
    "RepeatedColumns",
    "SameForMembers",
    "UnitVariance",
    "Zeros",
]

# To here.

from fastbp.initializers.base import fans as fans
from fastbp.initializers.repeated import EachOnItsOwn as EachOnItsOwn
from fastbp.initializers.variance import VarianceScaling as VarianceScaling


def __dir__():
    return __all__
