"""Layers, one file a family: the spec class, then its kernels."""

from fastbp.layers.activation import Activation
from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.batchnorm import BatchNormalization
from fastbp.layers.bidirectional import Bidirectional
from fastbp.layers.branches import Concatenate, Residual
from fastbp.layers.categories import CategoryEmbedding, OneHot
from fastbp.layers.columns import Columns
from fastbp.layers.conv import Conv1D, Conv2D
from fastbp.layers.dense import Dense
from fastbp.layers.depthwise import DepthwiseConv2D
from fastbp.layers.dropout import Dropout
from fastbp.layers.embedding import Embedding
from fastbp.layers.globalpooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from fastbp.layers.gru import GRU
from fastbp.layers.layernorm import LayerNormalization, RMSNormalization
from fastbp.layers.lstm import LSTM
from fastbp.layers.masking import Masking
from fastbp.layers.members import MemberDense, MemberMean, RepeatMembers
from fastbp.layers.noise import AlphaDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from fastbp.layers.padding import ZeroPadding1D, ZeroPadding2D
from fastbp.layers.parametric import ParametricActivation
from fastbp.layers.periodic import PeriodicEmbedding
from fastbp.layers.piecewise import PiecewiseLinearEmbedding
from fastbp.layers.pooling import AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D
from fastbp.layers.prelu import PReLU
from fastbp.layers.reshape import Flatten, Reshape
from fastbp.layers.rnn import SimpleRNN
from fastbp.layers.scaling import Scaling

__all__ = [
    "GRU",
    "LAYERS",
    "LSTM",
    "Activation",
    "AlphaDropout",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEmbedding",
    "Columns",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Layer",
    "LayerNormalization",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
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
    "SimpleRNN",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
]
