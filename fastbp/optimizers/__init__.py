"""Optimizers, by Keras's names: `base` has the registry and what they share, `rules` the update rules."""

# From here on written by tools/public_names.py.
from fastbp.optimizers.base import OPTIMIZERS, Optimizer
from fastbp.optimizers.rules import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "Optimizer", "RMSprop"]

# To here.
