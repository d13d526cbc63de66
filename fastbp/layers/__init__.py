"""Layers, one file a family: the spec class, then its kernels."""

from fastbp.layers.activation import Activation
from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.dense import Dense
from fastbp.layers.dropout import Dropout
from fastbp.layers.prelu import PReLU

__all__ = ["LAYERS", "Activation", "Dense", "Dropout", "Layer", "PReLU"]
