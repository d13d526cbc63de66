"""GroupNormalization by the formula of Wu and He (2018), over (positions, channels of a group)."""

import jax.numpy as jnp

from fastbp import L1, L2, GroupNormalization, MaxNorm

CASES = [
    GroupNormalization(2),
    GroupNormalization(1, 2, 0.1, gamma_initializer="random_normal", beta_initializer="ones", name="all"),
    GroupNormalization(-1, gamma_initializer="random_normal", gamma_regularizer=L1(0.1), beta_regularizer=L2(0.2)),
    GroupNormalization(2, center=False, gamma_constraint=MaxNorm(1.5)),
    GroupNormalization(4, scale=False, beta_constraint=MaxNorm(0.1)),
    GroupNormalization(2, trainable=False),
]
SHAPE = (3, 4)
CHANGES = {"trainable": False, "epsilon": 0.5, "gamma_regularizer": "l2"}
REGULARIZERS = ("gamma_regularizer", "beta_regularizer")
REFUSED = [
    (GroupNormalization(3), (5, 4), "groups=3.*4 channels"),
    (GroupNormalization(axis=1), (5, 32), "axis=1"),
    (GroupNormalization(), (4,), "groups=32.*4 channels"),
    (lambda: GroupNormalization(0), None, "groups=0"),
    (lambda: GroupNormalization(epsilon=-1.0), None, "epsilon=-1"),
]


def outputs(layer, weights, x):
    """x (n, ..., c) -> out (n, ..., c)."""
    groups = x.shape[-1] if layer.groups == -1 else layer.groups
    grouped = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    centered = grouped - grouped.mean((1, 3), keepdims=True)
    variance = (centered**2).mean((1, 3), keepdims=True)
    out = (centered / jnp.sqrt(variance + layer.epsilon)).reshape(x.shape)
    weights = list(weights)
    out = out * weights.pop(0) if layer.scale else out
    return out + weights.pop(0) if layer.center else out
