"""Layers, one file a family: the spec class, then its kernels."""

from fastbp.layers.activation import Activation
from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.batchnorm import BatchNormalization
from fastbp.layers.branches import Concatenate, Residual
from fastbp.layers.categories import CategoryEmbedding, OneHot
from fastbp.layers.columns import Columns
from fastbp.layers.dense import Dense
from fastbp.layers.dropout import Dropout
from fastbp.layers.embedding import Embedding
from fastbp.layers.layernorm import LayerNormalization, RMSNormalization
from fastbp.layers.members import MemberDense, MemberMean, RepeatMembers
from fastbp.layers.noise import AlphaDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from fastbp.layers.parametric import ParametricActivation
from fastbp.layers.periodic import PeriodicEmbedding
from fastbp.layers.piecewise import PiecewiseLinearEmbedding
from fastbp.layers.prelu import PReLU
from fastbp.layers.reshape import Flatten, Reshape
from fastbp.layers.scaling import Scaling

__all__ = [
    "LAYERS",
    "Activation",
    "AlphaDropout",
    "BatchNormalization",
    "CategoryEmbedding",
    "Columns",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "Layer",
    "LayerNormalization",
    "MemberDense",
    "MemberMean",
    "OneHot",
    "PReLU",
    "ParametricActivation",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "RMSNormalization",
    "RepeatMembers",
    "Reshape",
    "Residual",
    "Scaling",
    "SpatialDropout1D",
    "SpatialDropout2D",
]
