"""Optimizers, by Keras's names: `base` has the registry and the base class, the other files have the update rules."""

# From here on written by tools/public_names.py.
from fastbp.optimizers.adam import Adam, AdamW, Nadam
from fastbp.optimizers.base import OPTIMIZERS, Optimizer
from fastbp.optimizers.lion import Lion
from fastbp.optimizers.rmsprop import Adagrad, RMSprop
from fastbp.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "Optimizer", "RMSprop"]

# To here.


def __dir__():
    return __all__
